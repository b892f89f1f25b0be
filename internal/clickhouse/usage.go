package clickhouse

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Usage counts tokens that clients got by their credentials, by interval, then
// the most issued first. It is exact at any moment, as Stats is. Each dimension
// and condition has to be one that usage_daily has.
func (r *Reader) Usage(ctx context.Context, f schemas.UsageFilter) ([]schemas.UsageRow, error) {
	f.From = r.within(f.From, "events", "counts_hourly", "usage_daily")
	c, err := r.counted(ctx, f.Tenant, f.From, f.To)
	if err != nil {
		return nil, err
	}
	return collect(ctx, r.conn, "count tokens", usageQuery(f, c), func(scan scanner) (row schemas.UsageRow, err error) {
		var at int64
		err = scan(&at, &row.Tenant, &row.BuiltIn, &row.Values, &row.Issued, &row.Failed)
		if f.Interval != schemas.IntervalNone {
			row.Time = time.Unix(at, 0).UTC()
		}
		return row, err
	})
}

func usageQuery(f schemas.UsageFilter, c *counted) schemas.Query {
	w := where{}
	w.conditions = append(w.conditions, "type IN ('seccft', 'feccft')")
	w.filter(f.Where)
	w.param("limit", statsLimit(f.Limit))
	w.param("built_in", schemas.BuiltInAudience)
	at := "toInt64(0)"
	parts := c.union(&w, "usage_daily", func(column string) []string {
		columns := append([]string{"tenant", "type", "match(audience, {built_in:String}) AS built_in"}, f.By...)
		if f.Interval != schemas.IntervalNone {
			at = "since"
			columns = append(columns, intervalOf(f.Interval, column)+" AS since")
		}
		return columns
	})
	by := append([]string{"tenant", "built_in"}, f.By...)
	if at == "since" {
		by = slices.Insert(by, 0, at)
	}
	list := strings.Join(by, ", ")
	order := strings.Join(append([]string{at, "issued DESC", "failed DESC"}, by...), ", ")
	return schemas.Query{
		SQL: "SELECT " + at + ", tenant, built_in, CAST([" + strings.Join(f.By, ", ") + "], 'Array(String)') AS dimensions,\n" +
			"    sumIf(n, type = 'seccft') AS issued, sumIf(n, type = 'feccft') AS failed\n" +
			"FROM (\n" + parts + "\n)\nGROUP BY " + list + "\nORDER BY " + order + "\nLIMIT {limit:UInt32}" + withinPartitions,
		Params: w.params,
	}
}
