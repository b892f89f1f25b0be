package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ReprocessorConfig is what a Reprocessor needs. Store and Lease must be set;
// every other field has a default. What decides how a log is normalized
// (Catalogue) must not change while it runs, but for the rules: see
// Reprocessor.basis.
type ReprocessorConfig struct {
	Store ReprocessStore
	Lease Lease
	// Matcher selects what the rules want to see. Default: nothing matches.
	Matcher Matcher
	// Selectors are the names of all that Matcher selects by.
	Selectors []string
	// Current, where it is set, is what both are by now. A job begins anew with
	// what it has become.
	Current func() (Matcher, []string)
	// Catalogue knows the event types. Default: schemas.EventTypes().
	Catalogue *schemas.Catalogue
	// Places tells country and autonomous system of addresses. Default: nothing
	// is known beside the log.
	Places Places

	// Logger hears of outages, once at their beginning and once at their end,
	// and of each job's beginning and end. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Interval is the wait between two looks for jobs. Default 1 s.
	Interval time.Duration
	// Retention is how far back a record's time may lie, as in Config.
	Retention time.Duration
	// ChunkRows and ChunkBytes bound what is held at once: records (default
	// 4000) and bytes of their raw logs (8 MiB; one record may exceed it).
	ChunkRows  int
	ChunkBytes int
	// Now is the clock of the jobs. Default time.Now.
	Now func() time.Time

	// At is called behind each step, for tests that crash there: running_saved,
	// and of a chunk begun, matches_replaced, records_replaced, marks_inserted,
	// touches_inserted, position_saved.
	At func(point string)
}

// Validate returns every problem at once.
func (c *ReprocessorConfig) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"store", c.Store != nil}, {"lease", c.Lease != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("reprocessor: the %s: want one", part.name))
		}
	}
	for _, size := range []struct {
		name  string
		value int64
	}{{"interval", int64(c.Interval)}, {"retention", int64(c.Retention)}, {"chunk rows", int64(c.ChunkRows)}, {"chunk bytes", int64(c.ChunkBytes)}} {
		if size.value < 0 {
			errs = append(errs, fmt.Errorf("reprocessor: %s: want more than none", size.name))
		}
	}
	return errors.Join(errs...)
}

func (c ReprocessorConfig) withDefaults() ReprocessorConfig {
	if c.Matcher == nil {
		c.Matcher = noMatcher{}
	}
	if c.Current == nil {
		matcher, selectors := c.Matcher, c.Selectors
		c.Current = func() (Matcher, []string) { return matcher, selectors }
	}
	if c.Catalogue == nil {
		c.Catalogue = schemas.EventTypes()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.Interval, time.Second)
	setDefault(&c.ChunkRows, 4000)
	setDefault(&c.ChunkBytes, 8<<20)
	return c
}

// Reprocessor runs the jobs that normalize stored records again. Of many that
// run, the one that holds the lease works.
type Reprocessor struct {
	cfg        ReprocessorConfig
	metrics    *reprocessorMetrics
	store      *outage
	normalizer *Normalizer
	matcher    Matcher // of the job that runs, and the names of what it selects by
	selectors  []string
	rows       int    // of the next chunk; fewer where the store lacks the memory
	last       string // id of the job that was run last
}

// NewReprocessor makes a Reprocessor.
func NewReprocessor(cfg ReprocessorConfig) (*Reprocessor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Reprocessor{cfg: cfg.withDefaults()}
	r.normalizer, r.rows = NewNormalizer(r.cfg.Catalogue, r.cfg.Places), r.cfg.ChunkRows
	var err error
	if r.metrics, err = newReprocessorMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("reprocessor: metrics: %w", err)
	}
	r.store = newOutage("what the reprocess needs", r.cfg.Logger, r.metrics.up)
	return r, nil
}

// errOtherRules ends an attempt at a job whose rules are others by now.
var errOtherRules = errors.New("the rules were replaced")

// rulesChanged reports whether other rules are in force than those of the job.
func (r *Reprocessor) rulesChanged() bool {
	_, selectors := r.cfg.Current()
	return !slices.Equal(slices.Sorted(slices.Values(selectors)), slices.Sorted(slices.Values(r.selectors)))
}

// basis names what decides how a record is normalized. Selectors are named by
// hashes of what they select.
func (r *Reprocessor) basis() string {
	var edition uint16
	if r.cfg.Places != nil {
		edition = r.cfg.Places.Place(netip.Addr{}).Edition
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d\n%q\n%q", schemas.NormalizerVersion, edition,
		r.cfg.Catalogue.All(), slices.Sorted(slices.Values(r.selectors))))
	return hex.EncodeToString(sum[:8])
}

// Run runs jobs whenever there are some and it holds the lease, until ctx ends.
func (r *Reprocessor) Run(ctx context.Context) error {
	l := leader{
		what: "reprocesses", lease: r.cfg.Lease, epochs: r.cfg.Store, step: r.step, interval: r.cfg.Interval,
		logger: r.cfg.Logger, store: r.store, errors: r.metrics.errors, leads: r.metrics.leads,
	}
	l.run(ctx)
	return nil
}

// step runs a job, the oldest one, or the one behind that which was run last
// and is not over: an error that lasts keeps no other job waiting.
func (r *Reprocessor) step(ctx context.Context, v *versions) (more bool, err error) {
	jobs, err := r.cfg.Store.OpenReprocess(ctx)
	if err != nil || len(jobs) == 0 {
		return false, err
	}
	job := &jobs[(slices.IndexFunc(jobs, func(j schemas.Reprocess) bool { return j.ID == r.last })+1)%len(jobs)]
	r.last = job.ID
	return true, r.run(ctx, job, v)
}

// reprocessorMetrics are the metrics of the reprocessor.
type reprocessorMetrics struct {
	records prometheus.Counter
	changed prometheus.Counter
	errors  prometheus.Counter
	leads   prometheus.Gauge
	up      prometheus.Gauge
}

func newReprocessorMetrics(r prometheus.Registerer) (*reprocessorMetrics, error) {
	const namespace, stage = "m2mwatch", "reprocessor"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &reprocessorMetrics{
		records: prometheus.NewCounter(prometheus.CounterOpts(opts("records_total", "Stored records that were normalized again."))),
		changed: prometheus.NewCounter(prometheus.CounterOpts(opts("changed_total", "Of those, the ones that were written anew."))),
		errors:  prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Attempts that failed and are made again."))),
		leads:   prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:      prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.records, m.changed, m.errors, m.leads, m.up} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
