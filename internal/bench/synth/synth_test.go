package synth_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
)

func TestHistoryIsAFunctionOfItsSeed(t *testing.T) {
	t.Parallel()
	config := synth.Config{Seed: 7, Events: 20_000, Machines: 60}
	a, b := synth.Generate(config), synth.Generate(config)
	if len(a.Logs) != len(b.Logs) {
		t.Fatalf("%d logs and then %d", len(a.Logs), len(b.Logs))
	}
	for i := range a.Logs {
		if string(a.Logs[i].Raw) != string(b.Logs[i].Raw) || !a.Logs[i].Delivered.Equal(b.Logs[i].Delivered) {
			t.Fatalf("log %d is %s and then %s", i, a.Logs[i].Raw, b.Logs[i].Raw)
		}
	}
	if diff := cmp.Diff(a.Labels, b.Labels); diff != "" {
		t.Errorf("labels (-first +second):\n%s", diff)
	}
	config.Seed = 8
	if c := synth.Generate(config); len(c.Logs) == len(a.Logs) && string(c.Logs[0].Raw) == string(a.Logs[0].Raw) {
		t.Error("another seed makes the same history")
	}
}

// TestEveryRuleHasLabels also holds what a label must be: within the time, of an
// identity, and not in the quiet week.
func TestEveryRuleHasLabels(t *testing.T) {
	t.Parallel()
	h := synth.Generate(synth.Config{Seed: 3})
	count := map[string]int{}
	plain := map[string]bool{}
	for _, l := range h.Labels {
		if l.Beside {
			continue
		}
		for _, rule := range l.Rules {
			count[rule]++
		}
		plain[l.Kind] = plain[l.Kind] || !l.Faint
		if l.Identity == "" || l.From.After(l.To) || l.From.Before(h.From) || l.To.After(h.To) {
			t.Errorf("label %+v is not within %s to %s", l, h.From, h.To)
		}
	}
	for i := 1; i <= 37; i++ {
		if rule := "MI-" + string([]byte{byte('0' + i/10), byte('0' + i%10)}); count[rule] == 0 && (i <= 32 || i == 37) {
			t.Errorf("no label is for %s", rule)
		}
	}
	if len(plain) < 36 {
		t.Errorf("%d kinds, want 36", len(plain))
	}
	if !slices.ContainsFunc([]int{1, 2, 3}, func(week int) bool { return quiet(h, week) }) {
		t.Error("no week is without labels")
	}
	if n := len(h.Logs); n < 60_000 || n > 400_000 {
		t.Errorf("%d logs, want about 120,000", n)
	}
}

func quiet(h *synth.History, week int) bool {
	from := h.From.AddDate(0, 0, 7*week)
	to := from.AddDate(0, 0, 7)
	return !slices.ContainsFunc(h.Labels, func(l synth.Label) bool { return !l.Beside && l.From.Before(to) && l.To.After(from) })
}

func TestLogsAreEnvelopesOfTheirDeliveryOrder(t *testing.T) {
	t.Parallel()
	h := synth.Generate(synth.Config{Seed: 1, Events: 20_000, Machines: 60})
	ids := map[string]bool{}
	var before time.Time
	for _, log := range h.Logs {
		var envelope struct {
			LogID string `json:"log_id"`
			Data  struct {
				LogID string    `json:"log_id"`
				Date  time.Time `json:"date"`
				Type  string    `json:"type"`
			} `json:"data"`
		}
		if err := json.Unmarshal(log.Raw, &envelope); err != nil {
			t.Fatalf("%v: %s", err, log.Raw)
		}
		if envelope.LogID == "" || len(envelope.LogID) > 64 || envelope.LogID != envelope.Data.LogID || envelope.Data.Type == "" || ids[envelope.LogID] {
			t.Fatalf("no envelope of a new log: %s", log.Raw)
		}
		ids[envelope.LogID] = true
		if log.Delivered.Before(before) || log.Delivered.Before(envelope.Data.Date) {
			t.Fatalf("delivered at %s, after one of %s: %s", log.Delivered, before, log.Raw)
		}
		before = log.Delivered
	}
}

// TestImportsNothingOfTheRules: what the rules are tried on must not know them.
func TestImportsNothingOfTheRules(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(out)) {
		dep = strings.TrimSpace(dep)
		if strings.HasPrefix(dep, "github.com/m2mwatch/") && !strings.HasSuffix(dep, "/internal/bench/synth") {
			t.Errorf("imports %s", dep)
		}
	}
}
