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

// countingStore notes of which keys findings are read.
type countingStore struct {
	processor.FindingStore
	mu   sync.Mutex // guards keys
	keys []string
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
