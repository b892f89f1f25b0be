package processor

import (
	"testing"

	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// Whatever has to be warmed up can be: a selector without a rule would hold up all
// others for ever.
func TestEachSelectorThatIsLookedAtHasARule(t *testing.T) {
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	rules := selections(set)
	for selector := range reaches(set) {
		if rules[selector] == nil {
			t.Errorf("%s has no rule", selector)
		}
	}
	live := map[string]bool{}
	for _, s := range set.Selectors() {
		live[s] = true
	}
	for selector, r := range rules {
		if !live[selector] {
			t.Errorf("%s of %s (%s) is not matched as events come in", selector, r.Name, r.Title)
		}
	}
}
