package notify

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// headline is an alert in one line.
func headline(a schemas.Alert) string {
	f := a.Finding
	what := f.Title
	if f.Evidence.Summary != "" {
		what = f.Evidence.Summary
	}
	switch a.Kind() {
	case schemas.AlertSummary:
		return what
	case schemas.AlertDigest:
		return f.Title
	}
	return fmt.Sprintf("%s%s %s: %s", mark(a), strings.ToUpper(string(f.Level)), f.RuleID, what)
}

// mark says what is not plain news.
func mark(a schemas.Alert) string {
	switch {
	case a.Test:
		return "TEST, not a finding: "
	case a.Finding.State == schemas.StateWithdrawn:
		return "Withdrawn: "
	case a.Finding.State == schemas.StateResolved:
		return "Resolved: "
	case a.Finding.Evidence.FoundLate != "":
		return "Found late by " + a.Finding.Evidence.FoundLate + ": "
	}
	return ""
}

// fact is one thing that a reader wants to know of an alert.
type fact struct{ name, value string }

// facts are those that are known, in the order in which a reader would ask.
func facts(a schemas.Alert) []fact {
	f := a.Finding
	if a.Summary != nil || a.Digest != nil {
		return []fact{{"From", at(f.First)}, {"To", at(f.Last)}, {"Look closer", f.Evidence.NextCommand}}
	}
	all := []fact{
		{"Identity", f.Identity},
		{"Client", f.Evidence.ClientName},
		{"Owner", f.Evidence.Owner},
		{"Tenant", f.Tenant},
		{"Level", string(f.Level)},
		{"State", string(f.State)},
		{"Since", at(f.First)},
		{"Last", at(f.Last)},
		{"Events", fmt.Sprint(f.Count)},
		{"Networks", strings.Join(f.Evidence.Networks, " ")},
		{"Source", source(f.Evidence.SourceKnown)},
		{"Normal", normal(f.Evidence)},
		{"Tokens", tokens(f.Evidence)},
		{"Look closer", f.Evidence.NextCommand},
		{"Contain", f.Evidence.Contain},
		{"Undo", f.Evidence.Undo},
		{"Runbook", f.Evidence.Runbook},
	}
	var known []fact
	for _, x := range all {
		if x.value != "" {
			known = append(known, x)
		}
	}
	return known
}

// source says whether the identity was ever seen where the finding comes from.
func source(known *bool) string {
	switch {
	case known == nil:
		return ""
	case *known:
		return "known: it succeeded from there in the 30 days before"
	}
	return "new: it had not succeeded from there in the 30 days before"
}

func normal(e schemas.Evidence) string {
	if e.NormalPerDay == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f successes a day", e.NormalPerDay)
}

// tokens says what goes on after the identity is contained.
func tokens(e schemas.Evidence) string {
	switch {
	case e.TokensAlive == 0 || e.TokensUntil == nil:
		return ""
	case e.TokensAlive == 1:
		return "1 is good until " + at(*e.TokensUntil)
	}
	return fmt.Sprintf("%d are good, the last until %s", e.TokensAlive, at(*e.TokensUntil))
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// clip cuts a text to at most n bytes, between two characters.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	const more = "…"
	cut := n - len(more)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + more
}
