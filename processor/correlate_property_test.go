package processor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// life is a month of some clients: steady work with outages in it, strangers,
// and rotations.
func life(r *rand.Rand, clients int) []schemas.Event {
	var events []schemas.Event
	for c := range clients {
		client := fmt.Sprintf("client%02d", c)
		at, failing := moment.Add(-30*24*time.Hour), 0
		for n := 0; at.Before(moment); n++ {
			source := schemas.SourceStream
			if at.Before(moment.Add(-15 * 24 * time.Hour)) {
				source = schemas.SourceImport
			}
			ok := failing == 0 || r.IntN(15) == 0
			e := exchange(client, n, at, ok, source)
			if r.IntN(50) == 0 {
				e.Network = "203.0.113.0/24"
			}
			events = append(events, e)
			at = at.Add(time.Duration(r.IntN(200)+1) * time.Minute)
			if failing > 0 {
				failing--
				at = e.Time.Add(time.Duration(r.IntN(12)) * time.Minute)
			} else if r.IntN(120) == 0 {
				failing = 2 + r.IntN(20)
				events = append(events, rotationOf(client, n, at))
			}
		}
	}
	slices.SortStableFunc(events, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) })
	return events
}

func rotationOf(client string, n int, at time.Time) schemas.Event {
	return schemas.Event{
		Tenant: "acme", ClientID: "dashboard", Time: at.Add(-time.Minute), LogID: fmt.Sprintf("9002026rotated%s%d", client, n), Ver: 1, Type: "sapi",
		Call: schemas.Call{Method: "POST", Path: "/api/v2/clients/" + client + "/rotate-secret", Target: "app:" + client}, Source: schemas.SourceStream, IngestedAt: at,
	}
}

// deliveries are the ways in which the same events may come.
func deliveries(r *rand.Rand, events []schemas.Event) map[string][]schemas.Event {
	shuffled := slices.Clone(events)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	repeated := slices.Clone(events)
	for range len(events) / 3 {
		repeated = slices.Insert(repeated, r.IntN(len(repeated)), events[r.IntN(len(events))])
	}
	delayed := slices.Clone(events) // most in order, some much later
	late := delayed[len(delayed):]
	delayed = slices.DeleteFunc(delayed, func(e schemas.Event) bool {
		if r.IntN(10) == 0 {
			late = append(late, e)
			return true
		}
		return false
	})
	return map[string][]schemas.Event{"live": events, "shuffled": shuffled, "repeated": repeated, "delayed": append(delayed, late...)}
}

// open are the findings that hold, without how they came to hold.
func open(findings []schemas.Finding) []schemas.Finding {
	return slices.DeleteFunc(findings, func(f schemas.Finding) bool { return f.State != schemas.StateOpen })
}

// onTheWay leaves out what depends on when and in which order a finding came about.
var onTheWay = cmpopts.IgnoreFields(schemas.Finding{}, "Ver", "Changes", "Source", "Paging", "PagingReason", "PagedAt", "FoundAt")

// TestEveryDeliveryOfTheSameEventsEndsInTheSameFindings delivers a month in
// several ways while correlators come and go, one of them crashing, and holds
// the findings and the alerts of each against those of all events at once.
func TestEveryDeliveryOfTheSameEventsEndsInTheSameFindings(t *testing.T) {
	t.Parallel()
	const seed = 5
	r := rand.New(rand.NewPCG(seed, 0))
	events := life(r, 7)
	whole := newBench(t)
	whole.insert(events...)
	whole.correlateAll()
	want := open(whole.findings("acme"))
	if len(want) < 5 {
		t.Fatalf("%d findings in the whole, too few to tell", len(want))
	}
	for name, delivery := range deliveries(r, events) {
		seed := r.Uint64()
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.deliver(rand.New(rand.NewPCG(seed, 1)), delivery)
			all := b.findings("acme")
			checkAlerts(t, all, b.alerts())
			if diff := cmp.Diff(want, open(all), onTheWay); diff != "" {
				t.Errorf("(-whole +%s):\n%.3000s", name, diff)
			}
		})
	}
}

// TestShardsGiveTheFindingsOfOneServer delivers a month to a store of two
// shards, and holds its findings against those of one server.
func TestShardsGiveTheFindingsOfOneServer(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 0))
	events := life(r, 5)
	whole := newBench(t)
	whole.insert(events...)
	whole.correlateAll()
	want := open(whole.findings("acme"))
	if len(want) < 3 {
		t.Fatalf("%d findings on one server, too few to tell", len(want))
	}
	shards := newBenchOn(t, clickhousetest.Migrated(t, clickhousetest.Shards(t, 2)))
	shards.deliver(r, deliveries(r, events)["delayed"])
	all := shards.findings("acme")
	checkAlerts(t, all, shards.alerts())
	if diff := cmp.Diff(want, open(all), onTheWay); diff != "" {
		t.Errorf("(-one server +two shards):\n%.3000s", diff)
	}
}

