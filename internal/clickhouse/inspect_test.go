package clickhouse_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// TestTablesAreThoseOfTheMigrations keeps the list that drift is told by. Who
// adds a migration rewrites it with `make golden`.
func TestTablesAreThoseOfTheMigrations(t *testing.T) {
	got, err := clickhouse.Describe(t.Context(), clickhousetest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../../schemas/clickhouse/tables.tsv", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(migrations.Tables, got); diff != "" {
		t.Errorf("schemas/clickhouse/tables.tsv is not what the migrations make (rewrite it with `make golden`):\n%s", diff)
	}
}

func inspect(t *testing.T, db *clickhouse.DB) schemas.TablesView {
	t.Helper()
	s, err := clickhouse.InspectSchema(t.Context(), db, migrations.Migrations, migrations.Tables)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInspectSchemaTellsDrift(t *testing.T) {
	c := clickhousetest.Config(t)
	db := connect(t, c)
	if s := inspect(t, db); len(s.Pending) == 0 || len(s.Missing) > 0 {
		t.Errorf("of a database that is not there: %+v", s)
	}
	db = clickhousetest.Migrated(t, c)
	if diff := cmp.Diff(schemas.TablesView{}, inspect(t, db)); diff != "" {
		t.Errorf("of a whole database:\n%s", diff)
	}
	for _, statement := range []string{
		"ALTER TABLE findings MODIFY SETTING fsync_after_insert = 0",
		"ALTER TABLE events DROP COLUMN as_org",
		"ALTER TABLE events MODIFY COLUMN ip CODEC(NONE)",
		"ALTER TABLE epochs ADD COLUMN note String",
	} {
		execute(t, db, statement)
	}
	s := inspect(t, db)
	want := schemas.TablesView{
		Missing:  []string{"events column as_org"},
		Differs:  s.Differs,
		Unsynced: []string{"findings: fsync_after_insert"},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if all := strings.Join(s.Differs, "\n"); len(s.Differs) != 2 || !strings.Contains(all, "events column ip is ") || !strings.Contains(all, "epochs column note is there") {
		t.Errorf("differs:\n%s", all)
	}
}

func TestInspectServerTellsWhatTheUserMayNot(t *testing.T) {
	c := clickhousetest.Config(t)
	for role, denied := range map[clickhouse.Role]bool{clickhouse.RoleApp: false, clickhouse.RoleReader: true} {
		user := clickhousetest.Engine(t).Options(role)
		user.Database = c.Database
		s, err := clickhouse.InspectServer(t.Context(), connect(t, user))
		if err != nil {
			t.Fatal(err)
		}
		if (len(s.Denied) > 0) != denied {
			t.Errorf("%s is denied %q", role, s.Denied)
		}
		if !strings.HasPrefix(s.Version, "26.7") || time.Since(s.Now).Abs() > time.Minute {
			t.Errorf("version %s, clock %s", s.Version, s.Now)
		}
	}
}

func TestTablesOfAClusterAreTheSame(t *testing.T) {
	db := clickhousetest.Migrated(t, clickhousetest.Shards(t, 2))
	if s := inspect(t, db); len(s.Pending)+len(s.Missing)+len(s.Differs)+len(s.Unsynced) > 0 {
		t.Errorf("%+v", s)
	}
	if s, err := clickhouse.InspectServer(t.Context(), db); err != nil || len(s.Denied) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestTheAPIsUserMayLookAtTheTables looks as the user that answers questions of
// an embedded server, whose rights are few.
func TestTheAPIsUserMayLookAtTheTables(t *testing.T) {
	c := clickhousetest.Config(t)
	app := clickhousetest.Migrated(t, c)
	user := clickhousetest.Engine(t).Options(clickhouse.RoleAPI)
	user.Database = c.Database
	reader := clickhouse.NewReader(connect(t, user))
	for _, want := range []schemas.TablesView{{}, {Unsynced: []string{"findings: fsync_after_insert"}}} {
		got, err := reader.Tables(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		execute(t, app, "ALTER TABLE findings MODIFY SETTING fsync_after_insert = 0")
	}
}
