package processor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// How many keys one query is asked for. Planning takes most of its time, so that
// what comes in now, which touches the same few hours of every key, goes together
// by the thousands. Keys of a backfill differ in their hours: few together do not
// widen the range of one another.
const (
	maxKeys        = 5000
	maxKeysOfHours = 500           // where their hours differ, and of those that are candidates
	sameTime       = 2 * time.Hour // between the first hour of some keys and the last
	// reachParts: hours that are fewer than this part of what a rule looks back at are
	// hardly less to read in halves.
	reachParts = 4
	// mostParts is into how many parts the time of a key is cut at most: each may take
	// the store as long as it takes to find that it is too much.
	mostParts = 16
)

// job is what one rule has to compute anew for one tenant: keys, and the hours
// from the first to the last that was touched.
type job struct {
	rule        *detect.Correlation
	tenant      string
	keys        []string
	first, last time.Time
}

// touchedKey is a key with the first and the last hour in which it was touched.
type touchedKey struct {
	key         string
	first, last time.Time
}

func addTouch(keys map[string]*touchedKey, t *schemas.Touch) {
	k := keys[t.Key]
	if k == nil {
		keys[t.Key] = &touchedKey{t.Key, t.Bucket, t.Bucket}
		return
	}
	if t.Bucket.Before(k.first) {
		k.first = t.Bucket
	}
	if t.Bucket.After(k.last) {
		k.last = t.Bucket
	}
}

func sortedKeys(keys map[string]*touchedKey) []*touchedKey {
	sorted := make([]*touchedKey, 0, len(keys))
	for _, k := range keys {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, func(a, b *touchedKey) int {
		return cmp.Or(a.first.Compare(b.first), cmp.Compare(a.key, b.key))
	})
	return sorted
}

// chunks cuts sorted keys into those of one job each.
func chunks(keys []*touchedKey) iter.Seq[[]*touchedKey] {
	return func(yield func([]*touchedKey) bool) {
		for len(keys) > 0 {
			n := chunk(keys)
			if !yield(keys[:n]) {
				return
			}
			keys = keys[n:]
		}
	}
}

// chunk is how many of the keys, which are sorted, go into one job.
func chunk(keys []*touchedKey) int {
	last := keys[0].last
	for n, k := range keys[:min(len(keys), maxKeys)] {
		if k.last.After(last) {
			last = k.last
		}
		if n >= maxKeysOfHours && last.Sub(keys[0].first) > sameTime {
			return n
		}
	}
	return min(len(keys), maxKeys)
}

func newJob(rule *detect.Correlation, tenant string, keys []*touchedKey) job {
	j := job{rule: rule, tenant: tenant, first: keys[0].first, last: keys[0].last}
	for _, k := range keys {
		j.keys = append(j.keys, k.key)
		if k.last.After(j.last) {
			j.last = k.last
		}
	}
	return j
}

// periods is the range of whole periods whose findings can depend on what was
// touched: an event counts for triggers as late as the rule reaches back.
func (j *job) periods() (from, to time.Time) {
	return j.rule.Period(j.first), j.rule.PeriodEnd(j.last.Add(time.Hour + j.rule.Reach()))
}

// correlateTouched correlates a job, and what lies before it.
func (c *Correlator) correlateTouched(ctx context.Context, j job, v *versions) error {
	if err := c.correlateSome(ctx, j, v); err != nil {
		return err
	}
	before, ok, err := c.trailing(ctx, j)
	if err != nil || !ok {
		return err
	}
	return c.correlateSome(ctx, before, v)
}

// correlateSome correlates a job, in halves where the store says that it is too
// much at once: of its keys, and of one key, which may be a whole tenant, of its periods.
// What is too much alone is left out, loudly: it must not hold up all others for ever.
// Its findings stay as they are.
func (c *Correlator) correlateSome(ctx context.Context, j job, v *versions) error {
	return c.correlateParts(ctx, j, v, mostParts)
}

func (c *Correlator) correlateParts(ctx context.Context, j job, v *versions, parts int) error {
	err := c.correlate(ctx, j, v.next())
	if !lessMayDo(err, len(j.keys)) {
		return err
	}
	halves, ok := j.halves()
	if !ok || parts == 1 {
		c.metrics.leftOut.Inc()
		c.leaves()
		c.cfg.Logger.Error("a key has more matches than one query may read and is left out: give the store more memory (clickhouse.memory)",
			"rule_id", j.rule.Code, "tenant", j.tenant, "key", j.keys[0], "from", j.first, "to", j.last, "error", err)
		return nil
	}
	if len(j.keys) == 1 {
		parts /= 2
	}
	for _, half := range halves {
		if err := c.correlateParts(ctx, half, v, parts); err != nil {
			return err
		}
	}
	return nil
}

