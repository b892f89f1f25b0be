package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/assess"
)

// listed is how many of each list the page shows: it is one page.
const listed = 10

// print prints the page, in UTC, as a report is passed on.
func (p *assessed) print(inv *invocation) error {
	out := inv.stdout
	fmt.Fprintf(out, "Machines of %s\n\n", p.Domain)
	if err := p.head(out); err != nil {
		return err
	}
	days := dayOrMore(p.To.Sub(p.From))
	for _, list := range []pageList{
		p.failing(),
		{"Unused: no token in these " + days, p.unusedRows()},
		{"Far more tokens than needed", p.greedyRows()},
		{"Without an owner", unownedRows(p.Unowned)},
		{"From many networks", p.spreadRows()},
	} {
		if err := list.print(out); err != nil {
			return err
		}
	}
	if s := p.Strangers; s.Failed > 0 || s.Gone > 0 {
		fmt.Fprintf(out, "\nNot among the applications: %d client ids that failed and never got a token (%d times), %d that got some and are deleted\n", s.Failed, s.Failures, s.Gone)
	}
	notes(out, "How it was counted", p.Counted)
	notes(out, "What could not be seen", p.Unseen)
	return nil
}

func (p *assessed) head(out io.Writer) error {
	w := table(out)
	switch {
	case p.Kept == nil:
		fmt.Fprintf(w, "logs\tnone: Auth0 keeps them for 1 to 30 days, by the tenant's plan\n")
	case p.Logs == 0:
		fmt.Fprintf(w, "logs\tnone of the time that was asked for; Auth0 has them from %s on\n", utc(*p.Kept))
	default:
		fmt.Fprintf(w, "logs\t%s, of %s to %s UTC (%s); Auth0 has none before %s%s\n", thousands(p.Logs), utc(p.From), utc(p.To), dayOrMore(p.To.Sub(p.From)), utc(*p.Kept), unreadable(p.Dead))
	}
	fmt.Fprintf(w, "machines\t%d applications that may get tokens by client credentials; %d got any, %s tokens in all\n", p.Machines, p.Used, thousands(int(p.Tokens)))
	return w.Flush()
}

func unreadable(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d could not be read", n)
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// when is a time, or a dash.
func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return utc(*t)
}

// dayOrMore tells how long a stretch is.
func dayOrMore(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// pageList is one list of the page: rows with a header before them.
type pageList struct {
	title string
	rows  [][]string
}

// print prints the first of them.
func (l pageList) print(out io.Writer) error {
	n := len(l.rows) - 1
	fmt.Fprintf(out, "\n%s: %d\n", l.title, n)
	if n == 0 {
		return nil
	}
	w := table(out)
	for _, row := range l.rows[:min(n, listed)+1] {
		writeRow(w, append([]string{" "}, row...))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n > listed {
		fmt.Fprintf(out, "   and %d more: --json has all\n", n-listed)
	}
	return nil
}

func (p *assessed) failing() pageList {
	rows, down := [][]string{{"APPLICATION", "CLIENT ID", "REFUSED", "ELSEWHERE", "TOKENS", "MOST BY", "LAST REFUSED", "LAST TOKEN"}}, 0
	for _, f := range p.Failing {
		last := when(f.LastToken)
		if f.Down {
			down++
			last += "  down"
		}
		rows = append(rows, []string{f.Name, f.ID, fmt.Sprint(f.Failures), fmt.Sprint(f.Others), fmt.Sprint(f.Tokens), orDash(f.Cause), when(f.LastFailed), last})
	}
	title := "Failing"
	if down > 0 {
		title = fmt.Sprintf("Failing, %d of them down", down)
	}
	return pageList{title, rows}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (p *assessed) unusedRows() [][]string {
	rows := [][]string{{"APPLICATION", "CLIENT ID", "MAY"}}
	for _, u := range p.Unused {
		rows = append(rows, []string{u.Name, u.ID, fmt.Sprintf("%d scopes, %d do more than read", len(u.Scopes), u.Writes)})
	}
	return rows
}

func (p *assessed) greedyRows() [][]string {
	rows := [][]string{{"APPLICATION", "CLIENT ID", "TOKENS", "NEEDED", "TIMES"}}
	for _, g := range p.Greedy {
		rows = append(rows, []string{g.Name, g.ID, fmt.Sprint(g.Tokens), fmt.Sprint(g.Needed), fmt.Sprintf("%.0f", g.Times)})
	}
	return rows
}

func unownedRows(machines []assess.Machine) [][]string {
	rows := [][]string{{"APPLICATION", "CLIENT ID"}}
	for _, m := range machines {
		rows = append(rows, []string{m.Name, m.ID})
	}
	return rows
}

func (p *assessed) spreadRows() [][]string {
	rows := [][]string{{"APPLICATION", "CLIENT ID", "NETWORKS"}}
	for _, s := range p.Spread {
		rows = append(rows, []string{s.Name, s.ID, fmt.Sprint(s.Networks)})
	}
	return rows
}

func notes(out io.Writer, title string, lines []string) {
	fmt.Fprintf(out, "\n%s\n", title)
	for _, line := range lines {
		fmt.Fprintf(out, "   %s\n", strings.TrimSpace(line))
	}
}
