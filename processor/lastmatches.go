package processor

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
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
// It may tell a time that is too late: a match that is taken away stays remembered, and
// so does the later of two keys whose hashes are the same. It tells none that is too early
// for long: a match that is stored leaves a touch behind it, of which its key is judged,
// and which is noted before; what was touched before the lease began is read then. Of
// history that is matched anew, or behind a crash, the touch may come later than others
// of the same key.
//
// Two looks may use it at once.
type lastMatches struct {
	mu    sync.Mutex // guards what looks read: since, last and seed
	epoch uint64
	of    []string                    // selectors
	since time.Time                   // of what was before that nothing is known
	last  map[string]map[uint64]int64 // Unix milliseconds, by selector and hash of tenant and key; nil is unknown
	seed  maphash.Seed
	again time.Time // when it is read again, where something is unknown
}

const (
	// lastMatchesReach is for how long what was before the lease is read: a week and a
	// day are what most rules look back, and of a month with many millions of tokens
	// reading would take longer than it saves.
	lastMatchesReach = 8 * 24 * time.Hour
	// maxLastMatches bounds how many keys of a selector are remembered, some fifty bytes
	// each. They may be names that somebody makes up.
	maxLastMatches = 50_000
	// unknownFor is how long nothing is known where it could not be read or was too much.
	unknownFor = 10 * time.Minute
)

// begin reads them where another epoch begins, other selectors matter, or something was
// unknown for long. Nobody needs them: where they cannot be read rules ask more.
func (l *lastMatches) begin(ctx context.Context, store FindingStore, epoch uint64, rules []detect.Correlation, now time.Time, log *slog.Logger) error {
	of := requiredOf(rules)
	if l.epoch == epoch && slices.Equal(l.of, of) && (l.again.IsZero() || now.Before(l.again)) {
		return nil
	}
	since := now.Add(-lastMatchesReach).UTC().Truncate(24 * time.Hour)
	matches, err := store.LatestMatches(ctx, of, since, maxLastMatches+1)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("read when keys last had a match: %w", ctx.Err())
	case err != nil:
		log.Warn("it is not known when keys last had a match: until it is, rules ask the store more", "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.of, l.since, l.seed, l.again = epoch, of, since, maphash.MakeSeed(), time.Time{}
	l.last = make(map[string]map[uint64]int64, len(of))
	for _, selector := range of {
		l.last[selector] = map[uint64]int64{}
		if err != nil {
			l.forget(selector, now)
		}
	}
	for i := range matches {
		m := &matches[i]
		l.note(m.Selector, m.Tenant, m.Key, m.Last.UnixMilli(), now)
	}
	return nil
}

// requiredOf are the selectors that rules cannot do without.
func requiredOf(rules []detect.Correlation) (selectors []string) {
	for i := range rules {
		for _, r := range rules[i].Required() {
			selectors = append(selectors, r.Selectors...)
		}
	}
	slices.Sort(selectors)
	return slices.Compact(selectors)
}

func (l *lastMatches) note(selector, tenant, key string, ms int64, now time.Time) {
	last := l.last[selector]
	if last == nil {
		return
	}
	hash := l.hash(tenant, key)
	last[hash] = max(last[hash], ms)
	if len(last) > maxLastMatches {
		l.forget(selector, now)
	}
}

func (l *lastMatches) hash(tenant, key string) uint64 {
	return maphash.Comparable(l.seed, [2]string{tenant, key})
}

// forget takes what is known of a selector for unknown.
func (l *lastMatches) forget(selector string, now time.Time) {
	l.last[selector] = nil
	if l.again.IsZero() {
		l.again = now.Add(unknownFor)
	}
}

// touched notes what is touched: a match as late as its hour ends.
func (l *lastMatches) touched(touches []schemas.Touch, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range touches {
		t := &touches[i]
		l.note(t.Selector, t.Tenant, t.Key, t.Bucket.Add(time.Hour).UnixMilli(), now)
	}
}

// having are those of keys that may have all that a rule cannot do without, to find
// anything from a time on.
func (l *lastMatches) having(rule *detect.Correlation, tenant string, keys []string, from time.Time) []string {
	required := rule.Required()
	if l == nil || len(required) == 0 { // nil where all are asked about once
		return keys
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var having []string
	for _, key := range keys {
		hash := l.hash(tenant, key)
		if !slices.ContainsFunc(required, func(r detect.Required) bool { return l.lacks(r, hash, from) }) {
			having = append(having, key)
		}
	}
	return having
}

// ruleOut reports whether a key lacks something that is required from a time on.
func (l *lastMatches) ruleOut(required []detect.Required, tenant, key string, from time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	hash := l.hash(tenant, key)
	return slices.ContainsFunc(required, func(r detect.Required) bool { return l.lacks(r, hash, from) })
}

func (l *lastMatches) lacks(r detect.Required, hash uint64, from time.Time) bool {
	if from = from.Add(-r.Back); from.Before(l.since) {
		return false
	}
	return !slices.ContainsFunc(r.Selectors, func(selector string) bool {
		last := l.last[selector]
		return last == nil || last[hash] >= from.UnixMilli()
	})
}
