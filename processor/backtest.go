package processor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// backtest is a job that is run.
type backtest struct {
	*schemas.Backtest
	b *Backtester
	v *versions

	mu    sync.Mutex // guards Done and saved while days are matched
	saved time.Time
}

// backtestRefusal ends a job that cannot be run as it was asked for.
type backtestRefusal struct{ text string }

func (r *backtestRefusal) Error() string { return r.text }

func refuseBacktest(format string, args ...any) error {
	return &backtestRefusal{fmt.Sprintf(format, args...)}
}

// run takes a job from its beginning to its result. What a rule finds is a
// function of the stored events: the rule's own query is asked over a longer range,
// of the matches that there are where all of these events were asked for them, or
// else of some that are made anew.
func (t *backtest) run(ctx context.Context) error {
	rules := []schemas.BacktestRule{t.Rule}
	if t.Against != nil {
		rules = append(rules, *t.Against)
	}
	declared, err := t.b.cfg.Store.Expectations(ctx)
	if err != nil {
		return err
	}
	var all []*detect.Correlation
	for _, r := range rules {
		found, err := t.compile(r, all)
		if err != nil {
			return err
		}
		found.Expecting(detect.NewExpectations(declared))
		all = append(all, found)
	}
	t.State, t.Done, t.Total = schemas.BacktestRunning, 0, 0
	days, err := t.days(ctx, all)
	if err != nil {
		return err
	}
	if err := t.b.cfg.Store.ClearScratch(ctx); err != nil {
		return err
	}
	tables, err := t.tables(ctx, all, days)
	if err != nil {
		return err
	}
	if err := t.match(ctx, all, tables, days); err != nil {
		return err
	}
	var results [][]schemas.Finding
	for i := range all {
		findings, leftOut, err := t.find(ctx, all[i], tables[i], days)
		if err != nil {
			return err
		}
		result := backtestResult(all[i], findings)
		result.LeftOut = leftOut
		if i == 0 {
			t.Result = &result
		} else {
			t.Other = &result
		}
		results = append(results, findings)
	}
	if len(results) == 2 {
		diff := diffFindings(results[0], results[1])
		t.Diff = &diff
	}
	return t.b.cfg.Store.ClearScratch(ctx)
}

// errBacktestCanceled ends a job that somebody asked to cancel.
var errBacktestCanceled = errors.New("the backtest is canceled")

// goesOn fails with errBacktestCanceled where somebody asked to cancel the job.
func (t *backtest) goesOn(ctx context.Context) error {
	canceled, err := t.b.cfg.Store.BacktestCanceled(ctx, t.ID)
	if err == nil && canceled {
		err = errBacktestCanceled
	}
	return err
}

// save writes how far it is, and ends it where it is canceled.
func (t *backtest) save(ctx context.Context) error {
	if err := t.goesOn(ctx); err != nil {
		return err
	}
	return t.write(ctx)
}

func (t *backtest) write(ctx context.Context) error {
	t.Ver, t.UpdatedAt = t.v.next(), t.b.cfg.Now().UTC().Truncate(time.Millisecond)
	if err := t.b.cfg.Store.SaveBacktest(ctx, *t.Backtest); err != nil {
		return fmt.Errorf("save how far it is: %w", err)
	}
	return nil
}

// compile finds the rule that is asked for. Without a name it is the one that
// goes by the code of the rule before it, or else the only one of its file.
func (t *backtest) compile(asked schemas.BacktestRule, before []*detect.Correlation) (*detect.Correlation, error) {
	set := t.b.cfg.Rules()
	if asked.Text != "" {
		var err error
		if set, err = t.b.cfg.Compile(asked.File, asked.Text); err != nil {
			return nil, refuseBacktest("%v", err)
		}
	}
	all := set.Correlations()
	name := asked.Rule
	if name == "" && len(before) > 0 && slices.ContainsFunc(all, func(c detect.Correlation) bool { return c.Code == before[0].Code }) {
		name = before[0].Code
	}
	var found []*detect.Correlation
	for i := range all {
		c := &all[i]
		if name == "" || strings.EqualFold(c.Code, name) || strings.EqualFold(c.ID, name) || c.Name == name {
			found = append(found, c)
		}
	}
	if len(found) == 1 {
		rule, err := found[0].OnTrial(asked.Except)
		if err != nil {
			return nil, refuseBacktest("except: %v", err)
		}
		return rule, nil
	}
	return nil, noSingleRule(set, name, found)
}

