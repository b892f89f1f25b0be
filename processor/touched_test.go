package processor

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Who gets tokens and is refused none does not make those wait who are: a rule that begins
// with a refusal has them alone on its agenda, and whoever has a finding.
func TestTouchesOfWhomARuleFindsNothingAreNotOnItsAgenda(t *testing.T) {
	t.Parallel()
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	rules := set.Correlations()
	c := &Correlator{rules: rules, agenda: newAgenda(1, rules, stormPatience), lastMatches: &lastMatches{}, withFindings: &findingKeys{keys: map[schemas.FindingKey]bool{}}, memory: newMemory(), told: newTold(), deeds: &deeds{}, rests: newRests(rules), lastEvents: &lastEvents{}}
	c.cfg = c.cfg.withDefaults()
	if err := c.lastMatches.begin(t.Context(), lastMatchesIs{}, 1, rules, someHour, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	rule := func(code string) *detect.Correlation {
		return &rules[slices.IndexFunc(rules, func(c detect.Correlation) bool { return c.Code == code })]
	}
	refused, issued, wide := rule("MI-02").Main.Selector, rule("MI-02").Known.Selector, rule("MI-08").Main.Selector
	var touches []schemas.Touch
	for i := range 100 {
		for _, selector := range []string{issued, wide} {
			touches = append(touches, schemas.Touch{Flush: "one", Selector: selector, Tenant: "acme", Key: fmt.Sprintf("client-%02d", i), Bucket: someHour})
		}
	}
	touches = append(touches, schemas.Touch{Flush: "one", Selector: refused, Tenant: "acme", Key: "client-07", Bucket: someHour})
	c.withFindings.add([]schemas.Finding{{Tenant: "acme", RuleID: "MI-02", Key: "client-08"}})
	c.noteTouched(touches)
	c.addTouches(touches, nil)
	for rule, want := range map[string][]string{"MI-02": {"client-07", "client-08"}, "MI-08": nil} {
		e := c.agenda.entries[duty{classLive, rule, "acme"}]
		if e == nil {
			t.Fatalf("%s has nothing on its agenda", rule)
		}
		var keys []string
		for _, k := range sortedKeys(e.waiting.keys) {
			keys = append(keys, k.key)
		}
		if want == nil && len(keys) != 100 || want != nil && !slices.Equal(keys, want) {
			t.Errorf("on the agenda of %s there are %d keys, %v; want %v, or all", rule, len(keys), keys[:min(len(keys), 3)], want)
		}
	}
}
