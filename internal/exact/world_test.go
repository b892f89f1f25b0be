package exact_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/geo"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// build is in what a world's program differs from the one that is shipped; the
// zero value in nothing.
type build struct {
	ackAt  string // the point at which a flush acks
	store  func(*world, processor.Store) processor.Store
	counts func(processor.CountStore) processor.CountStore
	forget string // a part of statements that is left out on their way to the server
}

// world is a store and a pipeline on a clock of their own, with the histories
// that go through it.
type world struct {
	t         *testing.T
	build     build
	db        *clickhouse.DB
	conn      driver.Conn
	rules     *detect.Set
	reader    *clickhouse.Reader
	places    [rounds]*geo.Files
	round     int
	clock     atomic.Int64 // Unix milliseconds
	epoch     atomic.Uint64
	histories []*history
	ledger    *ledger
	alerts    *alertLog
	dead      *deadLog
	stalled   []func() // each wakes a process and waits for its end
	meanwhile func()   // happens while the next one stalls, before another takes its place

	mu      sync.Mutex    // guards all below
	crashes map[crash]int // that have come to pass, with nth 0
}

func newWorld(t *testing.T, b build, histories []*history) *world {
	t.Helper()
	w := &world{t: t, build: b, histories: histories, alerts: &alertLog{}, dead: &deadLog{}, crashes: map[crash]int{}}
	var err error
	if w.rules, err = detect.Parse(os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	w.ledger = newLedger(w.rules)
	for round := range w.places {
		w.places[round] = filesOf(t, round)
	}
	c := clickhousetest.Config(t)
	w.conn = plain(t, c)
	c.Retention, c.Now = clickhouse.Retention{Days: int(kept / day)}, w.now
	if b.forget != "" {
		c.URL = forgetful(t, c.URL, b.forget)
	}
	w.db = clickhousetest.Migrated(t, c)
	w.reader = clickhouse.NewReader(w.db)
	return w
}

// plain is a connection for statements of the test's own.
func plain(t *testing.T, c clickhouse.Config) driver.Conn {
	t.Helper()
	options, err := ch.ParseDSN(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Settings = ch.Settings{"mutations_sync": 1}
	options.Auth.Database = c.Database
	conn, err := ch.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (w *world) now() time.Time { return time.UnixMilli(w.clock.Load()).UTC() }

func (w *world) set(at time.Time) { w.clock.Store(at.UnixMilli()) }

func (w *world) pass(d time.Duration) { w.clock.Add(d.Milliseconds()) }

// live is what all rounds come to. look, if set, is called where the counts
// are to be compared.
func (w *world) live(s *schedule, look func()) {
	for i := range s.rounds {
		x := &s.rounds[i]
		w.set(x.at)
		w.round = i
		last := slots - 1
		for slot := range last {
			w.deliver(i, slot, x.slots[slot], false)
		}
		w.wake()
		w.meanwhile = func() { w.deliver(i, last, x.slots[last], true) }
		if x.correlate {
			w.correlate(x.correlateDie)
		}
		if w.meanwhile != nil {
			w.meanwhile = nil
			w.deliver(i, last, x.slots[last], false)
		}
		w.pass(x.quiet)
		if x.recount {
			w.recount(x.recountDie)
		}
		if x.expire {
			w.expire()
		}
		if x.look {
			look()
		}
	}
	w.set(s.end)
	w.correlate(crash{})
	w.pass(20 * time.Minute)
	w.recount(crash{})
	w.wake()
	w.correlate(crash{}) // what the recount found to be believed no more
}

// deliver brings a slot's groups in. Those for the former version of the
// program come first in one slot and last in the other. midway tells whether a
// correlator stalls meanwhile.
func (w *world) deliver(round, slot int, d delivery, midway bool) {
	w.t.Helper()
	var queues [2]*queue
	for i := range queues {
		former := (i == 0) == (slot == 0)
		q := newQueue()
		q.loseAcks = d.loseAcks
		for _, h := range w.histories {
			for g := range h.groups {
				x := &h.groups[g]
				if x.round == round && x.slot == slot && x.former == former {
					q.put(x.message(h.tenant, w.now()))
					h.arrive(x, round, w.now(), midway)
				}
			}
		}
		w.pump(q, former, d)
	}
}

func (h *history) arrive(x *group, round int, at time.Time, midway bool) {
	for _, c := range x.logs {
		h.sent = append(h.sent, arrival{c.in(round), at, midway})
	}
}

// pump runs processors until the queue is empty. One that dies is followed by
// another.
func (w *world) pump(q *queue, former bool, d delivery) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var running sync.WaitGroup
	if len(q.waiting) == 0 {
		return
	}
	for n := range d.processors {
		running.Go(func() {
			die := d.die
			if n > 0 {
				die = crash{}
			}
			for w.process(ctx, q, former, die) {
				die = crash{}
			}
		})
	}
	q.drained(ctx)
	if ctx.Err() != nil {
		w.t.Error("a delivery was not done within a minute")
	}
	stop()
	running.Wait()
}

// process is the life of one processor. It tells whether that ended in a crash.
func (w *world) process(ctx context.Context, q *queue, former bool, die crash) (died bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := &intake{queue: q}
	l := w.newLife(die, cancel)
	l.before = func(point string) {
		if point == w.build.ackAt {
			in.ack()
		}
	}
	store := processor.Store(clickhouse.NewWriter(w.db))
	if w.build.store != nil {
		store = w.build.store(w, store)
	}
	var matcher processor.Matcher = w.rules
	var places processor.Places = w.places[w.round]
	if former {
		matcher, places = formerly{w.rules}, nil
	}
	p, err := processor.New(processor.Config{
		Source: in, Store: &tearing{store, l}, Dead: w.dead, Matcher: matcher, Places: places,
		Now: w.now, Retention: kept, At: l.at, Logger: w.logger(),
	})
	if err != nil {
		w.t.Error(err)
		return false
	}
	if err := p.Run(ctx); err != nil {
		w.t.Error(err)
	}
	in.die()
	return l.over.Load()
}

// logger tells of what goes wrong and nobody wanted.
func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// life is that of a process that may die at a point: nothing behind it is done.
type life struct {
	crash
	world  *world
	before func(point string) // is called ahead of each point
	mu     sync.Mutex
	seen   int // guarded by mu
	over   atomic.Bool
	end    context.CancelFunc

	stalls chan struct{} // closed when it has stalled
	wakes  chan struct{} // closed when it may go on
}

func (w *world) newLife(c crash, end context.CancelFunc) *life {
	return &life{crash: c, world: w, before: func(string) {}, end: end, stalls: make(chan struct{}), wakes: make(chan struct{})}
}

// at ends the goroutine that comes to the point at which the process dies. One that
// stalls stands still as a whole, and whichever of its goroutines gets to a point
// behind that ends: what the stalled one was about to do is not taken back by others.
func (l *life) at(point string) {
	l.before(point)
	l.mu.Lock()
	if point == l.point {
		l.seen++
	}
	dies := point == l.point && l.seen == l.nth
	l.mu.Unlock()
	if dies {
		l.world.mu.Lock()
		l.world.crashes[crash{point: l.point, stall: l.stall}]++
		l.world.mu.Unlock()
	}
	if dies && l.stall {
		l.over.Store(true)
		close(l.stalls)
		<-l.wakes
		return
	}
	if l.stall && l.over.Load() {
		<-l.wakes
		runtime.Goexit()
	}
	if dies || l.over.Load() {
		l.over.Store(true)
		l.end()
		runtime.Goexit()
	}
}

// tearing is a store that gets a part of an insert before the process dies.
type tearing struct {
	processor.Store
	life *life
}

func (s *tearing) InsertEvents(ctx context.Context, events []schemas.Event) error {
	s.life.at("before_events")
	if s.life.point == "part_of_events" {
		if err := s.Store.InsertEvents(ctx, events[:len(events)/2]); err != nil {
			return err
		}
		s.life.at("part_of_events")
	}
	return s.Store.InsertEvents(ctx, events)
}

func (s *tearing) InsertMatches(ctx context.Context, matches []schemas.Match) error {
	if s.life.point == "part_of_matches" {
		if err := s.Store.InsertMatches(ctx, matches[:len(matches)/2]); err != nil {
			return err
		}
		s.life.at("part_of_matches")
	}
	return s.Store.InsertMatches(ctx, matches)
}

// formerly is the former version of the program: it makes of each event what
// that made, in the place where events are first shown to somebody.
type formerly struct{ rules *detect.Set }

func (f formerly) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	if e.Ver>>48&0xff == schemas.NormalizerVersion {
		spoil(e)
		e.Ver -= 1 << 48
	}
	return f.rules.Match(dst, e)
}

// Acquire makes the world a lease: whoever comes leads, in an epoch of his own.
func (w *world) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	held, release := context.WithCancel(ctx)
	return held, max(w.epoch.Add(1), atLeast+1), release, nil
}

