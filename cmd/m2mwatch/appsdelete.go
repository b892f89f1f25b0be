package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAppsDelete(inv *invocation) *cobra.Command {
	var (
		o    = ofApp{provisioning: provisioning{inv: inv}}
		ask  asking
		keep backups
	)
	cmd := &cobra.Command{
		Use:   "delete CLIENT_ID",
		Short: "Delete an application for good, after a backup of it is on disk",
		Long: `delete writes a backup of an application first (itself without its secret, its grants and their
organizations, the connections that it could use, what Auth0 tells of its keys), encrypted with age,
and deletes it when that is on disk. apps restore makes it again from that, but under another client
id and secret; apps disable can be undone whole. Tokens that were issued stay good until they expire. It tells first, by what the running instance has stored, when
and from where the application was last used.`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			var when []string
			if !keep.none {
				when = append(when, provision.WhenBackup)
			}
			vault, err := keep.vault(inv, ask.dryRun)
			if err != nil {
				return err
			}
			api, err := o.begin(cmd, when...)
			if err != nil {
				return err
			}
			apps := &provision.Apps{API: api}
			app, err := o.get(cmd, apps, args[0])
			if err != nil {
				return err
			}
			if err := notItself(&o.provisioning, app.ID); err != nil {
				return err
			}
			if !keep.none {
				if api, err = ofOrganizations(cmd, &o.provisioning, apps, app.ID, when); err != nil {
					return err
				}
				apps.API = api
			}
			tellUsage(cmd.Context(), inv, app.ID)
			what := appText(&app)
			if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+" for good?"); !yes {
				return err
			}
			var save func(*provision.AppBackup) error
			if vault != nil {
				save = func(b *provision.AppBackup) error {
					b.Tenant, b.At = o.domain, time.Now().UTC()
					path := vault.Path("app-"+app.ID, b.At)
					if err := vault.Save(path, b); err != nil {
						return err
					}
					_, err := fmt.Fprintln(inv.stdout, path)
					return err
				}
			}
			if err := apps.Delete(cmd.Context(), app.ID, save); err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, what, "is deleted")
			return nil
		},
	}
	o.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd, inv)
	return cmd
}

// ofOrganizations asks for the scopes that a backup needs where the application
// has grants to organizations: no others need them.
func ofOrganizations(cmd *cobra.Command, p *provisioning, apps *provision.Apps, id string, when []string) (provision.API, error) {
	grants, err := apps.Grants(cmd.Context(), id)
	if err != nil {
		return nil, err
	}
	for i := range grants {
		if grants[i].ToOrganizations() {
			return p.begin(cmd, append(when, provision.WhenOrganizations)...)
		}
	}
	return apps.API, nil
}
