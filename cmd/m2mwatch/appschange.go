package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAppsUpdate(inv *invocation) *cobra.Command {
	var (
		p                 = provisioning{inv: inv}
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
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			app, err := (&provision.Apps{API: api}).Update(cmd.Context(), args[0], changes)
			if err != nil {
				return err
			}
			return printDocument(inv, app.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVar(&description, "description", "", "another description")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	m.flags(cmd)
	return cmd
}

func newAppsDelete(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		keep backups
	)
	cmd := &cobra.Command{
		Use:   "delete CLIENT_ID",
		Short: "Delete an application for good, after a backup of it is on disk",
		Long: `delete writes a backup of an application first (itself without its secret, its grants, the public
part of its credentials), encrypted with age, and deletes it when that is on disk. No application
comes back under its client id: the backup tells what it was. apps disable can be undone. Tokens that
were issued stay good until they expire.`,
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
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			apps := &provision.Apps{API: api}
			app, err := apps.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := notItself(&p, app.ID); err != nil {
				return err
			}
			what := printable(fmt.Sprintf("%s (%s)", app.Name, app.ID))
			if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+" for good?"); !yes {
				return err
			}
			var save func(*provision.AppBackup) error
			if vault != nil {
				save = func(b *provision.AppBackup) error {
					b.Tenant, b.At = p.domain, time.Now().UTC()
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
	p.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd, inv)
	return cmd
}
