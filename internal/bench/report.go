package bench

import (
	"fmt"
	"io"
	"strings"
)

// shownColumns is how many of the largest columns Print shows.
const shownColumns = 24

// Print writes the report as Markdown: a table, and the largest columns.
func (r Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| at %d events | measured | target |\n|---|---|---|\n", r.Events)
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", l.What, l.Result, l.Target)
	}
	if len(r.Columns) > 0 {
		fmt.Fprint(&b, "\nbytes per event, by column:")
	}
	for i, c := range r.Columns[:min(shownColumns, len(r.Columns))] {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s.%s %.2f", c.Table, c.Column, c.PerEvent)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}
