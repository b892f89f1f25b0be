package detect_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// brought is a rule that a user brings: nothing but Sigma.
func brought(title, detection, rest string) string {
	return "title: " + title + "\nlogsource: {product: auth0, service: anything}\ndetection:\n" + indent(detection) + rest + "\n"
}

// load reads files as a user brings them.
func load(tb testing.TB, files map[string]string, placeholders map[string][]string) *detect.Set {
	tb.Helper()
	set, err := tryLoad(files, placeholders)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

func tryLoad(files map[string]string, placeholders map[string][]string) (*detect.Set, error) {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return detect.Load(detect.Options{
		Sources:      []detect.Source{{Name: "/etc/rules", FS: tree}},
		Placeholders: placeholders, Catalogue: schemas.EventTypes(),
	})
}

func asideTexts(set *detect.Set) []string {
	var texts []string
	for _, a := range set.Asides() {
		for _, r := range a.Reasons {
			texts = append(texts, r.String())
		}
	}
	return texts
}

func selects(set *detect.Set, e schemas.Event) bool {
	e.Tenant = "acme"
	return len(set.Match(nil, &e)) > 0
}

func TestRuleWithoutATestOrAnIDIsLoadedFromAFolder(t *testing.T) {
	one := brought("One", "selection: {type: sapi}\ncondition: selection", "level: high\nsplunk: |\n  index=auth0\nanything_else: [prose]\ndate: 2025-07-11")
	first, again := load(t, map[string]string{"a.yml": one}, nil), load(t, map[string]string{"b.yaml": one}, nil)
	rules := first.Rules()
	if len(rules) != 1 || !rules[0].Finds || rules[0].Level != schemas.LevelHigh || len(rules[0].ID) != 36 {
		t.Fatalf("rules %+v, want one that finds, with an id", rules)
	}
	if got := again.Rules()[0].ID; got != rules[0].ID {
		t.Errorf("its id is %s in another file, want %s as before", got, rules[0].ID)
	}
	if got := load(t, map[string]string{"a.yml": strings.Replace(one, "One", "Two", 1)}, nil).Rules()[0].ID; got == rules[0].ID {
		t.Error("another title has the same id")
	}
	if notes := first.Notes(); len(notes) != 1 || !strings.HasPrefix(notes[0].String(), "/etc/rules/a.yml:1: id: missing") {
		t.Errorf("notes %v, want one that the id is missing", notes)
	}
}

func TestRuleOfNoLevelFinds(t *testing.T) {
	set := load(t, map[string]string{"a.yml": brought("One", "selection: {type: sapi}\ncondition: selection", "")}, nil)
	if r := set.Rules()[0]; !r.Finds || r.Level != schemas.LevelMedium {
		t.Errorf("level %s, finds %v; want medium and true", r.Level, r.Finds)
	}
}

func TestPlaceholderThatIsNotFilledSetsTheRuleAside(t *testing.T) {
	rule := brought("One", `selection:
  type: sapi
  details.audience: 'https://{your-tenant-domain}/api/v2/'
filter:
  client_id: {global_client_id}
condition: selection and not filter`, "")
	files := map[string]string{
		"one.yml": rule,
		"two.yml": brought("Two", "selection: {type: s}\ncondition: selection", ""),
	}
	set := load(t, files, map[string][]string{"your-tenant-domain": {"acme.example"}})
	want := []string{"/etc/rules/one.yml:8: client_id: needs configuration: {global_client_id} is a placeholder to fill (rules.placeholders)"}
	if diff := cmp.Diff(want, asideTexts(set)); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"global_client_id"}, set.Asides()[0].Placeholders); diff != "" {
		t.Errorf("placeholders (-want +got):\n%s", diff)
	}
	if rules := set.Rules(); len(rules) != 1 || rules[0].Title != "Two" {
		t.Errorf("rules %+v, want the other one", rules)
	}

	set = load(t, files, map[string][]string{"your-tenant-domain": {"acme.example", "login.acme.*"}, "global_client_id": {"G"}})
	for audience, want := range map[string]bool{
		"https://acme.example/api/v2/":      true,
		"https://login.acme.*/api/v2/":      true,
		"https://login.acme.com/api/v2/":    false, // a star in a value is a star
		"https://{your-tenant-domain}/api/": false,
	} {
		e := schemas.Event{Type: "sapi", ClientID: "c", Raw: []byte(`{"details":{"audience":"` + audience + `"}}`)}
		if got := selects(set, e); got != want {
			t.Errorf("audience %s: selected %v, want %v", audience, got, want)
		}
		if e.ClientID = "g"; selects(set, e) {
			t.Errorf("audience %s: selected though the client is filtered", audience)
		}
	}
}

