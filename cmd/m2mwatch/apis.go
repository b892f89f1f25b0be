package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAPIs(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apis",
		Short: "APIs of a tenant: list, show, create, update, delete",
		Long: `An API, which Auth0 calls a resource server, is what tokens are for. It is named by its id or by its
identifier, the audience of its tokens, which never changes. Auth0's own, the Management API, is
neither changed nor deleted.`,
		Args: noArgs,
	}
	cmd.AddCommand(newAPIsList(inv), newAPIsShow(inv), newAPIsCreate(inv), newAPIsUpdate(inv), newAPIsDelete(inv))
	return cmd
}

func newAPIsList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List APIs",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			servers, err := (&provision.Servers{API: api}).List(cmd.Context())
			if err != nil {
				return err
			}
			l := recordList{what: "APIs", raw: []json.RawMessage{}, header: []string{"API_ID", "IDENTIFIER", "LIFETIME", "PERMISSIONS", "SCOPES", "NAME"}}
			for i := range servers {
				s := &servers[i]
				l.raw = append(l.raw, s.Raw)
				permissions := map[bool]string{true: "in tokens", false: ""}[s.Permissions()]
				l.rows = append(l.rows, []string{s.ID, s.Identifier, (time.Duration(s.Lifetime) * time.Second).String(), permissions, fmt.Sprint(len(s.Scopes)), s.Name})
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	out.flags(cmd)
	return cmd
}

