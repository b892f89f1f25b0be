package processor_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// grantWidenedByRaw selects the same as grantWidened, by what only the raw log has.
var grantWidenedByRaw = strings.ReplaceAll(grantWidened, "description: Update client grant", "details.does: widen")

// tester runs backtests over a bench's store, one after the other.
type tester struct {
	*bench
	store *selectingStore
	n     int
}

// selectingStore counts how often history is matched.
type selectingStore struct {
	*clickhouse.BacktestStore
	selects, reads atomic.Int64
	// so many times the store is short of memory
	shortSelecting, shortFinding atomic.Int64
	most, refused                atomic.Int64 // keys of a query, where there is a most, and how often there were more
}

func (s *selectingStore) CorrelateOver(ctx context.Context, table schemas.MatchTable, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if s.shortFinding.Add(-1) >= 0 {
		return nil, schemas.ErrMemoryShort
	}
	if keys, ok := q.Params["keys"].([]string); ok && s.most.Load() > 0 && len(keys) > int(s.most.Load()) {
		s.refused.Add(1)
		return nil, schemas.ErrQueryTooLarge
	}
	return s.BacktestStore.CorrelateOver(ctx, table, q)
}

func (s *selectingStore) SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error {
	if s.shortSelecting.Add(-1) >= 0 {
		return schemas.ErrMemoryShort
	}
	s.selects.Add(1)
	return s.BacktestStore.SelectInto(ctx, sel, tenant, from, to)
}

