package clickhouse

import (
	"context"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Status is what the store knows about itself. Nothing of it reads events,
// apart from the parts that were written last.
func (r *Reader) Status(ctx context.Context) (schemas.StoreStatus, error) {
	span, err := r.span(ctx)
	if err != nil {
		return schemas.StoreStatus{}, err
	}
	status := schemas.StoreStatus{Events: span.Rows, LastEvent: span.Last}
	if status.LastStored, err = r.lastStored(ctx); err != nil {
		return schemas.StoreStatus{}, err
	}
	for _, read := range []func(context.Context, *schemas.StoreStatus) error{r.addWaiting, r.addGrowth, r.addDisk, r.addChannels, r.addWarming} {
		if err := read(ctx, &status); err != nil {
			return schemas.StoreStatus{}, err
		}
	}
	status.Growing = r.growing(span)
	return status, nil
}

// addWaiting adds what waits for the two readers of touches, and since when.
func (r *Reader) addWaiting(ctx context.Context, status *schemas.StoreStatus) error {
	return ask(ctx, r.conn, "read what waits in the store", schemas.Query{SQL: waitingQuery}, func(scan scanner) error {
		var correlate, recount float64
		err := scan(&status.Uncorrelated, &correlate, &status.DirtyHours, &recount, &status.Version)
		status.CorrelateLag, status.RecountLag = seconds(correlate), seconds(recount)
		return err
	})
}

// addWarming adds the selectors for which history is not matched yet.
func (r *Reader) addWarming(ctx context.Context, status *schemas.StoreStatus) error {
	all, err := readSelectors(ctx, r.conn)
	for _, s := range all {
		if s.State == schemas.SelectorWarming {
			status.Warming = append(status.Warming, s)
		}
	}
	return err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

var waitingQuery = strings.NewReplacer("{{correlate}}", "reader = '"+ReaderCorrelate+"'", "{{recount}}", "reader = '"+ReaderRecount+"'",
	"{{lag}}", "greatest(0, toUnixTimestamp64Milli(now64(3)) / 1000 - toUnixTimestamp(min(since)))").Replace(`SELECT
    sumIf(n, {{correlate}}), maxIf(lag, {{correlate}}), sumIf(hours, {{recount}}), maxIf(lag, {{recount}}), version()
FROM (
    SELECT '` + ReaderCorrelate + `' AS reader, count() AS n, uniqExact(tenant, bucket) AS hours, if(n = 0, 0., {{lag}}) AS lag
    FROM touches
    WHERE selector != '` + schemas.SelectorCounts + `' AND flush NOT IN (SELECT flush FROM touches_done WHERE {{correlate}})
    UNION ALL
    SELECT '` + ReaderRecount + `' AS reader, count() AS n, uniqExact(tenant, bucket) AS hours, if(n = 0, 0., {{lag}}) AS lag
    FROM touches
    WHERE selector = '` + schemas.SelectorCounts + `' AND flush NOT IN (SELECT flush FROM touches_done WHERE {{recount}})
)`)

// addGrowth adds how large the store is, and by how much a day of events makes
// it larger: what the last seven days before today that have any take in events,
// and as much more as all tables are larger than events. A part's name begins with
// its day.
func (r *Reader) addGrowth(ctx context.Context, status *schemas.StoreStatus) error {
	q := schemas.Query{
		SQL:    strings.ReplaceAll(growthQuery, "{{parts}}", r.parts()),
		Params: map[string]any{"database": r.on.Database, "events": r.on.stored("events")},
	}
	return ask(ctx, r.conn, "read the size of the store", q, func(scan scanner) error {
		return scan(&status.Bytes, &status.BytesPerDay)
	})
}

const growthQuery = `WITH
    (SELECT sum(bytes_on_disk) FROM {{parts}} WHERE active AND database = {database:String}) AS whole,
    (SELECT sum(bytes_on_disk) FROM {{parts}} WHERE active AND database = {database:String} AND table = {events:String}) AS events,
    (
        SELECT if(count() = 0, 0., sum(bytes) / count()) FROM (
            SELECT sum(bytes_on_disk) AS bytes FROM {{parts}}
            WHERE active AND database = {database:String} AND table = {events:String} AND splitByChar('_', name)[1] < toString(toYYYYMMDD(now('UTC')))
            GROUP BY splitByChar('_', name)[1] AS day ORDER BY day DESC LIMIT 7
        )
    ) AS day
SELECT whole, if(events = 0, toUInt64(0), toUInt64(day * whole / events))`

// addDisk adds the room on the disk of a single server. Servers of a cluster have
// a disk each, and whose is full first nobody can tell from here.
func (r *Reader) addDisk(ctx context.Context, status *schemas.StoreStatus) error {
	if r.on.Cluster != "" {
		return nil
	}
	q := schemas.Query{SQL: "SELECT sum(free_space), sum(total_space) FROM system.disks WHERE is_remote = 0 AND is_read_only = 0"}
	return ask(ctx, r.conn, "read the room on the disk", q, func(scan scanner) error {
		return scan(&status.Free, &status.Size)
	})
}

// growing is how long it takes until the first day of events expires.
func (r *Reader) growing(span tableSpan) time.Duration {
	edge := r.edge("events")
	switch {
	case edge.IsZero():
		return -1
	case span.Rows == 0:
		return time.Since(edge)
	}
	return max(0, span.First.Sub(edge))
}

// ask reads the one row of an answer.
func ask(ctx context.Context, conn driver.Conn, what string, q schemas.Query, read func(scan scanner) error) error {
	_, err := collect(ctx, conn, what, q, func(scan scanner) (struct{}, error) { return struct{}{}, read(scan) })
	return err
}

// parts is the table of all parts: those of one replica of each shard.
func (r *Reader) parts() string {
	if r.on.Cluster == "" {
		return "system.parts"
	}
	return "store_parts"
}

// lastStored is the time of the newest insert into events. No index has it.
// But no row is younger than its part, so parts are read from the youngest on,
// those of one second at once, until what was found is younger than the rest.
func (r *Reader) lastStored(ctx context.Context) (time.Time, error) {
	list := schemas.Query{
		SQL:    strings.ReplaceAll(partsBySecond, "{{parts}}", r.parts()),
		Params: map[string]any{"database": r.on.Database, "table": r.on.stored("events")},
	}
	seconds, err := collect(ctx, r.conn, "list the parts of events", list, func(scan scanner) (p partsOfSecond, err error) {
		err = scan(&p.made, &p.names)
		return p, err
	})
	if err != nil {
		return time.Time{}, err
	}
	var last time.Time
	for _, p := range seconds {
		if p.made.Before(last.Truncate(time.Second)) {
			break
		}
		q := schemas.Query{SQL: "SELECT max(stored_at) FROM events WHERE _part IN {parts:Array(String)}", Params: map[string]any{"parts": p.names}}
		stored, err := collect(ctx, r.conn, "read the time of the last insert", q, scanOne[time.Time])
		if err != nil {
			return time.Time{}, err
		}
		if len(stored) > 0 && stored[0].After(last) {
			last = stored[0].UTC()
		}
	}
	return last, nil
}

const partsBySecond = `SELECT modification_time, groupArray(name)
FROM {{parts}}
WHERE active AND database = {database:String} AND table = {table:String}
GROUP BY modification_time
ORDER BY modification_time DESC`

// partsOfSecond are the parts that were written, or merged, in one second.
type partsOfSecond struct {
	made  time.Time
	names []string
}