func newAPIsShow(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show API",
		Short: "Show an API, without the secret that signs its tokens",
		Args:  theArgs(1, "one API's id or identifier"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			server, err := (&provision.Servers{API: api}).Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printDocument(inv, server.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// readScopes reads NAME or NAME=DESCRIPTION.
func readScopes(texts []string) ([]provision.Scope, error) {
	var (
		scopes []provision.Scope
		seen   = map[string]bool{}
	)
	for _, text := range texts {
		name, description, _ := strings.Cut(text, "=")
		if name == "" || strings.ContainsAny(name, " \t\"\\") {
			return nil, fmt.Errorf("%w: scope %q: want NAME or NAME=DESCRIPTION, the name without spaces and quotes", errUsage, text)
		}
		if seen[name] {
			return nil, fmt.Errorf("%w: scope %s is named twice", errUsage, name)
		}
		seen[name] = true
		scopes = append(scopes, provision.Scope{Value: name, Description: description})
	}
	return scopes, nil
}

// maxTokenLifetime is the longest that Auth0 takes: 30 days.
const maxTokenLifetime = 2592000 * time.Second

func checkLifetime(cmd *cobra.Command, d time.Duration) error {
	if cmd.Flags().Changed("token-lifetime") && (d < time.Second || d > maxTokenLifetime || d%time.Second != 0) {
		return fmt.Errorf("%w: --token-lifetime %s: want whole seconds, from 1s to %s", errUsage, d, maxTokenLifetime)
	}
	return nil
}

func newAPIsCreate(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		n      provision.NewServer
		scopes []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:     "create IDENTIFIER",
		Short:   "Create an API; its identifier never changes",
		Example: `  m2mwatch apis create https://api.example.com --name orders --scope read:orders='see orders' --token-lifetime 1h`,
		Args:    theArgs(1, "one identifier"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Identifier = args[0]
			if _, err := url.Parse(n.Identifier); err != nil || strings.ContainsAny(n.Identifier, " \t") {
				return fmt.Errorf("%w: identifier %q: want an address or a name, such as https://api.example.com", errUsage, n.Identifier)
			}
			var err error
			if n.Scopes, err = readScopes(scopes); err != nil {
				return err
			}
			if err := checkLifetime(cmd, n.Lifetime); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			server, err := (&provision.Servers{API: api}).Create(cmd.Context(), n)
			return errors.Join(printIf(inv, server.Raw, asJSON), err)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&n.Name, "name", "", "its name")
	f.StringArrayVar(&scopes, "scope", nil, "a scope, NAME or NAME=DESCRIPTION; again for more")
	f.DurationVar(&n.Lifetime, "token-lifetime", 0, "how long its tokens are good: nobody can take them back before (default 24h)")
	f.BoolVar(&n.Permissions, "permissions-in-tokens", false, "a token says what its user may do by roles (enforce_policies, token_dialect)")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func newAPIsUpdate(inv *invocation) *cobra.Command {
	var (
		p           = provisioning{inv: inv}
		ask         asking
		c           provision.ServerChange
		add         []string
		permissions bool
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "update API",
		Short: "Change an API's scopes, name, token lifetime, or whether tokens carry permissions",
		Long: `update changes what its flags name. A scope that is removed is taken from all grants, roles and users
that have it, so update says which and asks first. Tokens that were issued stay as they are until they
expire.`,
		Args: theArgs(1, "one API's id or identifier"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if c.Add, err = readScopes(add); err != nil {
				return err
			}
			if err := checkLifetime(cmd, c.Lifetime); err != nil {
				return err
			}
			if cmd.Flags().Changed("permissions-in-tokens") {
				c.Permissions = &permissions
			}
			if c.Name == "" && len(c.Add)+len(c.Remove) == 0 && c.Lifetime == 0 && c.Permissions == nil {
				return fmt.Errorf("%w: apis update: nothing to change", errUsage)
			}
			var when []string
			if len(c.Remove) > 0 {
				if err := ask.check(cmd, inv); err != nil {
					return err
				}
				when = append(when, provision.WhenRemoved)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			servers := provision.Servers{API: api}
			server, err := servers.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := server.Changeable(c); err != nil {
				return err
			}
			if len(c.Remove) > 0 {
				if _, err := tellUse(cmd, inv, &servers, server, c.Remove); err != nil {
					return err
				}
				what := printable(fmt.Sprintf("%s from API %s", strings.Join(c.Remove, ", "), server.Identifier))
				if yes, err := ask.agreed(inv, "remove "+what, "Remove "+what+"?"); !yes {
					return err
				}
			}
			if server, err = servers.Update(cmd.Context(), server.ID, c); err != nil {
				return err
			}
			return printDocument(inv, server.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "", "another name")
	f.StringArrayVar(&add, "add-scope", nil, "a scope that it is to have, NAME or NAME=DESCRIPTION; again for more")
	f.StringArrayVar(&c.Remove, "remove-scope", nil, "a scope that it is to have no more; again for more")
	f.DurationVar(&c.Lifetime, "token-lifetime", 0, "how long tokens are good that are issued from now on")
	f.BoolVar(&permissions, "permissions-in-tokens", false, "a token says what its user may do by roles; =false not to")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// tellUse finds who uses an API, or these scopes of it, and says so.
func tellUse(cmd *cobra.Command, inv *invocation, servers *provision.Servers, server provision.Server, scopes []string) (provision.Use, error) {
	bar := newProgress(inv.stderr, "roles")
	use, err := servers.Used(cmd.Context(), server, scopes, func(done, total int) {
		bar.show(int64(done), int64(total), fmt.Sprintf("%d of %d looked at", done, total))
	})
	bar.done()
	if err != nil {
		return use, fmt.Errorf("who uses API %s: %w", server.Identifier, err)
	}
	for i := range use.Grants {
		g := &use.Grants[i]
		fmt.Fprintf(inv.stderr, "grant %s to application %s: %s\n", printable(g.ID), printable(g.ClientID), printable(grantScopes(g)))
	}
	for _, r := range use.Roles {
		fmt.Fprintf(inv.stderr, "role %s (%s): %s\n", printable(r.Name), printable(r.ID), printable(strings.Join(r.Permissions, " ")))
	}
	return use, nil
}

func newAPIsDelete(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		keep plainBackups
	)
	cmd := &cobra.Command{
		Use:   "delete API",
		Short: "Delete an API with the grants and permissions of it, when what it was is on disk",
		Long: `delete says which grants and roles use an API, writes what it was and who used it to a file, without
the secret that signs its tokens, and deletes it: the grants and permissions of it go with it. Tokens
that were issued stay good until they expire, for whoever still takes them.`,
		Args: theArgs(1, "one API's id or identifier"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			var when []string
			look := !ask.force || !keep.none
			if look {
				when = append(when, provision.WhenUse)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			servers := provision.Servers{API: api}
			server, err := servers.Get(cmd.Context(), args[0])
			if err == nil && server.System {
				err = servers.Delete(cmd.Context(), server) // which says why not
			}
			if err != nil {
				return err
			}
			what := printable(fmt.Sprintf("API %s (%s)", server.Identifier, server.ID))
			var use provision.Use
			if look {
				if use, err = tellUse(cmd, inv, &servers, server, nil); err != nil {
					return err
				}
				what += fmt.Sprintf(", which %d grants and %d roles use", len(use.Grants), len(use.Roles))
			}
			if yes, err := ask.agreed(inv, "delete "+what, "Delete "+what+"?"); !yes {
				return err
			}
			if !keep.none {
				b := server.Backup(use)
				b.Tenant, b.At = p.domain, time.Now().UTC()
				if err := keep.keep(inv, "api-"+server.ID, b.At, b); err != nil {
					return fmt.Errorf("%s is not deleted: %w", what, err)
				}
			}
			if err := servers.Delete(cmd.Context(), server); err != nil {
				return err
			}
			fmt.Fprintf(inv.stderr, "%s is deleted\ntokens that were issued stay good until %s at the latest\n", what, clock(time.Now().Add(time.Duration(server.Lifetime)*time.Second)))
			return nil
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd)
	return cmd
}
