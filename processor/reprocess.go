package processor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// minChunkRows is where chunks stop to get smaller.
const minChunkRows = 64

// run takes a job from where it stands to its end, or to an error. A job that
// the store refuses to carry out has failed.
func (r *Reprocessor) run(ctx context.Context, job *schemas.Reprocess, v *versions) error {
	before := job.Ver >> 32
	err := r.runDays(ctx, job, before, v)
	switch {
	case err == nil:
		job.State, job.Total = schemas.ReprocessDone, job.Done
	case errors.Is(err, schemas.ErrRefused):
		job.State, job.Error = schemas.ReprocessFailed, clip(err.Error(), 400)
	case errors.Is(err, schemas.ErrQueryTooLarge):
		r.rows = max(r.rows/2, minChunkRows)
		return err
	default:
		return err
	}
	if err := r.save(ctx, job, v); err != nil {
		return err
	}
	r.cfg.Logger.Info("reprocess is over", "job", job.ID, "tenant", job.Tenant, "state", string(job.State), "dry_run", job.DryRun,
		"done", job.Done, "changed", job.Changed, "moved", job.Moved, "errors", job.Errors, "error", job.Error)
	return nil
}

func (r *Reprocessor) save(ctx context.Context, job *schemas.Reprocess, v *versions) error {
	job.Ver, job.UpdatedAt = v.next(), r.cfg.Now().UTC().Truncate(time.Millisecond)
	if err := r.cfg.Store.SaveReprocess(ctx, *job); err != nil {
		return fmt.Errorf("save how far reprocess %s is: %w", job.ID, err)
	}
	return nil
}

// runDays goes from day to day. before is the epoch of who had the job last.
func (r *Reprocessor) runDays(ctx context.Context, job *schemas.Reprocess, before uint64, v *versions) error {
	if v.epoch > schemas.MaxEpoch {
		return fmt.Errorf("%w: %d epochs of reprocesses are used up", schemas.ErrRefused, schemas.MaxEpoch)
	}
	r.rebase(job)
	days, err := r.cfg.Store.RecordDays(ctx, job.Tenant, job.From, job.To)
	if err != nil {
		return fmt.Errorf("look for the days of reprocess %s: %w", job.ID, err)
	}
	job.Total = 0
	for _, d := range days {
		job.Total += d.Count
	}
	job.Total = max(job.Total, job.Done)
	job.State = schemas.ReprocessRunning
	if err := r.save(ctx, job, v); err != nil {
		return err
	}
	r.cfg.Logger.Info("this process reprocesses", "job", job.ID, "tenant", job.Tenant, "records", job.Total, "done", job.Done, "epoch", v.epoch)
	for _, d := range days {
		if job.Position != nil && d.Day.Before(job.Position.Day()) {
			continue
		}
		if err := r.runDay(ctx, job, d.Day, before, v); err != nil {
			return fmt.Errorf("reprocess %s of %s: %w", d.Day.Format(time.DateOnly), job.Tenant, err)
		}
	}
	return nil
}

// rebase lets a job begin anew that was begun on another basis: behind its
// position lies what that made of the records. All of it counts as begun, as
// any of it may be.
func (r *Reprocessor) rebase(job *schemas.Reprocess) {
	basis := r.basis()
	if job.Basis != basis && job.Position != nil {
		if job.Begun == nil || job.Begun.Compare(*job.Position) < 0 {
			job.Begun = job.Position
		}
		if job.DryRun {
			job.Begun = nil
		}
		job.Position, job.Done, job.Changed, job.Moved, job.Errors, job.Error = nil, 0, 0, 0, 0, ""
	}
	job.Basis = basis
}