// halves are a job of fewer keys each, or of fewer periods where it has one key; not ok
// where those would hardly be less to read than it is.
func (j *job) halves() (halves [2]job, ok bool) {
	former, latter := *j, *j
	if n := len(j.keys) / 2; n > 0 {
		former.keys, latter.keys = j.keys[:n], j.keys[n:]
		return [2]job{former, latter}, true
	}
	middle := j.rule.Period(j.first.Add(j.last.Sub(j.first) / 2)).Truncate(time.Hour)
	former.last, latter.first = middle.Add(-time.Hour), middle
	return [2]job{former, latter}, middle.After(j.first) && j.last.Sub(j.first) >= j.rule.Reach()/reachParts
}

// lessMayDo reports whether a query for so many keys failed by its size. Where the
// store is short of memory for others' sake one key waits, and of several fewer may do.
func lessMayDo(err error, keys int) bool {
	return errors.Is(err, schemas.ErrQueryTooLarge) || keys > 1 && errors.Is(err, schemas.ErrMemoryShort)
}

// correlate makes the stored findings of a job's keys and periods those that
// the stored events give, but for frozen periods.
func (c *Correlator) correlate(ctx context.Context, j job, ver uint64) error {
	from, to := j.periods()
	if live := c.firstLive(j.rule); live.After(from) {
		from = live
	}
	if !from.Before(to) {
		return nil
	}
	now := c.cfg.Now().UTC().Truncate(time.Millisecond)
	p := newPager(j.tenant, j.rule, now, ver)
	first, last := p.groupPeriods(from, to)
	asked := from
	if j.rule.LooksBackOnly() && j.first.After(from) {
		asked = j.first
	}
	var stored []schemas.Finding
	var keys []string
	reading, ctxOfReading := errgroup.WithContext(ctx) // each waits more than it works
	reading.Go(func() (err error) {
		if stored, err = c.storedFindings(ctxOfReading, &j, first, last); err != nil {
			return fmt.Errorf("read the stored findings: %w", err)
		}
		return nil
	})
	reading.Go(func() (err error) {
		keys, err = c.candidates(ctxOfReading, &j, asked, to)
		return err
	})
	if err := reading.Wait(); err != nil {
		return err
	}
	var standing map[string]bool
	if asked.After(from) {
		keys, standing = judged(keys, stored, asked)
	}
	found, err := c.found(ctx, &j, keys, from, to, ver)
	if err != nil {
		return err
	}
	stored = slices.DeleteFunc(stored, func(f schemas.Finding) bool { return standing[f.Key] })
	return c.settle(ctx, p, compareFindings(stored, found, from, to, now, ver))
}

// storedFindings are those of the keys of a job whose period starts in [from, to).
func (c *Correlator) storedFindings(ctx context.Context, j *job, from, to time.Time) ([]schemas.Finding, error) {
	keys := c.withFindings.of(j.tenant, j.rule.Code, j.keys)
	if len(keys) == 0 {
		return nil, nil
	}
	return c.cfg.Store.Findings(ctx, j.tenant, j.rule.Code, keys, from, to)
}

