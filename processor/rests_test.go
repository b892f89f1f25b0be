package processor

import (
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestWhatIsTouchedWhileItIsAskedForIsDue has a key touched before, within and after a
// search: the hours that are judged for its touch may begin behind its trigger.
func TestWhatIsTouchedWhileItIsAskedForIsDue(t *testing.T) {
	t.Parallel()
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	rules := set.Correlations()
	rule := &rules[slices.IndexFunc(rules, func(c detect.Correlation) bool { return c.Code == "MI-18" })]
	r := newRests(rules)
	of := duty{classTick, "MI-18", "acme"}
	touch := func(key string) {
		r.touched([]schemas.Touch{{Tenant: "acme", Selector: rule.Main.Selector, Key: key}})
	}
	rows := func(at uint64, keys ...string) (all []schemas.CorrelationRow) {
		for _, key := range keys {
			all = append(all, schemas.CorrelationRow{Key: key, Last: at})
		}
		return all
	}
	check := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	unread, asking := r.ask(of, rows(100, "a", "b", "c", "d"))
	check("unread at first", unread, []string{"a", "b", "c", "d"})
	touch("a")
	r.learn(of, []string{"a", "b", "c"}, rows(500, "a", "b"), asking)
	touch("b")
	r.learn(of, []string{"d"}, rows(700, "d"), asking)
	check("due by 600", r.due(of, 400, 600), []string{"a", "b"})
	unread, _ = r.ask(of, rows(100, "b", "c", "d"))
	check("unread then", unread, []string{"b"})
	check("due by 800", r.due(of, 600, 800), []string{"b", "d"})
	unread, _ = r.ask(of, rows(200, "c"))
	check("unread where it had a match since", unread, []string{"c"})
	unread, _ = r.ask(of, rows(100, "d"))
	check("unread where it did not rest between", unread, []string{"d"})
}

// TestATickLooksAsFarBackAsIsNotKnown says where ticks begin by how far they have looked
// before the tenant's last event.
func TestATickLooksAsFarBackAsIsNotKnown(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	of := duty{classTick, "MI-18", "acme"}
	for name, c := range map[string]struct {
		ticked time.Duration // before the last event; 0 is not known
		swept  time.Duration // ago
		again  bool
		back   time.Duration
		goesOn bool
	}{
		"a minute on":                      {ticked: time.Minute, back: time.Minute, goesOn: true},
		"a minute on, once an hour":        {ticked: time.Minute, again: true, back: 2 * day, goesOn: true},
		"not known":                        {swept: 2 * time.Hour, back: 60 * day, goesOn: true},
		"not known, and it was too much":   {swept: time.Minute, back: 2 * day},
		"weeks ago":                        {ticked: 20 * day, swept: 2 * time.Hour, again: true, back: 20 * day, goesOn: true},
		"weeks ago, and it was too much":   {ticked: 20 * day, swept: time.Minute, back: 2 * day},
		"a year ago, as after a long rest": {ticked: 365 * day, swept: 2 * time.Hour, back: 60 * day, goesOn: true},
	} {
		a := newAgenda(1, nil, stormPatience)
		corr := &Correlator{agenda: a, tickBegan: someHour}
		a.swept[of] = someHour.Add(-c.swept)
		if c.ticked > 0 {
			a.ticked[of] = someHour.Add(-c.ticked)
		}
		if s := corr.goOn(of, someHour, c.again); someHour.Sub(s.from) != c.back || s.goesOn != c.goesOn {
			t.Errorf("%s: looks %s back, goes on %v; want %s, %v", name, someHour.Sub(s.from), s.goesOn, c.back, c.goesOn)
		}
	}
}
