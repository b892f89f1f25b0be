// Package clickhousetest gives tests a real ClickHouse: one engine per package,
// one database per test.
package clickhousetest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// shared is the package's engine, started by the first test that wants it. It
// is a variable of the package because a test binary is one process and its
// TestMain has no other way to reach its tests.
var shared struct {
	once   sync.Once
	engine *clickhouse.Engine
	dir    string
	err    error
	count  atomic.Int64
}

// Main is what TestMain calls. The engine's child is this very test binary,
// started again: without this it would run the tests.
func Main(m *testing.M) {
	ServeEngine()
	code := m.Run()
	stop()
	os.Exit(code)
}

// ServeEngine becomes the engine, and does not return, where the process was
// started to be that. For a TestMain that has more to do than Main.
func ServeEngine() {
	if len(os.Args) > 1 && os.Args[1] == clickhouse.EngineCommand {
		os.Exit(clickhouse.EngineMain(os.Args[2:]))
	}
}

func stop() {
	if shared.engine != nil {
		shared.engine.Close()
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
}

// Library is the engine library's path. Where it is missing the test is
// skipped, or fails where M2MWATCH_REQUIRE_SERVERS=1.
func Library(tb testing.TB) string {
	tb.Helper()
	path, err := clickhouse.FindLibrary(os.Getenv("M2MWATCH_ENGINE_LIBRARY"))
	if err == nil {
		return path
	}
	if os.Getenv("M2MWATCH_REQUIRE_SERVERS") == "1" {
		tb.Fatal(err)
	}
	tb.Skipf("SKIPPED, NOT TESTED: %v", err)
	return ""
}

// Engine is the package's engine. It is not the test's to close.
func Engine(tb testing.TB) *clickhouse.Engine {
	tb.Helper()
	library := Library(tb)
	shared.once.Do(func() { start(library) })
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.engine
}

func start(library string) {
	if shared.dir, shared.err = os.MkdirTemp("", "m2mwatch-engine-"); shared.err != nil {
		return
	}
	shared.engine, shared.err = clickhouse.StartEngine(context.Background(), clickhouse.EngineConfig{
		Dir: shared.dir, Library: library, Logger: slog.Default(),
	})
}

// Own is an engine of the test's own, to be killed; closed after it.
func Own(tb testing.TB, c clickhouse.EngineConfig) *clickhouse.Engine {
	tb.Helper()
	c.Library = Library(tb)
	if c.Dir == "" {
		c.Dir = tb.TempDir()
	}
	e, err := clickhouse.StartEngine(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

// Config connects the pipeline's user to a database of a name that no other
// test has. The database is not made; it is dropped after the test.
func Config(tb testing.TB) clickhouse.Config {
	tb.Helper()
	c := Engine(tb).Options(clickhouse.RoleApp)
	c.Database = fmt.Sprintf("m2mwatch_test_%d", shared.count.Add(1))
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := clickhouse.DropDatabase(ctx, c); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	return c
}

// New is a fresh database with all migrations, dropped after the test.
func New(tb testing.TB) *clickhouse.DB {
	tb.Helper()
	return Migrated(tb, Config(tb))
}

// Migrated connects as c says and applies all migrations.
func Migrated(tb testing.TB, c clickhouse.Config) *clickhouse.DB {
	tb.Helper()
	db, err := clickhouse.Connect(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	if _, err := clickhouse.Migrate(tb.Context(), db, migrations.Migrations, clickhouse.MigrateOptions{}); err != nil {
		tb.Fatal(err)
	}
	return db
}

// Exec runs a statement on a test's database: what no stage ever does.
func Exec(tb testing.TB, db *clickhouse.DB, statement string) {
	tb.Helper()
	options, err := ch.ParseDSN(Engine(tb).Options(clickhouse.RoleApp).URL)
	if err != nil {
		tb.Fatal(err)
	}
	options.Auth.Database = db.Database()
	conn, err := ch.Open(options)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(tb.Context(), statement); err != nil {
		tb.Fatal(err)
	}
}
