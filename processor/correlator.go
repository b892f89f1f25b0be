package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// CorrelatorConfig is what a Correlator needs. Store, Alerts, Lease and Rules
// must be set; every other field has a default.
type CorrelatorConfig struct {
	Store  FindingStore
	Alerts Alerts
	Lease  Lease
	// Rules may become others from one step to the next.
	Rules RuleSet
	// Surroundings tells what is known beside findings when it is decided whether
	// people are told of them. Default: nothing is, so that nothing is learned and no
	// rotation holds anything back.
	Surroundings Surroundings

	// Logger hears of outages, once at their beginning and once at their end,
	// and of each change of a finding. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// EvidenceKept is for how long events and matches are kept, and FindingsKept
	// how long findings are. What would need more than that is frozen: see
	// firstLive. 0, the default, is for ever.
	EvidenceKept, FindingsKept time.Duration
	// ResolveEvery is how often it is looked for findings that are over. Default a
	// minute; negative is never.
	ResolveEvery time.Duration
	// Interval is the wait between two looks for touches. Default 500 ms.
	Interval time.Duration
	// Tick is the wait between two looks for what time alone changes. Default a
	// minute.
	Tick time.Duration
	// Now is the clock by which done touches are dropped and old periods frozen,
	// and which the history of findings tells. Default time.Now.
	Now func() time.Time

	// At is called behind each step of a recomputation, for tests that crash
	// there: alert_published, history_written, findings_written, touches_marked,
	// and behind each tick: ticked.
	At func(point string)
}

// RuleSet has the rules that are in force. *detect.Set and *detect.Live are some.
type RuleSet interface {
	Correlations() []detect.Correlation
}

// Validate returns every problem at once.
func (c *CorrelatorConfig) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"store", c.Store != nil}, {"alerts", c.Alerts != nil}, {"lease", c.Lease != nil}, {"rules", c.Rules != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("correlator: the %s: want one", part.name))
		}
	}
	if c.Interval < 0 {
		errs = append(errs, errors.New("correlator: interval: want more than none"))
	}
	return errors.Join(errs...)
}

func (c CorrelatorConfig) withDefaults() CorrelatorConfig {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.Interval, 500*time.Millisecond)
	setDefault(&c.Tick, time.Minute)
	setDefault(&c.ResolveEvery, time.Minute)
	return c
}

// Correlator computes findings from matches, for the keys that flushes have
// touched. Of many that run, the one that holds the lease works.
type Correlator struct {
	cfg     CorrelatorConfig
	rules   []detect.Correlation // of this step
	warming map[string]bool      // selectors, in this step
	retired string               // what the rules were like when findings were last taken back
	memory  memory
	metrics *correlatorMetrics
	store   *outage
	live    map[string]time.Time // when the first live event of a tenant happened
	// ofHistory says that the last step was of history, of which there may be more.
	ofHistory bool
	dropped   time.Time // when touches that are done were last dropped

	ticked, swept time.Time // see tick
	tickEpoch     uint64    // of the lease in which that was
	resolved      time.Time // when it was last looked for findings that are over

	expected      detect.Expectations // see expect
	expectedEpoch uint64              // of the lease in which they were read
}

// NewCorrelator makes a Correlator.
func NewCorrelator(cfg CorrelatorConfig) (*Correlator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Correlator{cfg: cfg.withDefaults(), live: map[string]time.Time{}}
	if err := c.Check(cfg.Rules); err != nil {
		return nil, err
	}
	var err error
	if c.metrics, err = newCorrelatorMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("correlator: metrics: %w", err)
	}
	c.store = newOutage("what the correlator needs", c.cfg.Logger, c.metrics.up)
	return c, nil
}

const (
	maxFlushes = 256 // whose touches are read at once
	// dropEvery keeps the queue short, since each look reads all that is left
	// of it. Today's touches are dropped too where they are done: a late repeat
	// is only computed once more.
	dropEvery = time.Minute
)

// Run correlates whenever it holds the lease, until ctx ends.
func (c *Correlator) Run(ctx context.Context) error {
	l := leader{
		what: "correlates", lease: c.cfg.Lease, epochs: c.cfg.Store, step: c.stepAndDrop, interval: c.cfg.Interval,
		logger: c.cfg.Logger, store: c.store, errors: c.metrics.errors, leads: c.metrics.leads,
	}
	l.run(ctx)
	return nil
}

func (c *Correlator) stepAndDrop(ctx context.Context, v *versions) (more bool, err error) {
	if err := c.retire(ctx, v); err != nil {
		return false, err
	}
	flushes, err := c.step(ctx, v)
	if err == nil && flushes < maxFlushes { // else more is known in a moment
		err = c.tick(ctx, v)
	}
	if now := c.cfg.Now(); err == nil && c.cfg.ResolveEvery > 0 && now.Sub(c.resolved) >= c.cfg.ResolveEvery {
		if err = c.resolve(ctx, v); err == nil {
			c.resolved = now
		}
	}
	if err == nil && c.cfg.Now().Sub(c.dropped) >= dropEvery {
		if err = c.drop(ctx); err == nil {
			c.dropped = c.cfg.Now()
		}
	}
	return flushes == maxFlushes || c.ofHistory, err
}

