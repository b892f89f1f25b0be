package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newRolesDelete(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		dir  string
		none bool
	)
	cmd := &cobra.Command{
		Use:   "delete ROLE",
		Short: "Delete a role for good, when what it was is on disk; it tells first how many users have it",
		Long: `delete writes what a role is to a file first: itself, what it permits, who has it. There is no
secret in it, so it is not encrypted. roles create and roles assign make such a role again, under
another id.`,
		Args: theArgs(1, "one role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			var when []string
			if !none {
				when = append(when, provision.WhenBackup)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			roles := provision.Roles{API: api}
			role, err := roles.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			what := printable(fmt.Sprintf("role %s (%s)", role.Name, role.ID))
			var backup provision.RoleBackup
			if !none {
				if backup, err = roles.Backup(cmd.Context(), role); err != nil {
					return fmt.Errorf("%s is not deleted: %w", what, err)
				}
				what += fmt.Sprintf(", which %d users have", len(backup.Members))
			}
			if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+"?"); !yes {
				return err
			}
			if !none {
				backup.Tenant = p.domain
				if err := keepRole(inv, dir, role.ID, &backup); err != nil {
					return fmt.Errorf("%s is not deleted: %w", what, err)
				}
			}
			if err := roles.Delete(cmd.Context(), role.ID); err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, printable(role.ID), "deleted")
			return nil
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	cmd.Flags().StringVar(&dir, "backup-dir", "backups", "the folder for backups")
	cmd.Flags().BoolVar(&none, "no-backup", false, "keep nothing, and do not look who has it")
	return cmd
}

// keepRole writes a backup, and prints where.
func keepRole(inv *invocation, dir, id string, b *provision.RoleBackup) error {
	b.At = time.Now().UTC()
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	if err := provision.MakeDir(dir); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	path := provision.BackupPath(dir, "role-"+id, b.At, ".json")
	if err := provision.WriteSecret(path, append(text, '\n')); err != nil {
		return err
	}
	_, err = fmt.Fprintln(inv.stdout, path)
	return err
}
