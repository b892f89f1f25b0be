package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newJournalCommand(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "What provisioning commands changed in tenants: list, send",
		Long: `Each call by which a provisioning command changes a tenant is recorded before it is made, and
again when it has ended: at the running instance, or where there is none in a file of the
operator's ($XDG_STATE_HOME/m2mwatch, or ~/.local/state/m2mwatch). What is in the file goes to
the instance with the next change, with ` + "`journal send`" + `, or when one is started by the same user.`,
		Args: noArgs,
	}
	cmd.AddCommand(newJournalList(inv), newJournalSend(inv))
	return cmd
}

func newJournalList(inv *invocation) *cobra.Command {
	var (
		q   apiclient.ProvisionQuery
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the changes, the newest first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[schemas.ProvisionCall]{
				what: "changes", path: apiclient.ProvisionPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.ProvisionCall, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.ProvisionCalls(ctx, q)
					return page.Calls, page.Next, err
				},
				page: func(rows []schemas.ProvisionCall, next string) any {
					return schemas.ProvisionPage{Calls: rows, Next: next}
				},
				header: []string{"AT", "DOMAIN", "OPERATOR", "COMMAND", "CALL", "OUTCOME", "MADE"},
				row: func(c *schemas.ProvisionCall) []string {
					return []string{clock(c.At), c.Domain, c.Operator, c.Command, c.Method + " " + c.Path, string(c.Outcome), c.Made}
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Domain, "domain", "", "of the tenant of this domain")
	f.StringVar(&q.ClientID, "client-id", "", "made as this application")
	f.StringVar(&q.From, "from", "", "made since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "made before")
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

func newJournalSend(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "send",
		Short: "Give the running instance what was recorded while there was none",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := journalPath()
			if err != nil {
				return err
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			defer client.Close()
			n, err := journalFile{path}.take(func(calls []schemas.ProvisionCall) error { return recordAt(cmd.Context(), client, calls) })
			if err != nil {
				return err
			}
			fmt.Fprintf(inv.stdout, "%d recorded calls sent\n", n)
			return nil
		},
	}
}
