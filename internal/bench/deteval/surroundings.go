package deteval

import (
	"context"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// surroundings are the store's, but for what it takes from counts: whom much is
// known of is told from the logs themselves, as if each hour were recounted at once.
type surroundings struct {
	*clickhouse.FindingStore
	successes map[string][]time.Time // by identity, in their order
}

func newSurroundings(store *clickhouse.FindingStore, t *tenant) *surroundings {
	s := &surroundings{store, map[string][]time.Time{}}
	n := processor.NewNormalizer(schemas.EventTypes(), nil)
	for _, log := range t.logs {
		e, err := n.Normalize(&schemas.Log{Tenant: t.name, Source: schemas.SourceStream, IngestedAt: log.Delivered, Raw: log.Raw})
		if err == nil && e.Outcome == schemas.OutcomeSuccess && e.Identity.ID != "" {
			s.successes[e.Identity.ID] = append(s.successes[e.Identity.ID], e.Time)
		}
	}
	for _, times := range s.successes {
		slices.SortFunc(times, time.Time.Compare)
	}
	return s
}

// Warm is that of processor.Surroundings: what happened on days before counts.
func (s *surroundings) Warm(_ context.Context, _ string, identities []string, at time.Time) (map[string]bool, error) {
	warm := map[string]bool{}
	today := at.UTC().Truncate(24 * time.Hour)
	for _, id := range identities {
		times := s.successes[id]
		before, _ := slices.BinarySearchFunc(times, today, time.Time.Compare)
		if before >= schemas.WarmSuccesses && !times[0].After(at.Add(-schemas.WarmHistory)) {
			warm[id] = true
		}
	}
	return warm, nil
}
