package clickhouse

import (
	"context"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Topology says on which servers the tables of a database lie.
type Topology struct {
	// Database is the one that the tables are in.
	Database string
	// Cluster is the name of a cluster in the servers' configuration. A table
	// NAME is then NAME_local on each of its servers, replicated within a shard,
	// and NAME is the whole of it, Distributed. Default: plain tables on one
	// server.
	Cluster string
	// Unreplicated leaves out replication and ON CLUSTER, for a cluster of one
	// server a shard without a Keeper. Statements run on each shard in turn.
	Unreplicated bool
}

// stored is the table that has the rows of a table. Everything but reading
// and inserting goes there: a Distributed table has no parts to alter.
func (t Topology) stored(table string) string {
	if t.Cluster == "" {
		return table
	}
	return table + "_local"
}

// tables are all that have the columns of a table, that with the rows first.
func (t Topology) tables(table string) []string {
	if t.Cluster == "" {
		return []string{table}
	}
	return []string{t.stored(table), table}
}

// onCluster ends the name of a table that a statement makes or alters.
func (t Topology) onCluster() string {
	if t.Cluster == "" || t.Unreplicated {
		return ""
	}
	return "ON CLUSTER " + quote(t.Cluster)
}

// everywhere is a system table of all servers, replicas too, as one.
func (t Topology) everywhere(table string) string {
	if t.Cluster == "" {
		return table
	}
	return "clusterAllReplicas(" + quote(t.Cluster) + ", " + table + ")"
}

// clusterSettings go with every query to a cluster, beside requiredSettings.
//
//   - An insert returns when its rows are synced on a majority of the replicas
//     of their shards, and a read sees them whichever replica it asks. The
//     second needs inserts that do not overlap: of two processes that insert
//     into one shard's table at once, one may have to try again.
//   - A subquery is answered for all shards, not for each its own.
//   - INSERT … SELECT sends each row to the shard that its key names. Left to
//     itself the server would sum up and keep rows where it read them.
//   - A shard that is away is an error, not a smaller number.
func clusterSettings() ch.Settings {
	return ch.Settings{
		"distributed_foreground_insert":                      1,
		"insert_quorum":                                      "auto",
		"insert_quorum_parallel":                             0,
		"select_sequential_consistency":                      1,
		"distributed_product_mode":                           "global",
		"parallel_distributed_insert_select":                 0,
		"skip_unavailable_shards":                            0,
		"fallback_to_stale_replicas_for_distributed_queries": 0,
	}
}

// longestDefinition is how long a statement may take that makes, alters or fills
// a table: that of a large store is hours of work.
const longestDefinition = 24 * time.Hour

// define runs a statement that makes, alters or fills tables, once on one server
// and where it says ON CLUSTER, else on each shard in turn. Without an end of
// its context the driver would give the whole of it as long as a usual answer.
func (db *DB) define(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, longestDefinition)
	defer cancel()
	if len(db.shards) == 0 {
		return db.conn.Exec(ctx, statement)
	}
	for i, shard := range db.shards {
		if err := shard.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("shard %d: %w", i+1, err)
		}
	}
	return nil
}

// alter changes the rows or the definition of a table, wherever its rows lie.
func (db *DB) alter(ctx context.Context, table, action string) error {
	return db.define(ctx, "ALTER TABLE "+db.topology.stored(table)+" "+db.topology.onCluster()+" "+action)
}
