package processor_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newSilenceBench has MI-18 and what it needs.
func newSilenceBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOf(t, "base.yml", "mi-18-heartbeat-lost.yml")
}

// newBenchOf has the rules of some of the shipped files.
func newBenchOf(t *testing.T, names ...string) *bench {
	t.Helper()
	b := newBench(t)
	b.rules = rulesOf(t, func(text string) string { return text }, names...)
	b.rule = b.rules.Correlations()[0]
	return b
}

// rulesOf are those of some of the shipped files, with some change.
func rulesOf(t *testing.T, change func(string) string, names ...string) *detect.Set {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range names {
		text, err := fs.ReadFile(processor.Rules(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: []byte(change(string(text)))}
	}
	rules, err := detect.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// tick runs a correlator until nothing is touched and it has ticked after that.
func (b *bench) tick() {
	b.t.Helper()
	b.correlateAll()
	ticked := make(chan struct{})
	once := sync.OnceFunc(func() { close(ticked) })
	stop := b.start(func(point string) {
		if point == "ticked" {
			once()
		}
	})
	receive(b.t, ticked)
	stop()
}

// beats are a client's tokens, one an hour for two weeks up to a moment.
func beats(client string, until time.Time) []schemas.Event {
	var events []schemas.Event
	for i := range 14 * 24 {
		events = append(events, exchange(client, i, until.Add(-time.Duration(i)*time.Hour), true, schemas.SourceStream))
	}
	return events
}

// other is an event of the tenant of which no rule speaks.
func other(at time.Time) schemas.Event {
	return schemas.Event{Tenant: "acme", Time: at, LogID: fmt.Sprintf("900other%d", at.UnixMilli()), Ver: 1, Type: "slo", Source: schemas.SourceStream, IngestedAt: at}
}

func TestSilenceIsFoundByTimeAloneAndTakenBackByLateEvents(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	b.insert(beats("stops", moment)...)
	b.tick()
	if got := b.findings("acme"); len(got) != 0 {
		t.Fatalf("findings %+v, want none while nothing comes of the tenant", got)
	}
	b.insert(other(moment.Add(3 * time.Hour)))
	b.tick()
	if got := b.findings("acme"); len(got) != 0 {
		t.Fatalf("findings %+v, want none before four times the usual", got)
	}
	b.insert(other(moment.Add(5 * time.Hour)))
	b.tick()
	got := b.findings("acme")
	if len(got) != 1 || got[0].Identity != "app:stops" || !got[0].First.Equal(moment) || got[0].State != schemas.StateOpen {
		t.Fatalf("findings %+v, want one of a silence since %s", got, moment)
	}
	b.insert(exchange("stops", 1000, moment.Add(30*time.Hour), true, schemas.SourceStream))
	b.correlateAll()
	if got := b.findings("acme"); len(got) != 1 || got[0].Evidence.Facts["came_back"] != moment.Add(30*time.Hour).Format("2006-01-02 15:04") {
		t.Errorf("findings %+v, want it to tell when the machine came back", got)
	}
	b.insert(exchange("stops", 1001, moment.Add(2*time.Hour), true, schemas.SourceStream))
	b.correlateAll()
	states := map[schemas.State]int{}
	for _, f := range b.findings("acme") {
		states[f.State]++
	}
	if states[schemas.StateWithdrawn] != 1 && !b.findings("acme")[0].First.Equal(moment.Add(2*time.Hour)) {
		t.Errorf("findings %+v, want the silence to begin later, or be withdrawn", b.findings("acme"))
	}
}

// A correlator that goes on ticking looks from where it looked last, and finds what is due
// since, and no silence twice.
func TestATickGoesOnWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	b.insert(append(beats("stops", moment), beats("stops-later", moment.Add(3*time.Hour))...)...)
	var clock atomic.Int64 // minutes
	b.now = func() time.Time { return moment.Add(9*time.Hour + time.Duration(clock.Load())*time.Minute) }
	ticks := make(chan struct{}, 100)
	asked := &askedStore{FindingStore: b.store}
	stop := b.startOn(asked, b.broker.Publisher(t), func(point string) {
		if point == "ticked" {
			ticks <- struct{}{}
		}
	})
	defer stop()
	b.settle()
	receive(t, ticks)
	tick := func(at time.Time) map[string]bool {
		b.insert(other(at))
		b.settle()
		for range 2 { // one may be under way
			clock.Add(2)
			receive(t, ticks)
		}
		keys := map[string]bool{}
		for _, f := range b.findings("acme") {
			keys[f.Key] = f.State == schemas.StateOpen
		}
		return keys
	}
	for _, c := range []struct {
		hours int
		want  map[string]bool
	}{
		{3, map[string]bool{}},
		{5, map[string]bool{"stops": true}},
		{6, map[string]bool{"stops": true}},
		{8, map[string]bool{"stops": true, "stops-later": true}},
	} {
		if diff := cmp.Diff(c.want, tick(moment.Add(time.Duration(c.hours)*time.Hour))); diff != "" {
			t.Errorf("%d hours on (-want +got):\n%s", c.hours, diff)
		}
	}
	// A tenant that is new looks at all, however much came before its first tick.
	var anew []schemas.Event
	for _, e := range append(beats("stopped-long-ago", moment.Add(-10*24*time.Hour)), other(moment.Add(-10*24*time.Hour))) {
		e.Tenant = "new"
		anew = append(anew, e)
	}
	b.insert(anew...)
	b.settle()
	last := other(moment)
	last.Tenant = "new"
	b.insert(last)
	tick(moment.Add(8*time.Hour + time.Minute))
	if got := b.findings("new"); len(got) != 1 || got[0].Key != "stopped-long-ago" {
		t.Errorf("findings %+v of the new tenant, want its silence of ten days ago", got)
	}
	for i, since := range asked.since("acme") {
		if i > 0 && since.Before(moment) {
			t.Errorf("tick %d looks from %s, want none but the first to look back", i, since)
		}
	}
}

// Ticks that follow soon find who is due, and ask once when that is: again of whoever was
// touched.
func TestTicksRememberWhenMachinesAreDue(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	b.insert(slices.Concat(beats("stops", moment), beats("stops-later", moment), []schemas.Event{other(moment.Add(time.Minute))})...)
	var clock atomic.Int64 // minutes
	b.now = func() time.Time { return moment.Add(9*time.Hour + time.Duration(clock.Load())*time.Minute/10) }
	ticks := make(chan struct{}, 100)
	asked := &dueStore{FindingStore: b.store, asked: map[string]int{}}
	stop := b.startOn(asked, b.broker.Publisher(t), func(point string) {
		if point == "ticked" {
			ticks <- struct{}{}
		}
	})
	defer stop()
	b.settle()
	receive(t, ticks)
	for _, c := range []struct {
		minutes int
		want    []string
	}{
		{50, nil}, {100, nil}, {150, nil}, {200, nil}, {250, []string{"stops"}}, {300, []string{"stops"}}, {350, []string{"stops"}}, {400, []string{"stops", "stops-later"}},
	} {
		if c.minutes == 200 {
			b.insert(exchange("stops-later", 1001, moment.Add(2*time.Hour), true, schemas.SourceStream))
		}
		b.insert(other(moment.Add(time.Duration(c.minutes) * time.Minute)))
		b.settle()
		for range 2 { // one may be under way
			clock.Add(20)
			receive(t, ticks)
		}
		var found []string
		for _, f := range b.findings("acme") {
			found = append(found, f.Key)
		}
		slices.Sort(found)
		if diff := cmp.Diff(c.want, found); diff != "" {
			t.Errorf("%d minutes on (-want +got):\n%s", c.minutes, diff)
		}
	}
	stop()
	if diff := cmp.Diff(map[string]int{"stops": 1, "stops-later": 2}, asked.asked); diff != "" {
		t.Errorf("how often it was asked when they are due (-want +got):\n%s", diff)
	}
}

// dueStore counts how often it is asked when a key is due.
type dueStore struct {
	processor.FindingStore
	asked map[string]int // by key; looks of one rule follow one another
}

func (s *dueStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if _, due := q.Params["before_day"]; due && q.Params["gaps"] != nil && q.Params["until"] == nil {
		for _, key := range q.Params["keys"].([]string) {
			s.asked[key]++
		}
	}
	return s.FindingStore.Correlate(ctx, q)
}

// Who takes over goes on where the ticks of others have ended, by the same rules.
func TestWhoTakesOverGoesOnWithTicks(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	b.insert(beats("stops", moment)...)
	var clock atomic.Int64 // minutes
	b.now = func() time.Time { return moment.Add(9*time.Hour + time.Duration(clock.Load())*time.Minute) }
	ticks, noted := make(chan struct{}, 100), make(chan struct{}, 100)
	holds := func(notes bool) *askedStore {
		t.Helper()
		asked := &askedStore{FindingStore: b.store}
		stop := b.startOn(asked, b.broker.Publisher(t), func(point string) {
			switch point {
			case "ticked":
				ticks <- struct{}{}
			case "ticks_noted":
				noted <- struct{}{}
			}
		})
		defer stop()
		b.settle()
		receive(t, ticks)
		if notes {
			clock.Add(2)
			receive(t, noted)
		}
		return asked
	}
	holds(true)
	end := moment.Add(5 * time.Hour)
	b.insert(other(end))
	if since := holds(true).since("acme"); since[0].Before(end.Add(-2 * 24 * time.Hour)) {
		t.Errorf("the next holder looks from %s, want no more than two days back", since[0])
	}
	if got := b.findings("acme"); len(got) != 1 {
		t.Errorf("findings %+v, want the silence that passed while nobody looked", got)
	}
	all := b.rules
	b.insert(other(end.Add(time.Hour)))
	b.rules = rulesOf(t, func(text string) string { return text }, "base.yml", "mi-37-stream-silent.yml")
	silence := func() (state schemas.State) {
		for _, f := range b.findings("acme") {
			if f.RuleID == "MI-18" {
				state = f.State
			}
		}
		return state
	}
	holds(false)
	if got := silence(); got != schemas.StateWithdrawn {
		t.Errorf("the silence is %q, want it taken back with its rule", got)
	}
	b.rules = all
	if since := holds(true).since("acme"); since[0].After(end.Add(-3 * 24 * time.Hour)) {
		t.Errorf("where the rule is back a holder looks from %s, want it to look at all", since[0])
	}
	if got := silence(); got != schemas.StateOpen {
		t.Errorf("the silence is %q where the rule is back, want it found again", got)
	}
	b.insert(other(end.Add(2 * time.Hour)))
	b.rules = rulesOf(t, func(text string) string { return strings.Replace(text, "times: 4", "times: 5", 1) }, "base.yml", "mi-18-heartbeat-lost.yml")
	if since := holds(true).since("acme"); since[0].After(end.Add(-3 * 24 * time.Hour)) {
		t.Errorf("a holder with another rule looks from %s, want it to look at all", since[0])
	}
}

// A look at all that the store refused is made again, and what is found meanwhile is found.
func TestATickThatWasRefusedLooksAtAllAgain(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	old := moment.Add(-10 * 24 * time.Hour)
	b.insert(append(beats("stopped-long-ago", old), other(old))...)
	b.correlateAll()
	b.insert(other(moment))
	var clock atomic.Int64 // minutes
	b.now = func() time.Time { return moment.Add(time.Hour + time.Duration(clock.Load())*time.Minute) }
	ticks := make(chan struct{}, 100)
	store := &refusedTicks{FindingStore: b.store}
	stop := b.startOn(store, b.broker.Publisher(t), func(point string) {
		if point == "ticked" {
			store.over.Store(true)
			ticks <- struct{}{}
		}
	})
	defer stop()
	receive(t, ticks)
	for range 3 {
		clock.Add(2)
		receive(t, ticks)
	}
	if got := b.findings("acme"); len(got) != 0 {
		t.Fatalf("findings %+v, want none while a look at all is refused", got)
	}
	for range 2 {
		clock.Add(61)
		receive(t, ticks)
	}
	if got := b.findings("acme"); len(got) != 1 {
		t.Errorf("findings %+v, want the silence of ten days ago", got)
	}
}

// refusedTicks refuses the looks of ticks, in whatever shares, until that is over.
type refusedTicks struct {
	processor.FindingStore
	over atomic.Bool
}

func (s *refusedTicks) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if _, ticks := q.Params["least_key"]; ticks && !s.over.Load() {
		return nil, fmt.Errorf("correlate: %w", schemas.ErrQueryTooLarge)
	}
	return s.FindingStore.Correlate(ctx, q)
}

