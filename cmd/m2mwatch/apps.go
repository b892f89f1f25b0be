package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newApps(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apps",
		Short: "M2M applications of a tenant: create, list, show, update, disable, enable, rotate, usage, delete, restore",
		Args:  noArgs,
	}
	cmd.AddCommand(newAppsCreate(inv), newAppsList(inv), newAppsShow(inv), newAppsUpdate(inv), newAppsDisable(inv), newAppsEnable(inv), newAppsRotate(inv), newAppsUsage(inv), newAppsDelete(inv), newAppsRestore(inv))
	return cmd
}

func newAppsCreate(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		n      provision.NewApp
		m      marks
		secret newSecret
		key    keyFlags
		grants []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an M2M application with its client grants",
		Long: `create makes an application that gets tokens by client credentials and in no other way, with the
scopes of APIs that it is granted; these are looked for before anything is made. Names of
applications are not unique. Where the answer is lost it is looked for, and not made again. With
--new-key-file or --public-key-file it authenticates by a key (private_key_jwt) and has no secret.`,
		Example: `  m2mwatch apps create ledger-export --owner data-team --grant read:ledger@https://api.example.com --secret-file ledger.secret`,
		Args:    theArgs(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := readPermissions(grants)
			if err != nil {
				return err
			}
			if err := errors.Join(m.read(), key.check(), key.orSecret(inv, &secret)); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			n.Name, n.Grants, n.Metadata = args[0], list, map[string]string{}
			for name, value := range map[string]string{provision.MarkOwner: m.owner, provision.MarkPurpose: m.purpose, provision.MarkExpires: m.expires} {
				if value != "" {
					n.Metadata[name] = value
				}
			}
			if key.asked() {
				return createWithKey(cmd, inv, &provision.Apps{API: api}, n, &key, asJSON)
			}
			if err := secret.reserve(); err != nil {
				return err
			}
			app, err := (&provision.Apps{API: api}).Create(cmd.Context(), n)
			if app.ID == "" {
				secret.forget()
				return err
			}
			return errors.Join(printApp(inv, &secret, &app, asJSON), err)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&n.Description, "description", "", "its description")
	f.StringArrayVar(&grants, "grant", nil, "a scope of an API, SCOPE@API; again for more")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	m.flags(cmd)
	secret.flags(cmd, "secret-file", "the client secret")
	key.flags(cmd)
	return cmd
}

// createWithKey makes an application that has a key. A key that was made for it is
// nobody's where the application is not made.
func createWithKey(cmd *cobra.Command, inv *invocation, apps *provision.Apps, n provision.NewApp, flags *keyFlags, asJSON bool) error {
	key, made, err := flags.key(inv)
	if err != nil {
		return err
	}
	n.Key = &key
	app, err := apps.Create(cmd.Context(), n)
	if app.ID == "" {
		if made && !errors.Is(err, provision.ErrMaybeDone) {
			_ = os.Remove(flags.newFile) // it opens nothing
		}
		return err
	}
	return errors.Join(printDocument(inv, app.Raw, asJSON), err)
}

// free refuses a file that is there before a secret is made that could not be
// written to it.
func (s *newSecret) free() error {
	if s.file == "" {
		return nil
	}
	if _, err := os.Lstat(s.file); err == nil {
		return fmt.Errorf("%w: --%s %s: it is there already", errUsage, s.name, s.file)
	}
	return nil
}

// notItself refuses to take the ground away from under this command: nothing could
// give it back.
func notItself(p *provisioning, clientID string) error {
	if clientID == p.clientID {
		return fmt.Errorf("%s is the application that m2mwatch is here: without it nothing could be enabled again", clientID)
	}
	return nil
}

// printApp keeps or prints the secret of an application that was made, or has
// another one now, and prints the rest.
func printApp(inv *invocation, secret *newSecret, app *provision.App, asJSON bool) error {
	raw := app.Raw
	switch {
	case app.Secret == "":
		secret.forget()
		return errors.Join(printDocument(inv, raw, asJSON), fmt.Errorf("its secret was lost with the answer: m2mwatch apps rotate %s", app.ID))
	case secret.printed():
		var err error
		if raw, err = with(raw, "client_secret", app.Secret); err != nil {
			return err
		}
	default:
		if err := secret.keep(app.Secret); err != nil {
			return errors.Join(printDocument(inv, raw, asJSON), fmt.Errorf("its secret is not kept (m2mwatch apps rotate %s makes another): %w", app.ID, err))
		}
	}
	return printDocument(inv, raw, asJSON)
}

