package clickhouse

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Clock is the time of the store's server.
func (r *Reader) Clock(ctx context.Context) (time.Time, error) {
	q := schemas.Query{SQL: "SELECT now64(3, 'UTC')"}
	now, err := collect(ctx, r.conn, "read the server's clock", q, scanOne[time.Time])
	if err != nil || len(now) == 0 {
		return time.Time{}, err
	}
	return now[0].UTC(), nil
}

// logHash tells logs apart, as LogHash does.
const logHash = `sipHash64(concat(tenant, '\0', log_id))`

// LogHash is what Stored calls a log.
func (r *Reader) LogHash(tenant, logID string) uint64 { return sipHash64(tenant + "\x00" + logID) }

// Stored tells which copies were stored in [since, until) of the store's clock that
// f lets through; repeats too. A row carries the time at which its insert began
// and is seen when that has ended, so that a later look may find older ones. Of f
// its limit, place and range do not count.
func (r *Reader) Stored(ctx context.Context, f schemas.EventFilter, since, until time.Time) ([]schemas.Stored, error) {
	return collect(ctx, r.conn, "look for what was stored", storedQuery(f, since, until), func(scan scanner) (s schemas.Stored, err error) {
		err = scan(&s.Log, &s.Ver, &s.At)
		s.At = s.At.UTC()
		return s, err
	})
}

func storedQuery(f schemas.EventFilter, since, until time.Time) schemas.Query {
	w := where{}
	w.and("stored_at >= "+milliseconds("since"), "since", since.UnixMilli())
	w.and("stored_at < "+milliseconds("until"), "until", until.UnixMilli())
	w.events(f)
	return w.query("SELECT "+logHash+", ver, stored_at FROM events\n", "ORDER BY stored_at")
}

// EventsStored are the events, as they are now, of those logs of Stored in the
// same range that f lets through, by the time of their insert. Of f its limit,
// place and range do not count.
func (r *Reader) EventsStored(ctx context.Context, f schemas.EventFilter, since, until time.Time, logs []uint64) ([]schemas.Event, error) {
	if len(logs) == 0 {
		return nil, nil
	}
	rows := newEventScan()
	return collect(ctx, r.conn, "read what was stored", eventsStoredQuery(f, since, until, logs), func(scan scanner) (schemas.Event, error) { return rows.row(scan) })
}

func eventsStoredQuery(f schemas.EventFilter, since, until time.Time, logs []uint64) schemas.Query {
	keys := where{}
	keys.and("stored_at >= "+milliseconds("since"), "since", since.UnixMilli())
	keys.and("stored_at < "+milliseconds("until"), "until", until.UnixMilli())
	keys.and(logHash+" IN (SELECT arrayJoin({logs:Array(UInt64)}))", "logs", logs)
	w := where{params: keys.params}
	w.events(f)
	return schemas.Query{
		SQL: "SELECT " + eventFields() + "\nFROM events FINAL\nPREWHERE " + eventKey + " IN (\nSELECT tenant, client_id, time, log_id FROM events\n" + keys.clause() + ")\n" +
			w.clause() + "ORDER BY stored_at, time, log_id" + withinPartitions,
		Params: w.params,
	}
}
