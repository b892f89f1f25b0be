package processor

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// lastMatches tell when keys last had a match of the selectors that rules cannot do
// without: whoever succeeds all day and has not failed for weeks is not asked about by
// each rule that begins with a failure.
//
// It may tell a time that is too late, never one that is too early: a match that is
// stored leaves a touch behind it, which is read before its key is judged for its sake;
// what was touched before the lease began is read then. A match that is taken away stays
// remembered, and so does the later of two keys whose hashes are the same.
//
// Two looks may use it at once.
type lastMatches struct {
	mu    sync.Mutex // guards all
	epoch uint64
	of    []string                        // selectors
	since time.Time                       // of what was before that nothing is known
	hours map[string]map[uint64]time.Time // by selector and hash of tenant and key; nil is too many to remember
	seed  maphash.Seed
}

// maxLastMatches bounds how many keys of a selector are remembered, some fifty bytes each. They
// may be names that somebody makes up.
const maxLastMatches = 200_000

// begin reads them where another epoch begins, or other selectors matter.
func (l *lastMatches) begin(ctx context.Context, store FindingStore, epoch uint64, rules []detect.Correlation, now time.Time) error {
	of, since := requiredOf(rules, now)
	if l.epoch == epoch && slices.Equal(l.of, of) {
		return nil
	}
	keys, err := store.LatestMatches(ctx, of, since, maxLastMatches+1)
	unknown := errors.Is(err, schemas.ErrQueryTooLarge) || errors.Is(err, schemas.ErrMemoryShort)
	if err != nil && !unknown {
		return fmt.Errorf("read when keys last had a match: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.of, l.since, l.seed = epoch, of, since, maphash.MakeSeed()
	l.hours = make(map[string]map[uint64]time.Time, len(of))
	for _, selector := range of {
		if !unknown {
			l.hours[selector] = map[uint64]time.Time{}
		}
	}
	for _, k := range keys {
		l.note(k.Selector, k.Tenant, k.Key, k.Last)
	}
	return nil
}

// requiredOf are the selectors that rules cannot do without, and how far back any of
// them matters.
func requiredOf(rules []detect.Correlation, now time.Time) (selectors []string, since time.Time) {
	since = now
	for i := range rules {
		for _, r := range rules[i].Required() {
			selectors = append(selectors, r.Selectors...)
			if from := now.Add(-r.Back - rules[i].Dedupe); from.Before(since) {
				since = from
			}
		}
	}
	slices.Sort(selectors)
	return slices.Compact(selectors), since
}

func (l *lastMatches) note(selector, tenant, key string, at time.Time) {
	hours := l.hours[selector]
	if hours == nil {
		return
	}
	hash := maphash.Comparable(l.seed, [2]string{tenant, key})
	if at.After(hours[hash]) {
		hours[hash] = at
	}
	if len(hours) > maxLastMatches {
		l.hours[selector] = nil
	}
}

// touched notes what is touched.
func (l *lastMatches) touched(touches []schemas.Touch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range touches {
		t := &touches[i]
		l.note(t.Selector, t.Tenant, t.Key, t.Bucket.Add(time.Hour))
	}
}

// having are those of keys that have all that a rule cannot do without, to find anything
// from a time on.
func (l *lastMatches) having(rule *detect.Correlation, tenant string, keys []string, from time.Time) []string {
	required := rule.Required()
	if l == nil || len(required) == 0 { // nil where all are asked about once
		return keys
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var having []string
	for _, key := range keys {
		hash := maphash.Comparable(l.seed, [2]string{tenant, key})
		if !slices.ContainsFunc(required, func(r detect.Required) bool { return l.lacks(r, hash, from) }) {
			having = append(having, key)
		}
	}
	return having
}

func (l *lastMatches) lacks(r detect.Required, hash uint64, from time.Time) bool {
	if from = from.Add(-r.Back); from.Before(l.since) {
		return false
	}
	return !slices.ContainsFunc(r.Selectors, func(selector string) bool {
		hours := l.hours[selector]
		return hours == nil || !hours[hash].Before(from)
	})
}
