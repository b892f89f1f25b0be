package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func newStatus(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "How far the pipeline is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(s)
			}
			return writeStatus(inv, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func writeStatus(inv *invocation, s schemas.StatusView) error {
	w := table(inv.stdout)
	about := map[bool]string{true: "about ", false: ""}[s.PendingEstimated]
	fmt.Fprintf(w, "pending\t%s%s records accepted and not yet stored\n", about, orUnknown(s.Pending))
	fmt.Fprintf(w, "uncorrelated\t%d touches not yet judged by the rules%s\n", s.Uncorrelated, lagging(s.CorrelateLag))
	fmt.Fprintf(w, "uncounted\t%d hours that counts read from events%s\n", s.DirtyHours, lagging(s.RecountLag))
	fmt.Fprintf(w, "dead\t%s records that could not be read%s\n", orUnknown(s.Dead), deadAdvice(s.Dead))
	fmt.Fprintf(w, "alerts\t%s not yet delivered\n", orUnknown(s.Alerts))
	fmt.Fprintf(w, "warm\t%d of %d applications: what is usual for them is known\n", s.Warm, s.Exchanging)
	writeWarming(w, s.Warming)
	if s.DelaySeconds != nil {
		fmt.Fprintf(w, "delay\t%.1f s from arrival to store\n", *s.DelaySeconds)
	}
	fmt.Fprintf(w, "events\tabout %d, %s on disk\n", s.Events, size(s.Bytes))
	if s.BytesPerDay > 0 {
		fmt.Fprintf(w, "growth\tabout %s a day of events%s\n", size(s.BytesPerDay), room(s))
	}
	writePulls(w, s.Pulls)
	for _, c := range s.Channels {
		fmt.Fprintf(w, "channel %s\t%s\n", printable(c.Name), channelState(c))
	}
	if s.LastEvent != nil {
		fmt.Fprintf(w, "last event\t%s\n", clock(*s.LastEvent))
	}
	fmt.Fprintf(w, "versions\tm2mwatch %s, nats %s, clickhouse %s\n", printable(s.Versions.M2MWatch), orNone(s.Versions.NATS), orNone(s.Versions.ClickHouse))
	return w.Flush()
}

// writeWarming tells which rules page nobody yet, in one line: a start on a store
// with history has all of them warm up.
func writeWarming(w io.Writer, rules []schemas.WarmingView) {
	if len(rules) == 0 {
		return
	}
	of := make([]string, len(rules))
	for i, r := range rules {
		of[i] = printable(r.Rule)
		if r.Total > 0 {
			of[i] += fmt.Sprintf(" (%.0f %% of selection 1 of %d)", 100*float64(r.Done)/float64(r.Total), r.Selections)
		}
	}
	fmt.Fprintf(w, "warming\trules that page nobody until history is matched for them: %s\n", strings.Join(of, ", "))
}

// writePulls tells how far tenants are followed through their Management APIs.
func writePulls(w io.Writer, pulls []schemas.PullView) {
	for _, p := range pulls {
		state := "its log stream delivers"
		if p.CaughtUp != nil {
			state = "read to the end at " + clock(*p.CaughtUp)
		}
		if p.Error != "" {
			state = fmt.Sprintf("FAILING since %s (%s): %s", clock(*p.Since), printable(p.Reason), printable(p.Error))
		}
		fmt.Fprintf(w, "pull %s\t%s\n", printable(p.Tenant), state)
		for _, span := range p.Spans {
			fmt.Fprintf(w, "\t%s under way%s%s\n", printable(span.Source), at(", at ", span.From), at(" of ", span.To))
		}
		for _, m := range p.Missing {
			fmt.Fprintf(w, "\tAuth0 had none left of %s to %s\n", clock(m.From), clock(m.To))
		}
	}
}

// at tells a time behind a word, nothing where it is not known.
func at(word string, t *time.Time) string {
	if t == nil {
		return ""
	}
	return word + clock(*t)
}

// lagging tells for how long the oldest of what waits has waited.
func lagging(seconds float64) string {
	if seconds <= 0 {
		return ""
	}
	return fmt.Sprintf(", the oldest for %s", time.Duration(seconds*float64(time.Second)).Round(time.Second))
}

// room tells how long the disk lasts.
func room(s schemas.StatusView) string {
	switch {
	case s.DiskFree == nil:
		return ""
	case s.DaysToFull == nil:
		return fmt.Sprintf(", %s free, which lasts: old days are dropped before", size(*s.DiskFree))
	}
	return fmt.Sprintf(", %s free, full in %.0f days", size(*s.DiskFree), *s.DaysToFull)
}

func orUnknown(n *uint64) string {
	if n == nil {
		return "unknown"
	}
	return fmt.Sprint(*n)
}

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return printable(s)
}

func deadAdvice(n *uint64) string {
	if n == nil || *n == 0 {
		return ""
	}
	return ": see `m2mwatch dead list`"
}
