package detect_test

import (
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const exceptedRule = `title: A grant was widened
id: 00000000-0000-4000-8000-0000000000a1
name: widened
logsource: {product: auth0}
detection: {selection: {type: sapi}, condition: selection}
x-match: {key: identity, value: [network, user_agent]}
`

const anException = `exception:
  rule: widened
  match: {identity: 'app:ci-*', network: [192.0.2.0/24, '2001:db8::/32']}
  owner: platform
  reason: the pipeline widens grants
  review: 2027-03-31
`

func TestExceptionTakesAwayWhatAllOfItMatches(t *testing.T) {
	set := load(t, map[string]string{"a.yml": exceptedRule, "exceptions/ci.yml": anException}, nil)
	c := set.Correlations()[0]
	value := func(network string) string { return network + schemas.PartSeparator + "curl" }
	many := make([]string, 20)
	for i := range many {
		many[i] = value("192.0.2.0/24")
	}
	for _, tt := range []struct {
		key    string
		values []string
		want   bool
	}{
		{"app:ci-1", []string{value("192.0.2.0/24")}, true},
		{"app:CI-1", []string{value("192.0.2.0/24"), value("2001:db8:1::/48")}, true},
		{"app:ops", []string{value("192.0.2.0/24")}, false},
		{"app:ci-1", []string{value("192.0.2.0/24"), value("198.51.100.0/24")}, false},
		{"app:ci-1", []string{value("192.0.0.0/16")}, false},
		{"app:ci-1", nil, false},
		{"app:ci-1", many, false}, // there may be more
	} {
		e := c.Excepted("acme", schemas.CorrelationRow{Key: tt.key, Values: tt.values})
		if (e != nil) != tt.want {
			t.Errorf("%s %q: excepted %v, want %v", tt.key, tt.values, e != nil, tt.want)
		}
	}
	all := set.Exceptions()
	if len(all) != 1 || all[0].Rule != "00000000-0000-4000-8000-0000000000a1" || all[0].Owner != "platform" || all[0].File != "/etc/rules/exceptions/ci.yml" ||
		strings.Join(all[0].Match, "; ") != "identity: app:ci-*; network: 192.0.2.0/24, 2001:db8::/32" {
		t.Errorf("%+v", all)
	}
}

func TestExceptionThatIsNotUnderstoodIsAnError(t *testing.T) {
	for with, want := range map[string]string{
		"rule: widened => rule: other":               "/etc/rules/b.yml:2: rule other: there is no such rule",
		"network: [ => asn: [":                       "/etc/rules/b.yml:3: match: findings of rule 00000000-0000-4000-8000-0000000000a1 do not tell asn: want tenant, identity, key, network, user_agent",
		"192.0.2.0/24 => 192.0.2.0/99":               `/etc/rules/b.yml:3: network: network "192.0.2.0/99"`,
		"  owner: platform\n => ":                    "owner: missing",
		"  reason: the pipeline widens grants\n => ": "reason: missing",
		"review: 2027-03-31 => review: soon":         "/etc/rules/b.yml:6: review: want a day",
		"  review: 2027-03-31\n => ":                 "review: missing",
		"  owner: => who: me\n  owner:":              "b.yml:",
		"match: { => match: {}\n  was: {":            "match: empty",
	} {
		old, replaced, _ := strings.Cut(with, " => ")
		_, err := tryLoad(map[string]string{"a.yml": exceptedRule, "b.yml": strings.Replace(anException, old, replaced, 1)}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", with, err, want)
		}
	}
}

func TestDisabledRuleFindsNothingAndStillMatches(t *testing.T) {
	set := load(t, map[string]string{"a.yml": exceptedRule, "b.yml": "disabled:\n  - {rule: widened, reason: too loud}\n", "c.yml": anException}, nil)
	if off := set.Disabled(); len(off) != 1 || off[0].Name != "widened" || off[0].Reason != "too loud" || off[0].ByFile != "/etc/rules/b.yml" || off[0].ByLine != 2 {
		t.Errorf("disabled %+v", off)
	}
	if n := len(set.Correlations()); n != 0 {
		t.Errorf("%d rules find something", n)
	}
	if got := set.Match(nil, &schemas.Event{Type: "sapi", Identity: schemas.Identity{ID: "app:a"}}); len(got) != 1 {
		t.Errorf("matches %+v", got)
	}
	for text, want := range map[string]string{
		"disabled: [nothing]\n":             "b.yml:1: rule nothing: there is no such rule",
		"disabled: widened\n":               "want a list of rules",
		"disabled: [{reason: loud}]\n":      "rule: missing",
		"disabled: [widened]\ntitle: x\n":   "b.yml:2",
		"disabled: [{rule: widened, x: 1}]": "b.yml:1",
	} {
		_, err := tryLoad(map[string]string{"a.yml": exceptedRule, "b.yml": text}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}

// Findings tell of what they rest on less than matches do. An exception by
// something else would be there and never hold.
func TestExceptionsMatchWhatFindingsTell(t *testing.T) {
	for _, code := range []string{"MI-08", "MI-24", "MI-29", "MI-30", "MI-02", "MI-14", "MI-19"} {
		for field, holds := range map[string]bool{"network: 203.0.113.0/24": true, "asn: '64501'": false} {
			text := "exception:\n  rule: " + code + "\n  match: {" + field + "}\n  owner: a\n  reason: b\n  review: 2027-01-01\n"
			set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: os.DirFS("../rules")}, {Name: "x.yml", Text: text}}, Catalogue: schemas.EventTypes()})
			if !holds {
				if err == nil || !strings.Contains(err.Error(), "do not tell asn: want tenant, identity, key, network") {
					t.Errorf("%s by %s: error %v", code, field, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range set.Correlations() {
				row := schemas.CorrelationRow{Key: "k", Values: []string{"203.0.113.0/24"}}
				if c.Code == code && c.Excepted("acme", row) == nil {
					t.Errorf("%s: the exception %s does not hold", code, field)
				}
			}
		}
	}
}
