package processor

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestUnknownTypesAreBoundedAndLoggedOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics, err := newProcessorMetrics(registry, func() float64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	u := newUnknownTypes(metrics.unknownTypes, slog.New(slog.NewTextHandler(&log, nil)))
	const codes, twice = 2 * maxUnknownTypes, 2
	for range twice {
		for i := range codes {
			u.note("acme", fmt.Sprintf("new_%d", i), "1")
		}
	}
	for _, odd := range []string{"", "a b", "\xff", "line\nbreak", otherTypes, strings.Repeat("x", 65)} {
		u.note("acme", odd, "1")
	}
	const name = "m2mwatch_processor_unknown_types_total"
	for code, want := range map[string]float64{
		"new_0": twice, "new_49": twice, otherTypes: (codes-maxUnknownTypes)*twice + 6,
	} {
		if got := gauge(t, registry, name, "type", code); got != want {
			t.Errorf("%s: counted %v, want %v", code, got, want)
		}
	}
	if series := seriesOf(t, registry, name); series != maxUnknownTypes+1 {
		t.Errorf("%d series, want %d", series, maxUnknownTypes+1)
	}
	if lines := strings.Count(log.String(), "\n"); lines != maxUnknownTypes+1 {
		t.Errorf("%d lines logged, want %d", lines, maxUnknownTypes+1)
	}
	if !strings.Contains(log.String(), "type=new_7 tenant=acme log_id=1") {
		t.Errorf("the log does not tell which type: %s", clip(log.String(), 400))
	}
}

func TestAnOddTypeFirstLeavesRoomForFifty(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics, err := newProcessorMetrics(registry, func() float64 { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	u := newUnknownTypes(metrics.unknownTypes, slog.New(slog.DiscardHandler))
	u.note("acme", "", "1")
	for i := range maxUnknownTypes {
		u.note("acme", fmt.Sprintf("new_%d", i), "1")
	}
	if got := seriesOf(t, registry, "m2mwatch_processor_unknown_types_total"); got != maxUnknownTypes+1 {
		t.Errorf("%d series, want %d", got, maxUnknownTypes+1)
	}
}

func seriesOf(t *testing.T, g prometheus.Gatherer, name string) int {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return len(family.GetMetric())
		}
	}
	return 0
}
