package processor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/processor/detect"
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
	// Wake says that touches were left, which need not wait for the next look then.
	// Default: nothing does.
	Wake <-chan struct{}
	// Tick is the wait between two looks for what time alone changes. Default a
	// minute.
	Tick time.Duration
	// StormPatience is how long what would be attached to a storm waits for a look for it
	// that is under way. Default 10 s.
	StormPatience time.Duration
	// Now is the clock by which done touches are dropped and old periods frozen,
	// and which the history of findings tells. Default time.Now.
	Now func() time.Time

	// At is called behind each step of a recomputation, for tests that crash
	// there: alert_published, history_written, findings_written, touches_marked,
	// and behind each tick: ticked; and where it is stored how far ticks have looked: ticks_noted.
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
	setDefault(&c.StormPatience, stormPatience)
	setDefault(&c.ResolveEvery, time.Minute)
	return c
}

// Correlator computes findings from matches, for the keys that flushes have
// touched. Of many that run, the one that holds the lease works.
type Correlator struct {
	cfg          CorrelatorConfig
	rules        []detect.Correlation // in force
	warming      map[string]bool      // selectors
	retired      string               // what the rules were like when findings were last taken back
	memory       *memory
	withFindings *findingKeys
	told         *toldKeys
	lastMatches  *lastMatches
	deeds        *deeds
	rests        *rests
	lastEvents   *lastEvents
	metrics      *correlatorMetrics
	store        *outage
	live         *sync.Map   // when the first live event of a tenant happened, a time.Time
	shares       *sync.Map   // of a tenant's keys that a tick asks for at once, by sharesOf, []detect.Share
	leaves       func()      // tells a look that a key was left out
	telling      *sync.Mutex // held by a look that decides whether people are told of what was found late
	agenda       *agenda
	looks        []*look                        // that are under way
	ended        chan struct{}                  // has one where one of them may be over
	byCode       map[string]*detect.Correlation // the rules
	looked       time.Time                      // when it was last looked for touches
	woken        bool                           // since then there are some
	history      time.Time                      // when it was last looked for touches of history
	marked       time.Time                      // when flushes were last marked done
	dropped      time.Time                      // when touches that are done were last dropped

	ticked, swept time.Time // see tick
	tickEpoch     uint64    // of the lease in which that was
	tickBegan     time.Time // of the one that is under way
	sweeps        bool      // it looks sweepReach back
	resolved      time.Time // when it was last looked for findings that are over

	expected      detect.Expectations // see expect
	expectedEpoch uint64              // of the lease in which they were read
}

// NewCorrelator makes a Correlator.
func NewCorrelator(cfg CorrelatorConfig) (*Correlator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Correlator{cfg: cfg.withDefaults(), live: &sync.Map{}, shares: &sync.Map{}, telling: &sync.Mutex{}, leaves: func() {}, ended: make(chan struct{}, 1), memory: newMemory(), withFindings: &findingKeys{}, told: newTold(), lastMatches: &lastMatches{}, deeds: &deeds{}, rests: newRests(nil), lastEvents: &lastEvents{}}
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
	// wakesPerInterval: an Interval divided by it lies between two looks for touches, at least,
	// while there is something to judge: each look costs some statements.
	wakesPerInterval = 5

	maxFlushes = 256 // whose touches are read at once
	// maxPending is how many keys of rules are read ahead, some hundred bytes each: a
	// hundred rules and 20,000 machines.
	maxPending = 2_000_000
	// maxAhead is how many flushes are read ahead, whose ids go along with each look for
	// more: an hour's and longer.
	maxAhead = 20_000
	// historyEvery is the wait between two looks for touches of history, which come when
	// all others are read.
	historyEvery = 2 * time.Second
	// dropEvery keeps the queue short, since each look reads all that is left
	// of it. Today's touches are dropped too where they are done: a late repeat
	// is only computed once more.
	dropEvery = time.Minute
)

// Run correlates whenever it holds the lease, until ctx ends.
func (c *Correlator) Run(ctx context.Context) error {
	l := leader{
		what: "correlates", lease: c.cfg.Lease, epochs: c.cfg.Store, step: c.turn, rest: c.rest, doze: c.doze, interval: c.cfg.Interval,
		logger: c.cfg.Logger, store: c.store, errors: c.metrics.errors, leads: c.metrics.leads,
	}
	l.run(ctx)
	return nil
}