func TestPlaceholdersOfSigmaAndOfExpressions(t *testing.T) {
	set := load(t, map[string]string{"a.yml": brought("One", `a: {user_agent|expand: 'x %tool%'}
b: {hostname|re: '^{host}\p{Lu}{2}$'}
c: {client_name: '%tool%'}
d: {ip|cidr|expand: '%office%'}
condition: 1 of them`, "")}, map[string][]string{"tool": {"curl", "wget"}, "host": {"a.b"}, "office": {"192.0.2.0/28", "2001:db8::/32"}})
	for _, e := range []schemas.Event{{UserAgent: "x wget"}, {Hostname: "a.bXY"}, {ClientName: "%tool%"}, {IP: "192.0.2.15"}} {
		if !selects(set, e) {
			t.Errorf("%+v is not selected", e)
		}
	}
	for _, e := range []schemas.Event{{UserAgent: "x %tool%"}, {Hostname: "aXbXY"}, {ClientName: "curl"}, {IP: "192.0.2.16"}} {
		if selects(set, e) {
			t.Errorf("%+v is selected", e)
		}
	}
}

func TestPlaceholdersDoNotMultiplyForEver(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	_, err := tryLoad(map[string]string{"a.yml": brought("One", "selection: {ip: '{a}{b}'}\ncondition: selection", "")}, map[string][]string{"a": many, "b": many})
	if err == nil || !strings.Contains(err.Error(), "more than 10000 texts") {
		t.Errorf("error %v, want one about too many texts", err)
	}
}

func TestRuleThatCannotBeEvaluatedSaysWhyAndStopsNoOther(t *testing.T) {
	files := map[string]string{
		"old.yml":   brought("Old", "selection: {type: f}\ntimeframe: 1h\ncondition: selection | count(ip) by user_id > 5", ""),
		"never.yml": brought("Never", "a: {type: s}\nb: {type: f}\ncondition: a and b", ""),
		"okta.yml":  strings.Replace(brought("Okta", "selection: {type: s}\ncondition: selection", ""), "auth0", "okta", 1),
		"count.yml": strings.Replace(brought("Base", "selection: {type: f}\ncondition: selection", "name: selected_events"), "title", "id: 00000000-0000-4000-8000-000000000001\ntitle", 1) +
			"---\ntitle: Many\ncorrelation: {type: value_count, rules: [selected_events], group-by: [data.ip], timespan: 1h, condition: {gte: 9, field: data.user_id}}\n",
		"again.yml": brought("Other base", "selection: {type: fu}\ncondition: selection", "name: selected_events") +
			"---\ntitle: Many of the other\ncorrelation: {type: event_count, rules: selected_events, timespan: 1m, condition: {gt: 1}, generate: true}\n",
		"few.yml": brought("Few", "selection: {type: fcoa}\ncondition: selection", "name: selected_events") +
			"---\ntitle: Fewer\ncorrelation: {type: event_count, rules: selected_events, timespan: 1m, condition: {lte: 1}}\n",
		"ordered.yml": brought("Selected", "selection: {type: fs}\ncondition: selection", "name: selected_other") + "---\n" +
			brought("Later", "selection: {type: ss}\ncondition: selection", "name: later") +
			"---\ntitle: In an order\ncorrelation: {type: temporal_ordered, rules: [selected_other, later], timespan: 1m, condition: {gte: 1}}\n" +
			"---\ntitle: Not all\ncorrelation: {type: temporal, rules: [selected_other, later], timespan: 1m, condition: {lte: 1}}\n",
		"unsupported.yml": brought("Unsupported", "selection: {type: fp}\ncondition: selection", "status: unsupported"),
		"fine.yml":        brought("Fine", "selection: {type: fp}\ncondition: selection", ""),
		".hidden.yml":     "no rule",
		"..2026/fine.yml": brought("Fine", "selection: {type: fp}\ncondition: selection", ""),
		"read.me":         "no rule",
	}
	set := load(t, files, nil)
	want := []string{
		"/etc/rules/few.yml:9: condition: a count is looked at when an event comes: one that has no lower bound above 0 (gte, gt or eq) holds at the first event of everything, and what never happens is not found",
		"/etc/rules/never.yml:1: detection: no event has a type for which it can hold",
		"/etc/rules/okta.yml:2: logsource: want product auth0, found \"okta\", of which no logs come here",
		"/etc/rules/old.yml:5: timeframe: belongs to an aggregation of the old Sigma; a correlation has a timespan",
		"/etc/rules/old.yml:6: condition: | count(ip) by user_id > 5: aggregations of the old Sigma are not evaluated; a correlation of type event_count or value_count says the same",
		"/etc/rules/ordered.yml:16: condition: some of rules in an order are not evaluated; all must hold",
		"/etc/rules/ordered.yml:19: condition: lte: how many of the rules do not hold is not evaluated; gte says how many must",
		"/etc/rules/unsupported.yml:6: status: unsupported: by the word of its author the rule cannot be used as it stands",
	}
	if diff := cmp.Diff(want, asideTexts(set)); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	finds := map[string]bool{}
	for _, r := range set.Rules() {
		finds[r.Title] = r.Finds
	}
	// What a correlation counts finds nothing by itself, unless it says generate.
	if diff := cmp.Diff(map[string]bool{"Base": false, "Few": false, "Other base": true, "Fine": true, "Selected": false, "Later": false}, finds); diff != "" {
		t.Errorf("rules, and whether they find (-want +got):\n%s", diff)
	}
	if got := len(set.Correlations()); got != 4 {
		t.Errorf("%d correlations, want two and those of the two that find alone", got)
	}
}

