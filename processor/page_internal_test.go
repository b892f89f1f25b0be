package processor

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	pageRule = &detect.Correlation{Code: "MI-02", Timespan: 15 * time.Minute, Dedupe: 6 * time.Hour}
	pageDay  = time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC)
)

// foundIn is a finding of the nth period of a day, that begins and ends so many
// minutes after it.
func foundIn(n int, from, to time.Duration) schemas.Finding {
	period := pageDay.Add(time.Duration(n) * pageRule.Dedupe)
	return schemas.Finding{
		ID: fmt.Sprintf("f%d", n), Key: "billing", Level: schemas.LevelHigh, State: schemas.StateOpen, Source: schemas.SourceStream, Changes: 1, Count: 3,
		Period: period, First: period.Add(from * time.Minute), Last: period.Add(to * time.Minute),
	}
}

func told(f schemas.Finding) schemas.Finding {
	f.Paging, f.PagedAt = schemas.PagingPage, pageDay.Add(23*time.Hour)
	return f
}

func continuing(f schemas.Finding) schemas.Finding {
	f.Paging = schemas.PagingContinued
	return f
}

func opened(f schemas.Finding) change   { return change{kind: changeOpened, finding: f} }
func standing(f schemas.Finding) change { return change{was: f, finding: f} }

func withdrawn(f schemas.Finding) change {
	now := f
	now.State = schemas.StateWithdrawn
	return change{kind: changeWithdrawn, was: f, finding: now}
}

// decided are the verdicts on changes, by finding, with a ! where people are told.
func decided(changes ...change) map[string]string {
	p := newPager("acme", pageRule, pageDay.Add(24*time.Hour), 9)
	all := map[string]string{}
	for _, ch := range p.decide(changes) {
		all[ch.finding.ID] = ch.kind + " " + string(ch.finding.Paging)
		if ch.alert {
			all[ch.finding.ID] += "!"
		}
	}
	return all
}

