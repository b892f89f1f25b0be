package clickhouse

import (
	"context"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Settings for statements of many steps that not every server has.
const (
	// shareSetting lets a statement say which of its steps are answered once. Without
	// it each mention of a step is a subquery of its own, and of the steps below it.
	shareSetting = "enable_materialized_cte"
	// chainSetting has the server look in all that is compared for what follows about
	// constants: of a rule's statement that was half of the time that planning takes,
	// which is most of its time, and nothing follows that the statement does not say.
	chainSetting = "optimize_and_compare_chain"
)

// planning sets how a statement of many steps is planned. The steps that it says are
// shared, AS MATERIALIZED, are where the server knows how: servers before 26 do not, and
// for a cluster, where a step is asked for on each shard, it is not tried.
func (db *DB) planning(ctx context.Context, sql string, settings ch.Settings) string {
	known := db.knownSettings(ctx)
	if slices.Contains(known, chainSetting) {
		settings[chainSetting] = 0
	}
	if db.topology.Cluster == "" && slices.Contains(known, shareSetting) {
		settings[shareSetting] = 1
		return sql
	}
	return strings.ReplaceAll(sql, " AS MATERIALIZED (", " AS (")
}

// knownSettings are those of the above that the server has.
func (db *DB) knownSettings(ctx context.Context) []string {
	if known := db.settings.Load(); known != nil {
		return *known
	}
	q := schemas.Query{
		SQL:    "SELECT name FROM system.settings WHERE name IN {names:Array(String)}",
		Params: map[string]any{"names": []string{shareSetting, chainSetting}},
	}
	known, err := collect(ctx, db.conn, "look for settings", q, scanOne[string])
	if err != nil {
		return nil // what is asked next fails too, or takes longer
	}
	db.settings.Store(&known)
	return known
}
