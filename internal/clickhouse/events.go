package clickhouse

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Events lists events without their raw logs, newest first. It looks in
// windows that grow from the newest event backwards, so that the first page of
// a long history does not read all of it. Without a tenant it lists those of
// all.
func (r *Reader) Events(ctx context.Context, f schemas.EventFilter) ([]schemas.Event, error) {
	span, err := r.span(ctx)
	if err != nil || span.Rows == 0 {
		return nil, err
	}
	f.From = r.within(f.From, "events")
	from, to := eventBounds(f, span)
	limit := listingLimit(f.Limit)
	l := listing{r: r, filter: f, places: placesOf(f), limit: limit, batch: max(minCandidates, limit+limit/8)}
	for lo, hi := range windows(from, to) {
		if err := l.window(ctx, lo, hi); err != nil {
			return nil, err
		}
		if len(l.events) >= l.limit {
			break
		}
	}
	return l.events, nil
}

// listing is a list of events that is being filled, the newest first.
type listing struct {
	r      *Reader
	filter schemas.EventFilter
	places places
	limit  int
	events []schemas.Event
	batch  int // candidates to look at next
}

// How many candidates are looked at together: some more than are to be listed,
// as copies share one, and more from batch to batch where few of them pass.
const (
	minCandidates = 50
	maxCandidates = 20_000
)

// window adds the events of [from, to) Unix milliseconds until the listing is
// full. Where an index serves the filter it goes from batch to batch of
// candidates. A batch is a range of time and all that is in it, whatever is
// inserted meanwhile, and never a part of a millisecond.
func (l *listing) window(ctx context.Context, from, to int64) error {
	for to > from && len(l.events) < l.limit {
		start := from
		if l.places != nil {
			var err error
			if start, err = l.r.batchStart(ctx, l.places, l.filter, from, to, l.batch); err != nil {
				return err
			}
			l.batch = min(2*l.batch, maxCandidates)
		}
		if start >= to { // no candidate is left
			return nil
		}
		if err := l.read(ctx, start, to); err != nil {
			return err
		}
		to = start
	}
	return nil
}

// read adds the newest events of [from, to).
func (l *listing) read(ctx context.Context, from, to int64) error {
	rows := newEventScan()
	q := eventsQuery(l.filter, l.places, from, to, l.limit-len(l.events))
	events, err := collect(ctx, l.r.conn, "list events", q, func(scan scanner) (schemas.Event, error) { return rows.row(scan) })
	l.events = append(l.events, events...)
	return err
}

// eventBounds is the range of Unix milliseconds that a listing can find
// something in: [from, to).
func eventBounds(f schemas.EventFilter, span tableSpan) (from, to int64) {
	from, to = span.First.UnixMilli(), span.Last.UnixMilli()+1
	if !f.From.IsZero() {
		from = max(from, ceilMilli(f.From))
	}
	if !f.To.IsZero() {
		to = min(to, ceilMilli(f.To))
	}
	if f.After != nil {
		to = min(to, f.After.Time.UnixMilli()+1)
	}
	return from, to
}

const dayMilli = 24 * 60 * 60 * 1000

// windows cuts [from, to) into ranges, the latest first: the rest of the last
// day, then 4 days, then 16 and so on. They begin at midnight, where the
// partitions do.
func windows(from, to int64) iter.Seq2[int64, int64] {
	return func(yield func(lo, hi int64) bool) {
		for hi, days := to, int64(1); hi > from; days *= 4 {
			lo := (hi-1)/dayMilli*dayMilli - (days-1)*dayMilli
			if !yield(max(lo, from), hi) {
				return
			}
			hi = lo
		}
	}
}

const (
	eventKey     = "(tenant, client_id, time, log_id)"
	newestEvents = "ORDER BY time DESC, log_id DESC, tenant DESC\nLIMIT {limit:UInt32}"

	// Copies of an event have its time and so its partition: FINAL need not
	// look across partitions.
	withinPartitions = "\nSETTINGS do_not_merge_across_partitions_select_final = 1"
)

