package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

// TestRecordThatTheEngineRefusesGoesToDead has the engine itself refuse one
// record of a batch, and then another one's match: what came with them is
// stored, and goes on being stored. A record without its match is stored, too,
// and lies in DEAD to be matched again.
func TestRecordThatTheEngineRefusesGoesToDead(t *testing.T) {
	engine := clickhousetest.Own(t, clickhouse.EngineConfig{})
	store := engine.Options(clickhouse.RoleApp)
	i := startUp(t, filepath.Join(t.TempDir(), "data"), fastRecount, "CLICKHOUSE_URL="+store.URL)
	options, err := ch.ParseDSN(store.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := ch.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, table := range []string{"events", "matches"} {
		err := conn.Exec(t.Context(), "ALTER TABLE m2mwatch."+table+" ADD CONSTRAINT not_this CHECK client_id != 'refused-by-"+table+"'")
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{}
	n := 0
	post := func(clients ...string) {
		t.Helper()
		var records []string
		for _, client := range clients {
			n++
			id, raw := record(n, epoch.Add(time.Duration(n)*time.Second), "seccft", client, "192.0.2")
			if client != "refused-by-events" {
				want[id] = true
			}
			records = append(records, raw)
		}
		if status, accepted, _ := i.post(lines(records...)); status != http.StatusOK || accepted != len(clients) {
			t.Fatalf("got %d, accepted %d of %d", status, accepted, len(clients))
		}
	}
	post("client-a", "refused-by-events", "client-a", "client-a")
	post("client-a", "client-a", "refused-by-matches")
	i.eventually("two records in DEAD", func() error {
		var status struct{ Dead int }
		if err := i.get("/v1/status", &status); err != nil || status.Dead != 2 {
			return fmt.Errorf("%d, %w", status.Dead, err)
		}
		return nil
	})
	post("client-a")
	i.settle()
	i.checkOnce(want)
	i.interrupt()
}
