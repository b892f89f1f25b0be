package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
)

// description is how a metric describes itself, which its client library tells
// in no other form.
var description = regexp.MustCompile(`fqName: "(m2mwatch_[^"]*)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// documentedMetric is a row of the README's table.
var documentedMetric = regexp.MustCompile("(?m)^\\| `(m2mwatch_[a-z_]+)(?:\\{([a-z_,]*)\\})?` \\|")

// TestEveryMetricIsDocumentedAndEveryDocumentedOneIsThere compares the README
// with what a process registers that has everything.
func TestEveryMetricIsDocumentedAndEveryDocumentedOneIsThere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range documentedMetric.FindAllStringSubmatch(string(readme), -1) {
		documented[m[1]] = m[2]
	}
	there := map[string]string{}
	for name, m := range registered(t) {
		there[name] = m.labels
		if _, ok := documented[name]; !ok {
			t.Logf("a row for it: | `%s%s` | %s |", name, inBraces(m.labels), m.help)
		}
	}
	if diff := cmp.Diff(there, documented); diff != "" {
		t.Errorf("metrics and their labels, registered (-) and in the README (+):\n%s", diff)
	}
}

func inBraces(labels string) string {
	if labels == "" {
		return ""
	}
	return "{" + labels + "}"
}

type metric struct{ labels, help string }

// registered are the metrics of a process with all stages, servers of its own,
// a certificate, somebody to notify and a collector of traces.
func registered(t *testing.T) map[string]metric {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data, cfg.Listen, cfg.ClickHouse.Library = filepath.Join(dir, "data"), "127.0.0.1:0", engineLibrary(t)
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cfg.Notify.Webhook = config.Webhook{URL: "http://127.0.0.1:1/", Secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}
	cfg.Traces.Endpoint = "http://127.0.0.1:1"
	certificatetest.New(t).Write(t, cfg.TLS.CertFile, cfg.TLS.KeyFile, time.Now().Add(time.Hour), "m2mwatch.example.com")
	s, err := newServer(&invocation{stdout: io.Discard, stderr: io.Discard}, &cfg, config.Origin{}, serveOptions{
		stages: []stage{stageIngest, stageProcess, stageQuery}, purpose: datadir.Live,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Listeners register theirs when they begin to be served.
	var all map[string]metric
	err = poll(t.Context(), func() (bool, error) {
		all = described(s.registry)
		_, ok := all["m2mwatch_http_connections"]
		return ok, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func described(c prometheus.Collector) map[string]metric {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	all := map[string]metric{}
	for d := range descs {
		if m := description.FindStringSubmatch(fmt.Sprint(d)); m != nil {
			all[m[1]] = metric{labels: strings.ReplaceAll(m[3], " ", ""), help: m[2]}
		}
	}
	return all
}
