package clickhouse

import (
	"context"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// shareSetting lets a statement say which of its steps are answered once. Without
// it each mention of a step is a subquery of its own, and of the steps below it.
const shareSetting = "enable_materialized_cte"

// sharing makes the steps shared that a statement says are, AS MATERIALIZED, where
// the server knows how. Servers before 26 do not; and for a cluster, where a step
// is asked for on each shard, it is not tried.
func (db *DB) sharing(ctx context.Context, sql string, settings ch.Settings) string {
	if db.knowsSharing(ctx) {
		settings[shareSetting] = 1
		return sql
	}
	return strings.ReplaceAll(sql, " AS MATERIALIZED (", " AS (")
}

func (db *DB) knowsSharing(ctx context.Context) bool {
	if db.topology.Cluster != "" {
		return false
	}
	if knows := db.shares.Load(); knows != nil {
		return *knows
	}
	q := schemas.Query{SQL: "SELECT count() > 0 FROM system.settings WHERE name = {name:String}", Params: map[string]any{"name": shareSetting}}
	rows, err := collect(ctx, db.conn, "look for a setting", q, scanOne[bool])
	if err != nil || len(rows) != 1 {
		return false // what is asked next fails too, or takes longer
	}
	db.shares.Store(&rows[0])
	return rows[0]
}
