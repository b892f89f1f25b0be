package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newGrants(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Client grants of a tenant: list, show, create, update, delete",
		Long: `A client grant lets an application get tokens of an API, with the scopes that it names. There is one
of an application, an API and a subject at most.`,
		Args: noArgs,
	}
	cmd.AddCommand(newGrantsList(inv), newGrantsShow(inv), newGrantsCreate(inv), newGrantsUpdate(inv), newGrantsDelete(inv))
	return cmd
}

func newGrantsList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		q   provision.GrantQuery
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List client grants",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkGrant(q.Subject, ""); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			grants, err := (&provision.Grants{API: api}).List(cmd.Context(), q)
			if err != nil {
				return err
			}
			l := recordList{what: "grants", raw: []json.RawMessage{}, header: []string{"GRANT_ID", "CLIENT_ID", "AUDIENCE", "SUBJECT", "ORGANIZATIONS", "SCOPES"}}
			for i := range grants {
				g := &grants[i]
				l.raw = append(l.raw, g.Raw)
				l.rows = append(l.rows, []string{g.ID, g.ClientID, g.Audience, g.Subject, cmp.Or(g.Organizations, "deny"), grantScopes(g)})
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&q.ClientID, "client", "", "of this application alone: its client id")
	f.StringVar(&q.Audience, "audience", "", "of this API alone: its identifier")
	f.StringVar(&q.Subject, "subject-type", "", "client, or user")
	out.flags(cmd)
	return cmd
}

func grantScopes(g *provision.Grant) string {
	if g.AllScopes {
		return "(all)"
	}
	return strings.Join(g.Scopes, " ")
}

