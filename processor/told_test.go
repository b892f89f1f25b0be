package processor

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestWhatOnlyAddsToWhatPeopleKnow(t *testing.T) {
	t.Parallel()
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]*detect.Correlation{}
	all := set.Correlations()
	for i := range all {
		rules[all[i].Code] = &all[i]
	}
	day := someHour.Truncate(24 * time.Hour)
	for name, tc := range map[string]struct {
		rule  string
		spoil func(f *schemas.Finding)
		hour  time.Time
		adds  bool
	}{
		"one that people were told of":          {rule: "MI-02", hour: someHour, adds: true},
		"and look after":                        {rule: "MI-02", spoil: func(f *schemas.Finding) { f.State = schemas.StateAcknowledged }, hour: someHour, adds: true},
		"the last hour of its day":              {rule: "MI-02", hour: day.Add(23 * time.Hour), adds: true},
		"the day after":                         {rule: "MI-02", hour: day.Add(24 * time.Hour)},
		"the day before":                        {rule: "MI-02", hour: day.Add(-time.Hour)},
		"nobody was told":                       {rule: "MI-02", spoil: func(f *schemas.Finding) { f.PagedAt, f.Paging = time.Time{}, schemas.PagingDigest }, hour: someHour},
		"it is over":                            {rule: "MI-02", spoil: func(f *schemas.Finding) { f.State = schemas.StateResolved }, hour: someHour},
		"of a rule that may be critical":        {rule: "MI-23", hour: someHour},
		"and is":                                {rule: "MI-23", spoil: func(f *schemas.Finding) { f.Level = schemas.LevelCritical }, hour: someHour, adds: true},
		"of a rule that may be high and is not": {rule: "MI-16", spoil: func(f *schemas.Finding) { f.Level = schemas.LevelMedium }, hour: someHour},
	} {
		rule := rules[tc.rule]
		f := schemas.Finding{
			RuleID: rule.Code, Tenant: "acme", Key: "billing", Period: rule.Period(someHour), Level: schemas.LevelHigh,
			State: schemas.StateOpen, Paging: schemas.PagingPage, PagedAt: someHour, Changes: 1,
		}
		told := newTold()
		touch := &schemas.Touch{Tenant: "acme", Key: "billing", Bucket: tc.hour}
		if told.adds(rule, touch) {
			t.Errorf("%s: it adds to what was never written", name)
		}
		told.note([]schemas.Finding{f}, rules)
		if tc.spoil != nil {
			tc.spoil(&f)
			told.note([]schemas.Finding{f}, rules)
		}
		if got := told.adds(rule, touch); got != tc.adds {
			t.Errorf("%s: it adds to what people know: %v, want %v", name, got, tc.adds)
		}
	}
}

// What people know of waits for what they do not, also where that came later.
func TestNewsGoesBeforeWhatPeopleKnow(t *testing.T) {
	b := newAgendaBench(t)
	b.owed = -maxDebt
	b.rules["other"] = &detect.Correlation{Level: schemas.LevelHigh}
	add := func(rule, flush string, news bool) {
		b.begin([]string{flush})
		b.add(duty{classLive, rule, "acme"}, &schemas.Touch{Key: flush, Bucket: someHour}, news, []string{flush}, b.now)
		b.end([]string{flush})
		b.now = b.now.Add(time.Second)
	}
	add("high", "known", false)
	add("other", "news", true)
	if rule, _ := b.serves(always(time.Millisecond)); rule != "other" {
		t.Errorf("the turn is of %q, want the rule that may have news", rule)
	}
	add("high", "more", true)
	if rule, keys := b.serves(always(time.Millisecond)); rule != "high" || keys != 2 {
		t.Errorf("the turn is of %q and %d keys, want both of the rule that has news now", rule, keys)
	}
}

// Others wait for a look for a storm, so that it must not wait for them.
func TestAStormHasNewsWhateverPeopleKnow(t *testing.T) {
	t.Parallel()
	set, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	c := &Correlator{rules: set.Correlations(), lastMatches: &lastMatches{}, withFindings: &findingKeys{}, told: newTold()}
	c.setRules(c.rules)
	c.agenda = newAgenda(1, c.rules, stormPatience)
	var touches []schemas.Touch
	for _, code := range []string{"MI-02", "MI-02-storm"} {
		rule := c.byCode[code]
		c.told.note([]schemas.Finding{{RuleID: code, Tenant: "acme", Key: "acme", Period: rule.Period(someHour), Level: schemas.LevelHigh, State: schemas.StateOpen, PagedAt: someHour}}, c.byCode)
		touches = append(touches, schemas.Touch{Flush: "one", Selector: rule.Main.Selector, Tenant: "acme", Key: "acme", Bucket: someHour})
	}
	c.addTouches(touches, nil)
	for code, want := range map[string]bool{"MI-02": false, "MI-02-storm": true} {
		if e := c.agenda.entries[duty{classLive, code, "acme"}]; e == nil || e.hasNews() != want {
			t.Errorf("%s is on the agenda as %+v, want with news: %v", code, e, want)
		}
	}
}
