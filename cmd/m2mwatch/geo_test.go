package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/geo/geotest"
)

// TestEventsTellTheirAutonomousSystem takes events in before and after an
// .mmdb file is replaced.
func TestEventsTellTheirAutonomousSystem(t *testing.T) {
	dir := t.TempDir()
	config, file := filepath.Join(dir, "m2mwatch.yaml"), filepath.Join(dir, "asn.mmdb")
	text := fmt.Sprintf("enrich: {mmdb: [asn.mmdb]}\ntenants: [{name: acme, secrets: [%q]}]\napi: {tokens: [{name: test, token: %q}]}\n", testSecret, testToken)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"up", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-format", "json"}

	cmd := exec.Command(programPath(t), args...)
	cmd.Env = cleanEnviron()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), file) {
		t.Fatalf("without the file: %v, want an error that names it: %s", err, out)
	}

	geotest.Write(t, file, geotest.Options{}, map[string]geotest.Record{"192.0.2.0/24": {"country_code": "NL", "asn": "AS64500", "as_name": "Example Cloud"}})
	i := startProgram(t, nil, args...)
	told := func(n int, want string) {
		t.Helper()
		id, raw := record(n, time.Now(), "seccft", "c", "192.0.2")
		if status, _, _ := i.post(lines(raw)); status != 200 {
			t.Fatalf("posted: %d", status)
		}
		i.settle()
		var e struct {
			Country string
			ASN     int
			ASOrg   string `json:"as_org"`
		}
		i.mustGet("/v1/events/acme/"+id, &e)
		if got := fmt.Sprint(e.Country, " ", e.ASN, " ", e.ASOrg); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	told(1, "NL 64500 Example Cloud")
	before := i.metric("go_gc_gomemlimit_bytes")
	larger := map[string]geotest.Record{"192.0.2.0/24": {"country_code": "BE", "asn": "AS64501", "as_name": "Example Transit"}}
	for n := range 1000 {
		larger[fmt.Sprintf("10.%d.%d.0/24", n/250, n%250)] = geotest.Record{"asn": fmt.Sprintf("AS%d", n+1), "as_name": fmt.Sprint("Example ", n)}
	}
	geotest.Write(t, file, geotest.Options{}, larger)
	i.eventually("the new file is in use", func() error {
		if !strings.Contains(i.log(), "a changed .mmdb file is in use") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	told(2, "BE 64501 Example Transit")
	i.eventually("a memory limit with room for the larger file", func() error {
		if now := i.metric("go_gc_gomemlimit_bytes"); now <= before {
			return fmt.Errorf("%.0f, %.0f before", now, before)
		}
		return nil
	})
	i.interrupt()
}
