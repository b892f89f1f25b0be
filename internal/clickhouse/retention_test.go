package clickhouse_test

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

func TestRetentionIsSetChangedAndRemoved(t *testing.T) {
	db := clickhousetest.New(t)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	for _, step := range []struct {
		days int
		want string
	}{
		{0, ""}, {400, "toIntervalDay(400)"}, {30, "toIntervalDay(30)"}, {0, ""},
	} {
		if err := clickhouse.ApplyRetention(t.Context(), db, step.days); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"events", "events_by_time", "events_by_identity", "tokens", "matches"} {
			var definition string
			if err := conn.QueryRow(t.Context(), "SELECT engine_full FROM system.tables WHERE database = ? AND name = ?", db.Database(), table).Scan(&definition); err != nil {
				t.Fatal(err)
			}
			if has := strings.Contains(definition, " TTL "); has != (step.want != "") || !strings.Contains(definition, step.want) {
				t.Errorf("%d days: %s is %s", step.days, table, definition)
			}
		}
	}
}

func TestRetentionThatIsThereIsLeftAlone(t *testing.T) {
	db := clickhousetest.New(t)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	if err := insertEvent(t, conn, "1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := clickhouse.ApplyRetention(t.Context(), db, 400); err != nil {
			t.Fatal(err)
		}
	}
	const mutations = "SELECT count() FROM system.mutations WHERE database = ? AND table = 'events'"
	if n := count(t, conn, mutations, db.Database()); n != 1 {
		t.Errorf("the table was altered %d times, want 1", n)
	}
}

func TestNewRetentionDropsWhatIsOlder(t *testing.T) {
	db := clickhousetest.New(t)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	for logID, daysAgo := range map[string]int{"old": 100, "new": 1} {
		err := conn.Exec(t.Context(), "INSERT INTO events (tenant, client_id, time, log_id, ver, source) VALUES ('acme', 'c', now64(3) - toIntervalDay(?), ?, 1, 'stream')", daysAgo, logID)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := clickhouse.ApplyRetention(t.Context(), db, 30); err != nil {
		t.Fatal(err)
	}
	until(t, "the old event's end", func() bool { return count(t, conn, "SELECT count() FROM events") == 1 })
	if n := count(t, conn, "SELECT count() FROM events WHERE log_id = 'new'"); n != 1 {
		t.Error("the new event is gone")
	}
}

func TestNegativeRetentionIsRefused(t *testing.T) {
	if err := clickhouse.ApplyRetention(t.Context(), clickhousetest.New(t), -1); err == nil {
		t.Error("-1 days are taken")
	}
}
