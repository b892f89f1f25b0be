package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newFindings(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "findings", Short: "What the rules found"}
	cmd.AddCommand(newFindingsList(inv), newFindingsShow(inv))
	for _, act := range []struct {
		act   schemas.Act
		short string
	}{
		{schemas.ActAck, "Say that you look after a finding: it pages nobody anew while it grows"},
		{schemas.ActResolve, "Say that a finding is done with, until an event comes that is later"},
		{schemas.ActReopen, "Open a finding again"},
		{schemas.ActNote, "Leave a note at a finding"},
	} {
		cmd.AddCommand(newFindingsAct(inv, act.act, act.short))
	}
	return cmd
}

func newFindingsList(inv *invocation) *cobra.Command {
	var (
		q   apiclient.FindingQuery
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List findings, the last active first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[schemas.Finding]{
				what: "findings", path: apiclient.FindingsPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.Finding, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.Findings(ctx, q)
					return page.Findings, page.Next, err
				},
				page:   func(rows []schemas.Finding, next string) any { return schemas.FindingPage{Findings: rows, Next: next} },
				header: []string{"ID", "LEVEL", "STATE", "RULE", "TENANT", "IDENTITY", "COUNT", "LAST", "WHAT"},
				row: func(f *schemas.Finding) []string {
					return []string{f.ID, string(f.Level), string(f.State), f.RuleID, f.Tenant, f.Identity, count(f.Count), clock(f.Last), f.Title}
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&q.RuleID, "rule", "", "of this rule, such as MI-02")
	f.StringVar(&q.State, "state", "open", "open, acknowledged, resolved or withdrawn; empty for all")
	f.StringVar(&q.Level, "level", "", "of this level")
	f.StringVar(&q.Identity, "identity", "", "of this identity, such as app:CLIENT_ID")
	f.StringVar(&q.From, "from", "", "active since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "active before")
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

func newFindingsShow(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one finding with its evidence and its history",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: findings show takes one id (see `m2mwatch findings list`)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			f, err := client.Finding(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(f)
			}
			return writeFinding(inv.stdout, f)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// writeFinding tells a finding as a person would ask for it: what, who, since
// when, against what is normal, and what may explain it.
func writeFinding(out io.Writer, f schemas.FindingDetail) error {
	w := table(out)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("finding", "%s", f.ID)
	row("rule", "%s  %s", f.RuleID, f.Title)
	row("level", "%s", f.Level)
	row("state", "%s", f.State)
	if f.Paging != "" {
		row("paging", "%s", pagingText(f.Paging, f.PagingReason))
	}
	row("tenant", "%s", f.Tenant)
	row("identity", "%s%s", f.Identity, named(f.Evidence.ClientName))
	if f.Evidence.Owner != "" {
		row("owner", "%s", f.Evidence.Owner)
	}
	row("what", "%s", f.Evidence.Summary)
	row("since", "%s", clock(f.First))
	row("last", "%s", clock(f.Last))
	row("count", "%d", f.Count)
	row("normal", "%.0f successes a day", f.Evidence.NormalPerDay)
	if f.Evidence.LastSuccess != nil {
		row("last success", "%s", clock(*f.Evidence.LastSuccess))
	}
	row("networks", "%s", strings.Join(f.Evidence.Networks, " "))
	for _, cause := range sortedKeys(f.Evidence.Causes) {
		row("cause", "%s (%d of the first %d)", cause, f.Evidence.Causes[cause], len(f.Evidence.LogIDs))
	}
	for _, r := range f.Evidence.Related {
		row("related", "%s  %s  %s", clock(r.Time), r.Title, r.LogID)
	}
	for _, id := range f.Evidence.LogIDs {
		row("event", "%s", id)
	}
	for _, told := range contextRows(f.Evidence) {
		row(told[0], "%s", told[1])
	}
	for _, h := range historyOf(f) {
		row("history", "%s  %s", clock(h.at), h.text)
	}
	return w.Flush()
}

// pagingText says whether people are told, and why not.
func pagingText(p schemas.Paging, why string) string {
	if why == "" {
		return string(p)
	}
	return string(p) + ": " + why
}

// changeText says what became of a finding, and why.
func changeText(c schemas.FindingChange) string {
	why := ""
	if c.Reason == schemas.ReasonLateEvents {
		why = " by events that came late"
	}
	switch {
	case c.State == schemas.StateWithdrawn && c.Before != nil:
		return fmt.Sprintf("withdrawn%s; it had %d events", why, c.Before.Count)
	case c.Reason == schemas.ReasonPaging && c.After != nil:
		return fmt.Sprintf("open as before, with %d events", c.After.Count)
	case c.Reason == schemas.ReasonQuiet && c.After != nil:
		return fmt.Sprintf("resolved: quiet since its last event; %d events", c.After.Count)
	case c.State != schemas.StateOpen && c.After != nil:
		return fmt.Sprintf("%s%s, with %d events", c.State, why, c.After.Count)
	case c.Before != nil && c.After != nil:
		return fmt.Sprintf("open again%s, with %d events", why, c.After.Count)
	case c.After != nil:
		return fmt.Sprintf("open%s, with %d events", why, c.After.Count)
	}
	return string(c.State) + why
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

func sortedKeys(m map[string]uint64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
