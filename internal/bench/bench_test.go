package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	if report.Rows != events {
		t.Errorf("%d events are stored, want %d", report.Rows, events)
	}
	checkAllMatched(t, dir)
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

// checkAllMatched wants that no rule has to match anew what was stored.
func checkAllMatched(t *testing.T, dir string) {
	t.Helper()
	config := clickhousetest.Own(t, clickhouse.EngineConfig{Dir: filepath.Join(dir, "clickhouse")}).Options(clickhouse.RoleApp)
	db, err := clickhouse.Connect(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	selectors, err := clickhouse.NewSelectorStore(db).Selectors(t.Context())
	if err != nil || len(selectors) == 0 {
		t.Fatalf("%d selectors are known, %v", len(selectors), err)
	}
	for _, s := range selectors {
		if !s.Reaches(time.Unix(0, 0)) {
			t.Errorf("selector %s is %s and reaches %s back, want all history", s.Selector, s.State, s.Reach)
		}
	}
}

// TestLiveStoresWhatItSends runs the program itself on a filled directory.
func TestLiveStoresWhatItSends(t *testing.T) {
	library := clickhousetest.Library(t)
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", library)
	dir, program := t.TempDir(), filepath.Join(t.TempDir(), "m2mwatch")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/m2mwatch/m2mwatch/cmd/m2mwatch").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, text)
	}
	const events, sent = 3000, 600
	var said bytes.Buffer
	err := bench.Fill(t.Context(), bench.FillConfig{Dir: dir, Events: events, Days: 1, Seed: 3, Batch: 1000, Memory: 1 << 30, FlushAge: 50 * time.Millisecond, Progress: &said})
	if err != nil {
		t.Fatalf("%v; it said:\n%s", err, &said)
	}
	report, err := bench.Live(t.Context(), bench.LiveConfig{Dir: dir, Program: program, Rate: 200, Warmup: time.Second, For: 2 * time.Second, Judged: true, Progress: &said})
	if err != nil {
		t.Fatalf("%v; it said:\n%s", err, &said)
	}
	if len(report.Lines) != 10 || !strings.Contains(report.Lines[5].Result, " s") || !strings.HasSuffix(report.Lines[9].Result, " MiB") || report.Lines[9].Result == "0 MiB" {
		t.Fatalf("the report is %+v; want the alerts, the warm-up, the correlator and its rules, the cores, the rate, the delay and the memory", report.Lines)
	}
	if cores, err := strconv.ParseFloat(report.Lines[6].Result, 64); err != nil || cores <= 0 {
		t.Errorf("%q cores were busy, %v; want some", report.Lines[6].Result, err)
	}
	var delivered, alarms uint64
	if _, err := fmt.Sscanf(report.Lines[2].Result, "%d of %d", &delivered, &alarms); err != nil || delivered < 1 || delivered > alarms {
		t.Errorf("alerts delivered: %q, %v", report.Lines[2].Result, err)
	}
	stored, err := bench.Measure(t.Context(), bench.StoreConfig{Dir: dir, Runs: 1, Rounds: 1, Memory: 1 << 30, Progress: &said})
	if err != nil || stored.Rows != events+sent+alarms {
		t.Errorf("%d events are stored, %v; want %d", stored.Rows, err, events+sent+alarms)
	}
}

// TestFillGoesOnToThisMinute: of a month that was filled two hours ago what followed is
// stored at its rate, and counted.
func TestFillGoesOnToThisMinute(t *testing.T) {
	clickhousetest.Library(t)
	dir := t.TempDir()
	const events, more = 7200, 200 // in three days, and in two hours
	fill := func(now bool) {
		t.Helper()
		err := bench.Fill(t.Context(), bench.FillConfig{Dir: dir, Events: events, Days: 3, Seed: 1, Batch: 1000, Memory: 1 << 30, FlushAge: 50 * time.Millisecond, Now: now, Progress: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
	}
	fill(false)
	path := filepath.Join(dir, "bench.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var p map[string]any
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	p["to"] = time.Now().UTC().Truncate(time.Minute).Add(-2 * time.Hour)
	if text, err = json.Marshal(p); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	fill(true)
	report, err := bench.Measure(t.Context(), bench.StoreConfig{Dir: dir, Runs: 1, Rounds: 1, Memory: 1 << 30, Progress: io.Discard})
	if err != nil || report.Rows < events+more || report.Rows > events+more+5 {
		t.Errorf("%d events are stored, %v; want %d and %d", report.Rows, err, events, more)
	}
}

// TestFillThatWasBegunIsNoOtherMonth ends a fill in its first day: what lies
// there is that month's, and nothing is measured on a part of it.
func TestFillThatWasBegunIsNoOtherMonth(t *testing.T) {
	clickhousetest.Library(t)
	dir := t.TempDir()
	fill := func(ctx context.Context, events int) error {
		return bench.Fill(ctx, bench.FillConfig{Dir: dir, Events: events, Days: 3, Seed: 1, Batch: 1000, Memory: 1 << 30, FlushAge: 50 * time.Millisecond, Progress: io.Discard})
	}
	if err := fill(endedIn(t, dir, "bench.json"), 6000); err == nil {
		t.Fatal("a fill that was ended is whole")
	}
	if err := fill(t.Context(), 3000); err == nil || !strings.Contains(err.Error(), "holds 6000 events of 3 days and seed 1") {
		t.Errorf("got %v", err)
	}
	if _, err := bench.Measure(t.Context(), bench.StoreConfig{Dir: dir}); err == nil || !strings.Contains(err.Error(), "not filled to its end") {
		t.Errorf("got %v", err)
	}
}

// endedIn is a context that ends when a file is there.
func endedIn(t *testing.T, dir, name string) context.Context {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	tick := time.NewTicker(time.Millisecond)
	go func() {
		defer tick.Stop()
		for range tick.C {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil || ctx.Err() != nil {
				end()
				return
			}
		}
	}()
	return ctx
}
