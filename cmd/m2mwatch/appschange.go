package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAppsUpdate(inv *invocation) *cobra.Command {
	var (
		o                 = ofApp{provisioning: provisioning{inv: inv}}
		m                 marks
		name, description string
		asJSON            bool
	)
	cmd := &cobra.Command{
		Use:   "update CLIENT_ID",
		Short: "Change an application's name, description, owner, purpose or expiry; an empty one of the last three removes it",
		Args:  theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := m.read(); err != nil {
				return err
			}
			changes, marked := map[string]any{}, map[string]any{}
			for flag, value := range map[string]string{"name": name, "description": description} {
				if cmd.Flags().Changed(flag) {
					changes[flag] = value
				}
			}
			for flag, value := range map[string]string{provision.MarkOwner: m.owner, provision.MarkPurpose: m.purpose, provision.MarkExpires: m.expires} {
				switch {
				case !cmd.Flags().Changed(flag):
				case value == "":
					marked[flag] = nil
				default:
					marked[flag] = value
				}
			}
			if len(marked) > 0 {
				changes["client_metadata"] = marked
			}
			if len(changes) == 0 {
				return fmt.Errorf("%w: apps update: nothing to change", errUsage)
			}
			api, err := o.begin(cmd)
			if err != nil {
				return err
			}
			apps := &provision.Apps{API: api}
			if _, err := o.get(cmd, apps, args[0]); err != nil {
				return err
			}
			app, err := apps.Update(cmd.Context(), args[0], changes)
			if err != nil {
				return err
			}
			return printAppDocument(inv, app.Raw, false, asJSON)
		},
	}
	o.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVar(&description, "description", "", "another description")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	m.flags(cmd)
	return cmd
}