// judged are the keys to ask what they do in a range of periods of which hours since the
// given time were touched, and those whose findings stand as they are. Where what comes in
// leaves alone what was found before it, only keys are asked that have a trigger since
// then, which are candidates, or a finding that has had one: whoever failed in the morning
// is not looked at again with each event of the day.
func judged(candidates []string, stored []schemas.Finding, since time.Time) (keys []string, standing map[string]bool) {
	keys = candidates
	for i := range stored {
		if !stored[i].Last.Before(since) {
			keys = append(keys, stored[i].Key)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	standing = map[string]bool{}
	for i := range stored {
		if _, asked := slices.BinarySearch(keys, stored[i].Key); !asked {
			standing[stored[i].Key] = true
		}
	}
	return keys, standing
}

// isWarming reports whether history is being matched for what a rule selects.
func (c *Correlator) isWarming(rule *detect.Correlation) bool {
	return slices.ContainsFunc(rule.Rules(), func(r *detect.Rule) bool { return c.warming[r.Selector] })
}

// foundOf is what the rule finds of all keys of a job.
func (c *Correlator) foundOf(ctx context.Context, j *job, from, to time.Time, ver uint64) ([]schemas.Finding, error) {
	keys, err := c.candidates(ctx, j, from, to)
	if err != nil {
		return nil, err
	}
	return c.found(ctx, j, keys, from, to, ver)
}

// found is what the rule finds of keys.
func (c *Correlator) found(ctx context.Context, j *job, keys []string, from, to time.Time, ver uint64) ([]schemas.Finding, error) {
	if now := c.cfg.Now().Add(time.Millisecond); j.rule.Ticks() && now.Before(to) {
		to = now // what time makes true is not true yet; and a clock that is fast tells of the future
	}
	var all []schemas.Finding
	for some := range slices.Chunk(keys, maxKeysOfHours) {
		rows, err := c.cfg.Store.Correlate(ctx, j.rule.Query(j.tenant, some, from, to))
		if err != nil {
			return nil, err
		}
		if rows, err = c.sinceLive(ctx, j, rows); err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r schemas.CorrelationRow) bool { return j.rule.Excepted(j.tenant, r) != nil })
		findings, err := c.explain(ctx, j, rows, ver)
		if err != nil {
			return nil, err
		}
		all = append(all, findings...)
	}
	return all, nil
}

// sinceLive leaves out of what a rule finds of a whole tenant what was before its first
// live event: what an imported history lacks says nothing of a stream that was not there.
func (c *Correlator) sinceLive(ctx context.Context, j *job, rows []schemas.CorrelationRow) ([]schemas.CorrelationRow, error) {
	if len(rows) == 0 || !j.rule.OfTenant() || c.cfg.Surroundings == nil {
		return rows, nil
	}
	live, err := c.firstLiveOf(ctx, j.tenant)
	if err != nil {
		return nil, fmt.Errorf("read the first live event of tenant %s: %w", j.tenant, err)
	}
	return slices.DeleteFunc(rows, func(r schemas.CorrelationRow) bool { return live.IsZero() || milli(r.Last).Before(live) }), nil
}

// change is what has to be done about one finding.
type change struct {
	kind    string          // "" is nothing
	was     schemas.Finding // the zero value for a new one
	finding schemas.Finding
	acted   bool           // somebody did something about it
	reason  schemas.Reason // of what is none of the events' doing
	alert   bool           // people are told
}

const (
	changeOpened       = "opened"
	changeWithdrawn    = "withdrawn"
	changeUpdated      = "updated"
	changePaged        = "paged" // its state is what it was
	changeAcknowledged = "acknowledged"
	changeResolved     = "resolved"
	changeReopened     = "reopened"
)

// compareFindings tells how to come from the stored findings to those that were
// found in the periods of [from, to). A stored finding that need not change is
// there, too, with no kind.
func compareFindings(stored, found []schemas.Finding, from, to, at time.Time, ver uint64) []change {
	before := make(map[string]schemas.Finding, len(stored))
	for _, f := range stored {
		before[f.ID] = f
	}
	changes := make([]change, 0, len(stored)+len(found))
	for _, now := range found {
		was := before[now.ID]
		delete(before, now.ID)
		changes = append(changes, compareFinding(was, now, at))
	}
	for _, was := range stored {
		if _, left := before[was.ID]; !left {
			continue
		}
		ch := change{was: was, finding: was}
		if was.State != schemas.StateWithdrawn && !was.Period.Before(from) && was.Period.Before(to) {
			ch.kind = changeWithdrawn
			ch.finding.State, ch.finding.Ver = schemas.StateWithdrawn, ver
			ch.finding.Changes++
		}
		changes = append(changes, ch)
	}
	return changes
}

