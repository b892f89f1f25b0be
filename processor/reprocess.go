package processor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// minChunkRows is where chunks stop to get smaller.
const minChunkRows = 64

// errGenerationsUsedUp is why a record is left that would be written anew.
var errGenerationsUsedUp = fmt.Errorf("build, event types, rules or files have changed between reprocesses %d times, and ver has room for no more", schemas.MaxGeneration)

// task is a job that is run.
type task struct {
	*schemas.Reprocess
	v          *versions
	generation uint64 // of what it writes
	isNew      bool   // nothing is written by that generation yet
}

// isBegun tells whether something behind the position may be half written.
func (t *task) isBegun() bool {
	return t.Begun != nil && (t.Position == nil || t.Position.Compare(*t.Begun) < 0)
}

// errCanceled ends a job that somebody has canceled.
var errCanceled = errors.New("canceled")

// canceled looks for that where nothing is begun: hours would stay untouched.
func (r *Reprocessor) canceled(ctx context.Context, t *task) error {
	if t.isBegun() {
		return nil
	}
	canceled, err := r.cfg.Store.ReprocessCanceled(ctx, t.ID)
	if err == nil && canceled {
		return errCanceled
	}
	return err
}

// run takes a job from where it stands to its end, or to an error.
func (r *Reprocessor) run(ctx context.Context, job *schemas.Reprocess, v *versions) error {
	t := task{Reprocess: job, v: v}
	err := r.runDays(ctx, &t)
	if errors.Is(err, schemas.ErrQueryTooLarge) {
		r.rows = max(r.rows/2, minChunkRows)
	}
	switch {
	case err == nil:
		job.State, job.Total = schemas.ReprocessDone, job.Done
	case errors.Is(err, errCanceled):
		job.State = schemas.ReprocessCanceled
	default:
		return fmt.Errorf("reprocess %s: %w", job.ID, err)
	}
	if err := r.save(ctx, &t); err != nil {
		return err
	}
	r.cfg.Logger.Info("job is over", "job", job.ID, "tenant", job.Tenant, "state", string(job.State), "dry_run", job.DryRun,
		"done", job.Done, "changed", job.Changed, "moved", job.Moved, "errors", job.Errors, "error", job.Error)
	return nil
}

func (r *Reprocessor) save(ctx context.Context, t *task) error {
	t.Ver, t.UpdatedAt = t.v.next(), r.cfg.Now().UTC().Truncate(time.Millisecond)
	if err := r.cfg.Store.SaveReprocess(ctx, *t.Reprocess); err != nil {
		return fmt.Errorf("save how far it is: %w", err)
	}
	return nil
}

// runDays goes from day to day, and begins anew where other rules are in force.
func (r *Reprocessor) runDays(ctx context.Context, t *task) error {
	for {
		r.matcher, r.selectors = r.cfg.Current()
		if err := r.runDaysBy(ctx, t); !errors.Is(err, errOtherRules) {
			return err
		}
	}
}

// runDaysBy is runDays with the rules that r holds.
func (r *Reprocessor) runDaysBy(ctx context.Context, t *task) error {
	if err := r.canceled(ctx, t); err != nil {
		return err
	}
	r.rebase(t.Reprocess)
	last, basis, err := r.cfg.Store.LastGeneration(ctx)
	if err != nil {
		return fmt.Errorf("look for its generation: %w", err)
	}
	if t.generation = last; basis != t.Basis {
		t.generation, t.isNew = last+1, true
	}
	days, err := r.cfg.Store.RecordDays(ctx, t.Tenant, t.From, t.To)
	if err != nil {
		return fmt.Errorf("look for its days: %w", err)
	}
	t.Total = 0
	for _, d := range days {
		t.Total += d.Count
	}
	t.Total = max(t.Total, t.Done)
	if t.State == schemas.ReprocessPending {
		r.cfg.Logger.Info("job begins", "job", t.ID, "tenant", t.Tenant, "records", t.Total, "dry_run", t.DryRun)
	}
	t.State = schemas.ReprocessRunning
	if err := r.save(ctx, t); err != nil {
		return err
	}
	r.cfg.At("running_saved")
	for _, d := range days {
		if t.Position != nil && d.Day.Before(t.Position.Day()) {
			continue
		}
		if err := r.runDay(ctx, t, d.Day); err != nil {
			return fmt.Errorf("%s of %s: %w", d.Day.Format(time.DateOnly), t.Tenant, err)
		}
	}
	return nil
}

// rebase lets a job begin anew that was begun on another basis: behind its
// position lies what that made of the records. All of it counts as begun, as
// any of it may be, and as read, as it is; but what is left and why depends on
// the basis.
func (r *Reprocessor) rebase(job *schemas.Reprocess) {
	basis := r.basis()
	if job.Basis != basis && job.Position != nil {
		if job.Begun == nil || job.Begun.Compare(*job.Position) < 0 {
			job.Begun = job.Position
		}
		if job.DryRun {
			job.Begun, job.Done, job.Changed, job.Moved = nil, 0, 0, 0
		}
		job.Position, job.Errors, job.Error = nil, 0, ""
	}
	job.Basis = basis
}

