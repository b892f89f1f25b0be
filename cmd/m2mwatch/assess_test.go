package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// newAssessed is a tenant of a day long past with two weeks of logs, in which two
// machines were never used and one was told whose it is.
func newAssessed(t *testing.T, scopes ...string) *operator {
	t.Helper()
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", engineLibrary(t))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("TMPDIR", t.TempDir())
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	tenant := auth0sim.New(auth0sim.Config{Seed: 7, Machines: 30, People: 12, Now: func() time.Time { return now }})
	tenant.KeepHistory(now.AddDate(0, 0, -14), now, 6000)
	server := httptest.NewServer(tenant.Handler())
	t.Cleanup(server.Close)
	o := &operator{t: t, tenant: tenant, base: server.URL}
	orders := "https://api." + tenant.Domain() + "/orders"
	for _, app := range []map[string]any{
		{"name": "forgotten-export", "client_metadata": map[string]string{"Team": "data"}},
		{"name": "old-admin"},
	} {
		app["app_type"], app["grant_types"] = "non_interactive", []string{"client_credentials"}
		var made struct {
			ID string `json:"client_id"`
		}
		o.admin("POST", "clients", app, &made)
		scope := []string{"read:orders"}
		if app["name"] == "old-admin" {
			scope = []string{"read:orders", "create:orders", "delete:orders"}
		}
		o.admin("POST", "client-grants", map[string]any{"client_id": made.ID, "audience": orders, "scope": scope}, nil)
	}
	o.become(scopes...)
	o.environ = append(o.environ, "M2MWATCH_PACE=page=1ms", "M2MWATCH_ENGINE_LIBRARY="+engineLibrary(t))
	return o
}

// assess runs it, and returns what it prints without what differs from run to run.
func (o *operator) assess(args ...string) string {
	o.t.Helper()
	out, _ := o.must(append([]string{"assess"}, args...)...)
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "m2mwatch-*")); len(left) > 0 {
		o.t.Errorf("it has left %q", left)
	}
	if strings.Contains(out+o.seen.String(), o.client.Secret) {
		o.t.Error("it prints the secret")
	}
	return strings.ReplaceAll(out, strings.TrimPrefix(o.base, "http://"), "DOMAIN")
}

func TestAssessPrintsOnePage(t *testing.T) {
	o := newAssessed(t, "read:logs", "read:clients", "read:client_grants", "read:resource_servers")
	leftBehind(t)
	got := o.assess()
	const golden = "testdata/assess.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// leftBehind is the scratch store of a run that was killed a while ago.
func leftBehind(t *testing.T) {
	t.Helper()
	dir := filepath.Join(os.Getenv("TMPDIR"), "m2mwatch-scratch-1")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(dir, long, long); err != nil {
		t.Fatal(err)
	}
}

func TestAssessSaysWhatItCouldNotSee(t *testing.T) {
	o := newAssessed(t, "read:logs", "read:clients", "read:client_grants")
	var page assessed
	if err := json.Unmarshal([]byte(o.assess("--json", "--from", "2026-02-25")), &page); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(page.Unseen, "\n"); !strings.Contains(text, "how long tokens are good (read:resource_servers): 24 hours are assumed") {
		t.Errorf("unseen: %s", text)
	}
	if len(page.Unused) < 2 || page.From.Before(time.Date(2026, 2, 25, 0, 0, 0, 0, time.UTC)) || page.Kept.After(page.From) {
		t.Errorf("page %+v of %v to %v", page, page.From, page.To)
	}
	o.become("read:clients")
	o.fails(exitError, "assess needs: read:logs read:client_grants", "assess")
}

func TestAssessLeavesNothingWhereItFails(t *testing.T) {
	o := newAssessed(t, "read:logs", "read:clients", "read:client_grants")
	o.tenant.Inject(auth0sim.Fault{Path: "/api/v2/logs", Skip: 5, Times: -1, Status: http.StatusForbidden})
	o.fails(exitError, "read the logs: ", "assess")
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "m2mwatch-*")); len(left) > 0 {
		t.Errorf("it has left %q", left)
	}
}
