package clickhouse_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// eachShard calls f with a connection to each shard of a cluster.
func eachShard(t *testing.T, c clickhouse.Config, f func(shard int, conn driver.Conn)) {
	t.Helper()
	for i, shard := range c.Shards {
		options, err := ch.ParseDSN(shard.URL)
		if err != nil {
			t.Fatal(err)
		}
		options.Auth.Database = clickhouse.DefaultDatabase
		conn, err := ch.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		f(i, conn)
		conn.Close()
	}
}

// perShard is the answer of each shard alone to a query for one number.
func perShard(t *testing.T, c clickhouse.Config, sql string) []uint64 {
	t.Helper()
	var counts []uint64
	eachShard(t, c, func(_ int, conn driver.Conn) { counts = append(counts, count(t, conn, sql)) })
	return counts
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// The subtests share two engines: each takes a second to come up.
func TestStoreOverTwoShards(t *testing.T) {
	c := clickhousetest.Shards(t, 2)
	db := clickhousetest.Migrated(t, c)
	t.Run("migrations", func(t *testing.T) { testShardMigrations(t, db) })
	t.Run("touches", func(t *testing.T) { testShardTouches(t, db, c) })
	t.Run("events", func(t *testing.T) { testShardEvents(t, db, c) })
	t.Run("history", func(t *testing.T) { testHistory(t, db) })
	t.Run("findings", func(t *testing.T) { testShardFindings(t, db, c) })
	t.Run("counts", func(t *testing.T) {
		c := c
		c.Database = "m2mwatch_counts"
		testCountsAreExact(t, clickhousetest.Migrated(t, c), 2)
	})
	t.Run("records", func(t *testing.T) {
		c := c
		c.Database = "m2mwatch_records"
		testStoredRecords(t, clickhousetest.Migrated(t, c))
	})
	t.Run("retention", func(t *testing.T) { testShardRetention(t, db, c) })
}

func testShardMigrations(t *testing.T, db *clickhouse.DB) {
	t.Helper()
	again, err := clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
	if err != nil || len(again) != 0 {
		t.Errorf("the second time applied %v, %v; want none", again, err)
	}
	_, err = migrate(t, db, map[string]string{"001_other.sql": oneTable})
	if err == nil || !strings.Contains(err.Error(), "001_events") {
		t.Errorf("error %v; want one that names a migration that is not known", err)
	}
}

func testShardEvents(t *testing.T, db *clickhouse.DB, c clickhouse.Config) {
	t.Helper()
	all := events(200, noon())
	insertEvents(t, db, all)
	insertEvents(t, db, all[50:150]) // repeated
	losers := slices.Clone(all[:100])
	for i := range losers {
		losers[i].Ver, losers[i].UserAgent = 1, "rewritten"
	}
	insertEvents(t, db, losers)

	stored := perShard(t, c, "SELECT count() FROM events_local FINAL")
	if sum(stored) != 200 || slices.Min(stored) < 50 {
		t.Errorf("the shards hold %d distinct events, want 200 in all, spread", stored)
	}
	if n := countEvents(t, db); n != 200 {
		t.Errorf("%d events are counted, want 200", n)
	}
	if diff := diffEvents(newestFirst(all), listEvents(t, db, schemas.EventFilter{Tenant: "acme"})); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	r := clickhouse.NewReader(db)
	for i := range 10 {
		got, err := r.Event(t.Context(), "acme", all[i].LogID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffEvents(all[i], got); diff != "" {
			t.Errorf("event %d (-want +got):\n%s", i, diff)
		}
	}
	rows, err := r.Stats(t.Context(), schemas.StatsFilter{By: []string{"client_id"}})
	want := []schemas.StatsRow{
		{Values: []string{"client-0"}, Count: 67}, {Values: []string{"client-1"}, Count: 67}, {Values: []string{"client-2"}, Count: 66},
	}
	if diff := cmp.Diff(want, rows); diff != "" || err != nil {
		t.Errorf("%v, counts (-want +got):\n%s", err, diff)
	}
	s := status(t, db)
	if s.Events < 200 || s.LastStored.Before(time.Now().Add(-time.Hour)) || s.Bytes < sum(perShard(t, c, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events_local'")) {
		t.Errorf("status %+v, want what both shards hold", s)
	}
}

func testShardFindings(t *testing.T, db *clickhouse.DB, c clickhouse.Config) {
	t.Helper()
	var all []schemas.Finding
	for n := range 20 {
		all = append(all, finding(n))
	}
	insertFindings(t, db, all...)
	for i := range all {
		all[i].Ver, all[i].Count = all[i].Ver+1, 10
	}
	insertFindings(t, db, all...)
	if n := perShard(t, c, "SELECT count() FROM findings_local"); slices.Min(n) == 0 {
		t.Errorf("the shards hold %d findings, want some in each", n)
	}
	if diff := cmp.Diff(all, listFindings(t, db, schemas.FindingFilter{Tenant: "acme"})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := clickhouse.NewFindingStore(db)
	begin(t, s, 6)
	if epoch, err := s.LastEpoch(t.Context()); err != nil || epoch != 6 {
		t.Errorf("last epoch %d, %v; want 6", epoch, err)
	}
	stale := all[0]
	stale.Ver, stale.Count = all[0].Ver+1, 11
	insertFindings(t, db, stale)
	if diff := cmp.Diff(all, listFindings(t, db, schemas.FindingFilter{Tenant: "acme"})); diff != "" {
		t.Errorf("after a write of an earlier epoch (-want +got):\n%s", diff)
	}
}

func testShardTouches(t *testing.T, db *clickhouse.DB, c clickhouse.Config) {
	t.Helper()
	s := clickhouse.NewFindingStore(db)
	var flushes []string
	for i := range 12 {
		flushes = append(flushes, newFlush(t, noon().Add(time.Duration(i)*time.Minute)))
		touch(t, db, flushes[i], "a", "b")
	}
	if n := perShard(t, c, "SELECT uniqExact(flush) FROM touches_local"); sum(n) != 12 || slices.Min(n) == 0 {
		t.Errorf("the shards hold %d flushes, want each of 12 in one", n)
	}
	touches, got := touched(t, db, 12)
	if diff := cmp.Diff(flushes, got); diff != "" || len(touches) != 24 {
		t.Errorf("%d touches, flushes (-want +got):\n%s", len(touches), diff)
	}
	mark(t, db, flushes[:11]...)
	if _, left := touched(t, db, 12); !slices.Equal(left, flushes[11:]) {
		t.Errorf("%v are left, want %v", left, flushes[11:])
	}
	drop := func() {
		t.Helper()
		if err := s.DropTouched(t.Context(), time.Now().Add(48*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	drop()
	until(t, "the done touches' end", func() bool { return sum(perShard(t, c, "SELECT count() FROM touches_local")) == 2 })
	if n := sum(perShard(t, c, "SELECT count() FROM touches_done_local")); n != 11 {
		t.Errorf("%d marks are left, want 11: one flush of their day is not done", n)
	}
	mark(t, db, flushes[11])
	drop()
	until(t, "the last touches' end", func() bool { return sum(perShard(t, c, "SELECT count() FROM touches_local")) == 0 })
	drop()
	if n := sum(perShard(t, c, "SELECT count() FROM touches_done_local")); n != 0 {
		t.Errorf("%d marks are left, want none", n)
	}
}

func testShardRetention(t *testing.T, db *clickhouse.DB, c clickhouse.Config) {
	t.Helper()
	insertEvents(t, db, events(40, noon().Add(-100*24*time.Hour)))
	for range 2 {
		keep(t, c, clickhouse.Retention{Days: 30})
	}
	until(t, "the old events' end", func() bool {
		return sum(perShard(t, c, "SELECT count() FROM events_local WHERE time < now() - INTERVAL 50 DAY")) == 0
	})
	if n := countEvents(t, db); n != 200 {
		t.Errorf("%d events are left, want the 200 that are young", n)
	}
	if n := perShard(t, c, "SELECT count() FROM system.mutations WHERE table = 'events_local' AND command LIKE '%TTL%'"); !slices.Equal(n, []uint64{1, 1}) {
		t.Errorf("the shards' retention was set %d times, want once each", n)
	}
}

func TestClusterRendering(t *testing.T) {
	for name, to := range map[string]clickhouse.Topology{
		"plain.sql":   {Database: "m2mwatch"},
		"cluster.sql": {Database: "m2mwatch", Cluster: "main's"},
	} {
		statements, err := clickhouse.Render(migrations.Migrations, to)
		if err != nil {
			t.Fatal(err)
		}
		var code strings.Builder
		for line := range strings.Lines(strings.Join(statements, ";\n\n") + ";\n") {
			if !strings.HasPrefix(line, "--") {
				code.WriteString(line)
			}
		}
		golden(t, name, code.String())
	}
}

// What a file forgets would be kept on the server that a process happens to ask.
func TestEveryTableIsDistributedOnACluster(t *testing.T) {
	statements, err := clickhouse.Render(migrations.Migrations, clickhouse.Topology{Database: "m2mwatch", Cluster: "main"})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(statements, ";\n")
	for _, statement := range statements[1:] {
		if isChangedEverywhere(statement, all) || isFilledFromAll(statement) {
			continue
		}
		_, code, isTable := strings.Cut(statement, "CREATE TABLE IF NOT EXISTS ")
		name, rest, _ := strings.Cut(code, " ")
		table, local := strings.CutSuffix(name, "_local")
		switch {
		case !isTable:
			t.Errorf("a statement that makes no table, changes no pair of tables and fills none from all shards, of which this test knows nothing: %.100s", statement)
		case !strings.HasPrefix(rest, "ON CLUSTER 'main'"):
			t.Errorf("%s is made on one server", name)
		case !local:
		case !strings.Contains(rest, "ENGINE = Replicated"):
			t.Errorf("%s is not replicated", name)
		case !strings.Contains(all, "CREATE TABLE IF NOT EXISTS "+table+" ON CLUSTER 'main' AS m2mwatch."+name):
			t.Errorf("no %s is distributed over %s", table, name)
		}
	}
}

// isChangedEverywhere tells whether a statement alters or drops one of the two
// tables of a name on every server, and another one of all the other in the
// same way. The sorting key, indexes, settings of how rows are stored and codecs
// of columns that keep their type are the local table's alone.
func isChangedEverywhere(statement, all string) bool {
	for _, verb := range []string{"ALTER TABLE ", "DROP TABLE IF EXISTS "} {
		_, code, _ := strings.Cut(statement, verb)
		name, action, ok := strings.Cut(code, " ON CLUSTER 'main'")
		if !ok {
			continue
		}
		other, local := strings.CutSuffix(strings.TrimSpace(name), "_local")
		if !local {
			other = name + "_local"
		}
		action, _, _ = strings.Cut(action, ",\n    MODIFY ORDER BY")
		isStorage := local && keepsTypes(action, all, other) && (strings.Contains(action, "CODEC") || strings.Contains(action, "MODIFY SETTING ") || strings.Contains(action, " INDEX "))
		return isStorage || strings.Contains(all, verb+other+" ON CLUSTER 'main'"+action)
	}
	return false
}

var modified = regexp.MustCompile(`MODIFY COLUMN (\w+) +(\S+) +CODEC`)

// keepsTypes tells whether every column to which an action gives a codec has the
// type that it had when its table was made.
func keepsTypes(action, all, table string) bool {
	_, made, _ := strings.Cut(all, "CREATE TABLE IF NOT EXISTS "+table+"_local ")
	made, _, _ = strings.Cut(made, "ENGINE")
	for _, column := range modified.FindAllStringSubmatch(action, -1) {
		if !regexp.MustCompile(`\b` + column[1] + ` +` + regexp.QuoteMeta(column[2]) + ` `).MatchString(made) {
			return false
		}
	}
	return true
}

// isFilledFromAll tells whether a statement inserts into a table what it selects
// of others, all of them by the names that stand for every shard.
func isFilledFromAll(statement string) bool {
	return strings.Contains(statement, "INSERT INTO ") && strings.Contains(statement, "SELECT ") && !strings.Contains(statement, "_local")
}

func TestPlainRendering(t *testing.T) {
	const text = "-- a; b\nCREATE TABLE {{table `a`}} {{on_cluster}} (x UInt8) ENGINE = {{engine `ReplacingMergeTree` `ver` `deleted`}};\n" +
		"{{distributed `a` `x`}};{{parts `p`}};\nSELECT {{engine `MergeTree`}}"
	statements, err := clickhouse.Render(fstest.MapFS{"001_a.sql": {Data: []byte(text)}}, clickhouse.Topology{})
	want := []string{statements[0], statements[1], "-- a; b\nCREATE TABLE a  (x UInt8) ENGINE = ReplacingMergeTree(ver, deleted)", "SELECT MergeTree"}
	if diff := cmp.Diff(want, statements); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
