package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// exceptionView is an exception as the commands tell it.
type exceptionView struct {
	Match   []string `json:"match"` // field: values; all must hold
	Owner   string   `json:"owner"`
	Reason  string   `json:"reason"`
	Review  string   `json:"review"` // the day
	Overdue bool     `json:"overdue"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
}

func (e *exceptionView) String() string {
	due := "review "
	if e.Overdue {
		due = "REVIEW OVERDUE since "
	}
	return fmt.Sprintf("%s (%s, %s, %s%s, %s:%d)", strings.Join(e.Match, "; "), e.Reason, e.Owner, due, e.Review, e.File, e.Line)
}

// viewOfRule is a rule that finds something.
func viewOfRule(c *detect.Correlation) ruleView {
	v := ruleView{
		Rule: c.Code, Name: c.Name, Title: c.Title, Level: string(c.Level), State: ruleFinds, Types: c.Main.Types,
		Tests: len(c.Tests), File: c.File, Line: c.Line, id: c.ID,
	}
	if !c.Alone() {
		v.Uses = c.RuleNames()
	}
	for _, e := range c.Exceptions() {
		v.Exceptions = append(v.Exceptions, exceptionView{
			Match: e.Match, Owner: e.Owner, Reason: e.Reason, Review: e.Review.Format(time.DateOnly), Overdue: isOverdue(e, time.Now()), File: e.File, Line: e.Line,
		})
	}
	return v
}

// stateText is the state in a table, with how many exceptions there are.
func (v *ruleView) stateText() string {
	switch n := len(v.Exceptions); {
	case n == 1:
		return v.State + ", 1 exception"
	case n > 1:
		return fmt.Sprintf("%s, %d exceptions", v.State, n)
	}
	return v.State
}

// isOverdue reports whether the day of the review has passed.
func isOverdue(e *detect.Exception, now time.Time) bool {
	return !now.Before(e.Review.Add(24 * time.Hour))
}

// overdue are the exceptions that somebody ought to have looked at again.
func overdue(set *detect.Set, now time.Time) (list detect.Problems) {
	for _, e := range set.Exceptions() {
		if isOverdue(&e, now) {
			list = append(list, detect.Problem{
				File: e.File, Line: e.Line,
				Text: fmt.Sprintf("the exception of rule %s was to be looked at again on %s by %s; it still holds", e.Rule, e.Review.Format(time.DateOnly), e.Owner),
			})
		}
	}
	return list
}
