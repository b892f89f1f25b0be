package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/doctor"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
)

// TestDoctorLooksAtOutsideServers calls the command as a stage that runs alone
// would be configured.
func TestDoctorLooksAtOutsideServers(t *testing.T) {
	broker := natstest.NewOutside(t)
	broker.Stop()
	broker.Monitored(true)
	broker.Start(t)
	store := clickhousetest.Own(t, clickhouse.EngineConfig{}).Options(clickhouse.RoleApp)
	environ := []string{
		"NATS_URL=" + broker.URL(), "CLICKHOUSE_URL=" + store.URL, "M2MWATCH_LISTEN=127.0.0.1:0",
		"M2MWATCH_DATA=" + filepath.Join(t.TempDir(), "data"),
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"m2mwatch", "doctor", "--json", "--nats-monitor", broker.MonitorURL()}, environ, nil, &stdout, &stderr)
	if code != exitOK {
		t.Errorf("exit code %d: %s%s", code, &stdout, &stderr)
	}
	var answer diagnosis
	if err := json.Unmarshal(stdout.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	states := map[string]doctor.State{}
	for _, r := range answer.Checks {
		states[r.Name] = r.State
	}
	for name, want := range map[string]doctor.State{
		"nats": doctor.StateWarn, "nats sync": doctor.StateOK, "clickhouse": doctor.StateWarn, "disk sync": doctor.StateSkip,
	} { // neither streams nor tables are there yet
		if states[name] != want {
			t.Errorf("%s is %s, want %s: %s", name, states[name], want, &stdout)
		}
	}
	for _, secret := range []string{broker.Password, store.URL} {
		if strings.Contains(stdout.String()+stderr.String(), secret) {
			t.Error("a secret is shown")
		}
	}
	environ[0] = "NATS_URL=nats://127.0.0.1:1"
	code = run([]string{"m2mwatch", "doctor"}, environ, nil, &stdout, &stderr)
	if code != exitError || !strings.Contains(stdout.String(), "fail  nats ") {
		t.Errorf("a broker that is away: exit code %d: %s", code, &stdout)
	}
}