func TestWhatABroughtFileMayNotHave(t *testing.T) {
	good := brought("One", "selection: {type: sapi}\ncondition: selection", "")
	two := "---\n" + brought("Two", "selection: {type: fapi}\ncondition: selection", "") + "---\ntitle: x\n"
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a conflict":            {map[string]string{"a.yml": good + "<<<<<<< HEAD\n"}, "/etc/rules/a.yml:7: not YAML"},
		"a slip":                {map[string]string{"a.yml": good + "levl: high\n"}, "/etc/rules/a.yml:7: levl: not understood"},
		"a modifier":            {map[string]string{"a.yml": strings.Replace(good, "type:", "type|base64:", 1)}, `modifier "base64": is not supported`},
		"the same twice":        {map[string]string{"a.yml": good, "b.yml": good}, "is taken"},
		"no timespan":           {map[string]string{"a.yml": good + "---\ntitle: x\ncorrelation: {type: event_count, rules: [a], condition: {gte: 1}}\n"}, "timespan: missing"},
		"no such rule":          {map[string]string{"a.yml": good + "---\ntitle: x\ncorrelation: {type: event_count, rules: [a], timespan: 1h, condition: {gte: 1}}\n"}, `"a": there is no such rule`},
		"a short period":        {map[string]string{"a.yml": good + "---\ntitle: x\ncorrelation: {type: event_count, rules: [One], timespan: 1h, condition: {gte: 1}}\nx-dedupe: 1m\n"}, "no less than the timespan"},
		"a word of detection":   {map[string]string{"a.yml": good + "filter: {client_id: x}\n"}, "/etc/rules/a.yml:7: filter: not understood"},
		"a word of correlation": {map[string]string{"a.yml": good + "timeframe: 5m\n"}, "/etc/rules/a.yml:7: timeframe: not understood"},
		"a third of two":        {map[string]string{"a.yml": good + two + "correlation: {type: temporal, rules: [One, Two], timespan: 1h, condition: {gte: 3}}\n"}, "wants 3 rules to hold, and there are 2"},
		"seventeen in an order": {map[string]string{"a.yml": good + two + "correlation: {type: temporal_ordered, rules: [" + strings.Repeat("One, ", 16) + "Two], timespan: 1h}\n"}, "temporal_ordered goes with 16 at most"},
		"neither yes nor no":    {map[string]string{"a.yml": good + two + "correlation: {type: temporal, rules: [One, Two], timespan: 1h, generate: perhaps}\n"}, "generate: want true or false"},
		"an alias of nothing":   {map[string]string{"a.yml": good + two + "correlation: {type: temporal, rules: [One, Two], timespan: 1h, group-by: [ip], aliases: {who: {One: ip, Two: ip}}}\n"}, "aliases: who: group-by does not use it"},
		"values of nothing":     {map[string]string{"a.yml": good + "---\ntitle: x\ncorrelation: {type: value_count, rules: [One], timespan: 1h, condition: {gte: 1}}\n"}, "field: missing"},
	} {
		set, err := tryLoad(tc.files, nil)
		var problems detect.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), tc.want) || set != nil {
			t.Errorf("%s: set %v, error %v, want Problems with %q", name, set, err, tc.want)
		}
	}
}

