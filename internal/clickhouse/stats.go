package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxStatsRows bounds the answer of Stats: what the API answers at most, and one
// that tells that there are more.
const maxStatsRows = 10_001

// haveAll tells whether counts by a key (a list of columns) have all dimensions.
func haveAll(key string, by []string) bool {
	have := append(strings.Split(key, ", "), "tenant")
	return !slices.ContainsFunc(by, func(one string) bool { return !slices.Contains(have, one) })
}

// dailyCounts is the smallest table that has the counts of days by dimensions.
func dailyCounts(by []string) string {
	if haveAll(usageKey, by) {
		return "usage_daily"
	}
	return "counts_daily"
}

// dimensions are what f counts by or narrows by.
func dimensions(f *schemas.StatsFilter) []string {
	all := slices.Clone(f.By)
	for _, c := range f.Where {
		all = append(all, c.Field)
	}
	return all
}

// Stats counts events by dimensions, the highest count first, then by values,
// within each interval where f has one. Without dimensions the answer is one row
// for each interval, the count of all. It is exact at any moment: what is not
// counted yet, or by dimensions that counts do not have, is counted from events.
func (r *Reader) Stats(ctx context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error) {
	f.From = r.within(f.From, "events", "counts_hourly", dailyCounts(dimensions(&f)))
	var c *counted
	if haveAll(countKey, dimensions(&f)) {
		var err error
		if c, err = r.counted(ctx, f.Tenant, f.From, f.To); err != nil {
			return nil, err
		}
		c.byHour = f.Interval == schemas.IntervalHour
	}
	q, err := statsQuery(f, c)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	return collect(ctx, r.conn, "count events", q, func(scan scanner) (row schemas.StatsRow, err error) {
		var at int64
		err = scan(&at, &row.Values, &row.Count)
		if f.Interval != schemas.IntervalNone {
			row.Time = time.Unix(at, 0).UTC()
		}
		return row, err
	})
}

// statsQuery counts from where c says, or from events alone.
func statsQuery(f schemas.StatsFilter, c *counted) (schemas.Query, error) {
	columns := make([]string, len(f.By))
	for i, by := range f.By {
		if columns[i] = filterColumns[by]; columns[i] == "" {
			return schemas.Query{}, fmt.Errorf("dimension %q: want one of %s", clip(by, maxErrorQuoted), strings.Join(schemas.StatsDimensions, ", "))
		}
	}
	if c == nil {
		return eventStats(f, columns), nil
	}
	return countStats(f, columns, c), nil
}

// eventStats counts from events alone.
func eventStats(f schemas.StatsFilter, columns []string) schemas.Query {
	w := where{}
	w.equal("tenant", f.Tenant)
	if !f.From.IsZero() {
		w.and("time >= "+milliseconds("from"), "from", ceilMilli(f.From))
	}
	if !f.To.IsZero() {
		w.and("time < "+milliseconds("to"), "to", ceilMilli(f.To))
	}
	w.filter(f.Where)
	w.param("limit", statsLimit(f.Limit))
	at := intervalOf(f.Interval, "time")
	return w.query(statsHead(at, columns, "count()")+"FROM events FINAL\n", statsTail(at, columns))
}

// countStats counts from what c says, all parts in one aggregation: each by
// itself first would group most values twice.
func countStats(f schemas.StatsFilter, columns []string, c *counted) schemas.Query {
	w := where{}
	w.filter(f.Where)
	w.param("limit", statsLimit(f.Limit))
	at := ""
	parts := c.union(&w, dailyCounts(dimensions(&f)), func(column string) []string {
		if f.Interval == schemas.IntervalNone {
			return columns
		}
		at = "at"
		return append([]string{intervalOf(f.Interval, column) + " AS at"}, columns...)
	})
	return schemas.Query{SQL: statsHead(at, columns, "sum(n)") + "FROM (\n" + parts + "\n)\n" + statsTail(at, columns), Params: w.params}
}

// intervalOf is the beginning, in Unix seconds, of the interval that a time, an
// hour or a day is in; "" without one.
func intervalOf(i schemas.Interval, at string) string {
	switch i {
	case schemas.IntervalHour:
		at = "toStartOfHour(" + at + ")"
	case schemas.IntervalDay:
		at = "toDateTime(toDate(" + at + "), 'UTC')"
	case schemas.IntervalMonth:
		at = "toDateTime(toStartOfMonth(" + at + "), 'UTC')"
	default:
		return ""
	}
	return "toInt64(toUnixTimestamp(" + at + "))"
}

// statsHead and statsTail group and sort by the columns as they are, which is
// much cheaper than by an array of them, and make the array of what is left. at
// is the interval, "" without one.
func statsHead(at string, columns []string, n string) string {
	if at == "" {
		at = "toInt64(0)"
	}
	return "SELECT " + at + " AS since, CAST([" + strings.Join(columns, ", ") + "], 'Array(String)') AS dimensions, " + n + " AS events\n"
}

func statsTail(at string, columns []string) string {
	by, order := slices.Clone(columns), append([]string{"events DESC"}, columns...)
	if at != "" {
		by, order = append([]string{"since"}, by...), append([]string{"since"}, order...)
	}
	group := ""
	if len(by) > 0 {
		group = "GROUP BY " + strings.Join(by, ", ") + "\n"
	}
	return group + "ORDER BY " + strings.Join(order, ", ") + "\nLIMIT {limit:UInt32}" + withinPartitions
}

func statsLimit(limit int) int {
	if limit < 1 || limit > maxStatsRows {
		return maxStatsRows
	}
	return limit
}