// turn does what is due, and lets a look of one rule begin.
func (c *Correlator) turn(ctx context.Context, v *versions) (more bool, err error) {
	if err := c.begin(ctx, v); err != nil {
		return false, err
	}
	if err := c.retire(ctx, v); err != nil {
		return false, err
	}
	if now := time.Now(); c.agenda.empty() || c.isToLook(now.Sub(c.looked)) {
		c.looked, c.woken = now, false
		if err := c.lookAround(ctx, v); err != nil {
			return false, err
		}
	}
	idle, err := c.step(ctx, v)
	if err != nil {
		return false, err
	}
	if c.resolveIsDue() && len(c.looks) == 0 {
		now := c.cfg.Now()
		if err = c.resolve(ctx, v); err != nil {
			return false, err
		}
		c.resolved, idle = now, false // what waited for it may have its turn
	}
	if c.cfg.Now().Sub(c.dropped) >= dropEvery {
		if err = c.drop(ctx); err != nil {
			return false, err
		}
		c.dropped = c.cfg.Now()
	}
	c.metrics.agenda.Set(float64(len(c.agenda.entries)))
	return !c.agenda.empty() && !idle, nil
}

// isToLook reports whether it is to be looked for touches so long after the last time.
func (c *Correlator) isToLook(since time.Duration) bool {
	select {
	case <-c.cfg.Wake:
		c.woken = true
	default:
	}
	return since >= c.cfg.Interval || c.woken && since >= c.cfg.Interval/wakesPerInterval
}

// doze waits until done is closed, some touches are left, or a time has passed.
func (c *Correlator) doze(done <-chan struct{}, d time.Duration) {
	if c.woken { // before it could look
		d = min(d, max(0, c.cfg.Interval/wakesPerInterval-time.Since(c.looked)))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-c.cfg.Wake:
		c.woken = true
	}
}

// resolveIsDue reports whether it is to be looked for findings that are over, which no
// look may be writing meanwhile.
func (c *Correlator) resolveIsDue() bool {
	return c.cfg.ResolveEvery > 0 && c.cfg.Now().Sub(c.resolved) >= c.cfg.ResolveEvery
}

// begin has the rules that are in force, and an empty agenda where the lease is a new
// one or the rules are others: what was read is read again.
func (c *Correlator) begin(ctx context.Context, v *versions) error {
	if err := c.expect(ctx, v.epoch, false); err != nil {
		return err
	}
	rules := c.rulesNow()
	if c.agenda == nil || c.agenda.epoch != v.epoch || !sameRules(c.rules, rules) {
		if err := c.await(v); err != nil {
			return err
		}
		c.tickEpoch = 0 // so that it is looked as far back as is not known
		c.agenda, c.told = newAgenda(v.epoch, rules, c.cfg.StormPatience), newTold()
		c.rests = newRests(rules)
		c.setRules(rules)
		if err := c.recallTicks(ctx, v); err != nil {
			return err
		}
	} else {
		c.setRules(rules) // other expectations
	}
	c.memory.begin(v.epoch, c.rules)
	c.deeds.begin(v.epoch)
	if err := c.lastMatches.begin(ctx, c.cfg.Store, v.epoch, c.rules, c.cfg.Now(), c.cfg.Logger); err != nil {
		return err
	}
	return c.withFindings.begin(ctx, c.cfg.Store, v.epoch)
}

func (c *Correlator) setRules(rules []detect.Correlation) {
	c.rules, c.byCode = rules, make(map[string]*detect.Correlation, len(rules))
	for i := range rules {
		c.byCode[rules[i].Code] = &rules[i]
	}
}

// sameRules reports whether both are of one set.
func sameRules(a, b []detect.Correlation) bool {
	return slices.EqualFunc(a, b, func(a, b detect.Correlation) bool { return a.Code == b.Code && a.Main == b.Main })
}

func (c *Correlator) drop(ctx context.Context) error {
	before := c.cfg.Now().UTC().Add(48 * time.Hour) // whatever another processor's clock says
	if err := c.cfg.Store.DropTouched(ctx, before); err != nil {
		return fmt.Errorf("drop the touches that are done: %w", err)
	}
	return nil
}

// step has a rule look at some of what is on the agenda. Its order, and what a crash
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
//  4. Flushes of which all touches are judged are marked done. Were they marked
//     before, a crash would lose what they had led to.
//
// It is idle where none may look before some time has passed.
func (c *Correlator) step(ctx context.Context, v *versions) (idle bool, err error) {
	a := c.agenda
	if idle, err = c.takeTurn(ctx, v); err != nil {
		return false, err
	}
	if len(a.done) > 0 && (a.empty() || time.Since(c.marked) >= c.cfg.Interval) {
		if err := c.cfg.Store.MarkTouched(ctx, v.epoch, a.done); err != nil {
			return false, fmt.Errorf("mark touches done: %w", err)
		}
		a.done, c.marked = nil, time.Now()
		c.cfg.At("touches_marked")
	}
	return idle, nil
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
	agenda   prometheus.Gauge
	leads    prometheus.Gauge
	up       prometheus.Gauge
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
		agenda:   prometheus.NewGauge(prometheus.GaugeOpts(opts("agenda", "Rules that have something to judge, by tenant and by why they have."))),
		leads:    prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:       prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: stage, Name: "seconds", Help: "Time of a look: some keys, judged by one rule.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.touches, m.findings, m.errors, m.leftOut, m.agenda, m.leads, m.up, m.seconds, m.byRule} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
