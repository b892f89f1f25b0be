package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
)

// TestStagesRunApart runs each stage as a process of its own, two processors
// among them, against servers outside, and kills one processor under load.
func TestStagesRunApart(t *testing.T) {
	broker := natstest.NewOutside(t)
	engine := clickhousetest.Own(t, clickhouse.EngineConfig{})
	store := engine.Options(clickhouse.RoleApp)
	password, _, _ := strings.Cut(strings.TrimPrefix(store.URL, "clickhouse://app:"), "@")
	env := []string{
		"NATS_URL=" + broker.URL(),
		"CLICKHOUSE_URL=" + store.URL,
		"M2MWATCH_CLICKHOUSE_DATABASE=m2mwatch_apart",
		"M2MWATCH_STORE_RETENTION=0",
		"M2MWATCH_LOG_FORMAT=json",
		"M2MWATCH_LISTEN=127.0.0.1:0",
		"M2MWATCH_DATA=" + filepath.Join(t.TempDir(), "data"),
		fmt.Sprintf("M2MWATCH_TENANTS=[{name: acme, secrets: [%s]}]", testSecret),
		fmt.Sprintf("M2MWATCH_API_TOKENS=[{name: test, token: %s}]", testToken),
	}
	one := startProgram(t, env, "process")
	two := startProgram(t, env, "process")
	in := startProgram(t, env, "ingest")
	api := startProgram(t, env, "query")
	api.webhook = in.webhook

	want := map[string]bool{}
	for batch := range 40 {
		var records []string
		for k := range 50 {
			id, raw := record(batch*50+k, epoch.Add(time.Duration(batch*50+k)*time.Second), "seccft", fmt.Sprint("client-", k), "192.0.2")
			want[id] = true
			records = append(records, raw)
		}
		if status, accepted, _ := api.post(lines(records...)); status != http.StatusOK || accepted != 50 {
			t.Fatalf("got %d, accepted %d", status, accepted)
		}
		if batch == 20 {
			one.kill()
		}
	}
	api.settle()
	api.checkOnce(want)
	for _, i := range []*instance{api, in, two} {
		i.interrupt()
		if strings.Contains(i.log(), password) {
			t.Error("the log holds the store's password")
		}
	}
}

// What is recounted are events, so that an hour is given up when those are too
// old, however long other tables are kept.
func TestRecountReachesBackAsFarAsEvents(t *testing.T) {
	var cfg config.Config
	cfg.Store.Retention, cfg.Store.RetentionByTable = 30, map[string]config.Days{"events": 400}
	s := &server{cfg: &cfg}
	if got, want := s.recounterConfig().Retention, 400*24*time.Hour; got != want {
		t.Errorf("hours of the last %s are recounted, want those of %s", got, want)
	}
}
