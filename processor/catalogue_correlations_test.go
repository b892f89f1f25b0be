//go:build shared

package processor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// told is one log: when, in minutes, and its members.
type told struct {
	minute  int
	members string
}

// counted are, by file, logs that its correlation is for, and the nearest that it is
// not for.
var counted = map[string]struct{ fires, quiet []told }{
	"credential_stuffing_signals": {
		fires: []told{{0, `"type":"fp","ip":"192.0.2.1"`}, {60, `"type":"pwd_leak","ip":"192.0.2.1"`}},
		quiet: []told{{0, `"type":"fp","ip":"192.0.2.1"`}, {1, `"type":"fp","ip":"192.0.2.2"`}, {61, `"type":"fp","ip":"192.0.2.1"`}, {62, `"type":"s","ip":"192.0.2.1"`}},
	},
	"refresh_token_from_multiple_user_agent": {
		fires: []told{{0, `"type":"sertft","user_name":"ann","user_id":"auth0|1","client_id":"spa","user_agent":"Firefox","details":{"familyId":"f"}`}},
		quiet: []told{
			{0, `"type":"sertft","user_name":"ann","user_id":"auth0|1","client_id":"spa","user_agent":"","details":{"familyId":"f"}`},
			{0, `"type":"fertft","user_name":"ann","user_id":"auth0|1","client_id":"spa","user_agent":"Firefox","details":{"familyId":"f"}`},
		},
	},
}

func TestCorrelationsOfCatalogueOfAuth0FireAndStayQuiet(t *testing.T) {
	folder := filepath.Join(os.Getenv("M2MWATCH_SHARED"), "data", "auth0-detections")
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{Name: folder, FS: os.DirFS(folder)}}, Catalogue: schemas.EventTypes()})
	if err != nil {
		t.Fatal(err)
	}
	db := clickhousetest.New(t)
	correlations := map[string]detect.Correlation{}
	for _, c := range set.Correlations() {
		if !c.Alone() {
			correlations[strings.TrimSuffix(filepath.Base(c.File), filepath.Ext(c.File))] = c
		}
	}
	for file := range correlations {
		if _, known := counted[file]; !known {
			t.Logf("%s has a correlation, and no logs are here for it", file)
		}
	}
	for file, logs := range counted {
		c, ok := correlations[file]
		if !ok {
			t.Errorf("%s: its correlation is not evaluated: %v", file, set.Asides())
			continue
		}
		if got := findings(t, db, set, c, file+"-fires", logs.fires); got != 1 {
			t.Errorf("%s: %d findings, want one of %v", file, got, logs.fires)
		}
		if got := findings(t, db, set, c, file+"-quiet", logs.quiet); got != 0 {
			t.Errorf("%s: %d findings, want none of %v", file, got, logs.quiet)
		}
	}
}

// findings stores logs as those of a tenant, and says how often the correlation
// finds something in them.
func findings(t *testing.T, db *clickhouse.DB, set *detect.Set, c detect.Correlation, tenant string, logs []told) int {
	t.Helper()
	normalizer := processor.NewNormalizer(schemas.EventTypes(), nil)
	var events []schemas.Event
	var matches []schemas.Match
	for i, l := range logs {
		at := moment.Add(time.Duration(l.minute) * time.Minute)
		raw := fmt.Sprintf(`{"log_id":"%d","data":{"log_id":"%[1]d","date":%q,%s}}`, i, at.Format(time.RFC3339), l.members)
		e, err := normalizer.Normalize(&schemas.Log{Tenant: tenant, Source: schemas.SourceStream, IngestedAt: at, Raw: []byte(raw)})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		matches = set.Match(matches, &e)
	}
	var keys []string
	for i := range matches {
		keys = append(keys, matches[i].Key)
	}
	w, store := clickhouse.NewWriter(db), clickhouse.NewFindingStore(db)
	if err := w.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := w.InsertMatches(t.Context(), matches); err != nil {
		t.Fatal(err)
	}
	rows, err := store.Correlate(t.Context(), c.Query(tenant, keys, c.Period(moment), c.PeriodEnd(moment.Add(c.Reach()+time.Hour))))
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
}
