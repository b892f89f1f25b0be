package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// SelectorStore is what a warm-up needs of the store. Reads see every insert that
// has returned.
type SelectorStore interface {
	Epochs

	// Selectors are all that are known.
	Selectors(ctx context.Context) ([]schemas.Selector, error)
	// AddSelectors stores some that come into force. Of one the highest Ver counts.
	AddSelectors(ctx context.Context, selectors []schemas.Selector) error
	// SaveSelector is that of a holder: Ver carries its epoch (Ver >> 32).
	SaveSelector(ctx context.Context, selector schemas.Selector) error

	// HistoryDays are the days with events in [from, to) of a tenant, or of all.
	HistoryDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.HistoryDay, error)
	// SelectInto and EachSelected are those of a BacktestStore, for events that the
	// selector has not selected as they came in.
	SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error
	EachSelected(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error
	InsertMatches(ctx context.Context, matches []schemas.Match) error
	// MatchedKeys are the keys that a selector has matches of in [from, to).
	MatchedKeys(ctx context.Context, selector string, from, to time.Time) ([]schemas.KeySpan, error)
	InsertTouches(ctx context.Context, touches []schemas.Touch) error
}

// WarmerConfig is what a Warmer needs. Store, Lease and Rules must be set; every
// other field has a default.
type WarmerConfig struct {
	Store SelectorStore
	Lease Lease
	// Rules are those in force.
	Rules func() *detect.Set

	// Logger hears of outages, once at their beginning and once at their end, and
	// of each selector that is warm. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Interval is the wait between two looks. Default 1 s.
	Interval time.Duration
	// Settle is how long other processes may still match by the rules of before.
	// Default 10 s.
	Settle time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Warmer matches history for selectors that are new, or that rules look back
// further at than before. Meanwhile what their rules find pages nobody. Of many
// that run, the one that holds the lease works.
type Warmer struct {
	cfg     WarmerConfig
	metrics *warmerMetrics
	store   *outage
	failed  map[string]int // how often the warm-up of a selector did, since it last went well
}

// NewWarmer makes a Warmer.
func NewWarmer(cfg WarmerConfig) (*Warmer, error) {
	if cfg.Store == nil || cfg.Lease == nil || cfg.Rules == nil {
		return nil, errors.New("warmer: want a store, a lease and rules")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	setDefault(&cfg.Interval, time.Second)
	setDefault(&cfg.Settle, 10*time.Second)
	w := &Warmer{cfg: cfg, failed: map[string]int{}}
	var err error
	if w.metrics, err = newWarmerMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("warmer: metrics: %w", err)
	}
	w.store = newOutage("what the warm-up needs", cfg.Logger, w.metrics.up)
	return w, nil
}

// reaches are how far back the rules of a set look at each selector. One that is
// disabled counts: what it selects is still matched.
func reaches(set *detect.Set) map[string]time.Duration {
	reach := map[string]time.Duration{}
	add := func(c *detect.Correlation) {
		for _, r := range c.Rules() {
			reach[r.Selector] = max(reach[r.Selector], c.Reach()+c.Dedupe)
		}
	}
	for _, c := range set.Correlations() {
		add(&c)
	}
	for _, d := range set.Disabled() {
		add(&d.Correlation)
	}
	return reach
}

// selections are the rules whose selections a set's correlations look at, by
// selector.
func selections(set *detect.Set) map[string]*detect.Rule {
	rules := map[string]*detect.Rule{}
	add := func(c *detect.Correlation) {
		for _, r := range c.Rules() {
			rules[r.Selector] = r
		}
	}
	for _, c := range set.Correlations() {
		add(&c)
	}
	for _, d := range set.Disabled() {
		add(&d.Correlation)
	}
	return rules
}

// Register notes the selectors of a set before it comes into force. Those that
// are new have to be warmed up, but where nothing is stored yet. It may be
// repeated, and be called by many at once.
func (w *Warmer) Register(ctx context.Context, set *detect.Set) error {
	return RegisterSelectors(ctx, w.cfg.Store, set, w.cfg.Now())
}

// RegisterSelectors is Warmer.Register, for a program that matches and does not warm up.
func RegisterSelectors(ctx context.Context, store SelectorStore, set *detect.Set, now time.Time) error {
	known, err := knownSelectors(ctx, store)
	if err != nil {
		return err
	}
	now = now.UTC().Truncate(time.Millisecond)
	state := schemas.SelectorState("")
	var added []schemas.Selector
	for selector, reach := range reaches(set) {
		was, ok := known[selector]
		if ok && was.State != schemas.SelectorIdle && was.Reach >= reach {
			continue
		}
		if state == "" {
			if state, err = firstState(ctx, store, now); err != nil {
				return err
			}
		}
		if state == schemas.SelectorWarm {
			reach = schemas.AllHistory
		}
		added = append(added, schemas.Selector{Selector: selector, State: state, Since: now, Reach: reach, Ver: was.Ver + 1})
	}
	if len(added) == 0 {
		return nil
	}
	slices.SortFunc(added, func(a, b schemas.Selector) int { return strings.Compare(a.Selector, b.Selector) })
	return store.AddSelectors(ctx, added)
}

// firstState is warm where there is no history.
func firstState(ctx context.Context, store SelectorStore, now time.Time) (schemas.SelectorState, error) {
	days, err := store.HistoryDays(ctx, "", time.Unix(0, 0), now.Add(24*time.Hour))
	if err != nil || len(days) > 0 {
		return schemas.SelectorWarming, err
	}
	return schemas.SelectorWarm, nil
}

func knownSelectors(ctx context.Context, store SelectorStore) (map[string]schemas.Selector, error) {
	rows, err := store.Selectors(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]schemas.Selector, len(rows))
	for _, r := range rows {
		known[r.Selector] = r
	}
	return known, nil
}