func (r *Reprocessor) runDay(ctx context.Context, t *task, day time.Time) error {
	next := schemas.RecordRange{Tenant: t.Tenant, From: day, To: day.Add(24 * time.Hour), Bytes: r.cfg.ChunkBytes}
	if t.From.After(next.From) {
		next.From = t.From
	}
	if t.To.Before(next.To) {
		next.To = t.To
	}
	for all := false; !all; {
		if err := r.canceled(ctx, t); err != nil {
			return err
		}
		if r.rulesChanged() {
			return errOtherRules
		}
		next.After, next.Rows = nil, r.rows
		if t.Position != nil && t.Position.Day().Equal(day) {
			next.After = t.Position
		}
		var records []schemas.StoredRecord
		var err error
		if records, all, err = r.cfg.Store.StoredRecords(ctx, next); err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		if err := r.chunk(ctx, t, records); err != nil {
			return err
		}
	}
	return nil
}

// chunk does what is to be done about some records that follow the job's
// position. Its order, and what a crash between two steps means:
//
//  1. That they are begun is saved. A crash behind it, here or further below:
//     whoever goes on sees it and does the whole of it again, what is changed
//     already included. Without it he would find records that are as they
//     should be, and their hours not touched.
//  2. Matches. They are believed only beside events of their version, which
//     are not there yet; those of before are, until their events are replaced.
//     The other way round findings would lose their ground in between.
//  3. Events. Now what is read is the new event.
//  4. Marks of those that moved. A crash before it leaves a record in two places
//     until the chunk is done again; the other way round it might be in none.
//  5. Touches of what was there before and what is there now. They come last,
//     as in a flush: who acts on them finds all that they need.
//  6. The position is saved.
//
// What is written is a function of the record and the basis, of which each has
// a generation of its own: see schemas.VersionAgain. A holder that stalled is
// kept from writing by the store; what it may still write, index rows and
// touches, are hints.
func (r *Reprocessor) chunk(ctx context.Context, t *task, records []schemas.StoredRecord) error {
	end := schemas.PlaceOf(&records[len(records)-1].Event)
	before := *t.Reprocess
	c := renewal{task: t, counted: t.Begun, again: t.isBegun()}
	for i := range records {
		r.renew(&c, &records[i])
	}
	if len(c.touched) > 0 && !t.DryRun {
		if err := r.replace(ctx, &c, end); err != nil {
			return err
		}
	}
	t.Position, t.Errors = &end, t.Errors+c.errors
	if c.errors > 0 {
		t.Error = c.err
	}
	r.metrics.records.Add(float64(t.Done - before.Done))
	r.metrics.changed.Add(float64(t.Changed - before.Changed))
	if err := r.save(ctx, t); err != nil {
		return err
	}
	r.cfg.At("position_saved")
	return nil
}

func (r *Reprocessor) replace(ctx context.Context, c *renewal, end schemas.RecordPlace) error {
	t, store := c.task, r.cfg.Store
	if len(c.renewed) > 0 && t.isNew {
		if err := store.BeginGeneration(ctx, t.v.epoch, t.generation, t.Basis); err != nil {
			return err
		}
		t.isNew = false
	}
	if t.Begun == nil || t.Begun.Compare(end) < 0 {
		t.Begun = &end
	}
	if err := r.save(ctx, t); err != nil {
		return err
	}
	r.cfg.At("begun")
	flush := newFlushID(r.cfg.Now())
	touches := append(schemas.Touches(flush, c.matches()), schemas.CountTouches(flush, c.touched)...)
	replaceMatches := func(ctx context.Context, matches []schemas.Match) error {
		return store.ReplaceMatches(ctx, t.v.epoch, matches)
	}
	if err := insertAll(ctx, c.matches(), replaceMatches, func(m *schemas.Match, err error) { c.refuse(m.LogID, err) }); err != nil {
		return err
	}
	r.cfg.At("matches_replaced")
	replaceRecords := func(ctx context.Context, records []schemas.StoredRecord) error {
		return store.ReplaceRecords(ctx, t.v.epoch, records)
	}
	refused := func(s *schemas.StoredRecord, err error) { c.refuse(s.LogID, err) }
	if err := insertAll(ctx, c.events(), replaceRecords, refused); err != nil {
		return err
	}
	r.cfg.At("records_replaced")
	if err := insertAll(ctx, c.marks(), replaceRecords, refused); err != nil {
		return err
	}
	r.cfg.At("marks_inserted")
	if err := insertTouches(ctx, touches, r.cfg.Now, store.InsertTouches, func(_ *schemas.Touch, err error) { c.fail("a touch", err) }); err != nil {
		return err
	}
	r.cfg.At("touches_inserted")
	return nil
}

