package clickhouse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

func TestConnectErrorsHaveNoPassword(t *testing.T) {
	at := strings.SplitN(clickhousetest.Engine(t).Options(clickhouse.RoleApp).URL, "@", 2)[1]
	for _, url := range []string{"clickhouse://app:hunter2@" + at, "clickhouse://app:hunter2@127.0.0.1:1"} {
		_, err := clickhouse.Connect(t.Context(), clickhouse.Config{URL: url})
		if err == nil {
			t.Fatalf("%s: connected", url)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error has the password: %v", err)
		}
	}
}

func TestPingTellsAMissingDatabase(t *testing.T) {
	db := connect(t, clickhousetest.Config(t))
	if err := db.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), db.Database()) {
		t.Errorf("error %v; want one that names the database", err)
	}
}

func TestSecondHostIsUsedWhenTheFirstIsAway(t *testing.T) {
	c := clickhousetest.Engine(t).Options(clickhouse.RoleApp)
	c.Database = clickhousetest.New(t).Database()
	c.URL = strings.Replace(c.URL, "@", "@127.0.0.1:1,", 1)
	if _, err := connect(t, c).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEventsKeepTheirValues(t *testing.T) {
	db := clickhousetest.New(t)
	conn := as(t, clickhousetest.Engine(t).Options(clickhouse.RoleApp), db.Database())
	type row struct {
		At     time.Time
		Scopes []string
		Source string
		Raw    string
	}
	want := row{time.Date(2024, 2, 29, 23, 59, 59, 999_000_000, time.UTC), []string{"read:x", ""}, "repair", "{\"a\": \"\\u0000 \xff\"}"}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO events (tenant, time, log_id, ver, scopes, source, ingested_at, raw)")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Append("acme", want.At, "1", uint64(1), want.Scopes, want.Source, want.At, want.Raw); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got row
	if err := conn.QueryRow(t.Context(), "SELECT time, scopes, source, raw FROM events").Scan(&got.At, &got.Scopes, &got.Source, &got.Raw); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
