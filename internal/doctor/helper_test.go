package doctor

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

const goodSecret = "5d41402abc4b2a76b9719d911017c592"

// settings are the defaults with a data directory of the test's own.
func settings(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.Listen = "127.0.0.1:0"
	c.Tenants = []config.Tenant{{Name: "acme", Secrets: []config.Secret{goodSecret}}}
	return &c
}

// look runs one check.
func look(t *testing.T, cfg Config, name string) Result {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, c := range d.Checks() {
		if c.Name == name {
			return c.Run(t.Context())
		}
	}
	t.Fatalf("no check %s", name)
	return Result{}
}

// wantNote fails the test where the result has another state, or no note of
// that state that says so.
func wantNote(t *testing.T, r Result, state State, found string) {
	t.Helper()
	if r.State() != state {
		t.Errorf("got %s, want %s: %+v", r.State(), state, r.Notes)
	}
	for _, n := range r.Notes {
		if n.State == state && strings.Contains(n.Found, found) {
			return
		}
	}
	t.Errorf("nothing says %q: %+v", found, r.Notes)
}

// instance answers as one that runs in a data directory.
type instance struct {
	ready  schemas.Readiness
	status schemas.StatusView
	events []schemas.EventView
	// Both are nil of an earlier build.
	tables  *schemas.TablesView
	metrics http.Handler
}

func (i *instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/readyz":
		answer = i.ready
	case "/v1/status":
		answer = i.status
	case "/v1/events":
		answer = schemas.EventPage{Events: i.events}
	case "/v1/tables":
		answer = i.tables
	case "/metrics":
		if i.metrics != nil {
			i.metrics.ServeHTTP(w, r)
			return
		}
	}
	if answer == nil || answer == i.tables && i.tables == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// run has i answer on the socket of the data directory.
func (i *instance) run(t *testing.T, c *config.Config) {
	t.Helper()
	c.Data = t.TempDir()
	if err := os.Chmod(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", datadir.Socket(c.Data))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(i)
	srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
}

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}
