package deteval

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// Report is what all runs came to.
type Report struct {
	Runs []RunReport `json:"runs"`
	// With and Without are the sums of the runs with and without a database of
	// networks; null where there was none.
	With    *Score   `json:"with_networks"`
	Without *Score   `json:"without_networks"`
	Targets []Target `json:"targets"`
}

// RunReport is one run.
type RunReport struct {
	Tenant   string `json:"tenant"`
	Seed     uint64 `json:"seed,omitempty"`
	Networks bool   `json:"networks"` // a database of networks was there
	Events   int    `json:"events"`
	Score    *Score `json:"score"`
}

// Target is what is wanted of the rules.
type Target struct {
	Name     string  `json:"name"`
	Networks bool    `json:"networks"`
	Wanted   string  `json:"wanted"` // ≥, < or ≤
	Want     float64 `json:"want"`
	Got      float64 `json:"got"`
	OK       bool    `json:"ok"`
}

func (r *Report) add(t *tenant, with bool, events int, s *Score) {
	r.Runs = append(r.Runs, RunReport{Tenant: t.name, Seed: t.seed, Networks: with, Events: events, Score: s})
	sum := &r.Without
	if with {
		sum = &r.With
	}
	if *sum == nil {
		*sum = newScore()
	}
	(*sum).add(s)
	r.Targets = nil
	for _, of := range r.sums() {
		r.Targets = append(r.Targets, targets(of.score, of.networks)...)
	}
}

// sum is a column of the report.
type sum struct {
	networks bool
	score    *Score
}

func (r *Report) sums() []sum {
	return slices.DeleteFunc([]sum{{true, r.With}, {false, r.Without}}, func(s sum) bool { return s.score == nil })
}

// Met reports whether all targets are.
func (r *Report) Met() bool {
	return !slices.ContainsFunc(r.Targets, func(t Target) bool { return !t.OK })
}

func targets(s *Score, networks bool) []Target {
	least := func(name string, want, got float64) Target {
		return Target{name, networks, "≥", want, got, got >= want}
	}
	below := func(name string, want, got float64) Target { return Target{name, networks, "<", want, got, got < want} }
	worst := 1.0
	for _, rule := range s.Rules {
		if rule.Labels > 0 {
			worst = min(worst, ratio(rule.Found, rule.Labels))
		}
	}
	pages := 0
	if len(s.PagesQuietWeek) > 0 {
		pages = slices.Max(s.PagesQuietWeek)
	}
	return []Target{
		least("recall", 0.95, ratio(s.Found, s.Labels)),
		least("recall of the worst rule", 0.8, worst),
		least("precision, medium and up", 0.9, ratio(s.MediumRight, s.MediumRight+s.MediumFalse)),
		below("findings a day, medium and up", 5, perDay(s.MediumFindings, s.Days)),
		below("findings a day, all", 20, perDay(s.Findings, s.Days)),
		{"pages in a quiet week", networks, "≤", 2, float64(pages), pages <= 2},
	}
}

// ratio is 1 of nothing: nothing was missed, and nothing false.
func ratio(part, of int) float64 {
	if of == 0 {
		return 1
	}
	return float64(part) / float64(of)
}

func perDay(n int, days float64) float64 {
	if days == 0 {
		return 0
	}
	return float64(n) / days
}

func percent(part, of int) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(part)/float64(of), 'f', 1, 64) + "%"
}

// Print writes the report as text.
func (r *Report) Print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "run\tevents\tlabels\tfound\trecall\tfaint\tfindings\tfalse\tprecision\tmedium+\tfalse\tprecision\ta day\tmedium+ a day\tpages\tin quiet weeks")
	for _, run := range r.Runs {
		row(w, fmt.Sprintf("%s %d, %s", run.Tenant, run.Seed, placesText(run.Networks)), run.Events, run.Score)
	}
	if len(r.Runs) > len(r.sums()) {
		for _, s := range r.sums() {
			row(w, "all, "+placesText(s.networks), 0, s.score)
		}
	}
	fmt.Fprintln(w)
	for _, s := range r.sums() {
		fmt.Fprintf(w, "rule, %s\tlabels\tfound\trecall\tby itself\tnamed first\tfound\tby itself\tfindings\tfalse\n", placesText(s.networks))
		for _, code := range sortedRules(s.score) {
			rule := s.score.Rules[code]
			name := code
			if !rule.Loaded {
				name += " (no such rule)"
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", name, rule.Labels, rule.Found, percent(rule.Found, rule.Labels), percent(rule.Itself, rule.Labels),
				rule.First, rule.FirstFound, rule.FirstItself, rule.Findings, rule.False)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "target\twanted\tgot\t")
	for _, t := range r.Targets {
		verdict := "ok"
		if !t.OK {
			verdict = "missed"
		}
		fmt.Fprintf(w, "%s, %s\t%s %g\t%.3g\t%s\n", t.Name, placesText(t.Networks), t.Wanted, t.Want, t.Got, verdict)
	}
	return w.Flush()
}

func row(w io.Writer, name string, events int, s *Score) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%d\t%d\t%s\t%d\t%d\t%s\t%.1f\t%.1f\t%d\t%v\n", name, events, s.Labels, s.Found, percent(s.Found, s.Labels),
		fmt.Sprintf("%d of %d", s.FaintFound, s.Faint), s.Findings, s.False, percent(s.Right, s.Right+s.False),
		s.MediumFindings, s.MediumFalse, percent(s.MediumRight, s.MediumRight+s.MediumFalse),
		perDay(s.Findings, s.Days), perDay(s.MediumFindings, s.Days), s.Pages, s.PagesQuietWeek)
}

func sortedRules(s *Score) []string {
	var codes []string
	for code := range s.Rules {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}
