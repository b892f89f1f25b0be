package processor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// confirmers is how many acks and dead letters wait for their confirmation
	// at a time.
	confirmers = 16
	// ackTimeout bounds the acks of a flush: what is not acked comes again and
	// is stored over itself.
	ackTimeout = 5 * time.Second
)

// flush is one batch on its way to the store.
type flush struct {
	p        *Processor
	b        *batch
	id       string
	stopping <-chan struct{} // closed when the processor is to stop: no more attempts
}

// runFlush gives the slot free when it is done with b, stored or given back.
func (p *Processor) runFlush(ctx context.Context, b *batch) {
	defer func() { <-p.slot }()
	began := time.Now()
	f := &flush{p: p, b: b, id: newFlushID(p.cfg.Now()), stopping: ctx.Done()}
	ctx, cancel := outlive(ctx, p.cfg.ShutdownTimeout)
	defer cancel()
	ctx, ended := p.cfg.Tracer.Flush(ctx, f.id, b.messages)
	b.dropLosers(p.index)
	err := f.run(ctx)
	ended(len(b.events), len(b.dead), err)
	if err != nil { // only when the processor stops
		p.giveBack(b.messages)
		return
	}
	p.metrics.flushSeconds.Observe(time.Since(began).Seconds())
	b.reset()
	select {
	case p.spare <- b:
	default:
	}
}

// run takes the steps in their order. Whatever step it is, a crash before the
// last one makes all messages come again, and every step may be taken again:
//
//  1. events: without the later steps they would be stored and not correlated.
//  2. matches: they are believed only beside their events.
//  3. touches: the correlator and the recount act on them, and find all that
//     they need.
//  4. dead letters: a repeat lands on the same subject.
//  5. ack: the messages are gone from LOGS. A crash between two acks brings
//     the others again.
func (f *flush) run(ctx context.Context) error {
	if err := f.insertEvents(ctx); err != nil {
		return err
	}
	f.p.cfg.At("events_inserted")
	if err := f.insertMatches(ctx); err != nil {
		return err
	}
	f.p.cfg.At("matches_inserted")
	if err := f.insertTouches(ctx); err != nil {
		return err
	}
	f.p.cfg.At("touches_inserted")
	f.p.cfg.Stored()
	f.stored()
	if err := f.publishDead(ctx); err != nil {
		return err
	}
	f.ack(ctx)
	f.p.cfg.At("acked")
	return nil
}

// insertEvents matches the events, as their rows name the selectors, and
// stores them. A record that the store refuses has no matches.
func (f *flush) insertEvents(ctx context.Context) error {
	f.match(ctx)
	refused := map[*schemas.Event]bool{}
	err := insertAll(ctx, f.b.events, trying(f, f.p.cfg.Store.InsertEvents), func(e *schemas.Event, err error) {
		refused[e] = true
		f.giveUp(e, "the store refuses it", err)
	})
	if len(refused) > 0 {
		f.b.events = dropRefused(f.b.events, refused)
		f.match(ctx)
	}
	return err
}

func (f *flush) match(ctx context.Context) {
	ended := f.p.cfg.Tracer.Match(ctx)
	defer func() { ended(len(f.b.matches)) }()
	f.b.matches = f.b.matches[:0]
	for i := range f.b.events {
		e := &f.b.events[i]
		before := len(f.b.matches)
		f.b.matches = f.p.cfg.Matcher.Match(f.b.matches, e)
		e.Selectors = selectors(f.b.matches[before:])
	}
}

