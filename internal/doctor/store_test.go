package doctor

import (
	"context"
	"errors"
	"strings"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// onStore looks at the store that c connects to, as at an outside one.
func onStore(t *testing.T, c clickhouse.Config) Result {
	t.Helper()
	s := settings(t)
	s.ClickHouse.URL = "clickhouse://there"
	return look(t, Config{Settings: s, OpenStore: func(ctx context.Context) (*clickhouse.DB, func(), error) {
		db, err := clickhouse.Connect(ctx, c)
		return db, func() { db.Close() }, err
	}}, "clickhouse")
}

func TestTheStoreIsLookedAt(t *testing.T) {
	c := clickhousetest.Config(t)
	wantNote(t, onStore(t, c), StateWarn, "migrations are not applied yet: 001_events")
	db := clickhousetest.Migrated(t, c)
	wantNote(t, onStore(t, c), StateOK, "tables are as they make them")
	change(t, c, "ALTER TABLE events MODIFY SETTING fsync_after_insert = 0")
	wantNote(t, onStore(t, c), StateFail, "not synced to disk before it is acknowledged: events: fsync_after_insert")
	change(t, c, "ALTER TABLE events MODIFY SETTING fsync_after_insert = 1")
	change(t, c, "ALTER TABLE events ADD COLUMN note String")
	wantNote(t, onStore(t, c), StateWarn, "events column note is there")
	change(t, c, "ALTER TABLE events DROP COLUMN note, DROP COLUMN as_org")
	wantNote(t, onStore(t, c), StateFail, "missing: events column as_org")
	reader := clickhousetest.Engine(t).Options(clickhouse.RoleReader)
	reader.Database = c.Database
	wantNote(t, onStore(t, reader), StateFail, "its user lacks INSERT ON "+db.Database())
}

func TestAStoreThatCannotBeReachedFails(t *testing.T) {
	s := settings(t)
	s.ClickHouse.URL = "clickhouse://there"
	c := Config{Settings: s, OpenStore: func(context.Context) (*clickhouse.DB, func(), error) {
		return nil, nil, errors.New("refused")
	}}
	wantNote(t, look(t, c, "clickhouse"), StateFail, "refused")
}

func TestTheEmbeddedStoreNeedsItsLibrary(t *testing.T) {
	s := settings(t)
	s.ClickHouse.Library = "/nowhere/libchdb.so"
	wantNote(t, look(t, Config{Settings: s}, "clickhouse"), StateFail, "/nowhere/libchdb.so")
	s.ClickHouse.Library = clickhousetest.Library(t)
	wantNote(t, look(t, Config{Settings: s}, "clickhouse"), StateOK, "embedded")
}

func TestTablesOfARunningInstanceAreAskedOfIt(t *testing.T) {
	s := settings(t)
	s.ClickHouse.Library = clickhousetest.Library(t)
	wantNote(t, look(t, Config{Settings: s}, "clickhouse"), StateOK, "embedded")
	i := &instance{}
	i.run(t, s)
	notLookedAt := look(t, Config{Settings: s}, "clickhouse").Notes
	if last := notLookedAt[len(notLookedAt)-1]; last.State != StateSkip || !strings.Contains(last.Found, "not looked at: the instance that runs is of an earlier build") {
		t.Errorf("got %+v", notLookedAt)
	}
	i.tables = &schemas.TablesView{}
	wantNote(t, look(t, Config{Settings: s}, "clickhouse"), StateOK, "tables are as they make them")
	i.tables.Unsynced = []string{"events: fsync_after_insert"}
	wantNote(t, look(t, Config{Settings: s}, "clickhouse"), StateFail, "not synced to disk before it is acknowledged: events: fsync_after_insert")
}

func TestVersionsAreComparedByNumber(t *testing.T) {
	for version, want := range map[string]bool{"26.7.3.1": false, "26.10.1": false, "26.6.9": true, "25.12": true, "27.1": false} {
		if older(version, triedStore) != want {
			t.Errorf("%s: want %t", version, want)
		}
	}
}

// change runs a statement as somebody else would.
func change(t *testing.T, c clickhouse.Config, statement string) {
	t.Helper()
	options, err := ch.ParseDSN(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Auth.Database = c.Database
	conn, err := ch.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
