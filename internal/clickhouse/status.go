package clickhouse

import (
	"context"
	"strings"
	"time"

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
	q := schemas.Query{
		SQL:    strings.ReplaceAll(statusQuery, "{{parts}}", r.parts()),
		Params: map[string]any{"reader": ReaderCorrelate, "database": r.on.Database},
	}
	_, err = collect(ctx, r.conn, "read the status of the store", q, func(scan scanner) (struct{}, error) {
		return struct{}{}, scan(&status.Bytes, &status.Uncorrelated, &status.Version)
	})
	return status, err
}

const statusQuery = `SELECT
    (SELECT sum(bytes_on_disk) FROM {{parts}} WHERE active AND database = {database:String}),
    (SELECT count() FROM touches WHERE ` + undoneBy + `),
    version()`

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