func (s *selectingStore) EachSelected(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error {
	s.reads.Add(1)
	return s.BacktestStore.EachSelected(ctx, sel, tenant, from, to, each)
}

func newTester(t *testing.T, b *bench, db *clickhouse.DB) *tester {
	t.Helper()
	bt := &tester{bench: b, store: &selectingStore{BacktestStore: clickhouse.NewBacktestStore(db)}}
	p, err := processor.NewBacktester(processor.BacktesterConfig{
		Store: bt.store, Lease: everybodysLease{}, Rules: func() *detect.Set { return b.rules }, Interval: 5 * time.Millisecond,
		Compile: func(file, text string) (*detect.Set, error) {
			return detect.Load(detect.Options{Sources: []detect.Source{{Name: file, Text: text}}})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return bt
}

func (bt *tester) run(rule schemas.BacktestRule, against *schemas.BacktestRule, from, to time.Time) schemas.Backtest {
	bt.t.Helper()
	bt.n++
	id := fmt.Sprint("job-", bt.n)
	job := schemas.Backtest{ID: id, Rule: rule, Against: against, From: from, To: to, State: schemas.BacktestPending, CreatedAt: moment}
	if err := bt.store.AddBacktest(bt.t.Context(), job); err != nil {
		bt.t.Fatal(err)
	}
	natstest.Eventually(bt.t, "the backtest is over", func() bool {
		var err error
		job, err = bt.store.Backtest(bt.t.Context(), id)
		return err == nil && job.Over()
	})
	return job
}

// someChanges are grants that are widened and others, with copies that lost.
func someChanges(r *rand.Rand) (events []schemas.Event) {
	for n := range 120 {
		at := moment.Add(time.Duration(r.IntN(72*3600)) * time.Second)
		survivor := grantChange(fmt.Sprintf("app-%d", r.IntN(5)), n, at, 10, "Update client grant")
		survivor.Raw = fmt.Appendf(nil, `{"log_id":%q,"details":{"does":"widen"}}`, survivor.LogID)
		if r.IntN(3) == 0 {
			survivor.Description, survivor.Raw = "Delete client grant", []byte(`{"details":{"does":"nothing"}}`)
		}
		loser := survivor
		loser.Ver, loser.Description, loser.Raw = 5, "Update client grant", []byte(`{"details":{"does":"widen"}}`)
		events = append(events, survivor, loser)
	}
	return events
}

// A backtest tells what the correlator found of the same events, whoever selects
// them, and leaves no trace.
func TestBacktestFindsWhatWasFound(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{Text: grantWidened}}})
	if err != nil {
		t.Fatal(err)
	}
	b.rules, b.rule = set, set.Correlations()[0]
	b.insert(someChanges(rand.New(rand.NewPCG(41, 42)))...)
	b.correlateAll()
	stored := b.findings("acme")
	var events uint64
	days := map[string]uint64{}
	for _, f := range stored {
		events += f.Count
		days[f.Last.Format(time.DateOnly)]++
	}

	bt := newTester(t, b, db)
	from, to := moment.Add(-24*time.Hour), moment.Add(96*time.Hour)
	loaded := bt.run(schemas.BacktestRule{Rule: b.rule.ID}, nil, from, to)
	raw := bt.run(schemas.BacktestRule{File: "raw.yml", Text: grantWidenedByRaw}, nil, from, to)
	if loaded.State != schemas.BacktestDone || loaded.Result.Findings != uint64(len(stored)) || loaded.Result.Events != events || len(stored) < 10 {
		t.Fatalf("%+v\n%+v: want %d findings of %d events", loaded, loaded.Result, len(stored), events)
	}
	for _, d := range loaded.Result.Days {
		if days[d.Day] != d.Findings {
			t.Errorf("%s: %d findings, want %d", d.Day, d.Findings, days[d.Day])
		}
	}
	if diff := cmp.Diff(loaded.Result, raw.Result); diff != "" {
		t.Errorf("selected by the store and here (-store +here):\n%s", diff)
	}
	before := bt.store.selects.Load()
	bt.store.shortSelecting.Store(3)
	bt.store.shortFinding.Store(7) // more than halves of the keys
	if waited := bt.run(schemas.BacktestRule{Rule: b.rule.ID}, nil, from, to); cmp.Diff(waited.Result, loaded.Result) != "" {
		t.Errorf("where the store was short of memory: %s", cmp.Diff(waited.Result, loaded.Result))
	}
	if n := bt.store.selects.Load() - before; n != int64(len(days)) || bt.store.shortFinding.Load() > 0 {
		t.Errorf("selected %d times where the store was short of memory, want each of %d days once", n, len(days))
	}
	if again := bt.run(schemas.BacktestRule{Rule: b.rule.ID}, nil, from, to); cmp.Diff(again.Result, loaded.Result) != "" {
		t.Errorf("the same again: %s", cmp.Diff(again.Result, loaded.Result))
	}
	if diff := cmp.Diff(stored, b.findings("acme")); diff != "" {
		t.Errorf("a backtest changed what was found (-before +after):\n%s", diff)
	}
	if keys, err := bt.store.KeysOf(t.Context(), schemas.MatchesScratch, []string{b.rule.Main.Selector}, "acme", from, to, 1); len(keys) > 0 || err != nil {
		t.Errorf("keys %q are left, error %v", keys, err)
	}
}

// Where all of history is matched for a rule nothing is matched anew, and what is
// found is the same.
func TestBacktestReadsMatchesThatAreThere(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{Text: grantWidened}}})
	if err != nil {
		t.Fatal(err)
	}
	b.rules, b.rule = set, set.Correlations()[0]
	selectors := clickhouse.NewSelectorStore(db)
	if err := warmerOf(t, b, selectors).Register(t.Context(), set); err != nil { // nothing is stored: all will be matched
		t.Fatal(err)
	}
	b.insert(someChanges(rand.New(rand.NewPCG(43, 44)))...)
	bt := newTester(t, b, db)
	from, to := moment.Add(-24*time.Hour), moment.Add(96*time.Hour)
	there := bt.run(schemas.BacktestRule{Rule: b.rule.ID}, &schemas.BacktestRule{File: "raw.yml", Text: grantWidenedByRaw}, from, to)
	if there.State != schemas.BacktestDone || there.Result.Findings < 10 {
		t.Fatalf("%+v\n%+v", there, there.Result)
	}
	if diff := cmp.Diff(there.Result, there.Other); diff != "" {
		t.Errorf("of the matches that are there and of those that are made (-there +made):\n%s", diff)
	}
	if n := bt.store.selects.Load(); n != 0 {
		t.Errorf("the store selected %d times what was selected before", n)
	}
	if bt.store.reads.Load() == 0 {
		t.Error("what only the raw log has was not matched")
	}

	late := schemas.Selector{Selector: b.rule.Main.Selector, State: schemas.SelectorWarm, Since: moment.Add(48 * time.Hour), Reach: time.Hour, Ver: 9}
	if err := selectors.AddSelectors(t.Context(), []schemas.Selector{late}); err != nil {
		t.Fatal(err)
	}
	made := bt.run(schemas.BacktestRule{Rule: b.rule.ID}, nil, from, to)
	if diff := cmp.Diff(there.Result, made.Result); diff != "" || bt.store.selects.Load() == 0 {
		t.Errorf("of a selector that has looked at an hour of history, selected %d times (-there +made):\n%s", bt.store.selects.Load(), diff)
	}
}

