package deteval

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// run takes one tenant through the stages, with what is known of its addresses.
type run struct {
	config Config
	tenant *tenant
	places processor.Places
	rules  *detect.Set
	engine *engine

	clock  clock // by which logs come in
	judged clock // by which the correlator judges what is stored of them
	pager  pager
	dead   deadLetters
	marked chan struct{} // the correlator has done some touches
	ticked chan struct{} // and has looked for what time alone changes
}

// clock is the time at which the tenant is.
type clock struct{ ms atomic.Int64 }

func (c *clock) set(t time.Time) { c.ms.Store(t.UnixMilli()) }
func (c *clock) Now() time.Time  { return time.UnixMilli(c.ms.Load()).UTC() }

// pager receives alerts: whom nobody is told of has none.
type pager struct {
	mu    sync.Mutex
	seen  map[string]bool   // ids; guarded by mu
	pages []schemas.Finding // guarded by mu
}

// PublishAlert is that of processor.Alerts.
func (p *pager) PublishAlert(_ context.Context, a schemas.Alert) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Finding.State != schemas.StateOpen || p.seen[a.ID] {
		return nil
	}
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[a.ID] = true
	p.pages = append(p.pages, a.Finding)
	return nil
}

// deadLetters counts what no event could be made of.
type deadLetters struct {
	count atomic.Int64
	first atomic.Pointer[string]
}

// PublishDead is that of processor.DeadLetters.
func (d *deadLetters) PublishDead(_ context.Context, dead schemas.Dead) error {
	d.count.Add(1)
	d.first.CompareAndSwap(nil, &dead.Reason)
	return nil
}

// soleLease is that of the only process.
type soleLease struct{}

func (soleLease) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	held, release := context.WithCancel(ctx)
	return held, atLeast + 1, release, nil
}

func (r *run) do(ctx context.Context) (_ *outcome, err error) {
	db, drop, err := r.engine.database(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	ctx, cancel := context.WithCancel(ctx)
	q := &queue{tenant: r.tenant.name, live: r.tenant.from, messages: make(chan schemas.Message, 1000)}
	stop, err := r.start(ctx, q, db)
	defer func() { cancel(); stop() }()
	if err != nil {
		return nil, err
	}
	out := &outcome{from: r.tenant.from, to: r.tenant.to}
	if err := r.feed(ctx, q, clickhouse.NewFindingStore(db)); err != nil {
		return nil, err
	}
	if out.findings, err = findings(ctx, clickhouse.NewReader(db)); err != nil {
		return nil, err
	}
	out.pages = r.pager.pages
	for _, c := range r.rules.Correlations() {
		out.rules = append(out.rules, ruleCode(c.Code))
	}
	if n := r.dead.count.Load(); n > 0 {
		fmt.Fprintf(r.config.Progress, "%s: %d logs are no events; the first: %s\n", r.tenant.title, n, *r.dead.first.Load())
	}
	return out, nil
}

// start starts the stages; stop waits for their end.
func (r *run) start(ctx context.Context, q *queue, db *clickhouse.DB) (stop func(), err error) {
	var running sync.WaitGroup
	r.clock.set(r.tenant.logs[0].Delivered)
	r.judged.set(r.tenant.logs[0].Delivered)
	r.marked, r.ticked = make(chan struct{}, 1), make(chan struct{}, 1)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := processor.New(processor.Config{
		Source: q, Store: clickhouse.NewWriter(db), Dead: &r.dead, Matcher: r.rules, Places: r.places, Logger: log, Now: r.clock.Now,
		FlushAge: 100 * time.Millisecond,
	})
	if err != nil {
		return running.Wait, err
	}
	store := clickhouse.NewFindingStore(db)
	c, err := processor.NewCorrelator(processor.CorrelatorConfig{
		Store: store, Surroundings: newSurroundings(store, r.tenant), Alerts: &r.pager, Lease: soleLease{}, Rules: r.rules, Logger: log,
		Interval: 50 * time.Millisecond, Now: r.judged.Now, At: r.at,
		// A look is for the days of a step, and takes as long.
		StormPatience: time.Hour,
	})
	if err != nil {
		return running.Wait, err
	}
	running.Go(func() { _ = p.Run(ctx) }) // both always return nil
	running.Go(func() { _ = c.Run(ctx) })
	return running.Wait, nil
}

// feed lets time pass, step by step. The correlator's time passes when the logs of a
// step are stored: else it would see that nothing comes of the tenant.
func (r *run) feed(ctx context.Context, q *queue, store processor.FindingStore) error {
	logs := r.tenant.logs
	total, told := len(logs), 0
	for len(logs) > 0 {
		until := logs[0].Delivered.Truncate(r.config.Step).Add(r.config.Step)
		if until.Before(r.tenant.from) {
			until = r.tenant.from // the little that lies before it goes at once
		}
		n := 0
		for n < len(logs) && logs[n].Delivered.Before(until) {
			n++
		}
		r.clock.set(until)
		if err := q.offer(ctx, logs[:n]); err != nil {
			return err
		}
		if n == len(logs) {
			until = logs[n-1].Delivered // behind the end nothing comes, and nothing is silent
		}
		r.judged.set(until)
		logs = logs[n:]
		if err := r.correlated(ctx, store); err != nil {
			return err
		}
		if total-len(logs) > told+total/20 {
			told = total - len(logs)
			fmt.Fprintf(r.config.Progress, "%s, %s: %s, %d of %d events\n", r.tenant.title, placesText(r.places != nil), until.Format(time.DateOnly), told, total)
		}
	}
	return r.tick(ctx)
}

// tick waits until the correlator has looked for what time alone changes, once more.
func (r *run) tick(ctx context.Context) error {
	r.judged.set(r.judged.Now().Add(time.Minute))
	for range 3 { // one may be over, and one have begun, before
		select {
		case <-r.ticked:
			r.judged.set(r.judged.Now().Add(time.Minute))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// at hears of each step of the correlator.
func (r *run) at(point string) {
	to := map[string]chan struct{}{"touches_marked": r.marked, "ticked": r.ticked}[point]
	select {
	case to <- struct{}{}:
	default:
	}
}

// correlated waits until the correlator has read all that was written.
func (r *run) correlated(ctx context.Context, store processor.FindingStore) error {
	for {
		_, flushes, err := store.Touched(ctx, 1)
		if err != nil || len(flushes) == 0 {
			return err
		}
		select {
		case <-r.marked:
		case <-time.After(2 * time.Second): // it marked them before this looked
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