// askedStore notes from where ticks look.
type askedStore struct {
	processor.FindingStore
	mu   sync.Mutex
	from map[string][]time.Time // by tenant; guarded by mu
}

func (s *askedStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if _, ticks := q.Params["least_key"]; ticks {
		s.mu.Lock()
		if s.from == nil {
			s.from = map[string][]time.Time{}
		}
		tenant := q.Params["tenant"].(string)
		s.from[tenant] = append(s.from[tenant], time.UnixMilli(int64(q.Params["from"].(uint64))))
		s.mu.Unlock()
	}
	return s.FindingStore.Correlate(ctx, q)
}

func (s *askedStore) since(tenant string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.from[tenant])
}

// A tick takes copies that lost for real. The silence around one comes to light by the
// touch that a recount leaves of it, however new it is.
func TestASilenceAroundACopyThatLostIsFoundByItsTouch(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	b.at(moment.Add(6 * time.Hour))
	lost := exchange("stops", 1000, moment.Add(2*time.Hour+30*time.Minute), true, schemas.SourceStream)
	b.insert(append(beats("stops", moment), lost, other(moment.Add(5*time.Hour+30*time.Minute)))...)
	b.tick()
	won := lost
	won.Ver, won.Type = 2, "feccft"
	b.insert(won)
	b.tick()
	if got := b.findings("acme"); len(got) != 0 {
		t.Fatalf("findings %+v, want none that the tick alone finds", got)
	}
	touches := schemas.Touches("01900000-0000-7000-8000-00000000ffff", b.rules.Match(nil, &lost))
	if err := b.writer.InsertTouches(t.Context(), touches); err != nil {
		t.Fatal(err)
	}
	b.correlateAll()
	if got := b.findings("acme"); len(got) != 1 || !got[0].First.Equal(moment) {
		t.Errorf("findings %+v, want one of a silence since %s", got, moment)
	}
}

