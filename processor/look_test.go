package processor_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// slowStore does not answer what is asked about the matches of a selector until it is
// let go.
type slowStore struct {
	processor.FindingStore
	selector string
	asked    chan struct{} // has one where such a question waits
	answer   chan struct{} // closed when it is let go
}

func (s *slowStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	selectors, _ := q.Params["selectors"].([]string)
	if q.Params["main"] == s.selector || slices.Contains(selectors, s.selector) {
		select {
		case s.asked <- struct{}{}:
		default:
		}
		select {
		case <-s.answer:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.FindingStore.Correlate(ctx, q)
}

const refusedOften = `title: Client refused, whatever for
id: 8d0c4f0e-1c1a-4f57-9e0b-3b0b7d1f0001
name: refused_for_whatever
level: informational
logsource: {product: auth0}
detection:
  selection: {type: feccft}
  condition: selection
---
title: Client refused often
id: ` + refusedOftenID + `
level: medium
correlation:
  type: event_count
  rules: [refused_for_whatever]
  group-by: [client_id]
  timespan: 1h
  condition: {gte: 3}
`

const refusedOftenID = "8d0c4f0e-1c1a-4f57-9e0b-3b0b7d1f0002"

// slow is a bench of MI-02 and of rules about who is refused often, which the store does
// not answer.
func slow(t *testing.T, often string) (*bench, *slowStore) {
	t.Helper()
	text, err := fs.ReadFile(processor.Rules(), "mi-02-working-client-started-failing.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: text}, "b.yml": {Data: []byte(often)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.rules = rules
	s := &slowStore{FindingStore: b.store, asked: make(chan struct{}, 1), answer: make(chan struct{})}
	for _, rule := range rules.Correlations() {
		if rule.Code == refusedOftenID {
			s.selector = rule.Main.Selector
		}
	}
	return b, s
}

// rulesOf are those that found something.
func (b *bench) rulesOf() []string {
	var rules []string
	for _, f := range b.findings("acme") {
		rules = append(rules, f.RuleID)
	}
	slices.Sort(rules)
	return rules
}

func TestALongLookHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b, store := slow(t, refusedOften)
	b.insert(working("billing", schemas.SourceStream)...)
	b.insert(refused("billing", 30, schemas.SourceStream)...)
	stop := b.startOn(store, b.broker.Publisher(t), nil)
	defer stop()
	receive(t, store.asked)
	natstest.Eventually(t, "the other rule finds something", func() bool { return slices.Equal(b.rulesOf(), []string{"MI-02"}) })
	b.insert(working("payroll", schemas.SourceStream)...)
	b.insert(refused("payroll", 3, schemas.SourceStream)...)
	natstest.Eventually(t, "and what came meanwhile", func() bool { return slices.Equal(b.rulesOf(), []string{"MI-02", "MI-02"}) })
	if _, flushes, err := b.store.Touched(t.Context(), 10); err != nil || len(flushes) < 2 {
		t.Errorf("%d flushes are not done, error %v; want those that one rule has not judged", len(flushes), err)
	}
	close(store.answer)
	b.settle()
	if got := b.rulesOf(); !slices.Equal(got, []string{refusedOftenID, refusedOftenID, "MI-02", "MI-02"}) {
		t.Errorf("findings of %v when the look is over, want those of the other too", got)
	}
}

// Looks that are taken for prompt ones, and are not, are left to themselves even where as
// many go on as may begin.
func TestPromptLooksThatTakeLongHoldUpNobody(t *testing.T) {
	t.Parallel()
	often := strings.Replace(refusedOften, "level: medium", "level: high", 1)
	_, rule, _ := strings.Cut(often, "---\n")
	for i := range 2 {
		often += "---\n" + strings.Replace(rule, refusedOftenID, fmt.Sprintf("8d0c4f0e-1c1a-4f57-9e0b-3b0b7d1f001%d", i), 1)
	}
	b, store := slow(t, often)
	b.insert(working("billing", schemas.SourceStream)...)
	b.insert(refused("billing", 30, schemas.SourceStream)...)
	stop := b.startOn(store, b.broker.Publisher(t), nil)
	defer stop()
	natstest.Eventually(t, "the other rule finds something", func() bool { return slices.Equal(b.rulesOf(), []string{"MI-02"}) })
	close(store.answer)
	b.settle()
	if got := b.rulesOf(); len(got) != 4 {
		t.Errorf("findings of %v when the looks are over, want those of all rules", got)
	}
}

// What a long look had begun is begun anew by whoever comes next.
func TestALongLookEndsWithItsHolder(t *testing.T) {
	t.Parallel()
	b, store := slow(t, refusedOften)
	b.insert(working("billing", schemas.SourceStream)...)
	b.insert(refused("billing", 30, schemas.SourceStream)...)
	stop := b.startOn(store, b.broker.Publisher(t), nil)
	receive(t, store.asked)
	natstest.Eventually(t, "the other rule finds something", func() bool { return slices.Equal(b.rulesOf(), []string{"MI-02"}) })
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(natstest.Wait):
		t.Fatal("the correlator does not end while a look is under way")
	}
	b.correlateAll()
	if got := b.rulesOf(); !slices.Equal(got, []string{refusedOftenID, "MI-02"}) {
		t.Errorf("findings of %v, want those of both rules", got)
	}
}