// What was too much once is not tried with each of thousands of keys again.
func TestBacktestLearnsHowManyKeysFit(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{Text: grantWidened}}})
	if err != nil {
		t.Fatal(err)
	}
	b.rules, b.rule = set, set.Correlations()[0]
	var events []schemas.Event
	for n := range 1500 {
		events = append(events, grantChange(fmt.Sprint("app-", n), n, moment.Add(time.Duration(n)*time.Second), 1, "Update client grant"))
	}
	b.insert(events...)
	bt := newTester(t, b, db)
	rule, from, to := schemas.BacktestRule{Rule: b.rule.ID}, moment.Add(-24*time.Hour), moment.Add(24*time.Hour)
	whole := bt.run(rule, nil, from, to)
	if whole.State != schemas.BacktestDone || whole.Result.Findings != 1500 {
		t.Fatalf("%+v\n%+v, want a finding of each application", whole, whole.Result)
	}
	bt.store.most.Store(60)
	if diff := cmp.Diff(whole.Result, bt.run(rule, nil, from, to).Result); diff != "" {
		t.Errorf("of all keys at once and of some (-at once +some):\n%s", diff)
	}
	if n := bt.store.refused.Load(); n < 5 || n > 25 {
		t.Errorf("%d queries were for too many keys, want some to come to 60, and few more for 1500", n)
	}
}

// What a rule looks up by another key than its own is matched for a backtest, too.
func TestBacktestKnowsStrangers(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	text, err := fs.ReadFile(processor.Rules(), "mi-04-strangers-try-client-ids.yml")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := fs.ReadFile(processor.Rules(), "mi-02-working-client-started-failing.yml")
	if err != nil {
		t.Fatal(err)
	}
	var events []schemas.Event
	for i := range 6 {
		event := schemas.Event{
			Tenant: "acme", ClientID: fmt.Sprint("client-", i), IP: "203.0.113.5", Network: "203.0.113.0/24", Ver: 1,
			IngestedAt: moment, Source: schemas.SourceStream, Raw: []byte(`{}`),
			LogID: fmt.Sprintf("90020261127%049d", i), Type: "seccft", Time: moment.Add(time.Duration(i) * time.Second),
		}
		refused := event
		refused.LogID, refused.Type = fmt.Sprintf("90020261127%049d", 100+i), "feccft"
		refused.Description, refused.Cause, refused.Time = "Unauthorized", "wrong_credentials", event.Time.Add(time.Hour)
		events = append(events, event, refused)
	}
	b.rules = parseRules(t, grantWidened)
	b.insert(events...)
	bt := newTester(t, b, db)
	rule := schemas.BacktestRule{Rule: "MI-04", File: "both.yml", Text: string(text) + "\n---\n" + string(issued)}
	from, to := moment.Add(-24*time.Hour), moment.Add(24*time.Hour)
	if job := bt.run(rule, nil, from, to); job.State != schemas.BacktestDone || job.Result.Findings != 0 {
		t.Errorf("of clients that are at home there: %+v\n%+v", job, job.Result)
	}
	b.insert(func() (more []schemas.Event) {
		for i := range 6 {
			e := events[2*i+1]
			e.LogID, e.Network, e.IP = fmt.Sprintf("90020261127%049d", 200+i), "198.51.100.0/24", "198.51.100.5"
			more = append(more, e)
		}
		return more
	}()...)
	if job := bt.run(rule, nil, from, to); job.State != schemas.BacktestDone || job.Result.Findings != 1 {
		t.Errorf("of strangers: %+v\n%+v", job, job.Result)
	}
}

func TestBacktestTellsTheDifferenceOfTwoVersions(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	deploy := grantChange("ci", 1, moment, 1, "Update client grant")
	other := grantChange("ops", 2, moment.Add(time.Hour), 1, "Update client grant")
	created := grantChange("ops", 3, moment.Add(24*time.Hour), 1, "Create client grant")
	b.insert(deploy, other, created)
	bt := newTester(t, b, db)
	wider := strings.Replace(grantWidened, "description: Update client grant", "description: [Update client grant, Create client grant], client_id: ops", 1)
	job := bt.run(schemas.BacktestRule{File: "new.yml", Text: wider}, &schemas.BacktestRule{File: "old.yml", Text: grantWidened}, moment.Add(-time.Hour), moment.Add(48*time.Hour))
	if d := job.Diff; d == nil || d.Same != 1 || d.Added != 1 || d.Gone != 1 || d.Changed != 0 || d.AddedBy[0].LogIDs[0] != created.LogID || d.GoneBy[0].Key != "app:ci" {
		t.Errorf("%+v: %+v", job, d)
	}
}

