package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAppsRestore(inv *invocation) *cobra.Command {
	var (
		p        = provisioning{inv: inv}
		how      provision.AppRestore
		secret   = newSecret{again: true} // what an earlier run has made is found
		keys     []string
		identity string
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a deleted application again from its backup, with another client id and secret",
		Long: `restore makes the application of a backup again: its settings and client_metadata, its grants and
their organizations, the connections that it could use. Auth0 gives no application back its client
id or its secret: whatever has the old ones must be given the new ones, and the command says where
the old ones were used. Nor does Auth0 give keys back: name the public keys of an application that
authenticated by them, in the order of the backup, or have it get a secret.

It may be run again where it was cut short: the application is found by a mark in its
client_metadata, and what is there is not made twice.`,
		Example: `  m2mwatch apps restore backups/app-2vJ0oYqk-20260301T120000.000Z.age --backup-identity backup.key --secret-file new.secret`,
		Args:    theArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity == "" {
				return fmt.Errorf("%w: want --backup-identity, the key that reads the backup", errUsage)
			}
			if len(keys) == 0 {
				if err := errors.Join(secret.check(inv), secret.free()); err != nil {
					return err
				}
			} else if secret.file != "" {
				return fmt.Errorf("%w: an application that has keys gets no secret: --secret-file or --public-key-file", errUsage)
			}
			var err error
			if how.Keys, err = readKeys(keys); err != nil {
				return err
			}
			text, err := provision.OpenBackup(args[0], identity)
			if err != nil {
				return err
			}
			backup, err := provision.ReadAppBackup(text)
			if err != nil {
				return err
			}
			api, err := p.begin(cmd, backup.Parts()...)
			if err != nil {
				return err
			}
			if backup.Tenant != p.domain {
				fmt.Fprintf(inv.stderr, "the backup is of %s, and is restored in %s\n", printable(backup.Tenant), printable(p.domain))
			}
			if len(keys) == 0 {
				if err := secret.reserve(); err != nil {
					return err
				}
			}
			restored, err := (&provision.Apps{API: api}).Restore(cmd.Context(), &backup, how)
			if restored.App.ID == "" {
				secret.forget()
				return err
			}
			tellRestored(cmd, inv, &restored)
			return errors.Join(printRestored(inv, &secret, &restored, len(keys) > 0, asJSON), err)
		},
	}
	p.flags(cmd, inv)
	secret.flags(cmd, "secret-file", "the new client secret")
	f := cmd.Flags()
	f.StringVar(&identity, "backup-identity", lookup(inv.environ, "M2MWATCH_BACKUP_IDENTITY"), "the file with the key that reads the backup ($M2MWATCH_BACKUP_IDENTITY)")
	f.StringArrayVar(&keys, "public-key-file", nil, "a public key that it authenticates by, PEM; again for a second")
	f.BoolVar(&how.Secret, "with-secret", false, "it gets a secret, though it had keys")
	f.StringSliceVar(&how.Without, "without-metadata", nil, "members of client_metadata to leave out")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("public-key-file", "with-secret")
	return cmd
}

// tellRestored says what is another now, and what of the world has to follow.
func tellRestored(cmd *cobra.Command, inv *invocation, r *provision.RestoredApp) {
	if r.Found {
		fmt.Fprintln(inv.stderr, "an earlier restore had made it: going on")
	}
	for _, lost := range r.Lost {
		fmt.Fprintln(inv.stderr, "not restored:", printable(lost))
	}
	fmt.Fprintf(inv.stderr, `%s has another client id and another secret or key now: %s. The old ones cannot come back. Change them
  in the deployments of the application: see below from where it was used;
  where the tenant names it: allowed_clients of other applications, Actions, organizations' and APIs' settings;
  where your own programs and gateways know it: azp, client_id and sub of its tokens are others
`, printable(r.Was), printable(r.App.ID))
	tellUsage(cmd.Context(), inv, r.Was)
}

// printRestored keeps its secret, where it has one that can be told.
func printRestored(inv *invocation, secret *newSecret, r *provision.RestoredApp, byKey, asJSON bool) error {
	if byKey {
		return printAppDocument(inv, r.App.Raw, secret.reveal, asJSON)
	}
	if r.Found && r.App.Secret == "" {
		secret.forget()
		fmt.Fprintf(inv.stderr, "its secret was answered to the earlier restore; where that did not keep it: m2mwatch apps rotate %s\n", printable(r.App.ID))
		return printAppDocument(inv, r.App.Raw, secret.reveal, asJSON)
	}
	return printApp(inv, secret, &r.App, asJSON)
}