// renewal is what becomes of a chunk.
type renewal struct {
	task    *task
	counted *schemas.RecordPlace // up to there records are in the job's numbers
	again   bool                 // a part of the chunk may be written already

	touched []schemas.Event // what was and what is there, the hours to be counted
	renewed []renewed
	errors  uint64
	err     string // the last of them
}

// renewed is a record that is to be written anew.
type renewed struct {
	was, is schemas.Event
	matches []schemas.Match
	counts  bool // in the job's numbers
	moved   bool
}

func (c *renewal) matches() (all []schemas.Match) {
	for i := range c.renewed {
		all = append(all, c.renewed[i].matches...)
	}
	return all
}

func (c *renewal) events() (all []schemas.StoredRecord) {
	for i := range c.renewed {
		all = append(all, schemas.StoredRecord{Event: c.renewed[i].is})
	}
	return all
}

// marks are in place of what moved.
func (c *renewal) marks() (all []schemas.StoredRecord) {
	for i := range c.renewed {
		if n := &c.renewed[i]; n.moved {
			mark := schemas.StoredRecord{Event: n.was, Deleted: true}
			mark.Ver = n.is.Ver
			all = append(all, mark)
		}
	}
	return all
}

// renew normalizes one stored record again. The mark of one that moved counts
// only where the chunk is done again: the move may be half written.
//
// Where the chunk is done again, or the record is left, its hour is touched in
// any case. The attempt before may have written it, or moved it here, by newer
// files or a newer build than these: then nobody else touches what that did.
func (r *Reprocessor) renew(c *renewal, stored *schemas.StoredRecord) {
	if stored.Deleted && !c.again {
		return
	}
	counts := !stored.Deleted && (c.counted == nil || schemas.PlaceOf(&stored.Event).Compare(*c.counted) > 0)
	if counts {
		c.task.Done++
	}
	e, err := r.normalize(stored)
	if err != nil {
		c.leave(stored, err)
		return
	}
	e.Ver = schemas.VersionAgain(e.Ver, c.task.generation)
	matches := r.matcher.Match(nil, &e)
	e.Selectors = selectors(matches)
	moved := !sameKey(&stored.Event, &e)
	changed := moved || !sameEvent(&stored.Event, &e)
	if !changed && !c.again {
		return
	}
	c.touched = append(c.touched, e)
	switch {
	case c.task.generation > schemas.MaxGeneration: // its ver says nothing then
		err = errGenerationsUsedUp
	case e.Ver < stored.Ver:
		err = errors.New("a newer build, or newer .mmdb files, made what is stored")
	}
	if err != nil && changed {
		c.leave(stored, err)
		return
	}
	c.touched = append(c.touched, stored.Event)
	if err != nil {
		return
	}
	n := renewed{stored.Event, e, matches, counts && changed, moved}
	c.count(&n, 1)
	c.renewed = append(c.renewed, n)
}

// count adds n, or takes it away, where it is not counted yet.
func (c *renewal) count(n *renewed, by uint64) {
	if n.counts {
		c.task.Changed += by
	}
	if n.counts && n.moved {
		c.task.Moved += by
	}
}

// leave tells why a record stays as it is.
func (c *renewal) leave(stored *schemas.StoredRecord, err error) {
	c.touched = append(c.touched, stored.Event)
	if !stored.Deleted {
		c.fail("log_id "+stored.LogID, err)
	}
}

// refuse leaves a record of which the store refuses something. What is written
// of it already, its matches, is not believed without it.
func (c *renewal) refuse(logID string, err error) {
	kept := c.renewed[:0]
	for _, n := range c.renewed {
		if n.is.LogID != logID {
			kept = append(kept, n)
			continue
		}
		c.count(&n, ^uint64(0))
	}
	c.renewed = kept
	c.fail("log_id "+logID, err)
}

func (c *renewal) fail(what string, err error) {
	c.errors++
	c.err = clip(what+": "+err.Error(), 400)
}

func (r *Reprocessor) normalize(stored *schemas.StoredRecord) (schemas.Event, error) {
	e, err := r.normalizer.Normalize(&schemas.Log{
		Tenant: stored.Tenant, Source: stored.Source, IngestedAt: stored.IngestedAt, Raw: stored.Raw, Masked: stored.RawMasked,
	})
	if err != nil {
		return e, err
	}
	return e, checkTime(e.Time, r.cfg.Now(), r.cfg.Retention)
}

// sameEvent reports whether a record need not be written again. Its version
// and the time at which it was stored are no part of what it says.
func sameEvent(stored, now *schemas.Event) bool {
	a, b := *stored, *now
	for _, e := range []*schemas.Event{&a, &b} {
		e.Ver, e.StoredAt = 0, time.Time{}
		e.Time, e.IngestedAt = time.UnixMilli(e.Time.UnixMilli()).UTC(), time.UnixMilli(e.IngestedAt.UnixMilli()).UTC()
		if len(e.Scopes) == 0 {
			e.Scopes = nil
		}
		if len(e.Selectors) == 0 {
			e.Selectors = nil
		}
	}
	return reflect.DeepEqual(a, b)
}