// Run warms up whenever there is something to and it holds the lease, until ctx
// ends.
func (w *Warmer) Run(ctx context.Context) error {
	l := leader{
		what: "warms up", lease: w.cfg.Lease, epochs: w.cfg.Store, step: w.step, interval: w.cfg.Interval,
		logger: w.cfg.Logger, store: w.store, errors: w.metrics.errors, leads: w.metrics.leads,
	}
	l.run(ctx)
	return nil
}

// step warms one selector up, from its beginning: what a crash has cut short is
// made again, and repeats are the same rows.
func (w *Warmer) step(ctx context.Context, v *versions) (more bool, err error) {
	set := w.cfg.Rules()
	if err := w.Register(ctx, set); err != nil { // it may have failed where they came into force
		return false, err
	}
	known, err := knownSelectors(ctx, w.cfg.Store)
	if err != nil {
		return false, err
	}
	wanted, rules := reaches(set), selections(set)
	var warming []schemas.Selector
	for _, s := range known {
		_, wants := wanted[s.Selector]
		switch {
		case !wants && s.State != schemas.SelectorIdle:
			s.State, s.Ver = schemas.SelectorIdle, v.next()
			if err := w.cfg.Store.SaveSelector(ctx, s); err != nil {
				return false, err
			}
		case wants && (s.State == schemas.SelectorWarming || s.State == schemas.SelectorMatched):
			warming = append(warming, s)
		}
	}
	w.metrics.warming.Set(float64(len(warming)))
	if len(warming) == 0 {
		return false, nil
	}
	next := slices.MinFunc(warming, w.sooner)
	if w.cfg.Now().Sub(next.Since) < w.cfg.Settle {
		return false, nil
	}
	if err := w.warm(ctx, next, rules[next.Selector], v); err != nil {
		w.failed[next.Selector]++
		return false, err
	}
	delete(w.failed, next.Selector)
	return true, nil
}

// sooner is negative where a is warmed up before b: one that failed more often waits,
// so that it holds up no other.
func (w *Warmer) sooner(a, b schemas.Selector) int {
	return cmp.Or(cmp.Compare(w.failed[a.Selector], w.failed[b.Selector]), strings.Compare(a.Selector, b.Selector))
}

