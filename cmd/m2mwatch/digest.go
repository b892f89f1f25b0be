package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

func newDigest(inv *invocation) *cobra.Command {
	var (
		q      apiclient.DigestQuery
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "digest",
		Short: "Tell what nobody was woken for, by owner: findings, new, failing, silent and wasteful machines",
		Long: `digest tells, by owner, which findings there were up to medium, which machines are new, fail, fell
silent or waste tokens; then which rules found most, and in which hours nothing was stored. The same
goes to channels with digest: true once a week.`,
		Example: `  m2mwatch digest --from 7d
  m2mwatch digest --tenant acme --owner billing --from 2026-03-02 --to 2026-03-09 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			d, err := client.Digest(cmd.Context(), q)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(d)
			}
			fmt.Fprint(inv.stdout, legible(d.Text()))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&q.Owner, "owner", "", "of this owner, as the inventory has it; - for what nobody owns")
	f.StringVar(&q.From, "from", "", "since: RFC 3339, a date, or 24h, 7d ago (default: 7d before --to)")
	f.StringVar(&q.To, "to", "", "before (default: now)")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}