func TestOddRulesAreNoted(t *testing.T) {
	set := load(t, map[string]string{
		"a.yml": brought("One", "selection: {type: [sapi, secft, 'custom:x']}\nspare: {ip: x}\ncondition: selection", "id: 00000000-0000-4000-8000-000000000001\nlevel: low"),
		"b.yml": brought("Two", "selection: {client_Id: x, Details.request: y, details.IP: z}\ncondition: selection", "id: 00000000-0000-4000-8000-000000000002\nlevel: low\nstatus: deprecated"),
	}, nil)
	var got []string
	for _, n := range set.Notes() {
		got = append(got, n.String())
	}
	want := []string{
		"/etc/rules/a.yml:1: rule 00000000-0000-4000-8000-000000000001: no correlation uses it, and at level low a rule alone finds nothing",
		"/etc/rules/a.yml:4: type secft: is not in the catalogue of event types",
		"/etc/rules/a.yml:5: selection spare: the condition does not use it",
		"/etc/rules/b.yml:1: rule 00000000-0000-4000-8000-000000000002: no correlation uses it, and at level low a rule alone finds nothing",
		"/etc/rules/b.yml:4: field client_Id: no event has it; is client_id meant?",
		"/etc/rules/b.yml:4: field Details.request: no event has it; is details.request meant?",
		"/etc/rules/b.yml:8: status: deprecated: by the word of its author something else takes the place of the rule, which is in force all the same",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	if len(set.Selectors()) != 0 || selects(set, schemas.Event{Type: "sapi"}) {
		t.Error("a rule that nothing uses is matched, which costs a row for each event")
	}
}

func TestKeyOfARuleThatFindsAlone(t *testing.T) {
	failure, success := schemas.OutcomeFailure, schemas.OutcomeSuccess
	app, user := schemas.Identity{ID: "app:c"}, schemas.Identity{ID: "user:u"}
	for name, tc := range map[string]struct {
		rest      string
		event     schemas.Event
		key, find string
	}{
		"the identity":                    {"", schemas.Event{ClientID: "c", Identity: app, Outcome: success}, "app:c", "app:c"},
		"a user":                          {"", schemas.Event{ClientID: "c", UserID: "u", Identity: user, Outcome: failure}, "user:u", "user:u"},
		"a client that anybody can name":  {"", schemas.Event{ClientID: "c", Identity: app, Outcome: failure}, "tenant:acme", ""},
		"a call that failed":              {"", schemas.Event{ClientID: "c", Identity: app, Outcome: failure, Call: schemas.Call{Method: "GET"}}, "app:c", "app:c"},
		"nobody":                          {"", schemas.Event{Outcome: success}, "tenant:acme", ""},
		"the client, as asked for":        {"x-match: {key: client_id}", schemas.Event{ClientID: "c", Outcome: failure}, "c", "app:c"},
		"the client, as an entity":        {"x-entity: [tenant, client_id]", schemas.Event{ClientID: "c", Outcome: failure}, "c", "app:c"},
		"the tenant, as an entity":        {"x-entity: tenant", schemas.Event{ClientID: "c", Outcome: failure}, "acme", ""},
		"a network, which is no identity": {"x-match: {key: network}", schemas.Event{Network: "192.0.2.0/24"}, "192.0.2.0/24", ""},
	} {
		set := load(t, map[string]string{"a.yml": brought("One", "selection: {type: x}\ncondition: selection", tc.rest)}, nil)
		e := tc.event
		e.Type, e.Tenant = "x", "acme"
		got := set.Match(nil, &e)
		if len(got) != 1 || got[0].Key != tc.key {
			t.Errorf("%s: matches %+v, want key %q", name, got, tc.key)
			continue
		}
		c := set.Correlations()[0]
		if id := c.IdentityID(got[0].Key); id != tc.find {
			t.Errorf("%s: identity %q, want %q", name, id, tc.find)
		}
	}
}

// A rule that looks back further than anything is kept is told of, and does not
// keep the others from work.
func TestRuleThatNeedsMoreOfThePastThanIsKeptIsSetAside(t *testing.T) {
	shipped := detect.Source{Name: "shipped", FS: os.DirFS("../rules"), Shipped: true}
	for _, tc := range []struct {
		kept  time.Duration
		aside bool
	}{{0, false}, {400 * 24 * time.Hour, false}, {25 * 24 * time.Hour, false}, {25*24*time.Hour - 1, true}} {
		set, err := detect.Load(detect.Options{Sources: []detect.Source{shipped}, Kept: tc.kept})
		if err != nil {
			t.Fatal(err)
		}
		evaluated := slices.ContainsFunc(set.Correlations(), func(c detect.Correlation) bool { return c.Code == "MI-02" })
		told := strings.Contains(strings.Join(asideTexts(set), "\n"), "mi-02-working-client-started-failing.yml:48: needs events and matches of 25 days")
		if evaluated == tc.aside || told != tc.aside {
			t.Errorf("kept for %s: evaluated %t, told %t: %q", tc.kept, evaluated, told, asideTexts(set))
		}
	}
}