// correlate runs correlators until nothing is left to do.
func (w *world) correlate(die crash) {
	w.t.Helper()
	w.lead(die, func(l *life) (runner, error) {
		store := &restingFindings{FindingStore: clickhouse.NewFindingStore(w.db), life: l}
		return processor.NewCorrelator(processor.CorrelatorConfig{
			Store: store, Alerts: w.alerts, Lease: w, Rules: w.rules, EvidenceKept: kept, FindingsKept: kept,
			Interval: time.Millisecond, Now: w.now, At: l.at, Logger: w.logger(),
			ResolveEvery: -1, // the rounds are hours apart: all would be over
		})
	})
	for _, h := range w.histories {
		w.ledger.settle(h, w.now())
	}
}

// recount runs recounters until nothing is left that is due.
func (w *world) recount(die crash) {
	w.t.Helper()
	w.lead(die, func(l *life) (runner, error) {
		counts := processor.CountStore(clickhouse.NewCountStore(w.db))
		if w.build.counts != nil {
			counts = w.build.counts(counts)
		}
		return processor.NewRecounter(processor.RecounterConfig{
			Store: &restingCounts{CountStore: counts, life: l}, Lease: w, Retention: kept,
			Interval: time.Millisecond, Now: w.now, At: l.at, Logger: w.logger(),
		})
	})
}

