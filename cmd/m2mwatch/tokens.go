package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

func newTokens(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "tokens", Short: "Get, inspect and verify access tokens"}
	cmd.AddCommand(newTokensGet(inv), newTokensInspect(inv), newTokensVerify(inv))
	return cmd
}

func newTokensGet(inv *invocation) *cobra.Command {
	var (
		a                  access
		audience, username string
		organization       string
		scopes             []string
		passwordFile       string
		realm              string
		asJSON             bool
	)
	cmd := &cobra.Command{
		Use:   "get",
		Short: "Get an access token, of the Management API unless --audience says another",
		Long: `get prints an access token on standard output, and how long it is good on standard error:

  curl -H "Authorization: Bearer $(m2mwatch tokens get)" https://$AUTH0_DOMAIN/api/v2/clients

Tokens are counted by Auth0, so one that is still good is kept in the user's cache directory, in
a file that nobody else can read, and printed again; --no-cache asks for another.

With --user it is the token of a programmatic user, by the password-realm grant: its roles show
as permissions where the API has them put in. The application needs that grant type.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, credentials, err := a.client(inv)
			if err != nil {
				return err
			}
			request := auth0.TokenRequest{
				Credentials: credentials, Audience: cmp.Or(audience, client.Audience()), Scopes: scopes, Organization: organization,
			}
			if username != "" {
				user := auth0.UserCredentials{Username: username, Password: lookup(inv.environ, "M2MWATCH_USER_PASSWORD"), Realm: realm}
				if passwordFile != "" {
					if user.Password, err = readSecret(passwordFile); err != nil {
						return err
					}
				}
				if user.Password == "" {
					return fmt.Errorf("%w: want --password-file, or M2MWATCH_USER_PASSWORD", errUsage)
				}
				request.User = &user
			}
			token, err := client.Token(cmd.Context(), request)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(token)
			}
			fmt.Fprintf(inv.stderr, "good until %s (%s); scopes: %s\n", clock(token.ExpiresAt), in(time.Until(token.ExpiresAt)), cmp.Or(strings.Join(token.Scopes, " "), "none"))
			_, err = fmt.Fprintln(inv.stdout, token.AccessToken)
			return err
		},
	}
	a.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&audience, "audience", "", "the API that it is for, by its identifier")
	f.StringSliceVar(&scopes, "scope", nil, "scopes to ask for (default: all that are granted)")
	f.StringVar(&organization, "organization", "", "the organization to act for: org_…")
	f.StringVar(&username, "user", "", "a user in a database connection, by name or email address")
	f.StringVar(&passwordFile, "password-file", "", "a file with the user's password (else $M2MWATCH_USER_PASSWORD)")
	f.StringVar(&realm, "realm", "", "the user's connection (default: the tenant's default directory)")
	f.BoolVar(&asJSON, "json", false, "JSON: access_token, scopes, expires_at")
	return cmd
}

func newTokensInspect(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Explain what a token on standard input says",
		Long: `inspect reads a token from standard input, where neither the history of a shell nor a list of
processes has it, and explains each of its claims. It verifies nothing: see tokens verify.

  m2mwatch tokens get | m2mwatch tokens inspect`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			token, err := readToken(inv)
			if err != nil {
				return err
			}
			decoded, err := auth0.Decode(token)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(decoded)
			}
			return printClaims(inv, decoded)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON: header and claims as they are")
	return cmd
}

func newTokensVerify(inv *invocation) *cobra.Command {
	var domain, audience string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verify a token on standard input against its tenant's keys",
		Long: `verify reads a token from standard input and checks its algorithm, its signature against the
keys that the tenant publishes, its issuer, audience and times. The exit code is 1 where one of
them is wrong. A token that passes stays good until it expires, whatever happens to its
application: Auth0 cannot take it back.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if domain == "" {
				return fmt.Errorf("%w: want --domain, or AUTH0_DOMAIN", errUsage)
			}
			token, err := readToken(inv)
			if err != nil {
				return err
			}
			issuer, err := auth0.Issuer(cmd.Context(), inv.transport, domain)
			if err != nil {
				return err
			}
			keys, err := auth0.Keys(cmd.Context(), inv.transport, domain)
			if err != nil {
				return err
			}
			checks, err := auth0.Verify(token, keys, auth0.Expectation{Issuer: issuer, Audience: audience, Now: time.Now()})
			if err != nil {
				return err
			}
			return printChecks(inv, token, checks)
		},
	}
	cmd.Flags().StringVar(&domain, "domain", lookup(inv.environ, "AUTH0_DOMAIN"), "the tenant that must have issued it ($AUTH0_DOMAIN)")
	cmd.Flags().StringVar(&audience, "audience", "", "the API that it must be for (default: any)")
	return cmd
}