func (c *Correlator) drop(ctx context.Context) error {
	before := c.cfg.Now().UTC().Add(48 * time.Hour) // whatever another processor's clock says
	if err := c.cfg.Store.DropTouched(ctx, before); err != nil {
		return fmt.Errorf("drop the touches that are done: %w", err)
	}
	return nil
}

// step computes anew what the oldest touches name. Its order, and what a crash
// between two steps means:
//
//  1. Alerts are published. A crash behind it: the touches are read again, the
//     same findings come out, and the same alerts go out under the same ids,
//     which the broker or the receiver drops. Were the finding written first,
//     a crash here would leave it known and its alert unsent for ever. If late
//     events have taken the finding's ground away before the repeat, it was
//     never stored and its alert is not taken back; it was true when sent.
//  2. Their history is written: which states change. A crash behind it: the
//     repeat writes it again under the same numbers, or, where late events have
//     made the change void, leaves a number behind that the finding does not
//     reach and nobody reads. Were the finding written first, a crash here
//     would leave a hole.
//  3. Findings are written. A crash behind it: the repeat finds them as they
//     should be and writes nothing.
//  4. Touches are marked done. Were they marked before, a crash would lose
//     what they had led to.
func (c *Correlator) step(ctx context.Context, v *versions) (flushes int, err error) {
	touches, ids, err := c.cfg.Store.Touched(ctx, maxFlushes)
	if err != nil {
		return 0, fmt.Errorf("read touches: %w", err)
	}
	c.ofHistory = len(ids) > 0 && schemas.IsHistoryFlush(ids[0])
	if len(ids) == 0 {
		return 0, nil
	}
	began := time.Now()
	if err := c.expect(ctx, v.epoch, declares(touches)); err != nil {
		return 0, err
	}
	c.rules = c.rulesNow()
	if c.warming, err = c.cfg.Store.WarmingSelectors(ctx); err != nil {
		return 0, fmt.Errorf("read which selectors are warming: %w", err)
	}
	touched := len(touches)
	if touches, err = c.affected(ctx, touches); err != nil {
		return 0, err
	}
	c.memory.begin(v.epoch, c.rules)
	c.memory.touched(touches)
	for _, j := range append(c.jobs(touches), c.declaredJobs(touches)...) {
		if err := c.correlateTouched(ctx, j, v); err != nil {
			return 0, fmt.Errorf("correlate rule %s, tenant %s, %d keys: %w", j.rule.Code, j.tenant, len(j.keys), err)
		}
	}
	for tenant, findings := range acted(touches) {
		if err := c.act(ctx, tenant, findings, v); err != nil {
			return 0, fmt.Errorf("carry out acts, tenant %s: %w", tenant, err)
		}
	}
	if err := c.cfg.Store.MarkTouched(ctx, v.epoch, ids); err != nil {
		return 0, fmt.Errorf("mark touches done: %w", err)
	}
	c.cfg.At("touches_marked")
	c.metrics.seconds.Observe(time.Since(began).Seconds())
	c.metrics.touches.Add(float64(touched))
	return len(ids), nil
}

// correlatorMetrics are the metrics of the correlator. The label rule takes
// the ids of the rules that are loaded.
type correlatorMetrics struct {
	touches  prometheus.Counter
	findings *prometheus.CounterVec
	errors   prometheus.Counter
	seconds  prometheus.Histogram
	byRule   *prometheus.CounterVec
	leftOut  prometheus.Counter
	leads    prometheus.Gauge
	up       prometheus.Gauge
}

// spent adds the time since began to that of a rule.
func (m *correlatorMetrics) spent(rule *detect.Correlation, began time.Time) {
	m.byRule.WithLabelValues(rule.Code).Add(time.Since(began).Seconds())
}

func newCorrelatorMetrics(r prometheus.Registerer) (*correlatorMetrics, error) {
	const namespace, stage = "m2mwatch", "correlator"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &correlatorMetrics{
		touches:  prometheus.NewCounter(prometheus.CounterOpts(opts("touches_total", "Touches that were read and done."))),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts(opts("findings_total", "Findings written, by rule and change (opened, withdrawn, updated).")), []string{"rule_id", "change"}),
		errors:   prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Recomputations that failed and are tried again."))),
		byRule:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("rule_seconds_total", "Time that was spent on each rule.")), []string{"rule_id"}),
		leftOut:  prometheus.NewCounter(prometheus.CounterOpts(opts("keys_left_out_total", "Keys that were not judged, because their matches are more than one query may read."))),
		leads:    prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:       prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: stage, Name: "seconds", Help: "Time from reading touches to marking them done.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.touches, m.findings, m.errors, m.leftOut, m.leads, m.up, m.seconds, m.byRule} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
