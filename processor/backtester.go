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

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// BacktestStore is what a backtest needs of the store. Reads see every insert
// that has returned. An error that wraps schemas.ErrQueryTooLarge means that
// fewer keys, or less time, may do.
type BacktestStore interface {
	Epochs

	// OpenBacktests are the jobs that are not over, the oldest first.
	OpenBacktests(ctx context.Context) ([]schemas.Backtest, error)
	// SaveBacktest is that of a holder: Ver carries its epoch (Ver >> 32).
	SaveBacktest(ctx context.Context, job schemas.Backtest) error

	// BacktestCanceled tells whether somebody asked to cancel a job.
	BacktestCanceled(ctx context.Context, id string) (bool, error)

	// HistoryDays are the days with events in [from, to) of a tenant, or of all.
	HistoryDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.HistoryDay, error)
	// ClearScratch drops the matches that backtests have made.
	ClearScratch(ctx context.Context) error
	// SelectInto makes the matches of an exact selection. It may be repeated.
	SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error
	// EachSelected hands over the events that a selection's Where holds for, with
	// the columns that it reads; the event is the same one each time.
	EachSelected(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error
	// InsertScratch stores matches of such events. It may be repeated.
	InsertScratch(ctx context.Context, matches []schemas.Match) error
	// Expectations are those that are declared.
	Expectations(ctx context.Context) ([]schemas.Expectation, error)
	// Selectors are those that are matched as events come in, and how far back.
	Selectors(ctx context.Context) ([]schemas.Selector, error)
	// KeysOf are the keys that have at least so many matches of some selectors in a
	// table, sorted.
	KeysOf(ctx context.Context, table schemas.MatchTable, selectors []string, tenant string, from, to time.Time, least uint64) ([]string, error)
	// CorrelateOver runs a compiled correlation over the matches of a table.
	CorrelateOver(ctx context.Context, table schemas.MatchTable, q schemas.Query) ([]schemas.CorrelationRow, error)
}

// BacktesterConfig is what a Backtester needs. Store, Lease, Rules and Compile
// must be set; every other field has a default.
type BacktesterConfig struct {
	Store BacktestStore
	Lease Lease
	// Rules are those in force.
	Rules func() *detect.Set
	// Compile compiles a file that was sent along, with what the configuration
	// fills.
	Compile func(file, text string) (*detect.Set, error)

	// Logger hears of outages, once at their beginning and once at their end,
	// and of each job's beginning and end. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Interval is the wait between two looks for jobs. Default 1 s.
	Interval time.Duration
	// Now is the clock of the jobs. Default time.Now.
	Now func() time.Time
}

// Validate returns every problem at once.
func (c *BacktesterConfig) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"store", c.Store != nil}, {"lease", c.Lease != nil}, {"rules", c.Rules != nil}, {"compiler", c.Compile != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("backtester: the %s: want one", part.name))
		}
	}
	if c.Interval < 0 {
		errs = append(errs, errors.New("backtester: interval: want more than none"))
	}
	return errors.Join(errs...)
}

func (c BacktesterConfig) withDefaults() BacktesterConfig {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	setDefault(&c.Interval, time.Second)
	return c
}

// Backtester runs rules over stored events, for the jobs that the API leaves. Where
// a rule selects what no rule in force does, it writes matches of its own, beside
// those of what comes in; else only the jobs. Of many
// that run, the one that holds the lease works.
type Backtester struct {
	cfg     BacktesterConfig
	metrics *backtesterMetrics
	store   *outage
	failed  map[string]int // how often a job did, for a reason that may pass
}

// NewBacktester makes a Backtester.
func NewBacktester(cfg BacktesterConfig) (*Backtester, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Backtester{cfg: cfg.withDefaults(), failed: map[string]int{}}
	var err error
	if b.metrics, err = newBacktesterMetrics(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("backtester: metrics: %w", err)
	}
	b.store = newOutage("what the backtest needs", b.cfg.Logger, b.metrics.up)
	return b, nil
}

// Run runs jobs whenever there are some and it holds the lease, until ctx ends.
func (b *Backtester) Run(ctx context.Context) error {
	l := leader{
		what: "backtests", lease: b.cfg.Lease, epochs: b.cfg.Store, step: b.step, interval: b.cfg.Interval,
		logger: b.cfg.Logger, store: b.store, errors: b.metrics.errors, leads: b.metrics.leads,
	}
	l.run(ctx)
	return nil
}

// step runs the oldest job from its beginning: one that a crash has cut short
// is made again as a whole, since all that it writes is its own.
func (b *Backtester) step(ctx context.Context, v *versions) (more bool, err error) {
	jobs, err := b.cfg.Store.OpenBacktests(ctx)
	if err != nil || len(jobs) == 0 {
		return false, err
	}
	// One that failed more often waits, so that it holds up no other.
	job := slices.MinFunc(jobs, func(one, other schemas.Backtest) int { return cmp.Compare(b.failed[one.ID], b.failed[other.ID]) })
	began := b.cfg.Now()
	run := &backtest{Backtest: &job, b: b, v: v}
	err = run.run(ctx)
	var refusal *backtestRefusal
	switch {
	case err == nil:
		job.State, job.Done = schemas.BacktestDone, job.Total
	case errors.Is(err, errBacktestCanceled):
		job.State = schemas.BacktestCanceled
		if err := b.cfg.Store.ClearScratch(ctx); err != nil {
			return false, err
		}
	case errors.As(err, &refusal):
		job.State, job.Error = schemas.BacktestFailed, refusal.Error()
	default:
		b.failed[job.ID]++
		return false, fmt.Errorf("backtest %s: %w", job.ID, err)
	}
	delete(b.failed, job.ID)
	if err := run.write(ctx); err != nil {
		return false, err
	}
	b.metrics.done.Inc()
	b.cfg.Logger.Info("backtest is over", "job", job.ID, "state", string(job.State), "events", job.Total, "seconds", b.cfg.Now().Sub(began).Seconds(), "error", job.Error)
	return true, nil
}

// backtesterMetrics are the metrics of the backtester.
type backtesterMetrics struct {
	done   prometheus.Counter
	errors prometheus.Counter
	leads  prometheus.Gauge
	up     prometheus.Gauge
}

func newBacktesterMetrics(r prometheus.Registerer) (*backtesterMetrics, error) {
	const namespace, stage = "m2mwatch", "backtester"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Subsystem: stage, Name: name, Help: help}
	}
	m := &backtesterMetrics{
		done:   prometheus.NewCounter(prometheus.CounterOpts(opts("jobs_total", "Backtests that are over."))),
		errors: prometheus.NewCounter(prometheus.CounterOpts(opts("errors_total", "Attempts that failed and are made again."))),
		leads:  prometheus.NewGauge(prometheus.GaugeOpts(opts("leads", "1 while this process holds the lease."))),
		up:     prometheus.NewGauge(prometheus.GaugeOpts(opts("up", "0 while the store or the broker is away."))),
	}
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.done, m.errors, m.leads, m.up} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}