// sharedStore answers a tick for one of the keys at a time.
type sharedStore struct {
	processor.FindingStore
	keys []string
}

func (s sharedStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	if from, ok := q.Params["least_key"].(string); ok {
		share, keys := detect.Share{From: from, Before: q.Params["next_key"].(string)}, 0
		for _, key := range s.keys {
			if share.Has(key) {
				keys++
			}
		}
		if keys > 1 {
			return nil, fmt.Errorf("correlate: %w", schemas.ErrQueryTooLarge)
		}
	}
	return s.FindingStore.Correlate(ctx, q)
}

func TestATickAsksInSharesWhereAllIsTooMuch(t *testing.T) {
	t.Parallel()
	b := newSilenceBench(t)
	var keys []string
	for n := range 5 {
		keys = append(keys, fmt.Sprint("stops-", n))
		b.insert(beats(keys[n], moment)...)
	}
	b.correlateAll()
	b.insert(other(moment.Add(5 * time.Hour)))
	ticked := make(chan struct{})
	once := sync.OnceFunc(func() { close(ticked) })
	stop := b.startOn(sharedStore{b.store, keys}, b.broker.Publisher(t), func(point string) {
		if point == "ticked" {
			once()
		}
	})
	receive(t, ticked)
	stop()
	var found []string
	for _, f := range b.findings("acme") {
		found = append(found, f.Key)
	}
	slices.Sort(found)
	if diff := cmp.Diff(keys, found); diff != "" {
		t.Errorf("findings (-of each machine +got):\n%s", diff)
	}
}

