package deteval

import (
	"cmp"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// outcome is what a run came to.
type outcome struct {
	findings []schemas.Finding // that are not withdrawn in the end
	pages    []schemas.Finding // what somebody was woken by
	from, to time.Time         // the events
	rules    []string          // codes of those that are loaded
}

// Score counts what was found and what was not. Counts of several runs add up.
type Score struct {
	Labels     int `json:"labels"` // that are not faint
	Found      int `json:"found"`
	Faint      int `json:"faint"`
	FaintFound int `json:"faint_found"`

	Findings int     `json:"findings"`
	Right    int     `json:"right"`
	False    int     `json:"false"`
	Beside   int     `json:"beside"` // neither: what goes with something else
	Days     float64 `json:"days"`

	MediumFindings int `json:"medium_findings"` // medium and up
	MediumRight    int `json:"medium_right"`
	MediumFalse    int `json:"medium_false"`

	Pages          int   `json:"pages"`
	PagesQuietWeek []int `json:"pages_in_quiet_weeks"`

	Rules map[string]*RuleScore `json:"rules"`

	falseFindings []schemas.Finding
	quietPages    []schemas.Finding
	missed        []synth.Label
}

// RuleScore is the part of one rule.
type RuleScore struct {
	Loaded bool `json:"loaded"`
	Labels int  `json:"labels"` // that it may find and that are not faint
	Found  int  `json:"found"`  // of these, by whatever rule may
	Itself int  `json:"itself"` // of these, by this one
	// First are the labels that name it first, as the one to find them.
	First       int `json:"first"`
	FirstFound  int `json:"first_found"`
	FirstItself int `json:"first_itself"`
	Findings    int `json:"findings"`
	False       int `json:"false"`
}

func newScore() *Score { return &Score{Rules: map[string]*RuleScore{}} }

func (s *Score) rule(code string) *RuleScore {
	if s.Rules[code] == nil {
		s.Rules[code] = &RuleScore{}
	}
	return s.Rules[code]
}

// identityOf is whom a finding is about; one that names nobody is the tenant's.
func identityOf(tenant string, f *schemas.Finding) string {
	return cmp.Or(f.Identity, synth.TenantPrefix+tenant)
}

// right reports whether a finding is of a label: of its identity, by a rule that
// may find it, and with its first or last event within the label's time and the
// grace after it.
func right(tenant string, l *synth.Label, f *schemas.Finding) bool {
	identity := identityOf(tenant, f)
	if l.Identity != synth.Anyone && l.Identity != identity && !slices.Contains(l.Also, identity) {
		return false
	}
	if len(l.Rules) > 0 && !slices.Contains(l.Rules, ruleCode(f.RuleID)) {
		return false
	}
	return within(l, f.First) || within(l, f.Last)
}

func within(l *synth.Label, t time.Time) bool {
	return !t.Before(l.From) && !t.After(l.To.Add(synth.Grace))
}

// score compares what was found with the labels.
func score(tenant string, labels []synth.Label, out *outcome) *Score {
	s := newScore()
	s.Days = out.to.Sub(out.from).Hours() / 24
	for _, code := range out.rules {
		s.rule(code).Loaded = true
	}
	by := make([]map[string]bool, len(labels)) // rules that found a label
	for i := range out.findings {
		f := &out.findings[i]
		isRight, isBeside := false, false
		for j := range labels {
			if !right(tenant, &labels[j], f) {
				continue
			}
			isRight, isBeside = isRight || !labels[j].Beside, isBeside || labels[j].Beside
			if by[j] == nil {
				by[j] = map[string]bool{}
			}
			by[j][ruleCode(f.RuleID)] = true
		}
		s.count(f, isRight, isBeside)
	}
	for i := range labels {
		s.countLabel(&labels[i], by[i])
	}
	s.countPages(labels, out)
	return s
}

func (s *Score) count(f *schemas.Finding, isRight, isBeside bool) {
	medium := f.Level.AtLeast(schemas.LevelMedium)
	rule := s.rule(ruleCode(f.RuleID))
	add := func(all, ofMedium *int) {
		*all++
		if medium {
			*ofMedium++
		}
	}
	add(&s.Findings, &s.MediumFindings)
	rule.Findings++
	switch {
	case isRight:
		add(&s.Right, &s.MediumRight)
	case isBeside:
		s.Beside++
	default:
		add(&s.False, &s.MediumFalse)
		rule.False++
		s.falseFindings = append(s.falseFindings, *f)
	}
}

func (s *Score) countLabel(l *synth.Label, by map[string]bool) {
	found := len(by) > 0
	switch {
	case l.Beside:
		return
	case !found:
		s.missed = append(s.missed, *l)
	}
	if l.Faint {
		s.Faint++
		s.FaintFound += one(found)
		return
	}
	s.Labels++
	s.Found += one(found)
	for i, code := range l.Rules {
		rule := s.rule(code)
		rule.Labels++
		rule.Found += one(found)
		rule.Itself += one(by[code])
		if i == 0 {
			rule.First++
			rule.FirstFound += one(found)
			rule.FirstItself += one(by[code])
		}
	}
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

const week = 7 * 24 * time.Hour

// countPages counts what came to page in each whole week in which nothing labelled is
// under way. What spans all of the time is under way in none of them more than in
// another, and does not count.
func (s *Score) countPages(labels []synth.Label, out *outcome) {
	s.Pages = len(out.pages)
	for from := out.from; !from.Add(week).After(out.to); from = from.Add(week) {
		busy := slices.ContainsFunc(labels, func(l synth.Label) bool {
			whole := !l.From.After(out.from) && !l.To.Before(out.to)
			return !l.Beside && !whole && l.From.Before(from.Add(week)) && !l.To.Add(synth.Grace).Before(from)
		})
		if busy {
			continue
		}
		pages := 0
		for i := range out.pages {
			if at := triggered(&out.pages[i]); !at.Before(from) && at.Before(from.Add(week)) {
				pages++
				s.quietPages = append(s.quietPages, out.pages[i])
			}
		}
		s.PagesQuietWeek = append(s.PagesQuietWeek, pages)
	}
}

// triggered is when what pages came true, at the earliest: the refusals of an old secret
// may come days behind the rotation that their finding begins with.
func triggered(f *schemas.Finding) time.Time {
	if f.Period.After(f.First) {
		return f.Period
	}
	return f.First
}

// add adds what another run counted.
func (s *Score) add(o *Score) {
	s.Labels, s.Found, s.Faint, s.FaintFound = s.Labels+o.Labels, s.Found+o.Found, s.Faint+o.Faint, s.FaintFound+o.FaintFound
	s.Findings, s.Right, s.False, s.Beside, s.Days = s.Findings+o.Findings, s.Right+o.Right, s.False+o.False, s.Beside+o.Beside, s.Days+o.Days
	s.MediumFindings, s.MediumRight, s.MediumFalse = s.MediumFindings+o.MediumFindings, s.MediumRight+o.MediumRight, s.MediumFalse+o.MediumFalse
	s.Pages += o.Pages
	s.PagesQuietWeek = append(s.PagesQuietWeek, o.PagesQuietWeek...)
	for code, r := range o.Rules {
		mine := s.rule(code)
		mine.Loaded = mine.Loaded || r.Loaded
		mine.Labels, mine.Found, mine.Itself = mine.Labels+r.Labels, mine.Found+r.Found, mine.Itself+r.Itself
		mine.First, mine.FirstFound, mine.FirstItself = mine.First+r.First, mine.FirstFound+r.FirstFound, mine.FirstItself+r.FirstItself
		mine.Findings, mine.False = mine.Findings+r.Findings, mine.False+r.False
	}
}