// warm matches history for a selector. Its order, and what a crash between two
// steps means:
//
//  1. Matches. A crash behind it, or within: they are made again.
//  2. Touches, so that what lies in history is found: it pages nobody.
//  3. The selector is matched. From now on what its rules find may page. What they
//     found meanwhile stays as it is until its keys are touched, so
//  4. touches are left once more. A crash before the last of them: all are.
//  5. The selector is warm.
func (w *Warmer) warm(ctx context.Context, s schemas.Selector, rule *detect.Rule, v *versions) error {
	now := w.cfg.Now().UTC()
	from, to := s.Since.Add(-s.Reach).Truncate(24*time.Hour), now.Add(24*time.Hour)
	if s.State == schemas.SelectorWarming {
		if err := w.matchAll(ctx, &s, rule, from, to, v); err != nil {
			return err
		}
	}
	if err := w.touch(ctx, &s, from, to); err != nil {
		return err
	}
	s.State, s.Ver = schemas.SelectorWarm, v.next()
	if err := w.cfg.Store.SaveSelector(ctx, s); err != nil {
		return err
	}
	w.cfg.Logger.Info("a selector is warm", "selector", s.Selector, "rule", rule.Title, "events", s.Total, "seconds", w.cfg.Now().Sub(now).Seconds())
	return nil
}

// matchAll does the first three steps of warm.
func (w *Warmer) matchAll(ctx context.Context, s *schemas.Selector, rule *detect.Rule, from, to time.Time, v *versions) error {
	days, err := w.cfg.Store.HistoryDays(ctx, "", from, to)
	if err != nil {
		return err
	}
	s.Done, s.Total = 0, 0
	for _, d := range days {
		s.Total += d.Events
	}
	sel := rule.Selection()
	for _, d := range days {
		if err := w.match(ctx, rule, sel, d); err != nil {
			return fmt.Errorf("warm up %s, %s of %s: %w", s.Selector, d.Day.Format(time.DateOnly), d.Tenant, err)
		}
		s.Done, s.Ver = s.Done+d.Events, v.next()
		if err := w.cfg.Store.SaveSelector(ctx, *s); err != nil {
			return err
		}
	}
	if err := w.touch(ctx, s, from, to); err != nil {
		return err
	}
	s.State, s.Ver = schemas.SelectorMatched, v.next()
	return w.cfg.Store.SaveSelector(ctx, *s)
}

func (w *Warmer) match(ctx context.Context, rule *detect.Rule, sel schemas.Selection, day schemas.HistoryDay) error {
	from, to := day.Day, day.Day.Add(24*time.Hour)
	if sel.Exact {
		return w.cfg.Store.SelectInto(ctx, sel, day.Tenant, from, to)
	}
	h := historyMatcher{by: detect.Selecting(rule), insert: w.cfg.Store.InsertMatches, each: w.cfg.Store.EachSelected, imported: true}
	return h.match(ctx, sel, day.Tenant, from, to)
}

// touch leaves two touches for each key, of the first and the last hour that it
// has matches in: what lies between is computed with them.
func (w *Warmer) touch(ctx context.Context, s *schemas.Selector, from, to time.Time) error {
	keys, err := w.cfg.Store.MatchedKeys(ctx, s.Selector, from, to)
	if err != nil {
		return err
	}
	const together = 1000 // what comes in waits while the correlator judges so many
	for some := range slices.Chunk(keys, together) {
		flush := newHistoryFlushID(w.cfg.Now())
		var touches []schemas.Touch
		for _, k := range some {
			t := schemas.Touch{Flush: flush, Selector: s.Selector, Tenant: k.Tenant, Key: k.Key, Bucket: k.First.Truncate(time.Hour)}
			touches = append(touches, t)
			if last := k.Last.Truncate(time.Hour); !last.Equal(t.Bucket) {
				t.Bucket = last
				touches = append(touches, t)
			}
		}
		if err := w.cfg.Store.InsertTouches(ctx, touches); err != nil {
			return err
		}
	}
	return nil
}

// warmerMetrics are the metrics of the warmer.
type warmerMetrics struct {
	warming prometheus.Gauge
	errors  prometheus.Counter
	leads   prometheus.Gauge
	up      prometheus.Gauge
}

func newWarmerMetrics(r prometheus.Registerer) (*warmerMetrics, error) {
	const namespace, stage = "m2mwatch", "warmer"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &warmerMetrics{
		warming: prometheus.NewGauge(prometheus.GaugeOpts(opts("warming", "Selectors for which history is not matched yet, as the holder of the lease knows."))),
		errors:  prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Attempts that failed and are made again."))),
		leads:   prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:      prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.warming, m.errors, m.leads, m.up} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
