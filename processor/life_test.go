package processor_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// do records an act about a finding at a time.
func (b *bench) do(f schemas.Finding, act schemas.Act, at time.Time) {
	b.t.Helper()
	err := clickhouse.NewFindingActs(b.db).RecordAct(b.t.Context(), schemas.FindingAct{
		ID: fmt.Sprintf("%s-%d", act, at.UnixMilli()), At: at, Act: act, Who: "jane", Reason: "because",
		FindingID: f.ID, Tenant: f.Tenant, RuleID: f.RuleID, Key: f.Key, Period: f.Period,
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// at makes the correlators' clock stand at a time.
func (b *bench) at(t time.Time) { b.now = func() time.Time { return t } }

// only is the one finding that there is.
func (b *bench) only() schemas.Finding {
	b.t.Helper()
	all := b.findings("acme")
	if len(all) != 1 {
		b.t.Fatalf("findings %+v, want one", all)
	}
	return all[0]
}

// failing is a refusal so many minutes after moment.
func failing(client string, minute int, source schemas.Source) schemas.Event {
	return exchange(client, 5000+minute, moment.Add(time.Duration(minute)*time.Minute), false, source)
}

// checkTold compares the alerts that went out, by what follows the finding's id.
func (b *bench) checkTold(want ...string) {
	b.t.Helper()
	id, all := b.only().ID, []string{}
	for _, w := range want {
		all = append(all, id+"/"+w)
	}
	if diff := cmp.Diff(all, ids(b.alerts())); diff != "" {
		b.t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

func TestResolvedFindingThatGrowsPagesAnew(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.at(moment.Add(3 * time.Minute))
	b.insert(working("grows", schemas.SourceStream)...)
	b.insert(refused("grows", 3, schemas.SourceStream)...)
	b.correlateAll()
	b.do(b.only(), schemas.ActAck, moment.Add(4*time.Minute))
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateAcknowledged || !f.Told() {
		t.Fatalf("after an ack: %+v, want it acknowledged, and people told", f)
	}
	b.do(b.only(), schemas.ActResolve, moment.Add(10*time.Minute))
	b.correlateAll()
	b.insert(failing("grows", 9, schemas.SourceStream)) // late: it was there when the finding was resolved
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateResolved || f.Count != 4 {
		t.Fatalf("after a late event: %+v, want it resolved, with 4 events", f)
	}
	b.insert(failing("grows", 11, schemas.SourceStream))
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateOpen || f.Count != 5 {
		t.Fatalf("after a new event: %+v, want it open", f)
	}
	b.checkTold("open/1", "resolved/3", "open/4")
	var reasons []schemas.Reason
	for _, c := range b.history(b.only()) {
		reasons = append(reasons, c.Reason)
	}
	if diff := cmp.Diff([]schemas.Reason{schemas.ReasonEvents, schemas.ReasonAct, schemas.ReasonAct, schemas.ReasonEvents}, reasons); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestFindingThatStaysQuietIsResolvedAndOneThatGrowsPagesAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.at(moment.Add(3 * time.Minute))
	b.insert(working("quiet", schemas.SourceStream)...)
	b.insert(refused("quiet", 3, schemas.SourceStream)...)
	b.correlateAll()
	b.at(moment.Add(4 * time.Hour)) // two minutes short of four hours after the page
	b.insert(failing("quiet", 200, schemas.SourceStream), failing("quiet", 201, schemas.SourceStream), failing("quiet", 202, schemas.SourceStream))
	b.correlateAll()
	b.at(moment.Add(5 * time.Hour))
	b.insert(failing("quiet", 295, schemas.SourceStream), failing("quiet", 296, schemas.SourceStream), failing("quiet", 297, schemas.SourceStream))
	b.correlateAll()
	b.at(moment.Add(5*time.Hour + 56*time.Minute))
	b.quieten(schemas.StateOpen) // 59 minutes behind its last event
	b.at(moment.Add(9 * time.Hour))
	b.quieten(schemas.StateResolved)
	b.checkTold("open/1", "open/2", "resolved/3")
}

// Who looked after a finding does so until it is over: what begins anew is news.
func TestFindingThatWasLookedAfterAndBeginsAgainPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.at(moment.Add(3 * time.Minute))
	b.insert(working("again", schemas.SourceStream)...)
	b.insert(refused("again", 3, schemas.SourceStream)...)
	b.correlateAll()
	b.do(b.only(), schemas.ActAck, moment.Add(4*time.Minute))
	b.correlateAll()
	b.at(moment.Add(5 * time.Hour))
	b.quieten(schemas.StateResolved)
	b.insert(failing("again", 4, schemas.SourceStream)) // late: it changes nothing
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateResolved || f.Count != 4 {
		t.Fatalf("after a late event: %+v, want it resolved, with 4 events", f)
	}
	b.at(moment.Add(10 * time.Hour))
	b.insert(failing("again", 597, schemas.SourceStream), failing("again", 598, schemas.SourceStream), failing("again", 599, schemas.SourceStream))
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateOpen || f.Paging != schemas.PagingPage {
		t.Fatalf("after it began again: %+v, want it open, and people told", f)
	}
	b.do(b.only(), schemas.ActAck, moment.Add(10*time.Hour+time.Minute))
	b.at(moment.Add(10*time.Hour + 2*time.Minute))
	b.insert(failing("again", 601, schemas.SourceStream))
	b.correlateAll()
	if f := b.only(); f.State != schemas.StateAcknowledged {
		t.Errorf("after another ack: %+v, want it acknowledged", f)
	}
	b.checkTold("open/1", "resolved/3", "open/4")
}

// quieten runs correlators until the one finding is in a state, twice: what is
// done again changes nothing.
func (b *bench) quieten(want schemas.State) {
	b.t.Helper()
	b.resolves = time.Nanosecond
	now, calls := b.now(), atomic.Int64{}
	b.now = func() time.Time { return now.Add(time.Duration(calls.Add(1)) * time.Microsecond) }
	for range 2 {
		ticked := make(chan struct{}, 1)
		stop := b.startOn(quietStore{b.store, ticked}, b.broker.Publisher(b.t), nil)
		receive(b.t, ticked)
		receive(b.t, ticked) // the one before is done
		stop()
	}
	b.resolves = -1
	if f := b.only(); f.State != want {
		b.t.Fatalf("after a while: %+v, want it %s", f, want)
	}
}

// quietStore tells when it is looked for findings that are over.
type quietStore struct {
	processor.FindingStore
	ticked chan struct{}
}

func (s quietStore) OverdueFindings(ctx context.Context, before time.Time, limit int) ([]schemas.Finding, error) {
	select {
	case s.ticked <- struct{}{}:
	default:
	}
	return s.FindingStore.OverdueFindings(ctx, before, limit)
}

func TestSilenceHoldsAPageBackUntilItEnds(t *testing.T) {
	t.Parallel()
	for name, matcher := range map[string]schemas.SilenceMatcher{
		"identity": {RuleID: "MI-02", Identity: "app:hush"},
		"owner":    {Owner: "billing"},
	} {
		t.Run(name, func(t *testing.T) { silenceHolds(t, matcher) })
	}
}

func silenceHolds(t *testing.T, matcher schemas.SilenceMatcher) {
	t.Helper()
	b := newBench(t)
	inventory := clickhouse.NewInventoryStore(b.db)
	if err := inventory.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	item := schemas.InventoryItem{
		Tenant: "acme", Kind: schemas.InventoryClients, ID: "hush", Identity: "app:hush", Owner: "billing",
		FirstSeen: moment, Changed: moment, N: 1, Ver: 1<<32 | 1,
	}
	if err := inventory.SaveInventory(t.Context(), 1, nil, []schemas.InventoryItem{item}); err != nil {
		t.Fatal(err)
	}
	silence := schemas.Silence{
		ID: "s1", SilenceMatcher: matcher, By: "jane", Reason: "migration",
		MadeAt: moment, StartsAt: moment, EndsAt: moment.Add(30 * time.Minute),
	}
	if err := clickhouse.NewSilences(b.db).SaveSilence(t.Context(), silence, 1); err != nil {
		t.Fatal(err)
	}
	b.at(moment.Add(3 * time.Minute))
	b.insert(working("hush", schemas.SourceStream)...)
	b.insert(refused("hush", 3, schemas.SourceStream)...)
	b.correlateAll()
	if f := b.only(); f.Paging != schemas.PagingSilenced || f.PagingReason != "silence s1 of jane until 2026-04-14T12:30:00Z: migration" {
		t.Errorf("finding %+v, want it silenced", f)
	}
	b.at(moment.Add(29 * time.Minute))
	b.quieten(schemas.StateOpen)
	b.checkTold()
	b.at(moment.Add(31 * time.Minute)) // nothing has come since
	b.quieten(schemas.StateOpen)
	b.checkTold("open/2")
}

// fromHome has every finding come from where its identity succeeded before.
type fromHome struct{ processor.Surroundings }

func (fromHome) SourceKnown(context.Context, schemas.Finding) (*bool, error) { return new(true), nil }

func TestFindingThatARotationHeldBackPagesWhenTheHoldEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.around = fromHome{b.store}
	err := clickhouse.NewProvisionLog(b.db).RecordCalls(t.Context(), []schemas.ProvisionCall{{
		ID: "1", At: moment.Add(-time.Minute), Domain: "acme.eu.auth0.com", ClientID: "ops", Operator: "jane@ops-1",
		Command: "apps rotate", Method: "POST", Path: "/api/v2/clients/held/rotate-secret", Outcome: schemas.ProvisionDone,
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.at(moment.Add(3 * time.Minute))
	b.insert(working("held", schemas.SourceStream)...)
	b.insert(refused("held", 3, schemas.SourceStream)...)
	b.correlateAll()
	if f := b.only(); f.Paging != schemas.PagingHeld {
		t.Fatalf("finding %+v, want it held back by the rotation", f)
	}
	b.at(moment.Add(58 * time.Minute))
	b.quieten(schemas.StateOpen)
	b.checkTold()
	b.at(moment.Add(60 * time.Minute)) // an hour after the rotation, and nothing has come since
	b.quieten(schemas.StateOpen)
	b.checkTold("open/2")
}

func TestRepairedGapIsFoundLate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.at(moment.Add(2*time.Hour + 12*time.Minute))
	b.insert(working("gap", schemas.SourceStream)...)
	b.insert(refused("gap", 3, schemas.SourceRepair)...)
	b.correlateAll()
	f := b.only()
	if f.Source != schemas.SourceRepair || f.Evidence.FoundLate != "2 h 10 m" || f.PagingReason != "found late by 2 h 10 m" {
		t.Errorf("finding %+v, want one found late by 2 h 10 m", f)
	}
	b.checkTold("open/1")
	late, err := b.store.FoundLate(t.Context(), "acme", []string{"app:gap", "app:other"}, moment)
	if diff := cmp.Diff([]string{"app:gap"}, late); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// betweenLooks is a store of two looks that decide about what was found late: the first
// does not hear who was told of before the other is there, too.
type betweenLooks struct {
	*clickhouse.FindingStore
	settling, asked atomic.Int32
	both            chan struct{}
}

func (s *betweenLooks) Acts(ctx context.Context, tenant string, findings []string) ([]schemas.FindingAct, error) {
	if s.settling.Add(1) == 2 {
		close(s.both)
	}
	return s.FindingStore.Acts(ctx, tenant, findings)
}

func (s *betweenLooks) FoundLate(ctx context.Context, tenant string, identities []string, since time.Time) ([]string, error) {
	told, err := s.FindingStore.FoundLate(ctx, tenant, identities, since)
	if s.asked.Add(1) == 1 {
		<-s.both
	}
	return told, err
}

func TestLooksBesideOneAnotherTellOfARepairOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := strings.NewReplacer("0000a1", "0000a2", "A grant was widened", "A grant was made", "Update", "Create").Replace(grantWidened)
	b.rules = parseRules(t, grantWidened+"---\n"+other)
	b.at(moment.Add(2 * time.Hour))
	first, second := grantChange("ci", 1, moment, 1, "Update client grant"), grantChange("ci", 2, moment, 1, "Create client grant")
	first.Source, second.Source = schemas.SourceRepair, schemas.SourceRepair
	b.insert(first, second)
	stop := b.startOn(&betweenLooks{FindingStore: b.store, both: make(chan struct{})}, b.broker.Publisher(t), nil)
	b.settle()
	stop()
	paging := map[schemas.Paging]int{}
	for _, f := range b.findings("acme") {
		paging[f.Paging]++
	}
	if diff := cmp.Diff(map[schemas.Paging]int{schemas.PagingPage: 1, schemas.PagingLateHeld: 1}, paging); diff != "" {
		t.Errorf("paging (-want +got):\n%s", diff)
	}
	if n := len(b.alerts()); n != 1 {
		t.Errorf("%d alerts of one identity, want 1", n)
	}
}

// TestActsInAnyOrderEndInTheSameState lets events and acts come in many orders, while
// correlators crash, and holds the state that is told against the one of all at once.
func TestActsInAnyOrderEndInTheSameState(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 2))
	points := []string{"alert_published", "history_written", "findings_written", "touches_marked"}
	for n := range 4 {
		b := newBench(t)
		b.at(moment.Add(50 * time.Minute))
		b.insert(working("any", schemas.SourceStream)...)
		b.insert(refused("any", 3, schemas.SourceStream)...)
		b.correlateAll()
		f := b.only()
		last, acts := moment.Add(2*time.Minute), []schemas.FindingAct(nil)
		type step struct {
			event schemas.Event
			act   schemas.Act
			at    time.Time
		}
		var steps []step
		for i := range 5 {
			minute := 3 + 2*i
			if at := moment.Add(time.Duration(minute) * time.Minute); r.IntN(2) == 0 {
				steps, last = append(steps, step{event: failing("any", minute, schemas.SourceStream)}), at
			} else {
				act := []schemas.Act{schemas.ActAck, schemas.ActResolve, schemas.ActReopen, schemas.ActNote}[r.IntN(4)]
				steps = append(steps, step{act: act, at: at})
				acts = append(acts, schemas.FindingAct{Act: act, At: at})
			}
		}
		r.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, s := range steps {
			if s.act != "" {
				b.do(f, s.act, s.at)
			} else {
				b.insert(s.event)
			}
			if r.IntN(2) == 0 {
				b.correlateAll()
			}
		}
		want, _ := schemas.Acted(acts, last)
		point := points[n]
		if point == "touches_marked" { // there may be no change left to make; touches there are
			b.insert(failing("any", 2, schemas.SourceStream))
			crashing(b, point, b.store, b.broker.Publisher(t))
			b.broker.Restart(t)
		}
		b.correlateAll()
		if got := b.only(); got.State != want {
			t.Errorf("round %d: %v end in %s, want %s", n, steps, got.State, want)
		}
		checkAlerts(t, b.findings("acme"), b.alerts())
	}
}
