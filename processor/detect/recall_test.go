package detect_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// What one question answers of all deeds of a key is, for each rule, what it would be
// answered itself.
func TestDeedsOfAllRulesAreThoseOfEach(t *testing.T) {
	t.Parallel()
	base, err := fs.ReadFile(processor.Rules(), "base.yml")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(n int, kind string) string {
		return fmt.Sprintf(`title: Rule %d
id: 5b1f4c9e-7a58-4c1e-8f0e-6d3b0a7c9e3%[1]d
x-code: NEW-%[1]d
level: low
%s, warmup: {events: 2, days: 1}}
x-dedupe: 24h
x-alert: {summary: new}
x-tests:
  - {name: a, expect: 1, events: [{at: 0s, log: {type: seccft}}]}
  - {name: b, expect: 0, events: [{at: 0s, log: {type: seccft}}]}
`, n, kind)
	}
	first := func(fields string) string {
		return "x-first-seen: {rule: m2m_token_issued_wide, lookback: 30d, fields: " + fields
	}
	rules, err := detect.Parse(fstest.MapFS{"base.yml": {Data: base}, "new.yml": {Data: []byte(strings.Join([]string{
		rule(1, first("[network]")), rule(2, first("[audience]")), rule(3, first("[asn|network, country]")), rule(4, first("[token_id]")),
		rule(5, "x-gap: {rule: m2m_token_issued_wide, at_least: 30d, lookback: 365d"),
	}, "---\n"))}})
	if err != nil {
		t.Fatal(err)
	}
	all := rules.Correlations()
	names := []string{"network", "asn", "country", "as_org", "user_agent_class", "runtime", "sdk", "ja4", "hostname", "audience", "organization_id", "token_id"}
	r := rand.New(rand.NewPCG(11, 12))
	recall, _ := all[0].Recall()
	var keys []string
	var matches []schemas.Match
	for i := range 30 {
		key := fmt.Sprintf("client-%02d", i)
		keys = append(keys, key)
		kinds := []int{1, 3, 20, 90, 200}[r.IntN(5)] // of values, of each field
		for n := range r.IntN(300) {
			var parts []string
			for _, name := range names {
				parts = append(parts, []string{"", "unknown", fmt.Sprint(name, "-", r.IntN(kinds))}[min(2, r.IntN(9))])
			}
			matches = append(matches, schemas.Match{
				Selector: recall.Selector, Tenant: tenant, Key: key, ClientID: key, Time: origin.Add(time.Duration(r.Int64N(int64(48 * time.Hour)))).Truncate(time.Millisecond),
				LogID: fmt.Sprintf("%s-%03d", key, n), Value: strings.Join(parts, schemas.PartSeparator), Ver: 1, Source: schemas.SourceStream,
			})
		}
	}
	db := clickhousetest.New(t)
	if err := clickhouse.NewWriter(db).InsertMatches(t.Context(), matches); err != nil {
		t.Fatal(err)
	}
	store := clickhouse.NewFindingStore(db)
	from, to := origin.Add(24*time.Hour), origin.Add(90*24*time.Hour)
	compared, over := 0, 0
	for i := range all {
		recall, ok := all[i].Recall()
		if !ok || recall.Selector != matches[0].Selector {
			t.Fatalf("%s is not remembered by the same selector", all[i].Code)
		}
		if tells := all[i].Code != "NEW-4"; recall.Shared() != tells {
			t.Errorf("%s: shared %v", all[i].Code, recall.Shared())
		}
		if !recall.Shared() {
			continue
		}
		want, err := store.Correlate(t.Context(), all[i].CandidatesQuery(tenant, keys, from, to))
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.Correlate(t.Context(), recall.DeedsQuery(tenant, keys, from))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || len(got) < 20 {
			t.Fatalf("%s: %d keys, want %d", all[i].Code, len(got), len(want))
		}
		for n := range got {
			got[n].Values = recall.Own(got[n].Values)
			if len(want[n].Values) > detect.MaxDeeds && len(got[n].Values) > detect.MaxDeeds {
				got[n].Values, want[n].Values = nil, nil
				over++
			}
			slices.Sort(got[n].Values)
			slices.Sort(want[n].Values)
			compared += len(want[n].Values)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got):\n%.2000s", all[i].Code, diff)
		}
	}
	if compared < 500 || over < 5 {
		t.Errorf("%d deeds were compared and of %d keys there were too many; that tells little", compared, over)
	}
}

// Which rules are ruled out by what a key did before, and by how much of it.
func TestFamiliarRules(t *testing.T) {
	t.Parallel()
	familiar := func(replace ...string) map[string]int {
		t.Helper()
		files := fstest.MapFS{}
		for _, name := range []string{"base.yml", "mi-13-many-organizations.yml", "mi-23-token-used-elsewhere.yml", "mi-26-secret-read.yml", "mi-27-secret-read-then-used.yml"} {
			text, err := fs.ReadFile(processor.Rules(), name)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = &fstest.MapFile{Data: []byte(strings.NewReplacer(replace...).Replace(string(text)))}
		}
		set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: files}}})
		if err != nil {
			t.Fatal(err)
		}
		least := map[string]int{}
		for _, c := range set.Correlations() {
			if r, ok := c.Familiar(); ok {
				least[c.Code] = r.Least()
			}
		}
		return least
	}
	for name, tc := range map[string]struct {
		replace []string
		want    map[string]int
	}{
		"as shipped": {nil, map[string]int{"MI-13-many": 4, "MI-23": 1, "MI-27": 1}},
		"by what an event without an address may have": {[]string{"fields: [network, asn]", "fields: [network, country]"}, map[string]int{"MI-13-many": 4}},
		"also of known sources":                        {[]string{"only: new", "only: [new, known]"}, map[string]int{"MI-13-many": 4}},
		"of one new value":                             {[]string{"{gte: 5, field: organization_id}", "{gte: 1, field: organization_id}"}, map[string]int{"MI-23": 1, "MI-27": 1}},
	} {
		if diff := gocmp.Diff(tc.want, familiar(tc.replace...)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}
