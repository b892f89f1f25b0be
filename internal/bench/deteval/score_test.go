package deteval

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func at(text string) time.Time {
	t, err := time.Parse(time.DateTime, text)
	if err != nil {
		panic(err)
	}
	return t
}

func found(rule, identity, first, last string) schemas.Finding {
	return schemas.Finding{RuleID: rule, Identity: identity, First: at(first), Last: at(last), Level: schemas.LevelHigh}
}

// TestRightIsOfTheIdentityByAnAllowedRuleWithinTheWindow has each edge.
func TestRightIsOfTheIdentityByAnAllowedRuleWithinTheWindow(t *testing.T) {
	t.Parallel()
	label := synth.Label{
		Identity: "app:a", Also: []string{"app:b"}, Rules: []string{"MI-02", "MI-18"},
		From: at("2026-03-10 10:00:00"), To: at("2026-03-10 12:00:00"),
	}
	for name, c := range map[string]struct {
		finding schemas.Finding
		want    bool
	}{
		"within":                    {found("MI-02", "app:a", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), true},
		"by the other rule":         {found("MI-18", "app:a", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), true},
		"of the other identity":     {found("MI-02", "app:b", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), true},
		"at its first moment":       {found("MI-02", "app:a", "2026-03-10 10:00:00", "2026-03-10 10:00:00"), true},
		"15 minutes after its end":  {found("MI-02", "app:a", "2026-03-10 12:15:00", "2026-03-10 12:15:00"), true},
		"begins before":             {found("MI-02", "app:a", "2026-03-10 09:00:00", "2026-03-10 10:00:00"), true},
		"ends after":                {found("MI-02", "app:a", "2026-03-10 12:00:00", "2026-03-11 10:00:00"), true},
		"a second too early":        {found("MI-02", "app:a", "2026-03-10 09:00:00", "2026-03-10 09:59:59"), false},
		"a second too late":         {found("MI-02", "app:a", "2026-03-10 12:15:01", "2026-03-10 12:15:01"), false},
		"around all of it":          {found("MI-02", "app:a", "2026-03-10 09:00:00", "2026-03-10 13:00:00"), false},
		"of a third identity":       {found("MI-02", "app:c", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), false},
		"of a user of the same id":  {found("MI-02", "user:a", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), false},
		"of nobody":                 {found("MI-02", "", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), false},
		"by a rule not allowed":     {found("MI-03", "app:a", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), false},
		"by a rule in another case": {found("mi-02", "app:a", "2026-03-10 10:30:00", "2026-03-10 10:40:00"), true},
	} {
		if got := right("acme", &label, &c.finding); got != c.want {
			t.Errorf("%s: right is %t, want %t", name, got, c.want)
		}
	}
	free := synth.Label{Identity: "tenant:acme", From: label.From, To: label.To}
	of := found("MI-30", "", "2026-03-10 10:30:00", "2026-03-10 10:40:00")
	if !right("acme", &free, &of) {
		t.Error("a finding that names nobody is the tenant's, and of a label without rules any is right")
	}
	if right("globex", &free, &of) {
		t.Error("a finding is another tenant's")
	}
}

