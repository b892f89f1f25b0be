package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// RecounterConfig is what a Recounter needs. Store and Lease must be set; every
// other field has a default.
type RecounterConfig struct {
	Store CountStore
	Lease Lease

	// Logger hears of outages, once at their beginning and once at their end.
	// Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Interval is the wait between two looks for touches. Default 5 s.
	Interval time.Duration
	// Quiet is for how long nothing may have touched an hour before it is
	// recounted: one that is being written would be recounted again and again.
	// Default 1 minute.
	Quiet time.Duration
	// Patience is for how long an hour that is over may be touched before it is
	// recounted all the same. Default 15 minutes.
	Patience time.Duration
	// Retention is how far back events are kept. Hours that are over before are
	// not recounted: their events may be gone, and what was counted of them is
	// right. The hour that it ends in is, as logs of it are still taken.
	// Default 0: for ever.
	Retention time.Duration
	// Now is the clock that the times of flushes are held against. Default
	// time.Now.
	Now func() time.Time

	// At is called behind each step, for tests that crash there: recounted,
	// folded.
	At func(point string)
}

// Validate returns every problem at once.
func (c *RecounterConfig) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"store", c.Store != nil}, {"lease", c.Lease != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("recounter: the %s: want one", part.name))
		}
	}
	for _, span := range []struct {
		name  string
		value time.Duration
	}{{"interval", c.Interval}, {"quiet", c.Quiet}, {"patience", c.Patience}, {"retention", c.Retention}} {
		if span.value < 0 {
			errs = append(errs, fmt.Errorf("recounter: %s: want more than none", span.name))
		}
	}
	return errors.Join(errs...)
}

func (c RecounterConfig) withDefaults() RecounterConfig {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.Interval, 5*time.Second)
	setDefault(&c.Quiet, time.Minute)
	setDefault(&c.Patience, 15*time.Minute)
	return c
}

// Recounter counts anew what flushes have touched. Of many that run, the one
// that holds the lease works.
type Recounter struct {
	cfg     RecounterConfig
	metrics *recounterMetrics
	store   *outage
}

// NewRecounter makes a Recounter.
func NewRecounter(cfg RecounterConfig) (*Recounter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Recounter{cfg: cfg.withDefaults()}
	var err error
	if r.metrics, err = newRecounterMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("recounter: metrics: %w", err)
	}
	r.store = newOutage("what the recount needs", r.cfg.Logger, r.metrics.up)
	return r, nil
}

// Run recounts whenever it holds the lease, until ctx ends.
func (r *Recounter) Run(ctx context.Context) error {
	l := leader{
		what: "recounts", lease: r.cfg.Lease, epochs: r.cfg.Store, step: r.step, interval: r.cfg.Interval,
		logger: r.cfg.Logger, store: r.store, errors: r.metrics.errors, leads: r.metrics.leads,
	}
	l.run(ctx)
	return nil
}

const (
	maxTouchedFlushes = 1024 // that are looked at together
	// foldFrom is from how many flushes on they are folded although nothing was
	// recounted: each look reads all that is not folded.
	foldFrom = 32
)

// step recounts what has gone quiet, oldest first, and then folds the touches
// that are left into one flush. A crash before the fold means that the same is
// done again, with the same result; one within it that some touches are there
// twice.
func (r *Recounter) step(ctx context.Context, v *versions) (more bool, err error) {
	flushes, err := r.cfg.Store.TouchedFlushes(ctx, maxTouchedFlushes)
	if err != nil {
		return false, fmt.Errorf("look for touches: %w", err)
	}
	if len(flushes) == 0 {
		r.metrics.dirty.Set(0)
		return false, nil
	}
	hours, err := r.cfg.Store.TouchedHours(ctx, flushIDs(flushes))
	if err != nil {
		return false, fmt.Errorf("read touched hours: %w", err)
	}
	due := r.due(hours)
	r.metrics.dirty.Set(float64(len(hours) - len(due)))
	if err := r.recount(ctx, due, flushIDs(flushes), v); err != nil {
		return false, err
	}
	folded := flushes
	if len(due) == 0 {
		folded = foldable(flushes)
	}
	if len(folded) == 0 {
		return false, nil
	}
	if err := r.cfg.Store.FoldTouches(ctx, v.epoch, newFlushID(r.cfg.Now()), flushIDs(folded), due); err != nil {
		return false, fmt.Errorf("fold %d flushes: %w", len(folded), err)
	}
	r.cfg.At("folded")
	return len(flushes) == maxTouchedFlushes, nil
}