// selectors are the names of those that made the matches, sorted.
func selectors(matches []schemas.Match) []string {
	if len(matches) == 0 {
		return nil
	}
	names := make([]string, len(matches))
	for i := range matches {
		names[i] = matches[i].Selector
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (f *flush) insertMatches(ctx context.Context) error {
	refused := map[*schemas.Match]bool{}
	err := insertAll(ctx, f.b.matches, trying(f, f.p.cfg.Store.InsertMatches), func(m *schemas.Match, err error) {
		refused[m] = true
		f.giveUpMatch(m, "the store refuses its match of "+m.Selector, err)
	})
	f.b.matches = dropRefused(f.b.matches, refused)
	return err
}

func (f *flush) insertTouches(ctx context.Context) error {
	all := append(schemas.Touches(f.id, f.b.matches), schemas.CountTouches(f.id, f.b.events)...)
	return insertTouches(ctx, all, f.p.cfg.Now, trying(f, f.p.cfg.Store.InsertTouches), func(t *schemas.Touch, err error) {
		if t.Selector == schemas.SelectorCounts {
			f.giveUpUncounted(t, err)
			return
		}
		for i := range f.b.matches {
			if m := &f.b.matches[i]; m.Selector == t.Selector && m.Tenant == t.Tenant && m.Key == t.Key && m.Time.Truncate(time.Hour).Equal(t.Bucket) {
				f.giveUpMatch(m, "the store refuses the touch of "+t.Selector, err)
				return
			}
		}
	})
}

// insertTouches stores the touches of a flush in one insert. Where the store
// refuses one of them there are several, each with an id of its own: a reader
// that saw a part of a flush's touches would mark the whole of it done.
func insertTouches(ctx context.Context, all []schemas.Touch, now func() time.Time, insert func(context.Context, []schemas.Touch) error, refused func(*schemas.Touch, error)) error {
	return insertAll(ctx, all, func(ctx context.Context, touches []schemas.Touch) error {
		if len(touches) < len(all) {
			id := newFlushID(now())
			for i := range touches {
				touches[i].Flush = id
			}
		}
		return insert(ctx, touches)
	}, refused)
}

// insertAll inserts rows. Where the store refuses them it halves them until
// the refused row is alone, and gives that to refused: one bad row among n
// costs 2 log n inserts, and the others are stored.
func insertAll[R any](ctx context.Context, rows []R, insert func(context.Context, []R) error, refused func(*R, error)) error {
	if len(rows) == 0 {
		return nil
	}
	err := insert(ctx, rows)
	if !errors.Is(err, schemas.ErrRefused) {
		return err
	}
	if len(rows) == 1 {
		refused(&rows[0], err)
		return nil
	}
	half := len(rows) / 2
	if err := insertAll(ctx, rows[:half:half], insert, refused); err != nil {
		return err
	}
	return insertAll(ctx, rows[half:], insert, refused)
}

// trying is an insert that is tried until it succeeds, is refused, or the
// processor is to stop.
func trying[R any](f *flush, insert func(context.Context, []R) error) func(context.Context, []R) error {
	return func(ctx context.Context, rows []R) error {
		return f.try(f.p.store, func() error { return insert(ctx, rows) })
	}
}

// try calls until it succeeds, is refused, or the processor is to stop.
func (f *flush) try(o *outage, call func() error) error {
	var retry backoff
	for {
		err := call()
		if err == nil || errors.Is(err, schemas.ErrRefused) {
			o.end()
			return err
		}
		select {
		case <-f.stopping: // which may be why it failed
			return err
		default:
		}
		o.begin(err)
		if !wait(f.stopping, retry.next()) {
			return err
		}
	}
}

// giveUp sends the record of e to DEAD.
func (f *flush) giveUp(e *schemas.Event, reason string, err error) {
	log := schemas.Log{Tenant: e.Tenant, Source: e.Source, IngestedAt: e.IngestedAt, Raw: e.Raw, Masked: e.RawMasked}
	f.b.giveUp(&log, &refusal{schemas.DeadCodeStore, reason + ": " + clip(err.Error(), 200)}, f.p.cfg.Now())
}

// giveUpMatch sends the record of m to DEAD: it is stored, and sent again from
// there it is matched again.
func (f *flush) giveUpMatch(m *schemas.Match, reason string, err error) {
	for i := range f.b.events {
		if e := &f.b.events[i]; e.LogID == m.LogID && e.Tenant == m.Tenant && e.Ver == m.Ver {
			f.giveUp(e, reason, err)
			return
		}
	}
}

// giveUpUncounted sends a record to DEAD whose hour is not touched: it is
// stored, and sent again from there it is counted.
func (f *flush) giveUpUncounted(t *schemas.Touch, err error) {
	for i := range f.b.events {
		if e := &f.b.events[i]; e.Tenant == t.Tenant && e.ClientID == t.Key && e.Time.Truncate(time.Hour).Equal(t.Bucket) {
			f.giveUp(e, "the store refuses to count it", err)
			return
		}
	}
}

// dropRefused returns rows without those that are refused.
func dropRefused[R any](rows []R, refused map[*R]bool) []R {
	if len(refused) == 0 {
		return rows
	}
	kept := rows[:0:0]
	for i := range rows {
		if !refused[&rows[i]] {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

// stored counts what is in the store now.
func (f *flush) stored() {
	bySource := map[schemas.Source]int{}
	for i := range f.b.events {
		bySource[f.b.events[i].Source]++
	}
	for source, n := range bySource {
		f.p.metrics.records.WithLabelValues(source.String()).Add(float64(n))
	}
	f.p.metrics.flushRows.Observe(float64(len(f.b.events)))
	if !f.b.oldest.IsZero() {
		delay := f.p.cfg.Now().Sub(f.b.oldest)
		f.p.delay.Store(int64(delay))
		f.p.metrics.delay.Observe(delay.Seconds())
	}
}

// publishDead returns nil when every record that was given up is on disk. DEAD
// that is full is an outage like any other: nothing is acked meanwhile.
func (f *flush) publishDead(ctx context.Context) error {
	var failed atomic.Pointer[error]
	each(f.b.dead, func(d *schemas.Dead) {
		if failed.Load() != nil {
			return
		}
		if err := f.try(f.p.dead, func() error { return f.p.cfg.Dead.PublishDead(ctx, *d) }); err != nil {
			failed.Store(&err)
			return
		}
		f.p.metrics.dead.WithLabelValues(string(d.Code)).Add(float64(max(d.Pieces, 1)))
	})
	if err := failed.Load(); err != nil {
		return *err
	}
	if n := len(f.b.dead); n > 0 {
		first := &f.b.dead[0]
		f.p.cfg.Logger.Warn("records went to DEAD", "dead", n, "tenant", first.Tenant, "source", first.Source.String(), "first_reason", first.Reason)
	}
	return nil
}

// ack has the last word on every message. One that fails comes again.
func (f *flush) ack(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	f.p.held.release(f.b.messages)
	var failed atomic.Pointer[error]
	each(f.b.messages, func(m *schemas.Message) {
		if err := (*m).Ack(ctx); err != nil {
			f.p.metrics.ackFailures.Inc()
			failed.Store(&err)
		}
	})
	if err := failed.Load(); err != nil {
		f.p.cfg.Logger.Warn("messages were stored and not acked: they come again", "error", *err)
	}
}

// each calls do for every row, for several at a time, and returns when all
// calls have.
func each[R any](rows []R, do func(*R)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(confirmers, len(rows)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(rows)); i = next.Add(1) - 1 {
				do(&rows[i])
			}
		})
	}
	wg.Wait()
}
