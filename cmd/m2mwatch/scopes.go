package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newScopes(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scopes [COMMAND…]",
		Short: "Scopes of the Management API that each provisioning command needs",
		Long: `scopes prints the least scopes that a command needs, and what it needs beyond them for some of
what it can be asked. Each command checks its token for them before it does anything.

  m2mwatch scopes users create
  m2mwatch scopes users`,
		RunE: func(_ *cobra.Command, args []string) error {
			asked := strings.Join(args, " ")
			needs := []provision.Need{}
			for _, n := range provision.Needs() {
				if asked == "" || n.Command == asked || strings.HasPrefix(n.Command, asked+" ") {
					needs = append(needs, n)
				}
			}
			if len(needs) == 0 {
				return fmt.Errorf("%w: no provisioning command %q (see m2mwatch scopes)", errUsage, asked)
			}
			if asJSON {
				return inv.printJSON(needs)
			}
			w := table(inv.stdout)
			writeRow(w, []string{"COMMAND", "WHEN", "SCOPES"})
			for _, n := range needs {
				writeRow(w, []string{n.Command, n.When, strings.Join(n.Scopes, " ")})
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON: command, when, scopes")
	return cmd
}
