package detect_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// file is a rule file of one base rule with the given detection, and the
// correlation that a base rule needs to be of use.
func file(detection string) string { return base("under_test", detection, "") + frame }

func base(name, detection, rest string) string {
	id := map[string]string{"under_test": "1", "success": "2", "failure": "3"}[name]
	return "title: " + name + "\nid: 00000000-0000-4000-8000-00000000000" + id + "\nname: " + name + "\nlogsource: {product: auth0}\ndetection:\n" +
		indent(detection) + rest + "\n---\n"
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n"
}

var frame = base("success", "selection: {type: success}\ncondition: selection", "") +
	base("failure", "selection: {type: failure}\ncondition: selection", "") + correlation

const correlation = `title: frame
id: 00000000-0000-4000-8000-000000000009
correlation:
  type: event_count
  rules: [failure]
  group-by: [client_id]
  timespan: 15m
  condition: {gte: 3}
x-known: {rule: success, lookback: 7d}
x-unbroken: {rule: success}
x-baseline: {rule: success, lookback: 7d, min: 50, failure_ratio_below: 0.01}
x-evidence: [{rule: under_test, lookback: 7d, text: 'seen {{.When}}'}]
x-dedupe: 24h
x-identity: app
x-alert: {summary: '{{plural .Count "event"}}'}
x-tests:
  - {name: fires, expect: 1, events: [{at: 0s, log: {type: failure}}]}
  - {name: quiet, expect: 0, events: [{at: -2d, every: 1m, count: 3, log: {type: success}}]}
`

// owning is the frame with filters in place of a failure's own kind.
func owning(filters string) string {
	before, rest, _ := strings.Cut(frame, "x-known")
	_, rest, _ = strings.Cut(rest, "x-evidence")
	return before + filters + "x-evidence" + rest
}

func parse(text string) (*detect.Set, error) {
	return detect.Parse(fstest.MapFS{"a/rule.yml": {Data: []byte(text)}})
}

func mustParse(tb testing.TB, detection string) *detect.Set {
	tb.Helper()
	set, err := parse(file(detection))
	if err != nil {
		tb.Fatalf("%v\n%s", err, detection)
	}
	return set
}

func selectorOf(tb testing.TB, set *detect.Set) string {
	tb.Helper()
	for _, r := range set.Rules() {
		if r.Name == "under_test" {
			return r.Selector
		}
	}
	tb.Fatal("the rule under test is not in the set")
	return ""
}

func TestParseSaysFileAndLineOfEveryProblemAtOnce(t *testing.T) {
	text := base("under_test", `selection:
  type: sapi
  details.x|fancy: 1
other: {type: x}
condition: selection and nothing`, "level: urgent\nfalse_key: 1\nx-code: AC-1") + frame
	_, err := parse(text)
	var problems detect.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v, want Problems", err)
	}
	want := []string{
		"a/rule.yml:8: modifier",
		"a/rule.yml:10: condition: want the name of a selection, found \"nothing\"",
		"a/rule.yml:11: level:",
		"a/rule.yml:12: false_key: not understood in a rule",
		"a/rule.yml:13: x-code: correlations alone have one",
	}
	for i, w := range want {
		if i >= len(problems) || !strings.HasPrefix(problems[i].String(), w) {
			t.Errorf("problem %d of:\n%v\nwant it to begin %q", i, err, w)
		}
	}
	if len(problems) != len(want) {
		t.Errorf("problems:\n%v\nwant %d", err, len(want))
	}
}

func TestParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	good := base("under_test", "selection: {type: x}\ncondition: selection", "")
	for name, tc := range map[string]struct{ text, want string }{
		"keywords":            {file("selection: [a, b]\ncondition: selection"), "keywords without a field are not supported"},
		"unknown modifier":    {file("selection: {type|base64: x}\ncondition: selection"), `modifier "base64"`},
		"no expression":       {file("selection: {type|re: '(?!x'}\ncondition: selection"), "regular expression"},
		"windash":             {file("selection: {a|windash|contains: x}\ncondition: selection"), `modifier "windash": is not supported`},
		"no network":          {file("selection: {ip|cidr: 10.0.0.0/40}\ncondition: selection"), `network "10.0.0.0/40"`},
		"order of text":       {file("selection: {a|gte: many}\ncondition: selection"), "want a decimal number"},
		"cased order":         {file("selection: {a|gt|cased: 1}\ncondition: selection"), "means nothing beside gt"},
		"reference":           {file("selection: {a|fieldref: 'b c'}\ncondition: selection"), `field "b c"`},
		"aggregation":         {file("selection: {type: x}\ncondition: selection | count() by ip > 5"), "| count() by ip > 5: aggregations"},
		"timeframe":           {file("selection: {type: x}\ntimeframe: 5m\ncondition: selection"), "timeframe: belongs to an aggregation"},
		"taxonomy":            {strings.Replace(good, "title:", "taxonomy: ecs\ntitle:", 1) + frame, "taxonomy ecs"},
		"slip of a key":       {strings.Replace(good, "title:", "tags_: [a]\ntitle:", 1) + frame, "tags_: not understood"},
		"own key":             {strings.Replace(good, "title:", "x-other: a\ntitle:", 1) + frame, "x-other: not understood"},
		"tests of nothing":    {good + strings.Replace(frame, "---\n", "x-tests: []\n---\n", 1), "finds nothing to be tested"},
		"entity and match":    {strings.Replace(good, "title:", "x-entity: ip\nx-match: {key: ip}\ntitle:", 1) + frame, "not both"},
		"placeholder":         {file("selection: {client_id: '{global_client_id}'}\ncondition: selection"), "needs configuration: {global_client_id}"},
		"one of none":         {file("selection: {type: x}\ncondition: 1 of filter*"), "no selection has such a name"},
		"two of":              {file("a: {type: x}\nb: {ip: y}\ncondition: 2 of them"), "want 1 of, any of or all of"},
		"of what":             {file("selection: {type: x}\ncondition: 1 of"), "of what?"},
		"unknown selection":   {file("selection: {type: x}\ncondition: other"), `found "other"`},
		"unused selection":    {file("selection: {type: x}\nother: {type: y}\ncondition: selection"), "does not use it"},
		"open parenthesis":    {file("selection: {type: x}\ncondition: (selection"), "not closed"},
		"impossible":          {file("a: {type: x}\nb: {type: y}\ncondition: a and b"), "no event has a type"},
		"empty list":          {file("selection: {type: []}\ncondition: selection"), "empty list"},
		"nested value":        {file("selection: {type: {a: b}}\ncondition: selection"), "want a value"},
		"field with spaces":   {file("selection: {'a b': x}\ncondition: selection"), `field "a b"`},
		"null with modifier":  {file("selection: {a|contains: null}\ncondition: selection"), "null goes with no modifier"},
		"exists with text":    {file("selection: {a|exists: maybe}\ncondition: selection"), "want true or false"},
		"alias":               {file("selection: &s {type: x}\nother: *s\ncondition: selection"), "alias"},
		"key twice":           {strings.Replace(good, "title:", "title: a\ntitle:", 1) + frame, "stands twice"},
		"no id":               {strings.Replace(good, "id: 0", "x-id: 0", 1) + frame, "id: missing"},
		"id is no uuid":       {strings.Replace(good, "id: 00000000-", "id: ", 1) + frame, "want a UUID"},
		"name taken":          {good + good + frame, "is taken"},
		"other product":       {strings.Replace(good, "auth0", "okta", 1) + frame, "want product auth0"},
		"neither":             {"title: x\n", "want detection, correlation"},
		"not YAML":            {"a: [\n", "not YAML"},
		"a list":              {"- a\n", "want a mapping"},
		"rule without tests":  {good + strings.Replace(frame, "rule: under_test", "rule: success", 1), "x-tests: missing"},
		"unknown rule":        {good + strings.Replace(frame, "rules: [failure]", "rules: [failures]", 1), `rule "failures": there is no such rule`},
		"two rules":           {good + strings.Replace(frame, "rules: [failure]", "rules: [failure, success]", 1), "want a list of one name"},
		"own and known":       {good + owning("x-own: {rule: success, field: network, lookback: 7d}\nx-known: {rule: success, field: network, lookback: 7d}\n"), "x-own: goes without x-known"},
		"own and new":         {good + owning("x-own: {rule: success, field: network, lookback: 7d}\nx-new: {field: network, lookback: 7d, history: 1d}\n"), "x-new: goes without"},
		"own of the counted":  {good + owning("x-own: {rule: failure, field: network, lookback: 7d}\n"), "cannot be one that is counted"},
		"other correlation":   {good + strings.Replace(frame, "event_count", "value_count", 1), `"value_count" is not understood`},
		"other condition":     {good + strings.Replace(frame, "{gte: 3}", "{lt: 3}", 1), "lt: not understood"},
		"timespan of nothing": {good + strings.Replace(frame, "timespan: 15m", "timespan: 0m", 1), "want a time span"},
		"endless timespan":    {good + strings.Replace(frame, "timespan: 15m", "timespan: 999999999d", 1), "want a time span"},
		"group by another":    {good + strings.Replace(frame, "[client_id]", "[ip]", 1), "group-by: want client_id"},
		"no baseline":         {good + strings.Replace(frame, "x-baseline", "x-basis", 1), "x-baseline: missing"},
		"two kinds of known":  {good + strings.Replace(frame, "x-unbroken: {rule: success}", "x-unbroken: {rule: under_test}", 1), "want the rule of x-known"},
		"known is main":       {good + strings.ReplaceAll(frame, "{rule: success", "{rule: failure"), "cannot be the one"},
		"text of no field":    {good + strings.Replace(frame, "{{.When}}", "{{.Where}}", 1), "Where"},
		"no test fires":       {good + strings.Replace(frame, "expect: 1", "expect: 0", 1), "one test that fires"},
		"key of other kind": {
			base("under_test", "selection: {type: x}\ncondition: selection", "x-match: {key: user_id}") + frame, "is not the key client_id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, err := parse(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "a/rule.yml:") {
				t.Errorf("error %v, want one with a/rule.yml and %q", err, tc.want)
			}
			if set != nil {
				t.Error("there is a set beside the error")
			}
		})
	}
}

