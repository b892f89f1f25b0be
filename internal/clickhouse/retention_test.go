package clickhouse_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// keep brings a retention into force.
func keep(t *testing.T, c clickhouse.Config, r clickhouse.Retention) {
	t.Helper()
	c.Retention = r
	if err := clickhouse.ApplyRetention(t.Context(), connect(t, c)); err != nil {
		t.Fatal(err)
	}
}

func TestRetentionIsSetChangedAndRemoved(t *testing.T) {
	c := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, c)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	for _, step := range []struct {
		days, events, findings, daily int
	}{{0, 0, 0, 0}, {400, 90, 30, 500}, {30, 30, 0, 30}, {0, 0, 7, 0}, {0, 0, 0, 0}} {
		keep(t, c, clickhouse.Retention{Days: step.days, ByTable: map[string]int{
			"findings": step.findings, "events": step.events, "counts_daily": step.daily,
		}})
		want := map[string]int{"findings": step.findings, "finding_acts": step.findings}
		for _, table := range []string{"events", "events_by_time", "events_by_identity", "events_by_token", "versions"} {
			want[table] = step.events
		}
		want["counts_daily"], want["usage_daily"], want["successes"] = step.daily, step.daily, step.daily
		for _, table := range []string{"matches", "finding_changes", "deliveries", "counts_hourly", "presence", "reprocess_jobs", "backtests", "provision_log", "inventory_changes", "inventory_syncs"} {
			want[table] = step.days
		}
		maps.DeleteFunc(want, func(_ string, days int) bool { return days == 0 })
		if diff := cmp.Diff(want, retentions(t, conn, db)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", step, diff)
		}
	}
}

// retentions are the days of every table that has a TTL.
func retentions(t *testing.T, conn driver.Conn, db *clickhouse.DB) map[string]int {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT name, toUInt32(extract(engine_full, 'TTL .*toIntervalDay\\((\\d+)\\)')) FROM system.tables WHERE database = ? AND engine_full LIKE '% TTL %'", db.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var name string
		var days uint32
		if err := rows.Scan(&name, &days); err != nil {
			t.Fatal(err)
		}
		found[name] = int(days)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return found
}

// Whoever adds a table says whether it loses old rows, and how: by whole parts.
func TestEveryTableOfTimesIsRetainedByWholeParts(t *testing.T) {
	c := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, c)
	keep(t, c, clickhouse.Retention{Days: 400})
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	kept := retentions(t, conn, db)
	rows, err := conn.Query(t.Context(), "SELECT name, partition_key, engine_full FROM system.tables WHERE database = ? AND partition_key != ''", db.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	queue := []string{"touches", "touches_done", "matches_scratch"} // dropped when it is done
	for rows.Next() {
		var name, key, engine string
		if err := rows.Scan(&name, &key, &engine); err != nil {
			t.Fatal(err)
		}
		switch {
		case slices.Contains(queue, name):
		case kept[name] != 400:
			t.Errorf("%s has rows of times (PARTITION BY %s) and no retention", name, key)
		case !strings.Contains(engine, "ttl_only_drop_parts = 1"):
			t.Errorf("%s loses rows, not whole parts", name)
		}
	}
	if rows.Err() != nil || len(kept) < 5 {
		t.Errorf("%d tables are retained, %v", len(kept), rows.Err())
	}
}

func TestRetentionThatIsThereIsLeftAlone(t *testing.T) {
	c := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, c)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	if err := insertEvent(t, conn, "1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		keep(t, c, clickhouse.Retention{Days: 400})
	}
	const mutations = "SELECT count() FROM system.mutations WHERE database = ? AND table = 'events' AND command LIKE '%TTL%'"
	if n := count(t, conn, mutations, db.Database()); n != 1 {
		t.Errorf("the retention was set %d times, want 1", n)
	}
}

func TestNewRetentionDropsWhatIsOlder(t *testing.T) {
	c := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, c)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	for logID, daysAgo := range map[string]int{"old": 100, "new": 1} {
		err := conn.Exec(t.Context(), "INSERT INTO events (tenant, client_id, time, log_id, ver, source) VALUES ('acme', 'c', now64(3) - toIntervalDay(?), ?, 1, 'stream')", daysAgo, logID)
		if err != nil {
			t.Fatal(err)
		}
	}
	keep(t, c, clickhouse.Retention{Days: 30})
	until(t, "the old event's end", func() bool { return count(t, conn, "SELECT count() FROM events") == 1 })
	if n := count(t, conn, "SELECT count() FROM events WHERE log_id = 'new'"); n != 1 {
		t.Error("the new event is gone")
	}
}

func TestRetentionThatMakesNoSenseIsRefused(t *testing.T) {
	c := clickhousetest.Config(t)
	c.Retention = clickhouse.Retention{Days: -1, ByTable: map[string]int{"evnts": 3, "events_by_token": 3, "usage_daily": 3, "findings": -2}}
	_, err := clickhouse.Connect(t.Context(), c)
	for _, want := range []string{"-1 days", `"evnts"`, `"events_by_token"`, `"usage_daily"`, "finding_changes, findings", "findings, -2 days"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to say %s", err, want)
		}
	}
}

// What has expired goes in the background, so readers leave it out at once.
func TestReadersLeaveOutWhatIsPastTheRetention(t *testing.T) {
	c := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, c)
	edge := noon().Add(12 * time.Hour).Add(-30 * 24 * time.Hour) // a midnight
	older, young := events(4, edge.Add(-time.Hour)), events(3, edge)
	insertEvents(t, db, append(slices.Clone(older), young...))
	gone, kept := finding(1), finding(2)
	gone.Period, gone.ID = edge.Add(-24*time.Hour), "gone"
	kept.Period, kept.ID = edge, "kept"
	insertFindings(t, db, gone, kept)
	insertChanges(t, db, changeOf(gone, 1, 1), changeOf(kept, 1, 1))

	c.Retention, c.Now = clickhouse.Retention{Days: 30}, func() time.Time { return edge.Add(30*24*time.Hour - time.Second) }
	aged := connect(t, c)
	if diff := diffEvents(newestFirst(young), listEvents(t, aged, schemas.EventFilter{})); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := diffEvents(newestFirst(young)[2:], listEvents(t, aged, schemas.EventFilter{From: edge.Add(-time.Hour), To: edge.Add(time.Second)})); diff != "" {
		t.Errorf("events over the edge (-want +got):\n%s", diff)
	}
	if n := countEvents(t, aged); n != 3 {
		t.Errorf("%d events are counted, want 3", n)
	}
	r := clickhouse.NewReader(aged)
	seen, err := r.Presence(t.Context(), "acme", young[0].Identity.ID, time.Time{}, time.Time{})
	if err != nil || len(seen) == 0 || seen[0].Count != 1 {
		t.Errorf("presence %+v, %v, want the one young event of the identity", seen, err)
	}
	if _, err := r.Event(t.Context(), "acme", older[0].LogID); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("an event past the retention: %v, want that it is not there", err)
	}
	if _, err := r.Event(t.Context(), "acme", young[0].LogID); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]schemas.Finding{kept}, listFindings(t, aged, schemas.FindingFilter{})); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if _, err := r.Finding(t.Context(), gone.ID); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("a finding past the retention: %v, want that it is not there", err)
	}
	for f, want := range map[string]int{"gone": 0, "kept": 1} {
		history, err := r.FindingHistory(t.Context(), schemas.Finding{ID: f, Tenant: "acme", Changes: 1})
		if err != nil || len(history) != want {
			t.Errorf("%d changes of %s, %v; want %d", len(history), f, err, want)
		}
	}
}