// eventsQuery lists the newest events in [from, to) Unix milliseconds, of those
// that the places hold, or of all where they are nil. It finds their keys first
// and fetches whole rows by key, so that the columns that are only shown are
// read for the rows that are shown.
func eventsQuery(f schemas.EventFilter, p places, from, to int64, limit int) schemas.Query {
	w := within(from, to)
	period := w.prewhere()
	candidates := p.union(&w, f, "tenant, client_id, time", "")
	w.events(f)
	if p != nil {
		w.conditions = append(w.conditions, "(tenant, client_id, time) IN (\n"+candidates+")")
	}
	if f.After != nil {
		w.and("(time, log_id, tenant) < ("+milliseconds("after_time")+", {after_log_id:String}, {after_tenant:String})",
			"after_time", f.After.Time.UnixMilli())
		w.param("after_log_id", f.After.LogID)
		w.param("after_tenant", f.After.Tenant)
	}
	w.param("limit", limit)
	keys := "SELECT tenant, client_id, time, log_id FROM events FINAL\n" + w.clause() + newestEvents
	return schemas.Query{
		SQL: "SELECT " + eventFields() + "\nFROM events FINAL\n" + period +
			"  AND " + eventKey + " IN (\n" + keys + "\n)\n" + newestEvents + withinPartitions,
		Params: w.params,
	}
}

// within is the condition of a time in [from, to) Unix milliseconds.
func within(from, to int64) where {
	w := where{}
	w.and("time >= "+milliseconds("from"), "from", from)
	w.and("time < "+milliseconds("to"), "to", to)
	return w
}

// How far the time of an event is looked for around the stamp in its log_id,
// before everywhere. The stamp is Auth0's time of ingestion: later than the
// event by seconds, cut to the second for some tenants.
const (
	beforeStamp = 10 * time.Minute
	afterStamp  = time.Minute
)

// Event returns one event with its raw log.
func (r *Reader) Event(ctx context.Context, tenant, logID string) (schemas.Event, error) {
	for _, p := range stampPeriods(logID) {
		q := eventQuery(tenant, logID, r.within(p.from, "events"), p.to)
		events, err := collect(ctx, r.conn, "read an event", q, scanEventRaw)
		if err != nil {
			return schemas.Event{}, err
		}
		if len(events) > 0 {
			return events[0], nil
		}
	}
	return schemas.Event{}, fmt.Errorf("event %s of tenant %s: %w",
		clip(logID, maxErrorQuoted), clip(tenant, maxErrorQuoted), schemas.ErrNotFound)
}

type period struct{ from, to time.Time }

// stampPeriods are the periods to look for a log_id in, one after the other.
func stampPeriods(logID string) []period {
	everywhere := period{minTime, maxTime}
	stamp, ok := schemas.LogIDTime(logID)
	if !ok {
		return []period{everywhere}
	}
	return []period{{stamp.Add(-beforeStamp), stamp.Add(afterStamp)}, everywhere}
}

// eventQuery fetches by key, as eventsQuery does. Should a log_id have two
// keys for a while, because it is normalized anew, the higher ver is it.
func eventQuery(tenant, logID string, from, to time.Time) schemas.Query {
	w := where{}
	w.and("time >= "+milliseconds("from"), "from", ceilMilli(from))
	w.and("time < "+milliseconds("to"), "to", ceilMilli(to))
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("log_id = {log_id:String}", "log_id", logID)
	return schemas.Query{
		SQL: "SELECT " + eventFields() + ", raw\nFROM events FINAL\n" + w.prewhere() +
			"  AND " + eventKey + " IN (\nSELECT tenant, client_id, time, log_id FROM events\n" + w.clause() + ")\n" +
			"ORDER BY ver DESC\nLIMIT 1" + withinPartitions,
		Params: w.params,
	}
}

func scanEventRaw(scan scanner) (schemas.Event, error) {
	var cut string
	e, err := newEventScan().row(scan, &cut)
	e.Raw = rebuildRaw(&e, []byte(cut))
	return e, err
}
