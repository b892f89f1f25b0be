package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newInventoryChanges(inv *invocation) *cobra.Command {
	var (
		q   apiclient.InventoryChangeQuery
		out output
	)
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "List what became of what tenants have: scopes added, secrets rotated, applications deleted",
		Long: `changes shows what snapshots found to be another than before, the newest first. The first snapshot of
a kind is where its changes begin.`,
		Example: "  m2mwatch inventory changes --kind grants --act changed --from 7d",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where := filter{"tenant": q.Tenant}
			l := listing[schemas.InventoryChange]{
				what: "changes", path: apiclient.InventoryChangesPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.InventoryChange, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.InventoryChanges(ctx, q)
					return page.Changes, page.Next, err
				},
				page: func(rows []schemas.InventoryChange, next string) any {
					return schemas.InventoryChangePage{Changes: rows, Next: next}
				},
				header: withoutTenant(where, []string{"TIME", "TENANT", "KIND", "ID", "NAME", "ACT", "WHAT"}),
				row: func(c *schemas.InventoryChange) []string {
					return withoutTenant(where, []string{clock(c.Time), c.Tenant, string(c.Kind), c.ID, c.Name, string(c.Act), memberChanges(c.Members)})
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&q.Kind, "kind", "", "clients, grants, apis, roles, users, credentials or streams")
	f.StringVar(&q.Identity, "identity", "", "of this identity, such as app:CLIENT_ID, with its grants and credentials")
	f.StringVar(&q.Act, "act", "", "added, changed or deleted")
	f.StringVar(&q.From, "from", "30d", "since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "before")
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

// memberChanges are changes of members, of lists what came and what went.
func memberChanges(members []schemas.MemberChange) string {
	var all []string
	for _, m := range members {
		before, isList := m.Before.([]any)
		after, isListNow := m.After.([]any)
		if isList || isListNow {
			all = append(all, m.Name+listChange(before, after))
			continue
		}
		all = append(all, fmt.Sprintf("%s %s → %s", m.Name, valueText(m.Before), valueText(m.After)))
	}
	return strings.Join(all, ", ")
}

func listChange(before, after []any) (text string) {
	had, has := map[string]bool{}, map[string]bool{}
	for _, v := range before {
		had[valueText(v)] = true
	}
	for _, v := range after {
		if has[valueText(v)] = true; !had[valueText(v)] {
			text += " +" + valueText(v)
		}
	}
	for _, v := range before {
		if !has[valueText(v)] {
			text += " -" + valueText(v)
		}
	}
	return text
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil { // it was read from JSON
		panic(err)
	}
	return string(text)
}
