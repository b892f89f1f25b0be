package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// backups are the flags that say where backups go and who can read them.
type backups struct {
	provision.VaultConfig
	none bool
}

func (b *backups) flags(cmd *cobra.Command, inv *invocation) {
	f := cmd.Flags()
	f.StringVar(&b.Dir, "backup-dir", "backups", "the folder for backups")
	f.StringArrayVar(&b.Recipients, "backup-recipient", nil, "who can read the backup: age1…; again for more")
	f.StringVar(&b.RecipientsFile, "backup-recipients-file", lookup(inv.environ, "M2MWATCH_BACKUP_RECIPIENTS_FILE"), "a file with one a line ($M2MWATCH_BACKUP_RECIPIENTS_FILE)")
	f.StringVar(&b.IdentityFile, "backup-identity", lookup(inv.environ, "M2MWATCH_BACKUP_IDENTITY"), "a file with a key that can read it, made where there is none ($M2MWATCH_BACKUP_IDENTITY)")
	f.BoolVar(&b.none, "no-backup", false, "keep nothing: it cannot be restored then")
}

// vault opens where backups go; nil with --no-backup.
func (b *backups) vault(inv *invocation, dryRun bool) (*provision.Vault, error) {
	if b.none {
		return nil, nil
	}
	c := b.VaultConfig
	if len(c.Recipients) == 0 && c.RecipientsFile == "" && c.IdentityFile == "" {
		return nil, fmt.Errorf("%w: a backup is written first, for somebody who can read it: say --backup-identity FILE, --backup-recipient or --backup-recipients-file; or --no-backup", errUsage)
	}
	if dryRun {
		return nil, nil // a key would be made
	}
	vault, made, err := provision.NewVault(c)
	if made {
		fmt.Fprintf(inv.stderr, "made %s: without it no backup can be read. Keep it elsewhere than the backups\n", printable(c.IdentityFile))
	}
	return vault, err
}

func newUsersDelete(inv *invocation) *cobra.Command {
	var (
		o    = ofUser{provisioning: provisioning{inv: inv}}
		ask  asking
		keep backups
	)
	cmd := &cobra.Command{
		Use:   "delete USER_ID…",
		Short: "Delete users, each after a backup of it is on disk",
		Long: `delete writes a backup of each user first (the user, its roles, its own permissions, its
organizations and its roles there), encrypted with age to those who may restore it, and deletes the user when that is
on disk. It looks at the end whether the user is gone. Of a user that nothing could restore, such as
one of another provider, it says so before it asks. Tokens that were issued stay good until
they expire; users block can be undone, and ends as much.`,
		Args: someArgs(1, "user ids"),
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
			users := &provision.Users{API: api}
			return each(cmd.Context(), args, func(id string) error {
				user, err := o.get(cmd, users, id)
				if err != nil {
					return err
				}
				if !keep.none {
					tellRestorable(inv, &user)
				}
				what := printable(fmt.Sprintf("%s (%s, owner %s, last login %s)", user.ID, user.Login(), cmp.Or(user.Mark(provision.MarkOwner), "unknown"), cmp.Or(user.LastLogin, "never")))
				if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+"?"); !yes {
					return err
				}
				return deleteUser(cmd, inv, users, vault, o.domain, user.ID)
			})
		},
	}
	o.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd, inv)
	return cmd
}

// tellRestorable says before anything is asked what a backup would not bring back.
func tellRestorable(inv *invocation, user *provision.User) {
	lost, err := (&provision.UserBackup{User: user.Raw}).Restorable()
	if err != nil {
		fmt.Fprintf(inv.stderr, "%s: nothing could restore it: %s. Its backup only tells what it was\n", printable(user.ID), printable(err.Error()))
	}
	for _, what := range lost {
		fmt.Fprintf(inv.stderr, "%s: its backup would not bring back %s\n", printable(user.ID), printable(what))
	}
}

func deleteUser(cmd *cobra.Command, inv *invocation, users *provision.Users, vault *provision.Vault, tenant, id string) error {
	var keep func(*provision.UserBackup) error
	if vault != nil {
		keep = func(b *provision.UserBackup) error {
			b.Tenant, b.At = tenant, time.Now().UTC()
			path := vault.Path("user-"+id, b.At)
			if err := vault.Save(path, b); err != nil {
				return err
			}
			_, err := fmt.Fprintln(inv.stdout, path)
			return err
		}
	}
	if err := users.Delete(cmd.Context(), id, keep); err != nil {
		return err
	}
	fmt.Fprintln(inv.stderr, printable(id), "deleted")
	return nil
}

func newUsersRestore(inv *invocation) *cobra.Command {
	var (
		p        = provisioning{inv: inv}
		secret   userPassword
		identity string
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring a deleted user back from its backup, under the same id",
		Long: `restore makes the user of a backup again, with the id, profile, metadata, roles, permissions and
memberships of organizations that it had, and a new password. It says what does not come back: the
password, multi-factor enrolments, refresh tokens, sessions, linked identities, and roles,
permissions and organizations that are gone themselves.`,
		Args: theArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity == "" {
				return fmt.Errorf("%w: want --backup-identity, the key that reads the backup", errUsage)
			}
			if err := secret.check(inv); err != nil {
				return err
			}
			text, err := provision.OpenBackup(args[0], identity)
			if err != nil {
				return err
			}
			backup, err := provision.ReadUserBackup(text)
			if err != nil {
				return err
			}
			api, err := p.begin(cmd, backup.Whens()...)
			if err != nil {
				return err
			}
			if backup.Tenant != p.domain {
				fmt.Fprintf(inv.stderr, "the backup is of %s, and is restored in %s\n", printable(backup.Tenant), printable(p.domain))
			}
			return makeUser(inv, &secret, asJSON, func() (provision.User, error) {
				restored, err := (&provision.Users{API: api}).Restore(cmd.Context(), &backup, secret.value, secret.resume)
				for _, lost := range restored.Lost {
					if restored.User.ID != "" {
						fmt.Fprintln(inv.stderr, "not restored:", printable(lost))
					}
				}
				return restored.User, err
			})
		},
	}
	p.flags(cmd, inv)
	secret.flags(cmd, "the new password")
	cmd.Flags().StringVar(&identity, "backup-identity", lookup(inv.environ, "M2MWATCH_BACKUP_IDENTITY"), "the file with the key that reads the backup ($M2MWATCH_BACKUP_IDENTITY)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}
