package clickhouse_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

// unlimited is an engine whose default user may log in from elsewhere and run
// any number of queries, so that what refuses them is its lack of rights.
func unlimited(t *testing.T) *clickhouse.Engine {
	t.Helper()
	script := filepath.Join(t.TempDir(), "engine")
	text := "#!/bin/sh\nsed -i 's|<queries>2<|<queries>1000000<|; s|<max_sessions_for_user>1<|<max_sessions_for_user>100<|' users.xml && " +
		"exec '" + os.Args[0] + "' \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return clickhousetest.Own(t, clickhouse.EngineConfig{Executable: script})
}

// asDefault connects as the user without a password.
func asDefault(t *testing.T, e *clickhouse.Engine) driver.Conn {
	t.Helper()
	u, err := url.Parse(e.Options(clickhouse.RoleApp).URL)
	if err != nil {
		t.Fatal(err)
	}
	return as(t, clickhouse.Config{URL: "clickhouse://default@" + u.Host}, "default")
}

// refused runs a statement that has to fail, and not for a slip of its own.
func refused(t *testing.T, conn driver.Conn, statement string) {
	t.Helper()
	const quotaExceeded, notEnoughPrivileges, cannotOpenFile = 201, 497, 76
	err := conn.Exec(t.Context(), statement)
	var e *ch.Exception
	if !errors.As(err, &e) {
		t.Errorf("%s: %v; want a refusal", statement, err)
		return
	}
	if !slices.Contains([]int32{quotaExceeded, notEnoughPrivileges, cannotOpenFile}, e.Code) {
		t.Errorf("%s: refused for another reason: %v", statement, err)
	}
}

// filesOf are all the ways to a file of the machine.
func filesOf(t *testing.T) []string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("correct-horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"SELECT file('" + secret + "')",
		"SELECT file('/etc/passwd')",
		fmt.Sprintf("SELECT file('/proc/%d/environ')", os.Getpid()),
		"SELECT * FROM file('" + secret + "', 'LineAsString')",
		"SELECT * FROM default.`" + secret + "`",
		"SELECT * FROM filesystem('/')",
		"DESCRIBE TABLE file('" + secret + "')",
		"INSERT INTO FUNCTION file('" + secret + "', 'TSV', 'a String') VALUES ('x')",
		"INSERT INTO FUNCTION file('" + secret + "', 'TSV', 'a String') SELECT 'x'",
		"CREATE TEMPORARY TABLE f (a String) ENGINE = File(TSV, '" + secret + "')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		"SELECT * FROM remote('127.0.0.1:1', system.one)",
	}
}

// changesTo are statements that change a database.
func changesTo(database string) []string {
	return []string{
		"CREATE TABLE " + database + ".n (a String) ENGINE = MergeTree ORDER BY a",
		"ALTER TABLE " + database + ".deliveries DELETE WHERE 1",
		"TRUNCATE TABLE " + database + ".deliveries",
		"DROP TABLE " + database + ".deliveries",
		"DROP DATABASE " + database,
		"CREATE DATABASE m2mwatch_other",
	}
}

func TestNoUserReachesFilesOrTheNetwork(t *testing.T) {
	e := unlimited(t)
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	files := filesOf(t)
	for _, role := range []clickhouse.Role{clickhouse.RoleApp, clickhouse.RoleAPI, clickhouse.RoleReader, clickhouse.RoleExporter} {
		conn := as(t, e.Options(role), db.Database())
		for _, statement := range files {
			refused(t, conn, statement)
		}
	}
	conn := asDefault(t, e)
	for _, statement := range files {
		refused(t, conn, statement)
	}
}

func TestDefaultUserHasNoRights(t *testing.T) {
	e := unlimited(t)
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	conn := asDefault(t, e)
	if err := conn.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Fatalf("the limits are still there, this test would prove nothing: %v", err)
	}
	for _, statement := range append(changesTo(db.Database()),
		"SELECT count() FROM "+db.Database()+".events",
		"INSERT INTO "+db.Database()+".deliveries (tenant) VALUES ('x')",
		"SELECT count() FROM system.processes",
		"SELECT count() FROM system.users",
		"KILL QUERY WHERE 1",
		"CREATE USER x",
		"GRANT ALL ON *.* TO default",
		"BACKUP DATABASE "+db.Database()+" TO File('b.zip')",
	) {
		refused(t, conn, statement)
	}
}

func TestNobodyLogsInAsDefaultUser(t *testing.T) {
	err := asDefault(t, clickhousetest.Engine(t)).Exec(t.Context(), "SELECT 1")
	var e *ch.Exception
	if !errors.As(err, &e) || e.Code != 700 {
		t.Errorf("error %v; want code 700, too many sessions of this user", err)
	}
}

func TestReaderReadsAndNoMore(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	for _, role := range []clickhouse.Role{clickhouse.RoleReader, clickhouse.RoleExporter} {
		conn := as(t, e.Options(role), db.Database())
		if n := count(t, conn, "SELECT count() FROM events FINAL"); n != 0 {
			t.Errorf("%d events", n)
		}
		for _, statement := range append(changesTo(db.Database()),
			"INSERT INTO "+db.Database()+".deliveries (tenant) VALUES ('x')",
			"SELECT count() FROM system.users",
			"SELECT count() FROM system.processes",
		) {
			refused(t, conn, statement)
		}
		for _, setting := range []string{"readonly = 0", "max_execution_time = 100000", "max_memory_usage = 0"} {
			if err := conn.Exec(t.Context(), "SET "+setting); err == nil {
				t.Errorf("%s may set %s", role, setting)
			}
		}
	}
}

func TestAPIUserReadsAndInserts(t *testing.T) {
	e := clickhousetest.Own(t, clickhouse.EngineConfig{})
	db := clickhousetest.Migrated(t, e.Options(clickhouse.RoleApp))
	conn := as(t, e.Options(clickhouse.RoleAPI), db.Database())
	if err := conn.Exec(t.Context(), "INSERT INTO deliveries (tenant) VALUES ('x')"); err != nil {
		t.Error(err)
	}
	if n := count(t, conn, "SELECT count() FROM deliveries"); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
	if n := count(t, conn, "SELECT sum(bytes_on_disk) FROM system.parts"); n == 0 {
		t.Error("it cannot see the size of the store")
	}
	for _, statement := range changesTo(db.Database()) {
		refused(t, conn, statement)
	}
}
