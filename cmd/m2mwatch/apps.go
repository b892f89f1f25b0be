package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

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
	return errors.Join(printAppDocument(inv, app.Raw, false, asJSON), err)
}

// free refuses a file that is there before a secret is made that could not be
// written to it.
func (s *newSecret) free() error {
	if s.file == "" {
		return nil
	}
	if _, err := os.Lstat(s.file); err != nil {
		return nil
	}
	if !provision.IsReserved(s.file) {
		return fmt.Errorf("%w: --%s %s: it is there already", errUsage, s.name, s.file)
	}
	if !s.again {
		return fmt.Errorf("%w: --%s %s was reserved by a run that was killed before it wrote the secret. That run may have made something: look for it, then remove the file", errUsage, s.name, s.file)
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
	raw, err := hideApp(inv, secret.reveal, app.Raw)
	if err != nil {
		return errors.Join(secret.keep(app.Secret), err)
	}
	switch {
	case app.Secret == "":
		secret.forget()
		return errors.Join(printDocument(inv, raw, asJSON), fmt.Errorf("its secret was lost with the answer: m2mwatch apps rotate %s", app.ID))
	case secret.printed():
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
			if out.json { // a table has none
				if l.raw, err = hideApps(inv, false, l.raw); err != nil {
					return err
				}
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
		reveal bool
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
			raw, err := hideApp(inv, reveal, app.Raw)
			if err == nil && reveal && app.Secret != "" {
				raw, err = with(raw, "client_secret", app.Secret)
			}
			if err == nil {
				raw, err = with(raw, "client_grants", raws)
			}
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
	cmd.Flags().BoolVar(&reveal, "reveal-secrets", false, "print secrets and keys, too, as far as the token may read them")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it, with client_grants")
	return cmd
}