// A crash finds a silence of ten days ago: a next holder that takes a tick for judged that
// was not would look at two days.
func TestCrashWithinATickLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"alert_published", "history_written", "findings_written", "ticked", "ticks_noted"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			b := newSilenceBench(t)
			var asked atomic.Int64
			b.now = func() time.Time { return moment.Add(9*time.Hour + time.Duration(asked.Add(1))*time.Second) }
			old := moment.Add(-10 * 24 * time.Hour)
			b.insert(append(beats("crash", old), other(old))...)
			b.correlateAll()
			b.insert(other(moment.Add(5 * time.Hour)))
			crashing(b, point, b.store, b.broker.Publisher(t))
			b.broker.Restart(t)
			b.tick()
			got := b.findings("acme")
			if len(got) != 1 || got[0].State != schemas.StateOpen || got[0].Changes != 1 {
				t.Fatalf("findings %+v, want one, open by its first change", got)
			}
			for _, a := range b.alerts() {
				if a.ID != got[0].ID+"/open/1" {
					t.Errorf("alert %s, want none but the first of finding %s", a.ID, got[0].ID)
				}
			}
		})
	}
}

// TestEveryDeliveryEndsInTheSameSilences delivers a month of machines that stop
// and come back out of order, with repeats, and holds the findings against those of all
// events at once.
func TestEveryDeliveryEndsInTheSameSilences(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 9))
	events := []schemas.Event{other(moment)}
	for c := range 3 {
		client := fmt.Sprintf("beats%d", c)
		pace := time.Duration(40+r.IntN(60)) * time.Minute
		at := moment.Add(-30 * 24 * time.Hour)
		for n := 0; at.Before(moment); n++ {
			events = append(events, exchange(client, n, at, true, schemas.SourceStream))
			at = at.Add(pace + time.Duration(r.Int64N(int64(pace/4))))
			if r.IntN(80) == 0 {
				at = at.Add(time.Duration(r.IntN(20)) * pace)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) })
	whole := newSilenceBench(t)
	whole.insert(events...)
	whole.tick()
	want := open(whole.findings("acme"))
	if len(want) < 3 {
		t.Fatalf("%d findings in the whole, too few to tell", len(want))
	}
	ways := deliveries(r, events)
	for _, name := range []string{"delayed", "shuffled"} {
		seed, delivery := r.Uint64(), ways[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newSilenceBench(t)
			b.deliver(rand.New(rand.NewPCG(seed, 1)), slices.Concat(delivery, delivery[:len(delivery)/3]))
			b.tick()
			if diff := cmp.Diff(want, open(b.findings("acme")), onTheWay); diff != "" {
				t.Errorf("(-whole +%s):\n%.3000s", name, diff)
			}
		})
	}
}