func TestSelectorIsTheSameForTheSameSelectionAndNoOther(t *testing.T) {
	set := func(detection, rest string) string {
		s, err := parse(base("under_test", detection, rest) + frame)
		if err != nil {
			t.Fatal(err)
		}
		return selectorOf(t, s)
	}
	want := set("selection: {type: [a, b], description: X}\ncondition: selection", "")
	for _, same := range []string{
		"s: {description: x, type: [b, a]}\ncondition: s",
		"s: {data.type: [A, b]}\nd: {description: [x, X]}\ncondition: d and (s)",
		"s: [{type: [a, b]}]\nd: {description: x}\ncondition: not not s and d and s",
	} {
		if got := set(same, ""); got != want {
			t.Errorf("selector %s, want %s, that of the same selection written otherwise:\n%s", got, want, same)
		}
	}
	seen := map[string]string{want: "the first"}
	for _, other := range []string{
		"s: {type: [a, c], description: X}\ncondition: s",
		"s: {type|cased: [a, b], description: X}\ncondition: s",
		"s: {type: [a, b], description|contains: X}\ncondition: s",
		"s: {type: [a, b]}\nd: {description: x}\ncondition: s and not d",
		"s: {type: [a, b], client_name: X}\ncondition: s",
		"s: {type: [a, b], description: [X, null]}\ncondition: s",
		"s: {type: [a, b], description|all: [X]}\ncondition: s",
		"s: {type: [a, b], description|re: X}\ncondition: s",
	} {
		got := set(other, "")
		if seen[got] != "" {
			t.Errorf("selector %s of %q is that of %q", got, other, seen[got])
		}
		seen[got] = other
	}
	if got := set("selection: {type: [a, b], description: X}\ncondition: selection", "x-match: {key: client_id, value: network}"); seen[got] != "" {
		t.Errorf("selector %s with another value is that of %q", got, seen[got])
	}
}

// The ids of what is stored depend on it: a change here makes every stored
// match of the shipped rules worthless.
func TestShippedSelectorsStayTheSame(t *testing.T) {
	got := map[string]string{}
	for _, r := range shipped(t).Rules() {
		got[r.Name] = r.Selector
	}
	want := map[string]string{
		"client_secret_rotated": "8540dfb8fbc556a2",
		"m2m_token_issued":      "ee0d282cc79346d1",
		"m2m_token_refused":     "65f30c9a900ba9f6",
	}
	for name, selector := range want {
		if got[name] != selector {
			t.Errorf("%s: selector %q, want %q", name, got[name], selector)
		}
	}
}

func FuzzParseGivesASetOrProblems(f *testing.F) {
	entries, err := os.ReadDir("../rules")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile("../rules/" + e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(file("selection:\n  - {a|re|i: 'x{2}', b: [1, null, '*a?']}\n  - {c.d{}|contains|all: [x, y]}\ncondition: selection"))
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parse(text)
		if (set == nil) == (err == nil) {
			t.Fatalf("set %v and error %v: want one of them", set, err)
		}
		var problems detect.Problems
		if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
			t.Fatalf("error %v: want Problems", err)
		}
	})
}