type runner interface {
	Run(ctx context.Context) error
}

// lead runs what start makes until it rests. One that dies is followed by
// another.
func (w *world) lead(die crash, start func(*life) (runner, error)) {
	w.t.Helper()
	for again := true; again; die = (crash{}) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		l := w.newLife(die, cancel)
		r, err := start(l)
		if err != nil {
			w.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := r.Run(ctx); err != nil {
				w.t.Error(err)
			}
		}()
		select {
		case <-ended:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				w.t.Fatalf("%T was not done within ten minutes", r)
			}
			cancel()
		case <-l.stalls:
			w.stalled = append(w.stalled, func() {
				close(l.wakes)
				<-ended
				cancel()
			})
			if meanwhile := w.meanwhile; meanwhile != nil {
				w.meanwhile = nil
				meanwhile()
			}
		}
		again = l.over.Load()
	}
}

// wake lets those that have stalled go on.
func (w *world) wake() {
	for _, wake := range w.stalled {
		wake()
	}
	w.stalled = nil
}

// restingFindings ends its holder where nothing is left to correlate.
type restingFindings struct {
	processor.FindingStore
	life *life
}

func (s *restingFindings) Touched(ctx context.Context, n int, known ...string) ([]schemas.Touch, []string, error) {
	s.life.at("look")
	touches, ids, err := s.FindingStore.Touched(ctx, n, known...)
	if err == nil && len(ids) == 0 && len(known) == 0 {
		s.life.end()
	}
	return touches, ids, err
}

// restingCounts ends its holder where a look led to nothing.
type restingCounts struct {
	processor.CountStore
	life         *life
	looked, idle bool
}

func (s *restingCounts) TouchedFlushes(ctx context.Context, limit int) ([]schemas.Flush, error) {
	s.life.at("look")
	if s.looked && s.idle {
		s.life.end()
		return nil, nil
	}
	s.looked, s.idle = true, true
	return s.CountStore.TouchedFlushes(ctx, limit)
}

func (s *restingCounts) Recount(ctx context.Context, r schemas.Recount) error {
	s.idle = false
	return s.CountStore.Recount(ctx, r)
}

func (s *restingCounts) FoldTouches(ctx context.Context, epoch uint64, into string, flushes []string, without []schemas.TouchedHour) error {
	s.idle = false
	return s.CountStore.FoldTouches(ctx, epoch, into, flushes, without)
}

// expire drops every row that is old enough, which is the most that the server
// can have dropped by now.
func (w *world) expire() {
	w.t.Helper()
	for table, age := range map[string]string{
		"events": "time", "events_by_time": "time", "events_by_identity": "time", "events_by_token": "time", "versions": "time", "matches": "bucket",
		"findings": "period", "finding_changes": "period", "counts_hourly": "hour", "counts_daily": "day", "usage_daily": "day", "successes": "toLastDayOfMonth(month)", "presence": "day",
	} {
		old := fmt.Sprintf("ALTER TABLE %s DELETE WHERE toDateTime(%s, 'UTC') + toIntervalDay(%d) <= fromUnixTimestamp64Milli(%d, 'UTC')",
			table, age, kept/day, w.now().UnixMilli())
		if err := w.conn.Exec(context.Background(), old); err != nil {
			w.t.Fatal(err)
		}
	}
}

// alertLog is what people were told.
type alertLog struct {
	mu  sync.Mutex
	all map[string]string // the key that each is about, by tenant and id
}

func (a *alertLog) PublishAlert(_ context.Context, alert schemas.Alert) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]string{}
	}
	a.all[alert.Finding.Tenant+" "+alert.ID] = alert.Finding.Key
	return nil
}

// deadLog is what lies in DEAD.
type deadLog struct {
	mu   sync.Mutex
	raws map[string]bool
}

func (d *deadLog) PublishDead(_ context.Context, dead schemas.Dead) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.raws == nil {
		d.raws = map[string]bool{}
	}
	d.raws[dead.Tenant+" "+string(dead.Raw)] = true
	return nil
}
