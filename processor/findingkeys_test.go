package processor_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// countingStore notes of which keys findings are read, and matches.
type countingStore struct {
	processor.FindingStore
	mu      sync.Mutex // guards all
	keys    []string
	matched []string
}

func (s *countingStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	s.mu.Lock()
	keys, _ := q.Params["keys"].([]string)
	s.matched = append(s.matched, keys...)
	s.mu.Unlock()
	return s.FindingStore.Correlate(ctx, q)
}

func (s *countingStore) Findings(ctx context.Context, tenant, ruleID string, keys []string, from, to time.Time) ([]schemas.Finding, error) {
	s.mu.Lock()
	s.keys = append(s.keys, keys...)
	s.mu.Unlock()
	return s.FindingStore.Findings(ctx, tenant, ruleID, keys, from, to)
}

func (s *countingStore) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.keys
	s.keys = nil
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Findings are read of the keys that have some, those of an earlier holder too, and
// of no others.
func TestFindingsAreReadOfKeysThatHaveSome(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	store := &countingStore{FindingStore: b.store}
	stop := b.startOn(store, b.broker.Publisher(t), nil)
	b.insert(working("billing", schemas.SourceStream)...)
	b.insert(working("reports", schemas.SourceStream)...)
	b.insert(refused("billing", 3, schemas.SourceStream)...)
	b.settle()
	if asked := store.asked(); len(asked) != 0 {
		t.Errorf("findings of %v were read, of which there are none", asked)
	}
	b.insert(refused("billing", 30, schemas.SourceStream)...)
	b.settle()
	store.asked()
	for _, holder := range []string{"the same", "another"} {
		b.insert(refused("reports", 2, schemas.SourceStream)...)
		b.insert(refused("billing", 31, schemas.SourceStream)...)
		b.settle()
		if asked := store.asked(); !slices.Equal(asked, []string{"billing"}) {
			t.Errorf("%s holder: findings of %v were read, want those of billing", holder, asked)
		}
		stop()
		stop = b.startOn(store, b.broker.Publisher(t), nil)
	}
	stop()
	if found := open(b.findings("acme")); len(found) != 1 || found[0].Key != "billing" {
		t.Errorf("findings %v, want one of billing", found)
	}
}

// What time alone makes is left to the tick: nobody reads what a machine did for two
// weeks because it goes on. One that was missed is looked at when it comes back.
func TestWhatGoesOnIsLeftToTheTick(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	at := moment
	b.now = func() time.Time { return at }
	store := &countingStore{FindingStore: b.store}
	run := func(events ...schemas.Event) {
		t.Helper()
		b.insert(events...)
		stop := b.startOn(store, b.broker.Publisher(t), nil)
		b.settle()
		stop()
	}
	run(beats("stops", moment)...)
	run(beats("goes on", moment)...)
	run(other(moment.Add(2 * time.Minute)))
	store.matched = nil
	at = moment.Add(5 * time.Hour)
	run(exchange("goes on", 1000, moment.Add(time.Hour), true, schemas.SourceStream), exchange("goes on", 1001, at, true, schemas.SourceStream))
	if slices.Contains(store.matched, "goes on") {
		t.Errorf("matches of %v were read, want none of what goes on", store.matched)
	}
	b.tick()
	if got := b.findings("acme"); len(got) != 1 || got[0].Key != "stops" {
		t.Fatalf("findings %+v, want one of the machine that stops", got)
	}
	at = moment.Add(6 * time.Hour)
	run(exchange("stops", 1000, at, true, schemas.SourceStream))
	if got := b.findings("acme"); len(got) != 1 || got[0].Evidence.Facts["came_back"] != at.Format("2006-01-02 15:04") {
		t.Errorf("findings %+v, want it to tell when the machine came back", got)
	}
}
