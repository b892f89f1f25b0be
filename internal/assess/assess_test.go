package assess

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	to   = time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC)
	from = to.AddDate(0, 0, -10)
)

func networks(n int) map[string]uint64 {
	m := map[string]uint64{}
	for i := range n {
		m[string(rune('a'+i))] = 1
	}
	return m
}

func TestAMachineIsInTheListsThatItBelongsTo(t *testing.T) {
	one := networks(1)
	in := &Input{From: from, To: to, Lifetimes: map[string]time.Duration{"https://short/": time.Hour}, Apps: []App{
		{ID: "fine", Name: "fine", Owner: "a"},
		{ID: "broken", Name: "broken", Owner: "a"},
		{ID: "flaky", Name: "flaky", Owner: "a"},
		{ID: "idle", Name: "idle", Owner: "a", Scopes: []string{"read:x", "delete:x"}},
		{ID: "idler", Name: "idler", Owner: "a"},
		{ID: "greedy", Name: "greedy", Owner: "a"},
		{ID: "short", Name: "short", Owner: "a"},
		{ID: "wide", Name: "wide"},
	}, Use: map[string]*Use{
		"fine":    {Tokens: 99, Audiences: map[string]uint64{"a": 99}, Networks: one, Failures: 22, FailedFrom: map[string]uint64{"a": 2, "z": 20}, LastFailed: from, LastToken: to},
		"broken":  {Tokens: 5, Audiences: map[string]uint64{"a": 5}, Networks: one, Failures: 5, FailedFrom: map[string]uint64{"a": 1, "z": 4}, Causes: map[string]uint64{"grant": 1}, LastFailed: to, LastToken: from},
		"flaky":   {Tokens: 5, Audiences: map[string]uint64{"a": 5}, Networks: one, Failures: 40, FailedFrom: map[string]uint64{"a": 40}, Causes: map[string]uint64{"b": 20, "a": 20}, LastFailed: from, LastToken: to},
		"greedy":  {Tokens: 1000, Audiences: map[string]uint64{"a": 500, "b": 500}, Networks: networks(2), LastToken: to},
		"short":   {Tokens: 1000, Audiences: map[string]uint64{"https://short/": 1000}, Networks: one, LastToken: to},
		"wide":    {Tokens: 50, Audiences: map[string]uint64{"a": 50}, Networks: networks(7), LastToken: to},
		"gone":    {Tokens: 50},
		"guess":   {Failures: 30},
		"guess 2": {Failures: 3},
	}}
	want := &Report{
		From: from, To: to, Machines: 8, Used: 6, Tokens: 99 + 5 + 5 + 1000 + 1000 + 50,
		Failing: []Failing{
			{Machine{"broken", "broken"}, 1, 4, 5, true, "grant", &to, &from},
			{Machine{"flaky", "flaky"}, 40, 0, 5, false, "a", &from, &to},
		},
		Unused: []Unused{
			{Machine{"idle", "idle"}, []string{"read:x", "delete:x"}, 1},
			{Machine{"idler", "idler"}, []string{}, 0},
		},
		Greedy:    []Greedy{{Machine{"greedy", "greedy"}, 1000, 40, 25}},
		Unowned:   []Machine{{"wide", "wide"}},
		Spread:    []Spread{{Machine{"wide", "wide"}, 7}},
		Strangers: Strangers{Failed: 2, Failures: 33, Gone: 1},
	}
	if diff := cmp.Diff(want, Assess(in)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNothingIsNoFinding(t *testing.T) {
	r := Assess(&Input{From: from, To: from})
	if len(r.Failing)+len(r.Unused)+len(r.Greedy)+len(r.Unowned)+len(r.Spread) != 0 || r.Machines != 0 || r.Failing == nil {
		t.Errorf("got %+v", r)
	}
}