func noSingleRule(set *detect.Set, name string, found []*detect.Correlation) error {
	for _, a := range set.Asides() {
		if len(found) == 0 && (name == "" || strings.EqualFold(a.ID, name) || a.Name == name) {
			return refuseBacktest("rule %s is not evaluated: %s", a.Title, a.Reasons.Error())
		}
	}
	switch {
	case len(found) > 1 && name == "":
		return refuseBacktest("%d rules of the file find something: name one (--rule)", len(found))
	case len(found) > 1:
		return refuseBacktest("%d rules have the name %q: give the id of one", len(found), name)
	case name == "":
		return refuseBacktest("no rule of the file finds anything")
	}
	return refuseBacktest("there is no rule %q that finds anything (see m2mwatch rules list)", name)
}

// periods are the rule's dedupe periods that meet the range.
func (t *backtest) periods(rule *detect.Correlation) (from, to time.Time) {
	return rule.Period(t.From), rule.PeriodEnd(t.To)
}

// days are those whose events the rules may look at.
func (t *backtest) days(ctx context.Context, all []*detect.Correlation) ([]schemas.HistoryDay, error) {
	first, last := t.From, t.To
	for _, one := range all {
		from, to := t.periods(one)
		if from = from.Add(-one.Reach()); from.Before(first) {
			first = from
		}
		if to.After(last) {
			last = to
		}
	}
	first = first.Truncate(24 * time.Hour)
	days, err := t.b.cfg.Store.HistoryDays(ctx, t.Tenant, first, last)
	if err != nil {
		return nil, err
	}
	for _, d := range days {
		t.Total += d.Events
	}
	return days, t.save(ctx)
}

// tables says where the matches of each rule stand: with those of what comes in,
// if all that it selects was matched on all days.
func (t *backtest) tables(ctx context.Context, all []*detect.Correlation, days []schemas.HistoryDay) ([]schemas.MatchTable, error) {
	known, err := t.b.cfg.Store.Selectors(ctx)
	if err != nil {
		return nil, err
	}
	matched := map[string]bool{}
	for _, s := range known {
		matched[s.Selector] = !slices.ContainsFunc(days, func(d schemas.HistoryDay) bool { return !s.Reaches(d.Day) })
	}
	tables := make([]schemas.MatchTable, len(all))
	for i, rule := range all {
		tables[i] = schemas.Matches
		if slices.ContainsFunc(rule.Rules(), func(r *detect.Rule) bool { return !matched[r.Selector] }) {
			tables[i] = schemas.MatchesScratch
		}
	}
	return tables, nil
}