func newAppsList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the applications that can get tokens by client credentials",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			apps, err := (&provision.Apps{API: api}).List(cmd.Context())
			if err != nil {
				return err
			}
			l := recordList{what: "applications", raw: []json.RawMessage{}, header: []string{"CLIENT_ID", "NAME", "TYPE", "OWNER", "PURPOSE", "EXPIRES"}}
			for i := range apps {
				a := &apps[i]
				l.raw = append(l.raw, a.Raw)
				l.rows = append(l.rows, []string{a.ID, a.Name, a.Type, a.Mark(provision.MarkOwner), a.Mark(provision.MarkPurpose), a.Mark(provision.MarkExpires)})
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	out.flags(cmd)
	return cmd
}

func newAppsShow(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		keys   bool
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show CLIENT_ID",
		Short: "Show an application with its grants, without its secret",
		Args:  theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var when []string
			if keys {
				when = append(when, provision.WhenKeys)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			apps := provision.Apps{API: api}
			app, err := apps.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			grants, err := apps.Grants(cmd.Context(), app.ID)
			if err != nil {
				return err
			}
			raws := []json.RawMessage{}
			for _, g := range grants {
				raws = append(raws, g.Raw)
			}
			raw, err := with(app.Raw, "client_grants", raws)
			if err == nil && keys {
				var list []provision.Credential
				if list, err = apps.Credentials(cmd.Context(), app.ID); err == nil {
					tellKeys(inv, app.ID, list)
					raw, err = with(raw, "credentials", list)
				}
			}
			if err != nil {
				return err
			}
			return printDocument(inv, raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().BoolVar(&keys, "keys", false, "with its keys, and how far a rotation of them is")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it, with client_grants")
	return cmd
}

func newAppsDisable(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		file string
	)
	cmd := &cobra.Command{
		Use:   "disable CLIENT_ID",
		Short: "Take an application's grants away, and keep them for enable",
		Long: `disable writes the grants of an application to a file and takes them away: it gets no more
tokens. It says how long those that it has stay good: Auth0 cannot take them back. enable FILE gives
the grants back; that they were open to certain organizations is not among them.`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			apps := provision.Apps{API: api}
			app, err := apps.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := notItself(&p, app.ID); err != nil {
				return err
			}
			what := appText(&app)
			if yes, err := ask.agreed(inv, "disable "+what, "Disable "+what+"?"); !yes {
				return err
			}
			valid, err := apps.Disable(cmd.Context(), app.ID, func(d *provision.Disabled) error {
				d.Tenant, d.At = p.domain, time.Now().UTC()
				text, err := json.MarshalIndent(d, "", "  ")
				if err != nil {
					return err
				}
				path := file
				if path == "" {
					path = fmt.Sprintf("disabled-%s-%s.json", strings.ReplaceAll(app.ID, string(os.PathSeparator), "_"), d.At.Format("20060102T150405.000Z"))
				}
				if err := provision.WriteSecret(path, append(text, '\n')); err != nil {
					return err
				}
				_, err = fmt.Fprintln(inv.stdout, path)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, what, "is disabled")
			tellTokens(cmd.Context(), inv, app.ID, valid)
			return nil
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	cmd.Flags().StringVar(&file, "grants-file", "", "the new file to keep the grants in (default: one in this folder, named by the client id and the time)")
	return cmd
}

func newAppsEnable(inv *invocation) *cobra.Command {
	p := provisioning{inv: inv}
	cmd := &cobra.Command{
		Use:   "enable FILE",
		Short: "Give an application back the grants that disable has kept in a file",
		Args:  theArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			d, err := provision.ReadDisabled(text)
			if err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			if err := (&provision.Apps{API: api}).Enable(cmd.Context(), &d); err != nil {
				return err
			}
			fmt.Fprintf(inv.stderr, "%s (%s) is enabled\n", printable(d.Name), printable(d.ClientID))
			return nil
		},
	}
	p.flags(cmd, inv)
	return cmd
}
