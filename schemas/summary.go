package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// AlertKind is what an alert is to whoever gets it.
type AlertKind string

// The kinds of alerts.
const (
	AlertPage    AlertKind = "page"    // a finding is open
	AlertEnd     AlertKind = "end"     // it is not open any more
	AlertSummary AlertKind = "summary" // of pages that a channel was not sent one by one
	AlertDigest  AlertKind = "digest"  // of a week
)

// Kind is what the alert is.
func (a *Alert) Kind() AlertKind {
	switch {
	case a.Summary != nil:
		return AlertSummary
	case a.Digest != nil:
		return AlertDigest
	case a.Finding.State != StateOpen:
		return AlertEnd
	}
	return AlertPage
}

// N is the number of the finding's change that the alert tells of, 0 where that is none:
// it ends the id, since a change has no number in the alert itself.
func (a *Alert) N() uint64 {
	n, err := strconv.ParseUint(a.ID[strings.LastIndexByte(a.ID, '/')+1:], 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// SummaryWindow is the time that one summary is of. Windows begin at whole
// multiples of it since 1970.
const SummaryWindow = 10 * time.Minute

// Summary is what a channel was not sent one by one in a window.
type Summary struct {
	ID       string    `json:"id"`
	From     time.Time `json:"from"` // the window, [From, To)
	To       time.Time `json:"to"`
	Findings uint64    `json:"findings"`        // that were opened
	Ended    uint64    `json:"ended,omitempty"` // that are not open any more, of those that a channel was not sent
	Rules    []Tally   `json:"rules"`           // the findings by rule, the most first
	Levels   []Tally   `json:"levels"`          // and by level, the most urgent first
}

// OfEnds reports whether there is no finding to see to in it.
func (s *Summary) OfEnds() bool { return s.Findings == 0 }

// SummaryID names the summary for a channel of the window that a time lies in.
func SummaryID(channel string, at time.Time) string {
	return "summary/" + channel + "/" + at.UTC().Truncate(SummaryWindow).Format("20060102T1504Z")
}

// SummaryAlert is a summary as an alert: a finding of no rule that stands for
// many.
func SummaryAlert(s Summary) Alert {
	f := Finding{
		ID: s.ID, RuleID: "summary", State: StateOpen, Level: LevelInformational, First: s.From, Last: s.To, Count: s.Findings,
		Title: fmt.Sprintf("%d more findings in ten minutes", s.Findings),
	}
	switch {
	case s.Findings == 1:
		f.Title = "1 more finding in ten minutes"
	case s.OfEnds() && s.Ended == 1:
		f.Title = "1 finding that was told in a summary is over"
	case s.OfEnds():
		f.Title = fmt.Sprintf("%d findings that were told in a summary are over", s.Ended)
	}
	if len(s.Levels) > 0 {
		f.Level = Level(s.Levels[0].Value)
	}
	told := []string{f.Title}
	for _, part := range []struct {
		by   string
		rows []Tally
	}{{"by level", s.Levels}, {"by rule", s.Rules}} {
		if len(part.rows) > 0 {
			told = append(told, part.by+" "+tallies(part.rows))
		}
	}
	if s.Ended > 0 && !s.OfEnds() {
		told = append(told, fmt.Sprintf("%d of such are over", s.Ended))
	}
	f.Evidence.Summary = strings.Join(told, "; ")
	f.Evidence.NextCommand = "m2mwatch findings list --state '' --from " + s.From.UTC().Format(time.RFC3339) + " --to " + s.To.UTC().Format(time.RFC3339)
	return Alert{ID: s.ID, Finding: f, Summary: &s}
}

func tallies(rows []Tally) string {
	words := make([]string, len(rows))
	for i, t := range rows {
		words[i] = fmt.Sprintf("%s %d", t.Value, t.Count)
	}
	return strings.Join(words, ", ")
}

// Told is what became of the pages of a finding on a channel.
type Told struct {
	Paged      bool    // it has taken one
	Summarised bool    // it was told of one in a summary alone
	Levels     []Level // of those that it has taken, each once, by the alphabet
	Ended      uint64  // N of the last end that it has taken, refused or was told in a summary; 0 is none
}
