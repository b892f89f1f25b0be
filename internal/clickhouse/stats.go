package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxStatsRows bounds the answer of Stats.
const maxStatsRows = 10_000

// statsColumns are the columns behind schemas.StatsDimensions. What a caller
// names never becomes text of a query: it picks one of these.
var statsColumns = map[string]string{
	"tenant":           "tenant",
	"type":             "type",
	"client_id":        "client_id",
	"identity":         "identity",
	"identity_kind":    "identity_kind",
	"outcome":          "outcome",
	"cause":            "cause",
	"audience":         "audience",
	"network":          "network",
	"organization_id":  "organization_id",
	"user_id":          "user_id",
	"user_agent_class": "user_agent_class",
	"country":          "country",
	"asn":              asnText,
	"source":           "toString(source)",
}

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

// Stats counts events by dimensions, the highest count first, then by values.
// Without dimensions the answer is one row, the count of all. It is exact at
// any moment: what is not counted yet, or by dimensions that counts do not
// have, is counted from events.
func (r *Reader) Stats(ctx context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error) {
	f.From = r.within(f.From, "events", "counts_hourly", dailyCounts(f.By))
	var c *counted
	if haveAll(countKey, f.By) {
		var err error
		if c, err = r.counted(ctx, f.Tenant, f.From, f.To); err != nil {
			return nil, err
		}
	}
	q, err := statsQuery(f, c)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	return collect(ctx, r.conn, "count events", q, func(scan scanner) (row schemas.StatsRow, err error) {
		err = scan(&row.Values, &row.Count)
		return row, err
	})
}

// statsQuery counts from where c says, or from events alone.
func statsQuery(f schemas.StatsFilter, c *counted) (schemas.Query, error) {
	columns := make([]string, len(f.By))
	for i, by := range f.By {
		if columns[i] = statsColumns[by]; columns[i] == "" {
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
	w.param("limit", statsLimit(f.Limit))
	return w.query(statsHead(columns, "count()")+"FROM events FINAL\n", statsTail(columns))
}

// countStats counts from what c says, all parts in one aggregation: each by
// itself first would group most values twice.
func countStats(f schemas.StatsFilter, columns []string, c *counted) schemas.Query {
	w := where{}
	w.equal("tenant", f.Tenant)
	tenant := ""
	if f.Tenant != "" {
		tenant = "tenant = {tenant:String} AND "
	}
	w.param("limit", statsLimit(f.Limit))
	c.params(w.params)
	parts := []string{
		statsPart(columns, "count", dailyCounts(f.By), tenant+c.fromDays()+"\n    WHERE count > 0"),
		statsPart(columns, "count", "counts_hourly", tenant+c.fromHours()+"\n    WHERE count > 0"),
	}
	if c.readsEvents() {
		parts = append(parts, statsPart(columns, "1", "events", tenant+c.fromEvents()))
	}
	return schemas.Query{
		SQL:    statsHead(columns, "sum(n)") + "FROM (\n" + strings.Join(parts, "\nUNION ALL\n") + "\n)\n" + statsTail(columns),
		Params: w.params,
	}
}

func statsPart(columns []string, n, table, condition string) string {
	list := strings.Join(append(slices.Clone(columns), n+" AS n"), ", ")
	return "    SELECT " + list + "\n    FROM " + table + " FINAL\n    PREWHERE " + condition
}

// statsHead and statsTail group and sort by the columns as they are, which is
// much cheaper than by an array of them, and make the array of what is left.
func statsHead(columns []string, n string) string {
	return "SELECT CAST([" + strings.Join(columns, ", ") + "], 'Array(String)') AS dimensions, " + n + " AS events\n"
}

func statsTail(columns []string) string {
	group, order := "", "events DESC"
	if len(columns) > 0 {
		names := strings.Join(columns, ", ")
		group, order = "GROUP BY "+names+"\n", order+", "+names
	}
	return group + "ORDER BY " + order + "\nLIMIT {limit:UInt32}" + withinPartitions
}

func statsLimit(limit int) int {
	if limit < 1 || limit > maxStatsRows {
		return maxStatsRows
	}
	return limit
}
