package clickhouse_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func connect(t *testing.T, c clickhouse.Config) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func migrate(t *testing.T, db *clickhouse.DB, files map[string]string) ([]string, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return clickhouse.Migrate(t.Context(), db, fsys, clickhouse.MigrateOptions{})
}

const oneTable = "CREATE TABLE IF NOT EXISTS {{table `a`}} {{on_cluster}} (x UInt8) ENGINE = {{engine `MergeTree`}} ORDER BY x;"

func TestMigrationsAreAppliedOnceAndInOrder(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	first, err := clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(first) < 4 || first[0] != "001_events" || first[3] != "004_findings" {
		t.Errorf("applied %v", first)
	}
	second, err := clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
	if err != nil || len(second) != 0 {
		t.Errorf("the second time applied %v, %v; want none", second, err)
	}
}

// TestEveryMigrationMayRunAgain claims of the files what Migrate asks of them: a
// crash before a file is recorded makes its statements run once more.
func TestEveryMigrationMayRunAgain(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	first, err := clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, "TRUNCATE TABLE schema_migrations")
	again, err := clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
	if diff := cmp.Diff(first, again); diff != "" || err != nil {
		t.Errorf("%v (-first +again):\n%s", err, diff)
	}
}

func TestChangedMigrationIsRefused(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	if _, err := migrate(t, db, map[string]string{"001_a.sql": oneTable}); err != nil {
		t.Fatal(err)
	}
	_, err := migrate(t, db, map[string]string{"001_a.sql": oneTable + " -- better", "002_b.sql": oneTable})
	if !errors.Is(err, clickhouse.ErrMigrations) || !strings.Contains(err.Error(), "001_a") {
		t.Errorf("error %v; want ErrMigrations that names 001_a", err)
	}
}

func TestDatabaseOfANewerBuildIsRefused(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	if _, err := migrate(t, db, map[string]string{"001_a.sql": oneTable, "002_b.sql": "SELECT 1"}); err != nil {
		t.Fatal(err)
	}
	_, err := migrate(t, db, map[string]string{"001_a.sql": oneTable})
	if !errors.Is(err, clickhouse.ErrMigrations) || !strings.Contains(err.Error(), "002_b") {
		t.Errorf("error %v; want ErrMigrations that names 002_b", err)
	}
}

func TestMigrationGoesOnAfterACrashWithinAFile(t *testing.T) {
	c := clickhousetest.Config(t)
	db := connect(t, c)
	half := oneTable + "\nSELECT throwIf(1);"
	applied, err := migrate(t, db, map[string]string{"000_z.sql": "SELECT 1", "001_a.sql": half})
	if err == nil || !strings.Contains(err.Error(), "001_a, statement 2") {
		t.Fatalf("error %v; want one that names the statement", err)
	}
	if diff := cmp.Diff([]string{"000_z"}, applied); diff != "" {
		t.Errorf("applied before the crash (-want +got):\n%s", diff)
	}
	applied, err = migrate(t, db, map[string]string{"000_z.sql": "SELECT 1", "001_a.sql": oneTable + "\nSELECT 2;"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"001_a"}, applied); diff != "" {
		t.Errorf("applied after it (-want +got):\n%s", diff)
	}
}

