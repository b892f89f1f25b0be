package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxStatsRows bounds the answer of Stats.
const maxStatsRows = 10_000

// statsColumns are the columns behind schemas.StatsDimensions. What a caller
// names never becomes text of a query: it picks one of these.
var statsColumns = map[string]string{
	"tenant":          "tenant",
	"type":            "type",
	"client_id":       "client_id",
	"identity":        "identity",
	"identity_kind":   "identity_kind",
	"outcome":         "outcome",
	"audience":        "audience",
	"network":         "network",
	"user_id":         "user_id",
	"organization_id": "organization_id",
	"source":          "toString(source)",
}

// Stats counts events by dimensions, the highest count first, then by values.
// Without dimensions the answer is one row, the count of all.
func (r *Reader) Stats(ctx context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error) {
	q, err := statsQuery(f)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	return collect(ctx, r.conn, "count events", q, func(scan scanner) (row schemas.StatsRow, err error) {
		err = scan(&row.Values, &row.Count)
		return row, err
	})
}

func statsQuery(f schemas.StatsFilter) (schemas.Query, error) {
	columns := make([]string, len(f.By))
	for i, by := range f.By {
		if columns[i] = statsColumns[by]; columns[i] == "" {
			return schemas.Query{}, fmt.Errorf("dimension %q: want one of %s", clip(by, maxErrorQuoted), strings.Join(schemas.StatsDimensions, ", "))
		}
	}
	w := where{}
	w.equal("tenant", f.Tenant)
	if !f.From.IsZero() {
		w.and("time >= "+milliseconds("from"), "from", ceilMilli(f.From))
	}
	if !f.To.IsZero() {
		w.and("time < "+milliseconds("to"), "to", ceilMilli(f.To))
	}
	w.param("limit", statsLimit(f.Limit))
	head, tail := statsClauses(columns)
	return w.query(head, tail), nil
}

// statsClauses group by the columns as they are, which is much cheaper than by
// an array of them, and make the array of what is left.
func statsClauses(columns []string) (head, tail string) {
	list := strings.Join(columns, ", ")
	head = "SELECT CAST([" + list + "], 'Array(String)') AS dimensions, count() AS events\nFROM events FINAL\n"
	if len(columns) > 0 {
		tail = "GROUP BY " + list + "\n"
	}
	return head, tail + "ORDER BY events DESC, dimensions\nLIMIT {limit:UInt32}" + withinPartitions
}

func statsLimit(limit int) int {
	if limit < 1 || limit > maxStatsRows {
		return maxStatsRows
	}
	return limit
}