// TestScoreCountsEachLabelAndEachFindingOnce has two findings of one label, one
// beside, one of a faint label and two false ones.
func TestScoreCountsEachLabelAndEachFindingOnce(t *testing.T) {
	t.Parallel()
	day := func(kind, identity string, rules ...string) synth.Label {
		return synth.Label{Kind: kind, Identity: identity, Rules: rules, From: at("2026-03-03 10:00:00"), To: at("2026-03-03 12:00:00")}
	}
	faint, beside := day("c", "app:c", "MI-01"), day("d", synth.Anyone, "MI-18")
	faint.Faint, beside.Beside = true, true
	low := found("MI-10", "app:e", "2026-03-03 10:30:00", "2026-03-03 10:30:00")
	low.Level = schemas.LevelLow
	out := &outcome{
		from: at("2026-03-02 00:00:00"), to: at("2026-03-30 00:00:00"), rules: []string{"MI-01", "MI-02", "MI-10", "MI-18"},
		findings: []schemas.Finding{
			found("MI-01", "app:a", "2026-03-03 10:30:00", "2026-03-03 10:30:00"),
			found("MI-02", "app:a", "2026-03-03 10:30:00", "2026-03-03 10:30:00"),
			found("MI-18", "app:a", "2026-03-03 10:30:00", "2026-03-03 10:30:00"),
			found("MI-01", "app:c", "2026-03-03 10:30:00", "2026-03-03 10:30:00"),
			found("MI-02", "app:a", "2026-03-20 10:30:00", "2026-03-20 10:30:00"),
			low,
		},
		pages: []schemas.Finding{
			found("MI-01", "app:a", "2026-03-03 10:30:00", "2026-03-03 10:30:00"),
			found("MI-02", "app:a", "2026-03-20 10:30:00", "2026-03-20 10:30:00"),
			found("MI-02", "app:b", "2026-03-21 10:30:00", "2026-03-21 10:30:00"),
		},
	}
	s := score("acme", []synth.Label{day("a", "app:a", "MI-01", "MI-02"), day("b", "app:b", "MI-02"), faint, beside}, out)
	got := []int{s.Labels, s.Found, s.Faint, s.FaintFound, s.Findings, s.Right, s.False, s.Beside, s.MediumFindings, s.MediumRight, s.MediumFalse, s.Pages}
	want := []int{2, 1, 1, 1, 6, 3, 2, 1, 5, 3, 1, 3}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("counted %v, want %v", got, want)
		}
	}
	if r := *s.Rules["MI-02"]; r != (RuleScore{Loaded: true, Labels: 2, Found: 1, Itself: 1, First: 1, Findings: 2, False: 1}) {
		t.Errorf("MI-02 has %+v", r)
	}
	if len(s.PagesQuietWeek) != 3 || s.PagesQuietWeek[0] != 0 || s.PagesQuietWeek[1] != 2 || s.PagesQuietWeek[2] != 0 {
		t.Errorf("pages of quiet weeks %v, want those of the last three: [0 2 0]", s.PagesQuietWeek)
	}
	if len(s.quietPages) != 2 || s.quietPages[0].Identity != "app:a" || s.quietPages[1].Identity != "app:b" {
		t.Errorf("pages of quiet weeks %v, want those of MI-02", s.quietPages)
	}
	if len(s.missed) != 1 || s.missed[0].Kind != "b" || len(s.falseFindings) != 2 {
		t.Errorf("missed %v, false %v", s.missed, s.falseFindings)
	}
	sum := newScore()
	sum.add(s)
	sum.add(s)
	if sum.Labels != 4 || sum.MediumFalse != 2 || sum.Rules["MI-02"].Itself != 2 || len(sum.PagesQuietWeek) != 6 || sum.Days != 56 {
		t.Errorf("two of it are %+v", sum)
	}
}

// TestAPageIsOfTheWeekOfItsTrigger: a rotation is no page, refusals a week later are.
func TestAPageIsOfTheWeekOfItsTrigger(t *testing.T) {
	t.Parallel()
	page := found("MI-06", "app:a", "2026-03-06 08:00:00", "2026-03-11 04:00:00")
	page.Period = at("2026-03-11 00:00:00")
	out := &outcome{from: at("2026-03-02 00:00:00"), to: at("2026-03-16 00:00:00"), pages: []schemas.Finding{page}}
	if s := score("acme", nil, out); len(s.PagesQuietWeek) != 2 || s.PagesQuietWeek[0] != 0 || s.PagesQuietWeek[1] != 1 {
		t.Errorf("pages of quiet weeks %v, want one in the second", s.PagesQuietWeek)
	}
	label := synth.Label{Identity: "app:a", From: at("2026-03-11 03:00:00"), To: at("2026-03-11 05:00:00")}
	if s := score("acme", []synth.Label{label}, out); len(s.PagesQuietWeek) != 1 || s.PagesQuietWeek[0] != 0 {
		t.Errorf("pages of quiet weeks %v, want none in the first, which alone is quiet", s.PagesQuietWeek)
	}
}

// TestAWholeTimeLabelLeavesWeeksQuiet: what never ends is no reason why somebody is
// woken in one week.
func TestAWholeTimeLabelLeavesWeeksQuiet(t *testing.T) {
	t.Parallel()
	out := &outcome{from: at("2026-03-02 00:00:00"), to: at("2026-03-16 00:00:00")}
	whole := synth.Label{Identity: "app:a", From: out.from, To: out.to}
	end := synth.Label{Identity: "app:a", From: at("2026-03-08 20:00:00"), To: at("2026-03-08 23:50:00")}
	if s := score("acme", []synth.Label{whole}, out); len(s.PagesQuietWeek) != 2 {
		t.Errorf("%d quiet weeks, want 2", len(s.PagesQuietWeek))
	}
	if s := score("acme", []synth.Label{end}, out); len(s.PagesQuietWeek) != 0 {
		t.Errorf("%d quiet weeks, want none: the grace of a label reaches into the second", len(s.PagesQuietWeek))
	}
}