func TestProcessesMayMigrateAtOnce(t *testing.T) {
	c := clickhousetest.Config(t)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		db := connect(t, c)
		all.Go(func() {
			_, errs[i] = clickhouse.Migrate(t.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{})
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// Whatever a later file forgets: an insert's answer means "on disk" by these.
func TestEveryTableSyncs(t *testing.T) {
	db := clickhousetest.New(t)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	rows, err := conn.Query(t.Context(), "SELECT name, engine_full FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'", db.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tables := 0
	for rows.Next() {
		tables++
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			t.Fatal(err)
		}
		for _, setting := range []string{"fsync_after_insert = 1", "fsync_part_directory = 1", "min_compressed_bytes_to_fsync_after_merge = 1"} {
			if !strings.Contains(engine, setting) {
				t.Errorf("%s is without %s", name, setting)
			}
		}
	}
	if rows.Err() != nil || tables < 6 {
		t.Errorf("%d tables, %v", tables, rows.Err())
	}
}

func TestInsertIsSyncedWhenItReturns(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	conn := as(t, e.Options(clickhouse.RoleApp), db.Database())
	synced := func(event string) uint64 {
		return count(t, conn, "SELECT sum(value) FROM system.events WHERE event = ?", event)
	}
	files, dirs := synced("FileSync"), synced("DirectorySync")
	if err := insertEvent(t, conn, "1"); err != nil {
		t.Fatal(err)
	}
	if synced("FileSync") == files || synced("DirectorySync") == dirs {
		t.Error("an insert returned without a sync of its files and of their folder")
	}
	if n := count(t, conn, "SELECT toUInt64(value) FROM system.settings WHERE name = 'async_insert'"); n != 0 {
		t.Error("async_insert is on for the user")
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestStatementsAreSplitOutsideOfTextAndComments(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                nil,
		" ; -- nothing;\n ;":              nil,
		"a; b":                            {"a", "b"},
		"a 'x;y' \"p;q\" `r;s`;b":         {"a 'x;y' \"p;q\" `r;s`", "b"},
		`a 'it\'s; one';b 'it''s; two'`:   {`a 'it\'s; one'`, `b 'it''s; two'`},
		"-- it's a; comment\na;":          {"-- it's a; comment\na"},
		"a 'never closed; b":              {"a 'never closed; b"},
		`a 'ends with a backslash; \`:     {`a 'ends with a backslash; \`},
		"a -- at the end; without a line": {"a -- at the end; without a line"},
	} {
		if diff := cmp.Diff(want, clickhouse.SplitStatements(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func FuzzStatementsLoseNothing(f *testing.F) {
	f.Add("a; 'b;' -- c;\n;d")
	f.Fuzz(func(t *testing.T, text string) {
		rest := text
		for _, statement := range clickhouse.SplitStatements(text) {
			at := strings.Index(rest, statement)
			if at < 0 {
				t.Fatalf("%q is not in %q, in order", statement, text)
			}
			rest = rest[at+len(statement):]
		}
	})
}

// TestAStoreOfAnEarlierBuildIsCarriedOver claims that what 009_smaller.sql
// moves to tables of another form is told as before, that what is stored has the
// versions of 023_versions.sql, and that a large store is
// moved with the memory that there is.
func TestAStoreOfAnEarlierBuildIsCarriedOver(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	names, err := fs.Glob(migrations.Migrations, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	earlier := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		if name < "009" {
			earlier[name] = string(text)
		}
	}
	if _, err := migrate(t, db, earlier); err != nil {
		t.Fatal(err)
	}
	at := noon().UnixMilli()
	execute(t, db, fmt.Sprintf(`INSERT INTO events (tenant, client_id, time, log_id, ver, token_id, used_token_id, ip, source) VALUES
		('acme', 'c', fromUnixTimestamp64Milli(%d), 'issue', 1, 'jti', '', '203.0.113.7', 'stream'),
		('acme', 'd', fromUnixTimestamp64Milli(%d), 'use', 1, '', 'jti', '198.51.100.7', 'stream')`, at, at+1))
	execute(t, db, fmt.Sprintf(`INSERT INTO counts_daily (tenant, day, client_id, identity, type, audience, network, count, first, last, ver) VALUES
		('acme', '%[1]s', 'c', 'user:1', 's', 'a', 'n', 3, fromUnixTimestamp64Milli(%[2]d), fromUnixTimestamp64Milli(%[2]d), 7),
		('acme', '%[1]s', 'c', 'user:2', 's', 'a', 'n', 4, fromUnixTimestamp64Milli(%[2]d), fromUnixTimestamp64Milli(%[2]d), 8),
		('acme', '%[1]s', 'c', 'user:3', 's', 'gone', 'n', 0, 0, 0, 8)`, noon().UTC().Format(time.DateOnly), at))
	execute(t, db, fmt.Sprintf(`INSERT INTO counts_daily (tenant, day, client_id, audience, count, ver)
		SELECT 'large', toDate('%s') - number %% 60, toString(number), 'a', 1, 1 FROM numbers(1000000)`, noon().UTC().Format(time.DateOnly)))
	small := limited(t, db, 180<<20) // a group of all of it is over that
	if _, err := clickhouse.Migrate(t.Context(), small, migrations.Migrations, clickhouse.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	r := clickhouse.NewReader(db)
	token, err := r.Token(t.Context(), "acme", "jti")
	if err != nil || token.Issue == nil || token.Issue.IP != "203.0.113.7" || len(token.Uses) != 1 || token.Uses[0].ClientID != "d" {
		t.Errorf("the token is %+v, %v; want its issue to c and its use by d", token, err)
	}
	conn := plain(t, db)
	if n := count(t, conn, "SELECT count() FROM versions WHERE (client_id, log_id, ver) IN (('c', 'issue', 1), ('d', 'use', 1))"); n != 2 {
		t.Errorf("%d of 2 events have a version", n)
	}
	counts, err := r.Stats(t.Context(), schemas.StatsFilter{Tenant: "acme", By: []string{"client_id", "audience"}, From: noon().AddDate(0, 0, -2), To: noon().Truncate(24*time.Hour).AddDate(0, 0, 1)})
	if diff := cmp.Diff([]schemas.StatsRow{{Values: []string{"c", "a"}, Count: 7}}, counts); diff != "" || err != nil {
		t.Errorf("%v, counts (-want +got):\n%s", err, diff)
	}
}

// TestAMigrationMayTakeLongerThanAnAnswer claims that what fills a table of a
// large store is waited for.
func TestAMigrationMayTakeLongerThanAnAnswer(t *testing.T) {
	c := clickhousetest.Config(t)
	c.ReadTimeout = 300 * time.Millisecond
	if _, err := migrate(t, connect(t, c), map[string]string{"001_slow.sql": "SELECT sleep(1)"}); err != nil {
		t.Error(err)
	}
}