// maxToken bounds what is read as a token; Auth0's are a few KiB.
const maxToken = 1 << 20

// readToken reads a token from standard input, with or without Bearer before it.
func readToken(inv *invocation) (string, error) {
	if isTerminal(inv.stdin) {
		fmt.Fprintln(inv.stderr, "the token, then a line end and ctrl-D:")
	}
	b, err := io.ReadAll(io.LimitReader(inv.stdin, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if len(b) > maxToken {
		return "", errors.New("read the token: it is longer than 1 MiB")
	}
	token := strings.TrimSpace(string(b))
	if scheme, rest, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "bearer") {
		token = strings.TrimSpace(rest)
	}
	if token == "" {
		return "", fmt.Errorf("%w: there is no token on standard input", errUsage)
	}
	return token, nil
}

// claims are those that Auth0 puts into an access token, in the order they are
// shown, and what they say (RFC 7519, 4.1; RFC 9068; Auth0, "Access token profiles").
var claims = []struct{ name, says string }{
	{"iss", "who issued it: the tenant"},
	{"sub", "who it is about"},
	{"aud", "which API it is for"},
	{"iat", "when it was issued"},
	{"nbf", "from when it is good"},
	{"exp", "until when it is good"},
	{"azp", "the application that asked for it"},
	{"client_id", "the application that asked for it"},
	{"gty", "the grant by which it was issued"},
	{"scope", "what it may be used for: all that is granted, whatever was asked for"},
	{"permissions", "what it may be used for, by the API's own roles and grants"},
	{"org_id", "the organization that it acts for"},
	{"org_name", "the organization's name"},
	{"jti", "its id, by which its uses are found: /v1/tokens"},
	{"act", "who acts in the name of sub"},
	{"cnf", "the key that its bearer must have as well"},
}

func printClaims(inv *invocation, t auth0.JWT) error {
	w := table(inv.stdout)
	writeRow(w, []string{"CLAIM", "VALUE", "SAYS"})
	row := func(name, says string, value any) {
		text := claimText(name, t, value)
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(name), printable(text), printable(says))
	}
	for _, name := range []string{"alg", "kid", "typ"} {
		if value, has := t.Header[name]; has {
			row(name, map[string]string{"alg": "how it is signed", "kid": "by which of the tenant's keys", "typ": "what it is"}[name], value)
		}
	}
	left := maps.Clone(t.Claims)
	for _, c := range claims {
		if value, has := left[c.name]; has {
			row(c.name, c.says, value)
			delete(left, c.name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		row(name, "a claim of the tenant's own", left[name])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(inv.stderr, "nothing of it is verified; see m2mwatch tokens verify")
	return nil
}

// claimText shows a claim: times in the reader's zone, lists with spaces.
func claimText(name string, t auth0.JWT, value any) string {
	if at, ok := t.Time(name); ok && (name == "iat" || name == "nbf" || name == "exp") {
		return fmt.Sprintf("%s (%s)", clock(at), in(time.Until(at)))
	}
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		var all []string
		for _, element := range v {
			all = append(all, fmt.Sprint(element))
		}
		return strings.Join(all, " ")
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}

// in says how far from now a time is.
func in(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " ago"
	}
	return "in " + d.Round(time.Second).String()
}

func printChecks(inv *invocation, token string, checks []auth0.Check) error {
	w := table(inv.stdout)
	for _, c := range checks {
		result, detail := "ok", c.Detail
		if c.Err != nil {
			result, detail = "wrong", fmt.Sprintf("%s: %v", c.Detail, c.Err)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", result, c.Name, printable(detail))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if auth0.Failed(checks) != nil {
		return errors.New("the token is not to be believed")
	}
	if t, err := auth0.Decode(token); err == nil {
		if at, ok := t.Time("exp"); ok {
			fmt.Fprintf(inv.stderr, "it stays good until %s (%s), even if its application is changed or deleted\n", clock(at), in(time.Until(at)))
		}
	}
	return nil
}