// deliver inserts in flushes while a correlator runs, which is stopped and
// followed by another now and then.
func (b *bench) deliver(r *rand.Rand, events []schemas.Event) {
	b.t.Helper()
	stop := b.start(nil)
	for len(events) > 0 {
		n := min(1+r.IntN(len(events)/4+200), len(events))
		b.insert(events[:n]...)
		events = events[n:]
		if r.IntN(4) == 0 {
			stop()
			stop = b.start(nil)
		}
		if r.IntN(3) == 0 {
			b.settle()
		}
	}
	b.settle()
	stop()
}

// checkAlerts holds what people were told against what holds in the end: of each
// finding that they are told of, and of each that they were told is over, the alert
// of the highest change tells its state. Of any other nobody believes that it holds.
func checkAlerts(t *testing.T, findings []schemas.Finding, alerts []schemas.Alert) {
	t.Helper()
	told := map[string]schemas.Alert{}
	for _, a := range alerts {
		told[a.Finding.ID] = a
	}
	for _, f := range findings {
		last, ok := told[f.ID]
		switch {
		case !f.Told() && ok && !last.Finding.State.Over():
			t.Errorf("of finding %s nobody is told (%s), and the last alert is %s", f.ID, f.Paging, last.ID)
		case f.Told() && last.Finding.State != schemas.StateOpen:
			t.Errorf("finding %s is %s, people are told, and the last alert is %q", f.ID, f.State, last.ID)
		case f.Told() && f.State == schemas.StateOpen && last.ID != fmt.Sprintf("%s/%s/%d", f.ID, f.State, f.Changes):
			t.Errorf("finding %s is %s by change %d, the last alert is %q", f.ID, f.State, f.Changes, last.ID)
		case f.State == schemas.StateOpen && f.Paging == "":
			t.Errorf("finding %s holds and nothing says whether people are told", f.ID)
		}
		delete(told, f.ID)
	}
	for id := range told {
		t.Errorf("there was an alert of %s, of which no finding is stored", id)
	}
}

// flakyStore fails each call at random, before or behind what it does.
type flakyStore struct {
	processor.FindingStore
	mu   sync.Mutex
	rand *rand.Rand // guarded by mu
}

var errFlaky = errors.New("connection reset")

func (s *flakyStore) fails() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(8) == 0
}

func (s *flakyStore) Touched(ctx context.Context, n int, known ...string) ([]schemas.Touch, []string, error) {
	if s.fails() {
		return nil, nil, errFlaky
	}
	return s.FindingStore.Touched(ctx, n, known...)
}

func (s *flakyStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if s.fails() {
		return nil, errFlaky
	}
	return s.FindingStore.Correlate(ctx, q)
}

func (s *flakyStore) InsertFindings(ctx context.Context, f []schemas.Finding) error {
	err := s.FindingStore.InsertFindings(ctx, f)
	if s.fails() {
		return errFlaky // and yet they are stored
	}
	return err
}

func (s *flakyStore) MarkTouched(ctx context.Context, epoch uint64, flushes []string) error {
	if s.fails() {
		return errFlaky
	}
	return s.FindingStore.MarkTouched(ctx, epoch, flushes)
}

func TestErrorsOfTheStoreAreTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(working("flaky", schemas.SourceStream)...)
	b.insert(refused("flaky", 3, schemas.SourceStream)...)
	stop := b.startOn(&flakyStore{FindingStore: b.store, rand: rand.New(rand.NewPCG(6, 0))}, b.broker.Publisher(t), nil)
	b.settle()
	stop()
	if got := b.findings("acme"); len(got) != 1 || got[0].Changes != 1 {
		t.Errorf("findings %+v, want one by its first change", got)
	}
}

// shortLease hands out held contexts that the test ends.
type shortLease struct {
	epoch atomic.Uint64
	held  chan context.CancelFunc
}

func (l *shortLease) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	held, cancel := context.WithCancel(ctx)
	select {
	case l.held <- cancel:
		return held, max(atLeast, l.epoch.Load()) + 1, cancel, nil
	case <-ctx.Done():
		cancel()
		return nil, 0, nil, ctx.Err()
	}
}

// stuckStore is busy until its context ends.
type stuckStore struct {
	processor.FindingStore
	entered chan struct{}
}

func (s *stuckStore) Correlate(ctx context.Context, _ schemas.Query) ([]schemas.CorrelationRow, error) {
	s.entered <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestLossOfTheLeaseEndsTheWorkAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.insert(working("lost", schemas.SourceStream)...)
	store := &stuckStore{FindingStore: b.store, entered: make(chan struct{})}
	lease := &shortLease{held: make(chan context.CancelFunc)}
	c, err := processor.NewCorrelator(processor.CorrelatorConfig{Store: store, Alerts: b.broker.Publisher(t), Lease: lease, Rules: b.rules})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for range 3 { // it comes back each time, and each time works with what it then holds
		lose := receive(t, lease.held)
		receive(t, store.entered)
		lose()
	}
	cancel()
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(natstest.Wait):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestCorrelatorConfigSaysEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := processor.NewCorrelator(processor.CorrelatorConfig{Interval: -1})
	for _, want := range []string{"the store", "the alerts", "the lease", "the rules", "interval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}
