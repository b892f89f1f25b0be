package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newIdentities(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "identities", Short: "Who was there: applications, users, agents", Args: noArgs}
	cmd.AddCommand(newIdentitiesList(inv), newIdentitiesShow(inv))
	return cmd
}

func newIdentitiesList(inv *invocation) *cobra.Command {
	var (
		where = filter{}
		q     = apiclient.IdentityQuery{Where: where}
		out   output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List identities, the last seen first",
		Long: `list shows who was seen, the last seen first, with the events and failures of the range. Client
ids that never succeeded and are not in the inventory are left out, since anyone can fail with any:
--all shows them. Machines that the inventory knows and that were not seen come last.

--has narrows by what the inventory has of them, all of inventory, owner, grants, credentials that are
named, with ! before what is to be missing. --unused-since shows who was not seen from then on, in all
that is stored unless --from says otherwise.

` + filterHelp,
		Example: `  m2mwatch identities list --identity-kind machine --from 30d
  m2mwatch identities list --outcome failure --from 24h
  m2mwatch identities list --unused-since 90d --has inventory --identity-kind machine
  m2mwatch identities list --has 'inventory,!owner'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.UnusedSince != "" && !cmd.Flags().Changed("from") {
				q.From = ""
			}
			l := listing[schemas.IdentitySummary]{
				what: "identities", path: apiclient.IdentitiesPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.IdentitySummary, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.Identities(ctx, q)
					return page.Identities, page.Next, err
				},
				page: func(rows []schemas.IdentitySummary, next string) any {
					return schemas.IdentityPage{Identities: rows, Next: next}
				},
				header: withoutTenant(where, []string{"IDENTITY", "TENANT", "KIND", "NAME", "OWNER", "EVENTS", "FAILURES", "FIRST", "LAST", "WARM"}),
				row: func(i *schemas.IdentitySummary) []string {
					return withoutTenant(where, []string{i.ID, i.Tenant, string(i.Kind), i.Name, ownerMark(i.Inventory), count(i.Count), count(i.Failures), seenAt(i.First), seenAt(i.Last), map[bool]string{true: "warm"}[i.Warm]})
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	where.flags(inv, cmd, "tenant", "identity", "identity_kind", "client_id", "type", "outcome", "cause", "organization_id", "audience", "network")
	f := cmd.Flags()
	f.BoolVar(&q.All, "all", false, "also client ids that never succeeded")
	f.StringVar(&q.Owner, "owner", "", "of these owners, as the inventory has them")
	f.StringVar(&q.Has, "has", "", "with these in the inventory: inventory, owner, grants, credentials, or ! before one")
	f.StringVar(&q.UnusedSince, "unused-since", "", "not seen since: RFC 3339, a date, or 90d ago")
	f.StringVar(&q.From, "from", "30d", "seen since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "seen before")
	f.IntVar(&q.Limit, "limit", 50, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

// ownerMark is an owner, and what else a glance at a list should show.
func ownerMark(i *schemas.IdentityInventory) string {
	switch {
	case i == nil:
		return ""
	case !i.Deleted.IsZero():
		return strings.TrimSpace(i.Owner + " (deleted)")
	case i.Disabled:
		return strings.TrimSpace(i.Owner + " (disabled)")
	}
	return i.Owner
}

// seenAt is a time, or "-" where there was none.
func seenAt(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return clock(t)
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

func newIdentitiesShow(inv *invocation) *cobra.Command {
	var (
		tenant, from, to string
		asJSON           bool
	)
	cmd := &cobra.Command{
		Use:               "show ID",
		Short:             "Show what an identity did, from where, and what it failed at",
		Example:           "  m2mwatch identities show app:invoice-sync --from 7d",
		ValidArgsFunction: argument(name(inv.identities)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: identities show takes one id (see `m2mwatch identities list`)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			if tenant, err = tenantOr(cmd.Context(), client, tenant); err != nil {
				return err
			}
			d, err := client.Identity(cmd.Context(), tenant, args[0], from, to)
			switch {
			case err != nil:
				return err
			case asJSON:
				return inv.printJSON(d)
			}
			return writeIdentity(inv.stdout, &d)
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "of this tenant; not needed where there is one alone")
	f.StringVar(&from, "from", "30d", "since the day of: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&to, "to", "", "until the day of")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// maxShown is how many values of an attribute a person is shown.
const maxShown = 10

func writeIdentity(out io.Writer, d *schemas.IdentityDetail) error {
	w := table(out)
	row := func(cells ...string) { writeRow(w, cells) }
	row("identity", d.ID+named(d.Name))
	row("tenant", d.Tenant)
	row("kind", string(d.Kind))
	row("events", fmt.Sprintf("%d on %d days, %d failures", d.Count, d.Days, d.Failures))
	row("first", seenAt(d.First))
	row("last", seenAt(d.Last))
	if d.Warm {
		row("warm", "20 successes and a week of history: what is usual for it is known")
	}
	writeIdentityInventory(row, d.Inventory)
	for _, t := range d.Types {
		row("type", fmt.Sprintf("%s  %d", t.Value, t.Count))
	}
	for _, t := range d.Causes {
		row("failed by", fmt.Sprintf("%s  %d", t.Value, t.Count))
	}
	for _, list := range []struct {
		name string
		seen []schemas.Seen
	}{
		{"network", d.Networks},
		{"country", d.Countries},
		{"asn", d.ASNs},
		{"runtime", d.UserAgentClasses},
		{"ja4", d.JA4s},
		{"audience", d.Audiences},
		{"organization", d.Organizations},
	} {
		for _, s := range list.seen[:min(len(list.seen), maxShown)] {
			row(list.name, fmt.Sprintf("%s  %d events on %d days, last %s", s.Value, s.Count, s.Days, clock(s.Last)))
		}
		if more := len(list.seen) - maxShown; more > 0 {
			row(list.name, fmt.Sprintf("and %d more: see --json", more))
		}
	}
	for _, f := range d.Findings {
		row("finding", fmt.Sprintf("%s  %s  %s  %s, last %s", f.ID, f.Level, f.Title, f.State, clock(f.Last)))
	}
	return w.Flush()
}
