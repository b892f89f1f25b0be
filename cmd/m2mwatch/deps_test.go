package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/m2mwatch/m2mwatch/"

// listedPackage is what `go list -json` tells of a package.
type listedPackage struct {
	ImportPath string
	Standard   bool
	Imports    []string // of files that are not tests
}

// TestImportRules keeps the walls of ARCHITECTURE.md: which package may import
// which, for code that is not a test. depguard says the same while one writes;
// this says it of the whole tree at once.
func TestImportRules(t *testing.T) {
	for _, p := range listPackages(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, to := range p.Imports {
			if reason := forbidden(from, strings.TrimPrefix(to, module)); reason != "" {
				t.Errorf("%s imports %s: %s", from, to, reason)
			}
		}
	}
}

// TestForbiddenSeesEachRule keeps the rules themselves from rotting.
func TestForbiddenSeesEachRule(t *testing.T) {
	for _, c := range [][2]string{
		{"schemas", "github.com/google/go-cmp/cmp"},
		{"ingest", "processor"},
		{"processor/detect", "query"},
		{"ingest", "internal/clickhouse"},
		{"query", "internal/nats"},
		{"processor", "internal/clickhouse"},
		{"processor", "internal/geo"},
		{"processor/identity", "net/http"},
		{"internal/nats", "ingest"},
		{"internal/nats", "internal/clickhouse"},
		{"internal/geo", "internal/clickhouse"},
		{"internal/config", "github.com/oschwald/maxminddb-golang/v2"},
		{"internal/geo", "github.com/maxmind/mmdbwriter"},
		{"processor", "github.com/nats-io/nats.go/jetstream"},
		{"query", "github.com/ClickHouse/clickhouse-go/v2"},
		{"processor", "github.com/labstack/echo/v4"},
		{"ingest", "internal/auth0/auth0sim"},
		{"ingest", "internal/tracing"},
		{"processor", "go.opentelemetry.io/otel/trace"},
		{"internal/httpserver", "go.opentelemetry.io/otel"},
		{"internal/nats", "internal/tracing"},
		{"cmd/m2mwatch", "internal/bench"},
		{"internal/provision", "internal/auth0"},
		{"cmd/m2mwatch", "filippo.io/age"},
	} {
		if forbidden(c[0], c[1]) == "" {
			t.Errorf("%s may import %s", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{"cmd/m2mwatch", "internal/nats"},
		{"cmd/m2mwatch", "internal/geo"},
		{"internal/geo", "github.com/oschwald/maxminddb-golang/v2/mmdbdata"},
		{"cmd/m2mwatch", "internal/tracing"},
		{"internal/tracing", "go.opentelemetry.io/otel/trace"},
		{"internal/geo/geotest", "github.com/maxmind/mmdbwriter/mmdbtype"},
		{"cmd/m2mwatch", "internal/auth0/auth0sim"},
		{"internal/nats", "github.com/nats-io/nats.go"},
		{"processor", "processor/detect"},
		{"ingest", "internal/httpserver"},
		{"query", "github.com/labstack/echo/v4"},
	} {
		if reason := forbidden(c[0], c[1]); reason != "" {
			t.Errorf("%s may not import %s: %s", c[0], c[1], reason)
		}
	}
}

// TestProgramLinksNoGRPC keeps out what exporters of traces bring along and
// nothing here speaks.
func TestProgramLinksNoGRPC(t *testing.T) {
	for _, p := range listPackages(t, "-deps", "./cmd/m2mwatch") {
		if within(p.ImportPath, "google.golang.org/grpc") {
			t.Fatalf("the program links %s", p.ImportPath)
		}
	}
}

func forbidden(from, to string) string {
	stage, toStage := stageOf(from), stageOf(to)
	switch {
	case top(from) == "schemas" && strings.Contains(top(to), "."):
		return "schemas imports the standard library only"
	case stage != "" && toStage != "" && stage != toStage:
		return "stages meet only in schemas"
	case stage != "" && adapterOf(to) != "":
		return "a stage names a small interface of its own; cmd wires the adapter"
	case (within(from, "processor/detect") || within(from, "processor/identity")) && impure[to]:
		return "no I/O and no clock here"
	case within(from, "internal") && !within(from, "internal/bench") && toStage != "":
		return "internal never imports a stage"
	case adapterOf(from) != "" && adapterOf(to) != "" && adapterOf(from) != adapterOf(to):
		return "one adapter never imports another"
	case within(from, "internal/provision") && adapterOf(to) != "":
		return "provision names a small interface of its own; cmd wires the adapter"
	case within(to, "internal/auth0/auth0sim") && top(from) != "cmd" && !within(from, "internal/auth0/auth0sim") && !within(from, "internal/bench"):
		return "auth0sim is for tests, benches and the demo"
	case within(to, "internal/bench") && !within(from, "internal/bench"):
		return "the product does not know its benches"
	}
	return forbiddenDriver(from, to)
}

// drivers and the one folder each may be imported from (Echo: three).
var drivers = []struct {
	prefix string
	homes  []string
}{
	{"github.com/nats-io/", []string{"internal/nats"}},
	{"github.com/ClickHouse/", []string{"internal/clickhouse"}},
	{"github.com/ebitengine/purego", []string{"internal/clickhouse"}},
	{"github.com/auth0/go-auth0", []string{"internal/auth0"}},
	{"github.com/oschwald/maxminddb-golang", []string{"internal/geo"}},
	{"github.com/maxmind/mmdbwriter", []string{"internal/geo/geotest"}},
	{"golang.org/x/crypto/acme", []string{"internal/certificate"}},
	{"github.com/letsencrypt/pebble", []string{"internal/certificate/certificatetest"}},
	{"github.com/miekg/dns", []string{"internal/certificate/certificatetest"}},
	{"go.opentelemetry.io/", []string{"internal/tracing"}},
	{"google.golang.org/protobuf", []string{"internal/tracing"}},
	{"filippo.io/age", []string{"internal/provision"}},
	{"github.com/labstack/echo", []string{"ingest", "query", "internal/httpserver"}},
}

func forbiddenDriver(from, to string) string {
	for _, d := range drivers {
		if !strings.HasPrefix(to, d.prefix) {
			continue
		}
		for _, home := range append(d.homes, "internal/bench") {
			if within(from, home) {
				return ""
			}
		}
		return "a driver is imported by its adapter alone"
	}
	return ""
}

var impure = map[string]bool{"os": true, "net": true, "net/http": true, "os/exec": true, "database/sql": true}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func top(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

func stageOf(path string) string {
	switch s := top(path); s {
	case "ingest", "processor", "query":
		return s
	}
	return ""
}

func adapterOf(path string) string {
	for _, a := range []string{"internal/nats", "internal/clickhouse", "internal/auth0", "internal/geo", "internal/tracing"} {
		if within(path, a) {
			return a
		}
	}
	return ""
}

func listPackages(t *testing.T, args ...string) []listedPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	var packages []listedPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages listed", len(packages))
	}
	return packages
}