func newGrantsShow(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show GRANT_ID",
		Short: "Show a client grant",
		Args:  theArgs(1, "one grant's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			grant, err := (&provision.Grants{API: api}).Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printDocument(inv, grant.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func newGrantsCreate(inv *invocation) *cobra.Command {
	var (
		p        = provisioning{inv: inv}
		n        provision.NewGrant
		noScopes bool
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Let an application get tokens of an API; a scope that the API does not have is an error",
		Long: `create gives an application scopes of an API. Auth0 takes scopes that the API does not have, and
leaves them out of every token; here they are an error, and nothing is made. What was made is looked
at afterwards.`,
		Example: `  m2mwatch grants create --client CLIENT_ID --audience https://api.example.com --scope read:orders`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.ClientID == "" || n.Audience == "" {
				return fmt.Errorf("%w: want --client, the application's id, and --audience, the API's identifier", errUsage)
			}
			if len(n.Scopes) == 0 && !n.AllScopes && !noScopes {
				return fmt.Errorf("%w: want --scope, --all-scopes, or --no-scopes for tokens without any", errUsage)
			}
			if err := checkGrant(n.Subject, n.Organizations); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			grant, err := (&provision.Grants{API: api}).Create(cmd.Context(), n)
			return errors.Join(printIf(inv, grant.Raw, asJSON), err)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&n.ClientID, "client", "", "the application's client id")
	f.StringVar(&n.Audience, "audience", "", "the API's identifier")
	f.StringArrayVar(&n.Scopes, "scope", nil, "a scope of the API; again for more")
	f.BoolVar(&n.AllScopes, "all-scopes", false, "all scopes of the API, those that it will have, too")
	f.BoolVar(&noScopes, "no-scopes", false, "none: tokens without scopes")
	f.StringVar(&n.Subject, "subject-type", "", "client, or user: of tokens on behalf of users (default client)")
	f.StringVar(&n.Organizations, "organizations", "", "whether a token is of an organization: deny, allow, require (default deny)")
	f.BoolVar(&n.AnyOrganization, "any-organization", false, "of any organization, not of those alone that have the grant")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("scope", "all-scopes", "no-scopes")
	return cmd
}

func checkGrant(subject, organizations string) error {
	var errs []error
	if subject != "" && subject != "client" && subject != "user" {
		errs = append(errs, fmt.Errorf("%w: --subject-type %q: want client or user", errUsage, subject))
	}
	if organizations != "" && !slices.Contains([]string{"deny", "allow", "require"}, organizations) {
		errs = append(errs, fmt.Errorf("%w: --organizations %q: want deny, allow or require", errUsage, organizations))
	}
	return errors.Join(errs...)
}

func newGrantsUpdate(inv *invocation) *cobra.Command {
	var (
		p                  = provisioning{inv: inv}
		c                  provision.GrantChange
		scopes             []string
		all, anyone, force bool
		asJSON             bool
	)
	cmd := &cobra.Command{
		Use:   "update GRANT_ID",
		Short: "Change the scopes of a client grant, or of which organizations its tokens may be",
		Long: `update changes what its flags name. Tokens that were issued keep their scopes until they expire. The
application and the API of a grant cannot be changed.`,
		Example: `  m2mwatch grants update cgr_aBcDeFgHiJkLmNoP --add-scope read:ledger --remove-scope write:orders`,
		Args:    theArgs(1, "one grant's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed := cmd.Flags().Changed
			if err := checkGrant("", c.Organizations); err != nil {
				return err
			}
			if changed("scope") {
				c.Scopes = &scopes
			}
			if changed("all-scopes") {
				c.AllScopes = &all
			}
			if changed("any-organization") {
				c.AnyOrganization = &anyone
			}
			if c.Scopes == nil && len(c.Add)+len(c.Remove) == 0 && c.AllScopes == nil && c.AnyOrganization == nil && c.Organizations == "" {
				return fmt.Errorf("%w: grants update: nothing to change", errUsage)
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			grants := provision.Grants{API: api}
			grant, err := grants.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if c.Takes(grant) && !force {
				if err := notItsManagement(&p, &grant); err != nil {
					return err
				}
			}
			if grant, err = grants.Update(cmd.Context(), grant.ID, c); err != nil {
				return err
			}
			return printDocument(inv, grant.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringArrayVar(&scopes, "scope", nil, "a scope that it is to have, in the place of all that it has, or of all of the API; again for more")
	f.StringArrayVar(&c.Add, "add-scope", nil, "a scope that it is to have beside those that it has; again for more")
	f.StringArrayVar(&c.Remove, "remove-scope", nil, "a scope that it is to have no more; again for more")
	f.BoolVar(&all, "all-scopes", false, "all scopes of the API, those that it will have, too; =false for those of the grant")
	f.StringVar(&c.Organizations, "organizations", "", "whether a token is of an organization: deny, allow, require")
	f.BoolVar(&anyone, "any-organization", false, "of any organization; =false of those alone that have the grant")
	f.BoolVar(&force, "force", false, "take scopes even from the application that m2mwatch is here")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("scope", "add-scope")
	cmd.MarkFlagsMutuallyExclusive("scope", "remove-scope")
	return cmd
}

// notItsManagement refuses to take from this command what it works by. The
// Management API is known by the end of its identifier: --domain may be a name of
// the tenant's own.
func notItsManagement(p *provisioning, grant *provision.Grant) error {
	if !strings.HasSuffix(grant.Audience, "/api/v2/") {
		return nil
	}
	if err := notItself(p, grant.ClientID); err != nil {
		return fmt.Errorf("grant %s is by which m2mwatch calls the Management API (--force takes it all the same): %w", grant.ID, err)
	}
	return nil
}

func newGrantsDelete(inv *invocation) *cobra.Command {
	var (
		p    = provisioning{inv: inv}
		ask  asking
		keep plainBackups
	)
	cmd := &cobra.Command{
		Use:   "delete GRANT_ID",
		Short: "Take a client grant away, when what it was is on disk; it tells how long tokens stay good",
		Long: `delete takes a grant away: the application gets no more tokens of that API. Those that it has stay
good until they expire: Auth0 cannot take them back. What the grant was is in a file before; there is
no secret in it. That of m2mwatch's own application for the Management API is taken with --force
alone.`,
		Args: theArgs(1, "one grant's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			grants := provision.Grants{API: api}
			grant, err := grants.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if !ask.force {
				if err := notItsManagement(&p, &grant); err != nil {
					return err
				}
			}
			valid, err := grants.Lifetime(cmd.Context(), grant.Audience)
			if err != nil && !errors.Is(err, provision.ErrNotFound) {
				return err
			}
			what := printable(fmt.Sprintf("grant %s of %s to %s (%s)", grant.ID, grant.Audience, grant.ClientID, grantScopes(&grant)))
			if yes, err := ask.agreed(inv, "delete "+what, fmt.Sprintf("Delete %s? Tokens stay good for up to %s", what, valid)); !yes {
				return err
			}
			if !keep.none {
				b := grant.Backup()
				b.Tenant, b.At = p.domain, time.Now().UTC()
				if err := keep.keep(inv, "grant-"+grant.ID, b.At, b); err != nil {
					return fmt.Errorf("%s is not deleted: %w", what, err)
				}
			}
			if err := grants.Delete(cmd.Context(), grant.ID); err != nil {
				return err
			}
			fmt.Fprintf(inv.stderr, "%s is deleted\ntokens that were issued stay good until %s at the latest\n", what, clock(time.Now().Add(valid)))
			return nil
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	keep.flags(cmd)
	return cmd
}
