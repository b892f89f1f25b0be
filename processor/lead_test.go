package processor_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// tardyFindings does not answer its first insert, and keeps it: a store that
// was stopped runs it when it goes on.
type tardyFindings struct {
	processor.FindingStore
	kept     chan []schemas.Finding
	unanswer chan struct{} // closed when the caller's time is up
}

func (s *tardyFindings) InsertFindings(ctx context.Context, f []schemas.Finding) error {
	select {
	case s.kept <- slices.Clone(f):
		<-s.unanswer
		return errFlaky
	default:
		return s.FindingStore.InsertFindings(ctx, f)
	}
}

// TestInsertThatComesLateFindsItsEpochOver lets late successes come while the
// insert of a finding is not answered: the finding is never computed again, so
// nothing would take it away.
func TestInsertThatComesLateFindsItsEpochOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	store := &tardyFindings{FindingStore: b.store, kept: make(chan []schemas.Finding, 1), unanswer: make(chan struct{})}
	b.insert(working("tardy", schemas.SourceStream)...)
	b.insert(refused("tardy", 3, schemas.SourceStream)...)
	stop := b.startOn(store, b.broker.Publisher(t), nil)
	natstest.Eventually(t, "a finding on its way", func() bool { return len(store.kept) == 1 })
	b.insert(exchange("tardy", 2001, moment.Add(30*time.Second), true, schemas.SourceStream), exchange("tardy", 2002, moment.Add(90*time.Second), true, schemas.SourceStream))
	close(store.unanswer)
	b.settle()
	stop()
	if err := b.store.InsertFindings(t.Context(), <-store.kept); err != nil {
		t.Fatal(err)
	}
	if got := b.findings("acme"); len(got) != 0 {
		t.Errorf("findings %+v, want none: the streak was broken", got)
	}
}

// tardyCounts does not answer its first recount.
type tardyCounts struct {
	processor.CountStore
	kept chan schemas.Recount
}

func (s *tardyCounts) Recount(ctx context.Context, r schemas.Recount) error {
	select {
	case s.kept <- r:
		return errFlaky
	default:
		return s.CountStore.Recount(ctx, r)
	}
}

// TestRecountThatComesLateFindsItsEpochOver is the same for the recount: what
// comes late has an epoch that the store lets write no more.
func TestRecountThatComesLateFindsItsEpochOver(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	b.insert(exchange("a", 1, moment.Add(-3*time.Hour), true, schemas.SourceStream))
	b.pass(2 * time.Minute)
	counts := clickhouse.NewCountStore(b.db)
	store := &tardyCounts{CountStore: counts, kept: make(chan schemas.Recount, 1)}
	stop := b.runOn(store, "")
	b.waitClean()
	stop()
	last, err := counts.LastEpoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if epoch := (<-store.kept).Ver >> 32; last <= epoch {
		t.Errorf("the last epoch is %d, and the recount that was not answered is of epoch %d", last, epoch)
	}
}