func TestBacktestEndsWhenItIsCanceled(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	bt := newTester(t, newBenchOn(t, db), db)
	rule := schemas.BacktestRule{Rule: "MI-02"}
	from, to := moment.Add(-24*time.Hour), moment.Add(24*time.Hour)
	cancel := func(id string) {
		t.Helper()
		if err := bt.store.CancelBacktest(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	cancel("job-1") // before it begins
	if job := bt.run(rule, nil, from, to); job.State != schemas.BacktestCanceled || job.Result != nil {
		t.Errorf("the job is %s, %+v", job.State, job.Result)
	}
	// What a canceled job leaves behind hinders none that comes after it.
	bt.insert(append(working("billing", schemas.SourceStream), refused("billing", 9, schemas.SourceStream)...)...)
	if job := bt.run(rule, nil, from, to); job.State != schemas.BacktestDone || job.Result.Findings != 1 {
		t.Errorf("the job is %s, %+v", job.State, job.Result)
	}
}

func TestBacktestSaysWhyItCannotRun(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	bt := newTester(t, newBenchOn(t, db), db)
	for rule, want := range map[schemas.BacktestRule]string{
		{Rule: "MI-99"}:                            `there is no rule "MI-99"`,
		{File: "a.yml", Text: "title: x\n"}:        "a.yml:1",
		{File: "a.yml", Text: "title: [x\n"}:       "not YAML",
		{File: "a.yml", Text: placeholderRule}:     "needs configuration",
		{File: "a.yml", Text: "# nothing here.\n"}: "no rule of the file finds anything",
	} {
		job := bt.run(rule, nil, moment, moment.Add(time.Hour))
		if job.State != schemas.BacktestFailed || !strings.Contains(job.Error, want) {
			t.Errorf("%+v: %s, %q, want %q", rule, job.State, job.Error, want)
		}
	}
}

const placeholderRule = `title: Left to fill
logsource: {product: auth0}
detection:
  selection: {hostname: '{your-tenant-domain}'}
  condition: selection
`

// changesOfTwoKinds counts what two rules select, of which the store cannot select
// one by itself.
const changesOfTwoKinds = `title: Deletes
name: deletes
logsource: {product: auth0}
detection: {s: {type: sapi, description: Delete client grant}, condition: s}
---
title: Widens
name: widens
logsource: {product: auth0}
detection: {s: {type: sapi, details.does: widen}, condition: s}
---
title: Many changes
id: 00000000-0000-4000-8000-0000000000a9
correlation: {type: event_count, rules: [deletes, widens], group-by: [client_id], timespan: 1h, condition: {gte: 2}}
`

// What triggers a rule may be any of what it counts, and of some keys there is
// nothing else.
func TestBacktestAsksForKeysOfAllRules(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	b := newBenchOn(t, db)
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{Text: changesOfTwoKinds}}})
	if err != nil {
		t.Fatal(err)
	}
	b.rules, b.rule = set, set.Correlations()[0]
	var events []schemas.Event
	for n := range 4 {
		e := grantChange(fmt.Sprintf("app-%d", n%2), n, moment.Add(time.Duration(n)*time.Minute), 1, "Update client grant")
		e.Raw = []byte(`{"details":{"does":"widen"}}`)
		if n%2 == 0 {
			e.Description, e.Raw = "Delete client grant", nil
		}
		events = append(events, e)
	}
	b.insert(events...)
	b.correlateAll()
	if n := len(b.findings("acme")); n != 2 {
		t.Fatalf("%d findings as the events came in, want one of each application", n)
	}
	bt := newTester(t, b, db)
	for name, rule := range map[string]schemas.BacktestRule{"in force": {Rule: b.rule.ID}, "sent along": {File: "two.yml", Text: strings.Replace(changesOfTwoKinds, "gte: 2", "gt: 1", 1)}} {
		if job := bt.run(rule, nil, moment.Add(-time.Hour), moment.Add(2*time.Hour)); job.State != schemas.BacktestDone || job.Result.Findings != 2 || job.Result.Events != 4 {
			t.Errorf("%s: %+v, %+v: want 2 findings of 4 events", name, job, job.Result)
		}
	}
}