// compareFinding compares one that holds with what is stored, which may be nothing.
func compareFinding(was, now schemas.Finding, at time.Time) change {
	now.Changes = was.Changes
	if was.State == "" || was.State == schemas.StateWithdrawn {
		now.Changes++
		now.FoundAt = at
		if now.Source == schemas.SourceRepair {
			now.Evidence.FoundLate = spanText(at.Sub(now.Last))
		}
		return change{kind: changeOpened, was: was, finding: now}
	}
	now.State, now.Paging, now.PagingReason, now.PagedAt, now.FoundAt = was.State, was.Paging, was.PagingReason, was.PagedAt, was.FoundAt
	now.Evidence.FoundLate = was.Evidence.FoundLate
	if weight(was.Source) > weight(now.Source) {
		now.Source = was.Source // somebody may have been told; when it goes, they must hear of that too
	}
	if same(was, now) {
		return change{was: was, finding: was}
	}
	return change{kind: changeUpdated, was: was, finding: now}
}

// weight orders sources by how much a finding that rests on one is news.
func weight(s schemas.Source) int {
	switch s {
	case schemas.SourceImport:
		return 0
	case schemas.SourceRepair:
		return 1
	}
	return 2
}

// same compares what people see of two findings.
func same(a, b schemas.Finding) bool {
	return a.Source == b.Source && bytes.Equal(mustJSON(a), mustJSON(b))
}

func mustJSON(f schemas.Finding) []byte {
	b, err := json.Marshal(f)
	if err != nil { // a struct of strings, numbers and times always marshals
		panic(err)
	}
	return b
}

// apply does what step's comment says about the order.
func (c *Correlator) apply(ctx context.Context, changes []change, at time.Time) error {
	if len(changes) == 0 {
		return nil
	}
	findings := make([]schemas.Finding, len(changes))
	for i, ch := range changes {
		findings[i] = ch.finding
		if !ch.alert {
			continue
		}
		if err := c.cfg.Alerts.PublishAlert(ctx, alertOf(ch.finding)); err != nil {
			return fmt.Errorf("publish the alert of finding %s: %w", ch.finding.ID, err)
		}
		c.cfg.At("alert_published")
	}
	if history := historyOf(changes, at); len(history) > 0 {
		if err := c.cfg.Store.InsertFindingChanges(ctx, history); err != nil {
			return fmt.Errorf("write the history of findings: %w", err)
		}
		c.cfg.At("history_written")
	}
	c.withFindings.add(findings)
	if err := c.cfg.Store.InsertFindings(ctx, findings); err != nil {
		return fmt.Errorf("write findings: %w", err)
	}
	c.cfg.At("findings_written")
	c.told.note(findings, c.byCode)
	c.tell(changes)
	return nil
}

// historyOf tells which of the changes are of a state, or of what people are told.
// A finding that only grows has none.
func historyOf(changes []change, at time.Time) []schemas.FindingChange {
	var history []schemas.FindingChange
	for i := range changes {
		was, now := &changes[i].was, &changes[i].finding
		if was.Changes == now.Changes {
			continue
		}
		h := schemas.FindingChange{
			N: now.Changes, State: now.State, Reason: cmp.Or(changes[i].reason, reasonOf(was, now)), At: at, Paging: now.Paging, PagingReason: now.PagingReason,
			FindingID: now.ID, Tenant: now.Tenant, Period: now.Period, Ver: now.Ver,
		}
		if was.Changes > 0 {
			h.Before = was.Extent()
		}
		if now.State != schemas.StateWithdrawn {
			h.After = now.Extent()
		}
		history = append(history, h)
	}
	return history
}

// reasonOf: what lies behind the last event of a finding cannot take its
// ground away, nor give it back; that is done by what came before it, late.
func reasonOf(was, now *schemas.Finding) schemas.Reason {
	if was.State == now.State {
		return schemas.ReasonPaging
	}
	if was.Changes == 0 || now.Last.After(was.Last) {
		return schemas.ReasonEvents
	}
	return schemas.ReasonLateEvents
}

// alertOf names an alert by the finding, its state and how often that changed,
// so that every repeat has the same name and no two changes share one.
func alertOf(f schemas.Finding) schemas.Alert {
	return schemas.Alert{ID: fmt.Sprintf("%s/%s/%d", f.ID, f.State, f.Changes), Finding: f}
}

func (c *Correlator) tell(changes []change) {
	for _, ch := range changes {
		c.metrics.findings.WithLabelValues(ch.finding.RuleID, ch.kind).Inc()
		if ch.alert {
			c.cfg.Logger.Info("finding "+ch.kind, "finding_id", ch.finding.ID, "tenant", ch.finding.Tenant,
				"rule_id", ch.finding.RuleID, "level", ch.finding.Level, "count", ch.finding.Count)
		}
	}
}
