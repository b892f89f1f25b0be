package detect_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/bradleyjkemp/sigma-go"
	"github.com/bradleyjkemp/sigma-go/evaluator"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// eighty are as many rules as somebody may have, of the kinds that people
// write: changes of settings above all, with fields deep in the raw log.
func eighty() []string {
	var rules []string
	add := func(n int, format string, args func(i int) []any) {
		for i := range n {
			detection := fmt.Sprintf(format, args(i)...)
			rules = append(rules, brought(fmt.Sprintf("Rule %d", len(rules)), detection, "level: medium"))
		}
	}
	one := func(i int) []any { return []any{i} }
	two := func(i int) []any { return []any{i, i} }
	add(30, `s: {type: sapi, description: ['Update setting %d', 'Create setting %d'], details.request.body.enabled: 'false'}
f: {details.response.body.enabled: false}
condition: s and f`, two)
	add(12, `s: {type: sapi, method: patch, path|re: '^(/api)?/v2/(clients|tenants)/[^/]+/thing-%d$'}
condition: s`, one)
	add(5, `s: {type: [sapi, fapi], description|contains: ['grant %d', 'role %d']}
f: {client_id: [trusted-1, trusted-2]}
condition: s and not f`, two)
	add(8, `s: {type: mgmt_api_read, description: 'Get client by ID', 'details.accessedSecrets{}': client_secret, details.response.body.client_id: critical-%d}
condition: s`, one)
	add(8, `s: {type: [f, fu, fp, pwd_leak, limit_wc], description|contains: ['mismatch %d', 'Unsupported response type', 'Service not found']}
condition: s`, one)
	add(6, `s: {type: seccft, client_id: [billing-%d, invoices-%d]}
n: {ip|cidr: [10.0.0.0/8, 192.0.2.0/24]}
condition: s and not n`, two)
	add(5, `s: {type: feccft, description|startswith: 'Unauthorized service %d'}
condition: s`, one)
	add(4, `s: {type: ss, user_name: ['*@disposable-%d.example', '*@mail-%d.example']}
condition: s`, two)
	add(2, `s: {user_agent|contains: ['scanner-%d', 'sqlmap']}
condition: s`, one)
	return rules
}

func eightySet(tb testing.TB) *detect.Set {
	tb.Helper()
	tree := fstest.MapFS{}
	for i, r := range eighty() {
		tree[fmt.Sprintf("%d.yml", i)] = &fstest.MapFile{Data: []byte(r)}
	}
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: tree}}})
	if err != nil {
		tb.Fatal(err)
	}
	if n := len(set.Rules()); n != 80 {
		tb.Fatalf("%d rules, want 80", n)
	}
	return set
}

// realistic are an hour's events of the simulated tenant, normalized.
func realistic(tb testing.TB) []schemas.Event {
	tb.Helper()
	tenant := auth0sim.New(auth0sim.Config{Name: "acme", Seed: 1, Machines: 500, People: 1000})
	from := time.Date(2026, 4, 14, 9, 0, 0, 0, time.UTC)
	normalizer := processor.NewNormalizer(schemas.EventTypes(), nil)
	var events []schemas.Event
	for raw := range tenant.HistoryPart(0, from, from.Add(time.Hour), 10_000) {
		e, err := normalizer.Normalize(&schemas.Log{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: from, Raw: raw})
		if err != nil {
			continue // what is meant to go to DEAD
		}
		events = append(events, e)
	}
	if len(events) < 9000 {
		tb.Fatalf("%d events, want more", len(events))
	}
	return events
}

func TestMissOfRealisticEventsAllocatesNothing(t *testing.T) {
	set, events := eightySet(t), realistic(t)
	dst := make([]schemas.Match, 0, 100)
	types := map[string]int{}
	for i := range events {
		types[events[i].Type]++
		if got := set.Match(dst, &events[i]); len(got) != 0 {
			t.Fatalf("%s matches %+v, and the benchmark is of misses", events[i].Raw, got)
		}
	}
	if len(types) < 10 {
		t.Errorf("%d types of events, want more", len(types))
	}
	n := testing.AllocsPerRun(3, func() {
		for i := range events {
			set.Match(dst, &events[i])
		}
	})
	if n > float64(poolDrops*len(events)) {
		t.Errorf("%v allocations for %d events, want none", n, len(events))
	}
}

// BenchmarkMatch is the time of one event against eighty rules, here and with
// sigma-go, which is given its events as maps, ready to be read.
func BenchmarkMatch(b *testing.B) {
	events := realistic(b)
	b.Run("m2mwatch", func(b *testing.B) {
		set := eightySet(b)
		dst := make([]schemas.Match, 0, 100)
		b.ReportAllocs()
		began := cpuTime(b)
		for i := 0; b.Loop(); i++ {
			set.Match(dst, &events[i%len(events)])
		}
		reportCPU(b, began)
	})
	b.Run("sigma-go", func(b *testing.B) {
		var rules []*evaluator.RuleEvaluator
		for _, text := range eighty() {
			rules = append(rules, sigmaRule(b, text))
		}
		var maps []map[string]any
		for i := range events {
			maps = append(maps, flat(b, &events[i]))
		}
		b.ReportAllocs()
		began := cpuTime(b)
		for i := 0; b.Loop(); i++ {
			for _, r := range rules {
				if _, err := r.Matches(b.Context(), maps[i%len(maps)]); err != nil {
					b.Fatal(err)
				}
			}
		}
		reportCPU(b, began)
	})
}

// cpuTime is what the process has had of the processors. On a machine that
// others use, too, it says more than the clock does.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportCPU(b *testing.B, began time.Duration) {
	b.Helper()
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op")
}

func sigmaRule(tb testing.TB, text string) *evaluator.RuleEvaluator {
	tb.Helper()
	r, err := sigma.ParseRule([]byte(text))
	if err != nil {
		tb.Fatalf("%v\n%s", err, text)
	}
	return evaluator.ForRule(r)
}

// flat is an event as sigma-go reads it: each field under its whole name.
func flat(tb testing.TB, e *schemas.Event) map[string]any {
	tb.Helper()
	var log map[string]any
	if err := json.Unmarshal(e.Raw, &log); err != nil {
		tb.Fatal(err)
	}
	fields := map[string]any{}
	if data, ok := log["data"].(map[string]any); ok {
		maps.Copy(log, data)
	}
	flatten(fields, "", log)
	fields["method"], fields["path"] = e.Call.Method, e.Call.Path
	return fields
}

func flatten(fields map[string]any, prefix string, v any) {
	object, ok := v.(map[string]any)
	if !ok {
		fields[strings.TrimSuffix(prefix, ".")] = v
		return
	}
	for name, member := range object {
		flatten(fields, prefix+name+".", member)
	}
}