func (r *Reprocessor) runDay(ctx context.Context, job *schemas.Reprocess, day time.Time, before uint64, v *versions) error {
	next := schemas.RecordRange{Tenant: job.Tenant, From: day, To: day.Add(24 * time.Hour), Bytes: r.cfg.ChunkBytes}
	if job.From.After(next.From) {
		next.From = job.From
	}
	if job.To.Before(next.To) {
		next.To = job.To
	}
	for all := false; !all; {
		next.After, next.Rows = nil, r.rows
		if job.Position != nil && job.Position.Day().Equal(day) {
			next.After = job.Position
		}
		var records []schemas.StoredRecord
		var err error
		if records, all, err = r.cfg.Store.StoredRecords(ctx, next); err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		if err := r.chunk(ctx, job, records, before, v); err != nil {
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
//     already included, with a higher version. Without it he would find records
//     that are as they should be, and their hours not touched.
//  2. Matches. They are believed only beside events of their version, which
//     are not there yet; those of before are, until their events are replaced.
//     The other way round findings would lose their ground in between.
//  3. Events, and marks of those that moved. Now what is read is the new event.
//  4. Touches of what was there before and what is there now. They come last,
//     as in a flush: who acts on them finds all that they need.
//  5. The position is saved.
//
// What is written is a function of the record, the normalizer, the catalogue
// and the rules, of which a holder of the lease never changes the last three: see
// schemas.VersionAgain. A holder that stalled is kept from writing by the
// store; what it may still write, index rows and touches, are hints.
func (r *Reprocessor) chunk(ctx context.Context, job *schemas.Reprocess, records []schemas.StoredRecord, before uint64, v *versions) error {
	end := schemas.PlaceOf(&records[len(records)-1].Event)
	again := job.Begun != nil && (job.Position == nil || job.Position.Compare(*job.Begun) < 0)
	c := renewal{job: *job, again: again, before: before, epoch: v.epoch}
	for i := range records {
		r.renew(&c, &records[i])
	}
	if len(c.was) > 0 && !job.DryRun {
		if job.Begun == nil || job.Begun.Compare(end) < 0 {
			job.Begun = &end
		}
		if err := r.replace(ctx, job, &c, records, v); err != nil {
			return err
		}
	}
	c.job.Begun, c.job.Position = job.Begun, &end
	r.metrics.records.Add(float64(c.job.Done - job.Done))
	r.metrics.changed.Add(float64(c.job.Changed - job.Changed))
	*job = c.job
	if err := r.save(ctx, job, v); err != nil {
		return err
	}
	r.cfg.At("position_saved")
	return nil
}

func (r *Reprocessor) replace(ctx context.Context, job *schemas.Reprocess, c *renewal, records []schemas.StoredRecord, v *versions) error {
	if err := r.save(ctx, job, v); err != nil {
		return err
	}
	r.cfg.At("begun")
	touches, err := r.touches(ctx, c, records)
	if err != nil {
		return err
	}
	if err := r.cfg.Store.ReplaceMatches(ctx, v.epoch, c.matches); err != nil {
		return err
	}
	r.cfg.At("matches_replaced")
	if err := r.cfg.Store.ReplaceRecords(ctx, v.epoch, c.renewed); err != nil {
		return err
	}
	r.cfg.At("records_replaced")
	if err := r.cfg.Store.InsertTouches(ctx, touches); err != nil {
		return err
	}
	r.cfg.At("touches_inserted")
	return nil
}

// renewal is what becomes of a chunk.
type renewal struct {
	job    schemas.Reprocess // with what the chunk adds to its numbers
	again  bool              // a part of it may be written already
	before uint64            // epoch of who may have
	epoch  uint64

	was     []schemas.Event // what is to be touched as it was, and where it would be
	renewed []schemas.StoredRecord
	matches []schemas.Match
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
	written := c.again && stored.Ver&schemas.MaxEpoch >= max(c.before, 1) // by the attempt before
	if !stored.Deleted || written {
		c.job.Done++
	}
	if c.again {
		c.was = append(c.was, stored.Event)
	}
	e, err := r.normalize(stored)
	if err != nil {
		c.leave(stored, err)
		return
	}
	if c.again {
		c.was = append(c.was, e)
	}
	e.Ver = schemas.VersionAgain(e.Ver, c.epoch)
	before := len(c.matches)
	c.matches = r.cfg.Matcher.Match(c.matches, &e)
	e.Selectors = selectors(c.matches[before:])
	moved := !sameKey(&stored.Event, &e)
	changed := moved || !sameEvent(&stored.Event, &e)
	if !changed && !c.again {
		c.matches = c.matches[:before]
		return
	}
	if e.Ver < stored.Ver { // it would lose
		c.matches = c.matches[:before]
		c.leave(stored, errors.New("a newer build, or newer .mmdb files, made what is stored"))
		return
	}
	if changed && !stored.Deleted || written {
		c.job.Changed++
		if moved {
			c.job.Moved++
		}
	}
	if !c.again {
		c.was = append(c.was, stored.Event)
	}
	if moved {
		mark := schemas.StoredRecord{Event: stored.Event, Deleted: true}
		mark.Ver = e.Ver
		c.renewed = append(c.renewed, mark)
	}
	c.renewed = append(c.renewed, schemas.StoredRecord{Event: e})
}

// leave tells why a record stays as it is.
func (c *renewal) leave(stored *schemas.StoredRecord, err error) {
	if stored.Deleted {
		return
	}
	if !c.again {
		c.was = append(c.was, stored.Event)
	}
	c.job.Errors++
	c.job.Error = clip(fmt.Sprintf("log_id %s: %v", stored.LogID, err), 400)
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

// touches are all that depends on what is changed. The keys of matches that go
// were made by rules that may be gone too, so the store is asked for them. It
// knows those of all events between the first and the last client; too many
// cost a look and change nothing.
func (r *Reprocessor) touches(ctx context.Context, c *renewal, records []schemas.StoredRecord) ([]schemas.Touch, error) {
	flush := newFlushID(r.cfg.Now())
	events := slices.Clone(c.was)
	for i := range c.renewed {
		events = append(events, c.renewed[i].Event)
	}
	touches := append(schemas.Touches(flush, c.matches), schemas.CountTouches(flush, events)...)
	type place struct {
		selector string
		hour     int64
	}
	selected := map[place]bool{}
	for i := range c.was {
		for _, s := range c.was[i].Selectors {
			selected[place{s, c.was[i].Time.Truncate(time.Hour).Unix()}] = true
		}
	}
	if len(selected) == 0 && !c.again {
		return touches, nil
	}
	first, last := &records[0], &records[len(records)-1]
	matched, err := r.cfg.Store.Matched(ctx, c.job.Tenant, first.Time, first.ClientID, last.ClientID)
	if err != nil {
		return nil, err
	}
	for _, t := range matched {
		if c.again || selected[place{t.Selector, t.Bucket.Unix()}] {
			t.Flush = flush
			touches = append(touches, t)
		}
	}
	return touches, nil
}
