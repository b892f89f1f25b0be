package clickhouse

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// dirtyHour is an hour of a tenant whose counts may not be what events says.
type dirtyHour struct {
	tenant string
	hour   int64 // Unix seconds
}

// dirtyHours are the hours in [from, to) that are touched and not recounted,
// of one tenant or, where tenant is empty, of all.
//
// The recount folds touches: it writes them anew, then marks the old ones done.
// A query that saw the old ones done and the new ones not yet would miss an
// hour. So it looks at the marks that were there before it began, and at them
// alone: what they stand for was counted, or folded, before.
func (r *Reader) dirtyHours(ctx context.Context, tenant string, from, to time.Time) ([]dirtyHour, error) {
	began, err := collect(ctx, r.conn, "read the server's clock", schemas.Query{SQL: "SELECT toUnixTimestamp64Micro(now64(6))"}, scanOne[int64])
	if err != nil || len(began) == 0 {
		return nil, err
	}
	w := where{}
	w.and("selector = '"+schemas.SelectorCounts+"'", "reader", ReaderRecount)
	w.and("flush NOT IN (SELECT flush FROM touches_done WHERE reader = {reader:String} AND at <= fromUnixTimestamp64Micro({began:Int64}))", "began", began[0])
	w.equal("tenant", tenant)
	w.and("bucket >= {from:DateTime('UTC')}", "from", from.Truncate(time.Hour))
	w.and("bucket < {to:DateTime('UTC')}", "to", ceilTime(to, time.Hour))
	q := w.query("SELECT DISTINCT tenant, toInt64(toUnixTimestamp(bucket))\nFROM touches\n", "ORDER BY 1, 2")
	return collect(ctx, r.conn, "read touched hours", q, func(scan scanner) (h dirtyHour, err error) {
		err = scan(&h.tenant, &h.hour)
		return h, err
	})
}

// ceilTime is the first multiple of d at or after t.
func ceilTime(t time.Time, d time.Duration) time.Time {
	return t.Add(d - time.Nanosecond).Truncate(d)
}