// match makes the matches of all days for the rules that lack some, two at a time
// or as many as there are cores.
func (t *backtest) match(ctx context.Context, all []*detect.Correlation, tables []schemas.MatchTable, days []schemas.HistoryDay) error {
	var lacking []*detect.Correlation
	for i, rule := range all {
		if tables[i] == schemas.MatchesScratch {
			lacking = append(lacking, rule)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, day := range days {
		group.Go(func() error {
			if err := t.patiently(ctx, func() error { return t.matchDay(ctx, lacking, day) }); err != nil {
				return fmt.Errorf("match %s of %s: %w", day.Day.Format(time.DateOnly), day.Tenant, err)
			}
			return t.matched(ctx, day.Events)
		})
	}
	return group.Wait()
}

// partPatience is for how long a part of a backtest is tried again, before the whole is
// put back behind other jobs.
const partPatience = 5 * time.Minute

// patiently does a part of the work again while the store is short of memory, which it
// is for the sake of others: else a job of minutes would begin anew.
func (t *backtest) patiently(ctx context.Context, part func() error) error {
	var retry backoff
	began := time.Now()
	for {
		err := part()
		if !errors.Is(err, schemas.ErrMemoryShort) || time.Since(began) > partPatience {
			return err
		}
		t.b.metrics.errors.Inc()
		if !wait(ctx.Done(), retry.next()) {
			return err
		}
		if err := t.goesOn(ctx); err != nil {
			return err
		}
	}
}

// matched tells now and then how far it is.
func (t *backtest) matched(ctx context.Context, events uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Done += events
	if now := t.b.cfg.Now(); now.Sub(t.saved) >= 300*time.Millisecond {
		t.saved = now
		return t.save(ctx)
	}
	return nil
}

// matchDay makes the matches of one day. What the store can select is selected
// there; the rest comes here, as few columns and events of it as may be.
func (t *backtest) matchDay(ctx context.Context, all []*detect.Correlation, day schemas.HistoryDay) error {
	from, to := day.Day, day.Day.Add(24*time.Hour)
	done := map[string]bool{}
	for _, one := range all {
		for _, r := range one.Rules() {
			if done[r.Selector] {
				continue
			}
			done[r.Selector] = true
			sel := r.Selection()
			if sel.Exact {
				if err := t.b.cfg.Store.SelectInto(ctx, sel, day.Tenant, from, to); err != nil {
					return err
				}
				continue
			}
			h := historyMatcher{by: detect.Selecting(r), insert: t.b.cfg.Store.InsertScratch, each: t.b.cfg.Store.EachSelected}
			if err := h.match(ctx, sel, day.Tenant, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// find is what a rule finds over the matches of a table, by period, tenant and key:
// of some keys after the other. The store has each query on all cores; two at once
// may be more than all its memory, where each alone is no more than it may take.
func (t *backtest) find(ctx context.Context, rule *detect.Correlation, table schemas.MatchTable, days []schemas.HistoryDay) (findings []schemas.Finding, leftOut uint64, err error) {
	from, to := t.periods(rule)
	c := &Correlator{cfg: CorrelatorConfig{Store: matchesOnly{store: t.b.cfg.Store, table: table}}.withDefaults()}
	f, most := finder{c: c}, maxKeys
	for _, tenant := range tenantsOf(days) {
		keys := []string{tenant}
		if !rule.OfTenant() {
			selectors, least := rule.Occasions()
			if keys, err = t.b.cfg.Store.KeysOf(ctx, table, selectors, tenant, from.Add(-rule.Reach()), to, least); err != nil {
				return nil, 0, err
			}
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return rule.PassesOver(tenant, key) })
		for len(keys) > 0 {
			if err := t.goesOn(ctx); err != nil {
				return nil, 0, err
			}
			before, some, tooMany := f, keys[:min(most, len(keys))], false
			err := t.patiently(ctx, func() error {
				f = before // without what an attempt has found that failed
				err := f.find(ctx, job{rule: rule, tenant: tenant, keys: some}, from, to)
				if tooMany = len(some) > 1 && lessMayDo(err, len(some)); tooMany {
					return nil
				}
				return err
			})
			if err != nil {
				return nil, 0, fmt.Errorf("correlate rule %s, tenant %s: %w", rule.Code, tenant, err)
			}
			if tooMany {
				most = len(some) / 2
				continue
			}
			most = min(most+most/4+1, maxKeys) // one of those that were too many may have been too much
			keys = keys[len(some):]
		}
	}
	slices.SortFunc(f.findings, compareByPlace)
	return f.findings, f.leftOut, nil
}

func tenantsOf(days []schemas.HistoryDay) []string {
	var tenants []string
	for _, d := range days {
		tenants = append(tenants, d.Tenant)
	}
	slices.Sort(tenants)
	return slices.Compact(tenants)
}

// matchesOnly is a FindingStore that nothing is written to: only its Correlate is
// called.
type matchesOnly struct {
	FindingStore
	store BacktestStore
	table schemas.MatchTable
}

// Correlate is that of the table's matches.
func (s matchesOnly) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	return s.store.CorrelateOver(ctx, s.table, q)
}

// finder finds, of one key in halves of the time where the store says that it is too
// much at once.
type finder struct {
	c        *Correlator
	findings []schemas.Finding
	leftOut  uint64
}

func (f *finder) find(ctx context.Context, j job, from, to time.Time) error {
	found, err := f.c.foundOf(ctx, &j, from, to, 0)
	if err == nil {
		f.findings = append(f.findings, found...)
		return nil
	}
	if len(j.keys) > 1 || !lessMayDo(err, 1) {
		return err
	}
	middle := j.rule.Period(from.Add(to.Sub(from) / 2))
	if !middle.After(from) {
		f.leftOut++
		return nil
	}
	if err := f.find(ctx, j, from, middle); err != nil {
		return err
	}
	return f.find(ctx, j, middle, to)
}