func flushIDs(flushes []schemas.Flush) []string {
	ids := make([]string, len(flushes))
	for i := range flushes {
		ids[i] = flushes[i].ID
	}
	return ids
}

// due are the hours that have been left alone for long enough, and those that
// have been waited for for too long.
func (r *Recounter) due(hours []schemas.TouchedHour) []schemas.TouchedHour {
	now := r.cfg.Now()
	var due []schemas.TouchedHour
	for _, h := range hours {
		over := !now.Before(h.Hour.Add(time.Hour))
		if now.Sub(h.Touched) >= r.cfg.Quiet || over && now.Sub(h.Since) >= r.cfg.Patience {
			due = append(due, h)
		}
	}
	return due
}

// recount counts hours anew, those of one tenant and day together.
func (r *Recounter) recount(ctx context.Context, due []schemas.TouchedHour, flushes []string, v *versions) error {
	type place struct {
		tenant string
		day    time.Time
	}
	byPlace := map[place][]time.Time{}
	for _, h := range due {
		if over := h.Hour.Add(time.Hour); r.cfg.Retention > 0 && over.Before(r.cfg.Now().Add(-r.cfg.Retention)) {
			continue
		}
		p := place{h.Tenant, h.Hour.Truncate(24 * time.Hour)}
		byPlace[p] = append(byPlace[p], h.Hour)
	}
	places := make([]place, 0, len(byPlace))
	for p := range byPlace {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(a.day.Compare(b.day), cmp.Compare(a.tenant, b.tenant)) })
	for _, p := range places {
		began := time.Now()
		err := r.cfg.Store.Recount(ctx, schemas.Recount{
			Tenant: p.tenant, Hours: byPlace[p], Flushes: flushes, NewFlush: func() string { return newFlushID(r.cfg.Now()) }, Ver: v.next(),
		})
		if err != nil {
			return fmt.Errorf("recount %d hours of %s, tenant %s: %w", len(byPlace[p]), p.day.Format(time.DateOnly), p.tenant, err)
		}
		r.cfg.At("recounted")
		r.metrics.hours.Add(float64(len(byPlace[p])))
		r.metrics.seconds.Observe(time.Since(began).Seconds())
	}
	return nil
}

// foldable are the flushes that are worth folding where nothing was recounted:
// enough of them, without those that are larger than all smaller ones together,
// as those would be written again and again.
func foldable(flushes []schemas.Flush) []schemas.Flush {
	bySize := slices.SortedFunc(slices.Values(flushes), func(a, b schemas.Flush) int { return cmp.Compare(a.Touches, b.Touches) })
	n, sum := 0, uint64(0)
	for i, f := range bySize {
		if f.Touches <= sum || i < foldFrom/2 {
			n = i + 1
		}
		sum += f.Touches
	}
	if n < foldFrom {
		return nil
	}
	return bySize[:n]
}

// recounterMetrics are the metrics of the recounter.
type recounterMetrics struct {
	hours   prometheus.Counter
	errors  prometheus.Counter
	seconds prometheus.Histogram
	dirty   prometheus.Gauge
	leads   prometheus.Gauge
	up      prometheus.Gauge
}

func newRecounterMetrics(r prometheus.Registerer) (*recounterMetrics, error) {
	const namespace, stage = "m2mwatch", "recounter"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &recounterMetrics{
		hours:  prometheus.NewCounter(prometheus.CounterOpts(opts("hours_total", "Hours, by tenant, that were recounted."))),
		errors: prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Recounts that failed and are tried again."))),
		dirty:  prometheus.NewGauge(prometheus.GaugeOpts(opts("dirty_hours", "Hours, by tenant, that are touched and wait for their recount; seen by the holder of the lease."))),
		leads:  prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:     prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: stage, Name: "seconds", Help: "Time to recount what was touched of one tenant's day.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.hours, m.errors, m.dirty, m.leads, m.up, m.seconds} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