func TestOneAttackOverPeriodsPagesOnce(t *testing.T) {
	t.Parallel()
	low, history := foundIn(0, 0, 5), foundIn(0, 0, 5)
	low.Level, history.Source = schemas.LevelLow, schemas.SourceImport
	first, second, third := foundIn(0, 300, 355), foundIn(1, -60, 355), foundIn(2, 10, 20)
	for name, test := range map[string]struct {
		changes []change
		want    map[string]string
	}{
		"alone":                          {[]change{opened(first)}, map[string]string{"f0": "opened page!"}},
		"low":                            {[]change{opened(low)}, map[string]string{"f0": "opened digest"}},
		"history":                        {[]change{opened(history)}, map[string]string{"f0": "opened imported"}},
		"three together":                 {[]change{opened(third), opened(second), opened(first)}, map[string]string{"f0": "opened page!", "f1": "opened continued", "f2": "opened continued"}},
		"behind one that was told":       {[]change{standing(told(first)), opened(second)}, map[string]string{"f1": "opened continued"}},
		"before one that was told":       {[]change{opened(first), standing(told(second))}, map[string]string{"f0": "opened continued"}},
		"behind a pause":                 {[]change{standing(told(first)), opened(foundIn(1, 55, 60))}, map[string]string{"f1": "opened page!"}},
		"not beside":                     {[]change{standing(told(first)), opened(third)}, map[string]string{"f2": "opened page!"}},
		"what it went on from is gone":   {[]change{withdrawn(told(first)), standing(continuing(second)), standing(continuing(third))}, map[string]string{"f0": "withdrawn !", "f1": "paged page!"}},
		"what nobody heard of goes away": {[]change{withdrawn(continuing(first))}, map[string]string{"f0": "withdrawn "}},
		"nothing new":                    {[]change{standing(told(first)), standing(continuing(second))}, map[string]string{}},
	} {
		if diff := cmp.Diff(test.want, decided(test.changes...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What grew and was not told is judged again, and its page has a number of its own.
func TestFindingThatGrowsIsJudgedAgain(t *testing.T) {
	t.Parallel()
	was := foundIn(0, 0, 5)
	was.Source, was.Paging = schemas.SourceImport, schemas.PagingImported
	now := was
	now.Source, now.Count = schemas.SourceStream, 4
	p := newPager("acme", pageRule, pageDay, 9)
	got := p.decide([]change{{kind: changeUpdated, was: was, finding: now}})
	if len(got) != 1 || got[0].kind != changePaged || !got[0].alert || alertOf(got[0].finding).ID != "f0/open/2" || !got[0].finding.PagedAt.Equal(pageDay) {
		t.Errorf("changes %+v, want a page under f0/open/2", got)
	}
	was = told(was)
	now.PagedAt = was.PagedAt
	if got := p.decide([]change{{kind: changeUpdated, was: was, finding: now}}); len(got) != 1 || got[0].alert || got[0].kind != changeUpdated {
		t.Errorf("changes %+v, want an update of which nobody is told again", got)
	}
}

// What the repair of a gap found pages once an identity, and only where it is urgent.
func TestRepairPagesAnIdentityOnce(t *testing.T) {
	t.Parallel()
	first, second, medium := foundIn(0, 0, 5), foundIn(2, 0, 5), foundIn(3, 300, 305)
	for _, f := range []*schemas.Finding{&first, &second, &medium} {
		f.Source, f.Identity, f.Evidence.FoundLate = schemas.SourceRepair, "app:billing", "2 h 10 m"
	}
	medium.Level = schemas.LevelMedium
	want := map[string]string{"f0": "opened page!", "f2": "opened found_late_held", "f3": "opened digest"}
	if diff := cmp.Diff(want, decided(opened(first), opened(second), opened(medium))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	other := foundIn(2, 0, 5)
	other.Source, other.Key = schemas.SourceRepair, "203.0.113.0/24"
	first.Identity, first.Key = "", "198.51.100.0/24"
	want = map[string]string{"f0": "opened page!", "f2": "opened page!"}
	if diff := cmp.Diff(want, decided(opened(first), opened(other))); diff != "" {
		t.Errorf("of nobody known, from two networks (-want +got):\n%s", diff)
	}
}

// What becomes more urgent than people were told is told anew, also under the finding of
// the next period; what somebody looks after is not.
func TestRiseOfLevelPagesAnew(t *testing.T) {
	t.Parallel()
	at := func(f schemas.Finding, level schemas.Level) schemas.Finding {
		f.Level = level
		return f
	}
	became := func(was, now schemas.Finding) change {
		now.Count++
		return change{kind: changeUpdated, was: was, finding: now}
	}
	first, second := foundIn(0, 300, 355), foundIn(1, -60, 355)
	medium, acked := at(told(first), schemas.LevelMedium), at(told(first), schemas.LevelMedium)
	acked.State = schemas.StateAcknowledged
	for name, test := range map[string]struct {
		changes []change
		want    map[string]string
	}{
		"of what was told":        {[]change{became(medium, at(medium, schemas.LevelCritical))}, map[string]string{"f0": "paged page!"}},
		"fall of what was told":   {[]change{became(at(medium, schemas.LevelCritical), medium)}, map[string]string{"f0": "updated page"}},
		"none":                    {[]change{became(medium, medium)}, map[string]string{"f0": "updated page"}},
		"of what is looked after": {[]change{became(acked, at(acked, schemas.LevelCritical))}, map[string]string{"f0": "updated page"}},
		"in the next period":      {[]change{standing(medium), opened(at(second, schemas.LevelCritical))}, map[string]string{"f1": "opened page!"}},
		"in one that goes on": {
			[]change{standing(medium), became(at(continuing(second), schemas.LevelMedium), at(continuing(second), schemas.LevelHigh))},
			map[string]string{"f1": "paged page!"},
		},
		"of two at once": {
			[]change{became(medium, at(medium, schemas.LevelHigh)), became(at(continuing(second), schemas.LevelMedium), at(continuing(second), schemas.LevelHigh))},
			map[string]string{"f0": "paged page!", "f1": "updated continued"},
		},
	} {
		if diff := cmp.Diff(test.want, decided(test.changes...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	p := newPager("acme", pageRule, pageDay.Add(24*time.Hour), 9)
	got := p.decide([]change{became(medium, at(medium, schemas.LevelCritical))})[0].finding
	if got.PagingReason != "its level rose from medium to critical" || got.Changes != 2 || !got.PagedAt.Equal(p.now) {
		t.Errorf("finding %+v, want the rise told, by a change of its own", got)
	}
	p.silences = []schemas.Silence{{ID: "s1", StartsAt: pageDay, EndsAt: pageDay.Add(48 * time.Hour)}}
	if got := p.decide([]change{became(medium, at(medium, schemas.LevelCritical))})[0]; got.alert || got.finding.Paging != schemas.PagingPage {
		t.Errorf("change %+v, want a silence to hold the page back, and what was told to stand", got)
	}
}
