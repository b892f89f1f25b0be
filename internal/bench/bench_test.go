package bench_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clickhouse.EngineCommand {
		os.Exit(clickhouse.EngineMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// TestFillAndMeasure goes the whole way with few events: every one is stored
// and counted once, also when the fill is called again, and every question is
// answered.
func TestFillAndMeasure(t *testing.T) {
	clickhousetest.Library(t)
	dir := t.TempDir()
	const events = 30_000
	var said bytes.Buffer
	for range 2 {
		err := bench.Fill(t.Context(), bench.FillConfig{Dir: dir, Events: events, Days: 3, Seed: 3, Batch: 5000, Memory: 1 << 30, FlushAge: 50 * time.Millisecond, Progress: &said})
		if err != nil {
			t.Fatalf("%v; it said:\n%s", err, &said)
		}
	}
	if strings.Contains(said.String(), "dead") {
		t.Errorf("a generated record went to DEAD:\n%s", &said)
	}
	report, err := bench.Measure(t.Context(), bench.StoreConfig{Dir: dir, Runs: 2, Rounds: 1, Memory: 1 << 30, Progress: &said})
	if err != nil {
		t.Fatal(err)
	}
	if report.Events != events {
		t.Errorf("%d events are stored, want %d", report.Events, events)
	}
	var printed bytes.Buffer
	if err := report.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| at 30000 events |", "by client and audience", "one log_id", "rows/s", "by column: "} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &printed)
		}
	}
}

func TestFillRefusesAnotherMonth(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/bench.json", []byte(`{"seed":1,"events":10,"span":30}`), 0o600); err != nil {
		t.Fatal(err)
	}
	err := bench.Fill(t.Context(), bench.FillConfig{Dir: dir, Events: 20, Seed: 1})
	if err == nil || !strings.Contains(err.Error(), "holds 10 events of 30 days and seed 1") {
		t.Errorf("got %v", err)
	}
	_, err = bench.Measure(t.Context(), bench.StoreConfig{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "not filled to its end") {
		t.Errorf("got %v", err)
	}
}
