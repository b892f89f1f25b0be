package main

import (
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newReport(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "report", Short: "Count what happened: tokens used, activity, failures", Args: noArgs}
	cmd.AddCommand(newReportUsage(inv), newReportActivity(inv), newReportFailures(inv))
	return cmd
}

func newReportUsage(inv *invocation) *cobra.Command {
	var (
		where = filter{}
		q     = apiclient.UsageQuery{Where: where}
		out   output
	)
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Count the tokens that clients got by their credentials",
		Long: `usage counts access tokens by client, audience or organization, and exchanges that failed, each
day or month of UTC. Auth0 bills tokens by calendar month, but those for its own APIs, such as
the Management API: they are rows of their own.

` + filterHelp,
		Example: `  m2mwatch report usage                        # this month, by client
  m2mwatch report usage --from 2025-01-01 --by client_id,audience --csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			if q.From == "" && q.To == "" {
				q.From = time.Now().UTC().Format("2006-01") + "-01"
			}
			if out.csv {
				return csvOnce(cmd, inv, client, apiclient.UsagePath, q.Values())
			}
			page, err := client.Usage(cmd.Context(), q)
			switch {
			case err != nil:
				return err
			case out.json:
				return inv.printJSON(page)
			}
			return writeUsage(inv, page, q)
		},
	}
	where.flags(inv, cmd, "tenant", "client_id", "audience", "organization_id")
	f := cmd.Flags()
	f.StringSliceVar(&q.By, "by", []string{"client_id"}, "count by these: "+strings.Join(schemas.UsageDimensions, ", "))
	f.StringVar(&q.Interval, "interval", "month", "day or month")
	f.StringVar(&q.From, "from", "", "since: RFC 3339, a date, or 24h, 7d ago (default: this month)")
	f.StringVar(&q.To, "to", "", "before")
	f.IntVar(&q.Limit, "limit", 1000, "at most this many rows, 10000 at most")
	out.flags(cmd)
	return cmd
}

// csvOnce prints an answer that has no pages.
func csvOnce(cmd *cobra.Command, inv *invocation, client *apiclient.Client, path string, params url.Values) error {
	page, _, err := client.CSV(cmd.Context(), path, params)
	if err != nil {
		return err
	}
	_, err = inv.stdout.Write(page)
	return err
}

func writeUsage(inv *invocation, page schemas.UsagePage, q apiclient.UsageQuery) error {
	layout := "2006-01"
	if q.Interval == "day" {
		layout = time.DateOnly
	}
	by := strings.Join(q.By, ",")
	w := table(inv.stdout)
	row := func(time, tenant, client, name, audience, organization, billed, issued, failed string) {
		cells := []string{time}
		for _, cell := range []struct {
			text string
			show bool
		}{
			{tenant, q.Where["tenant"] == ""},
			{client, strings.Contains(by, "client_id")},
			{name, strings.Contains(by, "client_id")},
			{audience, strings.Contains(by, "audience")},
			{organization, strings.Contains(by, "organization_id")},
		} {
			if cell.show {
				cells = append(cells, cell.text)
			}
		}
		writeRow(w, append(cells, billed, issued, failed))
	}
	if len(page.Rows) > 0 {
		row(strings.ToUpper(q.Interval), "TENANT", "CLIENT_ID", "NAME", "AUDIENCE", "ORGANIZATION", "BILLED", "ISSUED", "FAILED")
	}
	for _, r := range page.Rows {
		billed := "yes"
		if r.BuiltIn {
			billed = "no"
		}
		row(r.Time.UTC().Format(layout), r.Tenant, r.ClientID, r.ClientName, r.Audience, r.OrganizationID, billed, count(r.Issued), count(r.Failed))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(inv.stderr, "billed: %d tokens, %d exchanges failed; for Auth0's own APIs, not billed: %d tokens, %d failed\n",
		page.Billed.Issued, page.Billed.Failed, page.BuiltIn.Issued, page.BuiltIn.Failed)
	tellTruncated(inv, page.Truncated)
	return nil
}

func tellTruncated(inv *invocation, truncated bool) {
	if truncated {
		fmt.Fprintln(inv.stderr, "there are more rows: raise --limit, or narrow the question")
	}
}

func newReportActivity(inv *invocation) *cobra.Command {
	return newCounts(inv, counts{
		use: "activity", short: "Count what happened, by any dimensions",
		long:    "activity counts events (each log_id once) by dimensions, the highest count first.",
		example: "  m2mwatch report activity --identity-kind machine --by identity,type --interval day",
		by:      []string{"identity", "type"}, from: "7d",
	})
}

func newReportFailures(inv *invocation) *cobra.Command {
	return newCounts(inv, counts{
		use: "failures", short: "Count what failed, by identity, cause and network",
		long:    "failures counts events whose outcome is failure (each log_id once), the highest count first.",
		example: "  m2mwatch report failures --from 24h",
		by:      []string{"identity", "cause", "network"}, from: "24h", where: filter{"outcome": string(schemas.OutcomeFailure)},
	})
}

// counts is a report that counts events.
type counts struct {
	use, short, long, example string
	by                        []string
	from                      string
	where                     filter
}

func newCounts(inv *invocation, c counts) *cobra.Command {
	where := filter{}
	maps.Copy(where, c.where)
	q := apiclient.StatsQuery{Where: where}
	var out output
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long + "\n\n" + filterHelp, Example: c.example,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			if out.csv {
				return csvOnce(cmd, inv, client, apiclient.StatsPath, q.Values())
			}
			page, err := client.Stats(cmd.Context(), q)
			switch {
			case err != nil:
				return err
			case out.json:
				return inv.printJSON(page)
			}
			return writeCounts(inv, page, q)
		},
	}
	where.flags(inv, cmd, schemas.FilterFields()...)
	f := cmd.Flags()
	f.StringSliceVar(&q.By, "by", c.by, "count by these: "+strings.Join(schemas.StatsDimensions, ", "))
	f.StringVar(&q.Interval, "interval", "", "hour, day or month (UTC): count each by itself")
	f.StringVar(&q.From, "from", c.from, "since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "before")
	f.IntVar(&q.Limit, "limit", 100, "at most this many rows, 10000 at most")
	out.flags(cmd)
	return cmd
}

func writeCounts(inv *invocation, page schemas.StatsPage, q apiclient.StatsQuery) error {
	if len(page.Rows) == 0 {
		fmt.Fprintln(inv.stderr, "no events")
		return nil
	}
	header := []string{"COUNT"}
	if q.Interval != "" {
		header = append(header, strings.ToUpper(q.Interval))
	}
	for _, by := range q.By {
		header = append(header, strings.ToUpper(by))
	}
	w := table(inv.stdout)
	writeRow(w, header)
	for _, r := range page.Rows {
		cells := []string{count(r.Count)}
		if q.Interval != "" {
			cells = append(cells, intervalText(r.Time, q.Interval))
		}
		writeRow(w, append(cells, r.Values...))
	}
	tellTruncated(inv, page.Truncated)
	return w.Flush()
}

// intervalText names an interval by its beginning, in UTC, as it was counted.
func intervalText(at time.Time, interval string) string {
	switch interval {
	case "month":
		return at.UTC().Format("2006-01")
	case "day":
		return at.UTC().Format(time.DateOnly)
	}
	return at.UTC().Format("2006-01-02T15Z")
}
