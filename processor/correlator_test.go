package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// bench is a store and a broker with a correlator that can be started.
type bench struct {
	t        *testing.T
	rules    *detect.Set
	rule     detect.Correlation
	writer   *clickhouse.Writer
	store    *clickhouse.FindingStore
	reader   *clickhouse.Reader
	broker   *natstest.Harness
	db       *clickhouse.DB
	flush    int
	now      func() time.Time     // the correlators' clock; nil for the system's
	kept     clickhouse.Retention // that they know of
	resolves time.Duration        // between two looks for findings that are over; negative is none
	around   processor.Surroundings
	interval time.Duration // between two looks for touches
	wake     <-chan struct{}
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, clickhousetest.New(t))
}

// workingClientRules are MI-02 and what it needs, without the other shipped rules:
// the tests here tell all findings that there are.
func workingClientRules(t *testing.T) *detect.Set {
	t.Helper()
	text, err := fs.ReadFile(processor.Rules(), "mi-02-working-client-started-failing.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := detect.Parse(fstest.MapFS{"mi-02.yml": {Data: text}})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func newBenchOn(t *testing.T, db *clickhouse.DB) *bench {
	t.Helper()
	rules := workingClientRules(t)
	return &bench{
		t: t, rules: rules, rule: rules.Correlations()[0],
		writer: clickhouse.NewWriter(db), store: clickhouse.NewFindingStore(db), reader: clickhouse.NewReader(db),
		broker: natstest.New(t), db: db, resolves: -1, interval: 5 * time.Millisecond,
	}
}

// start runs a correlator until stop. at is called at its points.
func (b *bench) start(at func(string)) (stop func()) {
	b.t.Helper()
	return b.startOn(b.store, b.broker.Publisher(b.t), at)
}

func (b *bench) startOn(store processor.FindingStore, alerts processor.Alerts, at func(string)) (stop func()) {
	b.t.Helper()
	c, err := processor.NewCorrelator(processor.CorrelatorConfig{
		Store: store, Alerts: alerts, Rules: b.rules,
		Lease:    nats.NewLease(b.broker.Conn, nats.LeaseConfig{TTL: time.Second}),
		Interval: b.interval, Wake: b.wake, At: at, Now: b.now, ResolveEvery: b.resolves, Surroundings: b.around,
		StormPatience: time.Minute, // the machine may be slow
		EvidenceKept:  b.kept.Evidence(), FindingsKept: b.kept.Of("findings"),
		Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

// settle waits until no touch is left.
func (b *bench) settle() {
	b.t.Helper()
	natstest.Eventually(b.t, "every touch is correlated", func() bool {
		_, flushes, err := b.store.Touched(b.t.Context(), 1)
		return err == nil && len(flushes) == 0
	})
}

// correlateAll runs a correlator until there is nothing left to do.
func (b *bench) correlateAll() {
	b.t.Helper()
	stop := b.start(nil)
	b.settle()
	stop()
}

func TestACorrelatorThatIsWokenDoesNotWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	wake := make(chan struct{}, 1)
	b.interval, b.wake = time.Hour, wake
	b.insert(working("woken", schemas.SourceStream)...)
	stop := b.start(nil)
	b.settle() // it waits now
	b.insert(refused("woken", 3, schemas.SourceStream)...)
	wake <- struct{}{}
	b.settle()
	stop()
	b.only()
}

// insert stores events the way a flush does.
func (b *bench) insert(events ...schemas.Event) {
	b.t.Helper()
	var matches []schemas.Match
	for i := range events {
		matches = b.rules.Match(matches, &events[i])
	}
	b.flush++
	id := fmt.Sprintf("019%09x-7000-8000-000000000000", time.Now().UnixMilli()&0xfffffffff)
	id = fmt.Sprintf("%s-%s-7000-8000-%012x", id[:8], id[8:12], b.flush)
	ctx := b.t.Context()
	if err := errors.Join(b.writer.InsertEvents(ctx, events), b.writer.InsertMatches(ctx, matches), b.writer.InsertTouches(ctx, schemas.Touches(id, matches))); err != nil {
		b.t.Fatal(err)
	}
}

// findings are those of a tenant, by key and period.
func (b *bench) findings(tenant string) []schemas.Finding {
	b.t.Helper()
	all, err := b.reader.Findings(b.t.Context(), schemas.FindingFilter{Tenant: tenant, Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(all, func(x, y schemas.Finding) int { return strings.Compare(x.ID, y.ID) })
	return all
}

// history is that of a finding, without the versions.
func (b *bench) history(f schemas.Finding) []schemas.FindingChange {
	b.t.Helper()
	changes, err := b.reader.FindingHistory(b.t.Context(), f)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := range changes {
		changes[i].Ver = 0
	}
	return changes
}

// alerts are all that were published so far and not yet taken.
func (b *bench) alerts() []schemas.Alert {
	b.t.Helper()
	source := b.broker.Alerts(b.t)
	var alerts []schemas.Alert
	for {
		msgs, err := source.Fetch(b.t.Context(), 100, 1<<20, 50*time.Millisecond)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(msgs) == 0 {
			return alerts
		}
		for _, m := range msgs {
			var a schemas.Alert
			if err := json.Unmarshal(m.Data(), &a); err != nil {
				b.t.Fatal(err)
			}
			alerts = append(alerts, a)
			if err := m.Ack(b.t.Context()); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// whenFound leaves out what the clock makes of a finding.
var whenFound = cmpopts.IgnoreFields(schemas.Finding{}, "Ver", "PagedAt", "FoundAt")

func ids(alerts []schemas.Alert) []string {
	names := []string{}
	for _, a := range alerts {
		names = append(names, a.ID)
	}
	return names
}

var moment = time.Date(2026, 4, 14, 12, 0, 0, 0, time.UTC)

// exchange is one token exchange of a client.
func exchange(client string, n int, at time.Time, ok bool, source schemas.Source) schemas.Event {
	e := schemas.Event{
		Tenant: "acme", ClientID: client, ClientName: "Invoice sync", Time: at, LogID: fmt.Sprintf("9002026%s%06d", client, n), Ver: 1,
		Type: "feccft", Description: "Unauthorized", Network: "198.51.100.0/24", Source: source, IngestedAt: at,
	}
	if ok {
		e.Type, e.Description = "seccft", ""
	}
	return e
}

// working is a client's week of success.
func working(client string, source schemas.Source) []schemas.Event {
	var events []schemas.Event
	for i := range 280 {
		events = append(events, exchange(client, i, moment.Add(-6*24*time.Hour+time.Duration(i)*30*time.Minute), true, source))
	}
	return events
}

// refused are n refusals, a minute apart.
func refused(client string, n int, source schemas.Source) []schemas.Event {
	var events []schemas.Event
	for i := range n {
		events = append(events, exchange(client, 1000+i, moment.Add(time.Duration(i)*time.Minute), false, source))
	}
	return events
}

func TestShippedRulesPassTheirOwnTests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	set, err := detect.Parse(processor.Rules())
	if err != nil {
		t.Fatal(err)
	}
	tests := processor.RuleTests{Store: b.writer, Findings: b.store, Rules: set, Catalogue: schemas.EventTypes(), At: moment}
	rules := set.Correlations()
	for i := range rules {
		results, err := tests.Run(t.Context(), &rules[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(results) < 2 {
			t.Errorf("%s: %d tests, want one that fires and one that stays quiet", rules[i].Code, len(results))
		}
		for _, r := range results {
			if !r.Passed() {
				t.Errorf("%s:%d: %q: %d findings, want %d", r.File, r.Line, r.Test, r.Got, r.Want)
			}
		}
	}
}

func TestFindingSaysWhatHappened(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(working("billing", schemas.SourceStream)...)
	b.insert(refused("billing", 9, schemas.SourceStream)...)
	rotation := schemas.Event{
		Tenant: "acme", ClientID: "dashboard", Time: moment.Add(-2 * time.Minute), LogID: "9002026rotation", Ver: 1, Type: "sapi",
		Call: schemas.Call{Method: "POST", Path: "/api/v2/clients/billing/rotate-secret", Target: "app:billing"}, Source: schemas.SourceStream, IngestedAt: moment,
	}
	b.insert(rotation)
	b.correlateAll()
	got := b.findings("acme")
	last := moment.Add(-6*24*time.Hour + 279*30*time.Minute)
	id := schemas.FindingID(b.rule.Code, "acme", "billing", moment.Truncate(24*time.Hour))
	want := []schemas.Finding{{
		ID: id, RuleID: b.rule.Code, Title: "A working client started failing", Tenant: "acme", Key: "billing", Identity: "app:billing",
		Level: schemas.LevelHigh, State: schemas.StateOpen, First: moment, Last: moment.Add(8 * time.Minute), Count: 9,
		Period: moment.Truncate(24 * time.Hour), Changes: 1, Source: schemas.SourceStream, Paging: schemas.PagingPage,
		Evidence: schemas.Evidence{
			Summary:      "9 token requests refused from its own network; normal 47 a day; its secret was rotated 2 minutes before and the consumer was not updated",
			Networks:     []string{"198.51.100.0/24"},
			NormalPerDay: 280.0 / 6,
			LastSuccess:  &last,
			LogIDs:       logIDs(refused("billing", 9, schemas.SourceStream)),
			Related:      []schemas.RelatedEvidence{{Rule: "client_secret_rotated", Title: "Client secret rotated", LogID: "9002026rotation", Time: rotation.Time}},
			ClientName:   "Invoice sync",
			Causes:       map[string]uint64{"Unauthorized": 9},
			NextCommand:  "m2mwatch findings show " + id,
		},
	}}
	if diff := cmp.Diff(want, got, whenFound); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	alerts := b.alerts()
	if diff := cmp.Diff([]string{id + "/open/1"}, ids(alerts)); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

func logIDs(events []schemas.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, e.LogID)
	}
	return list
}

func TestLateSuccessWithdrawsAndLateRefusalReopens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	clock := moment.Add(time.Hour)
	b.now = func() time.Time { return clock }
	b.insert(working("late", schemas.SourceStream)...)
	b.insert(refused("late", 3, schemas.SourceStream)...)
	b.correlateAll()
	clock = moment.Add(2 * time.Hour)
	b.insert(exchange("late", 2000, moment.Add(90*time.Second), true, schemas.SourceStream)) // between the second and the third
	b.correlateAll()
	after := b.findings("acme")
	if len(after) != 1 || after[0].State != schemas.StateWithdrawn || after[0].Changes != 2 {
		t.Fatalf("after a success in between: %+v, want one finding withdrawn by its second change", after)
	}
	clock = moment.Add(3 * time.Hour)
	for i := range 2 {
		b.insert(exchange("late", 3000+i, moment.Add(time.Duration(5+i)*time.Minute), false, schemas.SourceStream))
	}
	b.correlateAll()
	after = b.findings("acme")
	if len(after) != 1 || after[0].State != schemas.StateOpen || after[0].Changes != 3 || after[0].Count != 3 {
		t.Fatalf("after two more refusals: %+v, want one finding open by its third change", after)
	}
	id := after[0].ID
	if diff := cmp.Diff([]string{id + "/open/1", id + "/withdrawn/2", id + "/open/3"}, ids(b.alerts())); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	first := &schemas.FindingExtent{Count: 3, First: moment, Last: moment.Add(2 * time.Minute)}
	second := &schemas.FindingExtent{Count: 3, First: moment.Add(2 * time.Minute), Last: moment.Add(6 * time.Minute)}
	want := []schemas.FindingChange{
		{N: 1, State: schemas.StateOpen, Reason: schemas.ReasonEvents, At: moment.Add(time.Hour), After: first, Paging: schemas.PagingPage},
		{N: 2, State: schemas.StateWithdrawn, Reason: schemas.ReasonLateEvents, At: moment.Add(2 * time.Hour), Before: first},
		{N: 3, State: schemas.StateOpen, Reason: schemas.ReasonEvents, At: moment.Add(3 * time.Hour), Before: first, After: second, Paging: schemas.PagingPage},
	}
	for i := range want {
		want[i].FindingID, want[i].Tenant, want[i].Period = id, "acme", after[0].Period
	}
	if diff := cmp.Diff(want, b.history(after[0])); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestImportedHistoryAlertsNobodyUntilItGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(working("old", schemas.SourceImport)...)
	b.insert(refused("old", 4, schemas.SourceImport)...)
	b.correlateAll()
	imported := b.findings("acme")
	if len(imported) != 1 || imported[0].Source != schemas.SourceImport || imported[0].Count != 4 {
		t.Fatalf("findings %+v, want one that rests on import alone", imported)
	}
	if got := b.alerts(); len(got) != 0 {
		t.Fatalf("alerts %v, want none for history", ids(got))
	}
	b.insert(exchange("old", 5000, moment.Add(10*time.Minute), false, schemas.SourceStream))
	b.correlateAll()
	if diff := cmp.Diff([]string{imported[0].ID + "/open/2"}, ids(b.alerts())); diff != "" {
		t.Errorf("alerts after a live refusal (-want +got):\n%s", diff)
	}
	if now := b.findings("acme"); len(now) != 1 || now[0].Source != schemas.SourceStream || now[0].Count != 5 {
		t.Errorf("findings %+v, want one of five events, live", now)
	}
}

func TestUnchangedFindingIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(working("same", schemas.SourceStream)...)
	b.insert(refused("same", 3, schemas.SourceStream)...)
	b.correlateAll()
	before := b.findings("acme")
	b.insert(refused("same", 3, schemas.SourceStream)...) // delivered again
	b.correlateAll()
	if diff := cmp.Diff(before, b.findings("acme")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if got := b.alerts(); len(got) != 1 {
		t.Errorf("alerts %v, want one", ids(got))
	}
}

// crashing loses everything behind a point, once.
func crashing(b *bench, point string, store processor.FindingStore, alerts processor.Alerts) {
	b.t.Helper()
	crashed := make(chan struct{})
	var once sync.Once
	stop := b.startOn(store, alerts, func(p string) {
		if p == point {
			once.Do(func() { close(crashed) })
			select {} // this process does nothing any more
		}
	})
	_ = stop // it can never be stopped: it is dead
	select {
	case <-crashed:
	case <-time.After(natstest.Wait):
		b.t.Fatalf("point %s was not reached", point)
	}
}

func TestCrashAtEachPointLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"alert_published", "history_written", "findings_written", "touches_marked"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.insert(working("crash", schemas.SourceStream)...)
			b.insert(refused("crash", 3, schemas.SourceStream)...)
			crashing(b, point, b.store, b.broker.Publisher(t))
			b.broker.Restart(t) // its lease and its connection are gone
			b.correlateAll()
			got := b.findings("acme")
			if len(got) != 1 || got[0].State != schemas.StateOpen || got[0].Changes != 1 {
				t.Fatalf("findings %+v, want one, open by its first change", got)
			}
			if h := b.history(got[0]); len(h) != 1 || h[0].N != 1 || h[0].State != schemas.StateOpen || h[0].After.Count != 3 {
				t.Errorf("history %+v, want its opening, once", h)
			}
			for _, a := range b.alerts() {
				if a.ID != got[0].ID+"/open/1" {
					t.Errorf("alert %s, want none but the first of finding %s", a.ID, got[0].ID)
				}
			}
		})
	}
}

// What a crash left in the history of a withdrawal that then did not come is
// not told, and the next withdrawal takes its number.
func TestWithdrawalThatCrashedAndBecameVoidLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	between := exchange("void", 2000, moment.Add(90*time.Second), true, schemas.SourceStream)
	b.insert(working("void", schemas.SourceStream)...)
	b.insert(refused("void", 3, schemas.SourceStream)...)
	b.correlateAll()
	b.insert(between)
	crashing(b, "history_written", b.store, b.broker.Publisher(t))
	b.broker.Restart(t)
	var ground []schemas.Event
	for i := range 2 {
		ground = append(ground, exchange("void", 3000+i, moment.Add(time.Duration(5+i)*time.Minute), false, schemas.SourceStream))
	}
	b.insert(ground...)
	b.correlateAll()
	got := b.findings("acme")
	if len(got) != 1 || got[0].State != schemas.StateOpen || got[0].Changes != 1 {
		t.Fatalf("findings %+v, want one, open as it was", got)
	}
	if h := b.history(got[0]); len(h) != 1 || h[0].State != schemas.StateOpen {
		t.Errorf("history %+v, want nothing but its opening", h)
	}
	b.insert(exchange("void", 4000, moment.Add(330*time.Second), true, schemas.SourceStream))
	b.correlateAll()
	got = b.findings("acme")
	if len(got) != 1 || got[0].State != schemas.StateWithdrawn {
		t.Fatalf("findings %+v, want one, withdrawn", got)
	}
	if h := b.history(got[0]); len(h) != 2 || h[1].N != 2 || h[1].Before.Count != 3 || !h[1].Before.Last.Equal(moment.Add(6*time.Minute)) {
		t.Errorf("history %+v, want the withdrawal of what it was last", h)
	}
}
