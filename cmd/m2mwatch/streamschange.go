package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newStreamsCreate(inv *invocation) *cobra.Command {
	var (
		p         = provisioning{inv: inv}
		n         provision.NewStream
		sink      streamSink
		startFrom string
		asJSON    bool
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create the log stream by which m2mwatch gets a tenant's logs, and see an event come by it",
		Long: `create makes a custom webhook. Its secret is generated and on disk before the stream is made: create
prints what to put into m2mwatch.yaml, and waits until the webhook knows the secret, so that no
delivery is refused. The instance reads a changed configuration without a restart. Or it takes the
secret that the instance knows already (--from-secret-file).

At the end it waits until the running instance, which it finds as every command does, has stored an
event that came by the stream. To have one happen it gets a token of its own application, if the
stream delivers those; Auth0 counts it. Where none comes it says what to look
at, and exits with 1.

By default the stream delivers the categories in which machines play a part, by the event types that
they carry:
  auth.token_exchange.*, auth.silent_auth.*, auth.login.success
                         client credentials, token exchange, delegation, agents, scripted logins
  management.*           calls of the Management API
  user.fail, user.success, scim.event
                         delegation, device flow, provisioning, refresh tokens that were revoked
  system.notification    quotas, rate limits, notices about integrations
  actions                Actions that fail, that of the credentials exchange among them
  other                  backchannel and device flow, keys, network lists, and types that are new
It leaves out failed logins, sign-ups, logouts and notices to people. --filter chooses, --all
delivers everything.`,
		Example: `  m2mwatch streams create --name m2mwatch --tenant acme --endpoint https://m2mwatch.example.com --secret-file acme.secret`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			start, err := readStart(startFrom, time.Now())
			if err := errors.Join(err, sink.check(), sink.checkNew(n.Name)); err != nil {
				return err
			}
			n.Endpoint, n.Format, n.ContentType = sink.endpoint, cmp.Or(sink.format, "JSONLINES"), cmp.Or(sink.contentType, "application/json")
			n.Categories, n.StartFrom = sink.categories(), start
			c := &streamCreation{p: &p, inv: inv, sink: &sink, new: &n}
			return c.run(cmd, asJSON)
		},
	}
	p.flags(cmd, inv)
	sink.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&n.Name, "name", "", "the name of the stream")
	f.StringVar(&sink.tenant, "tenant", "", "the tenant's name in m2mwatch.yaml")
	f.StringVar(&startFrom, "start-from", "", "begin with logs of then: RFC 3339, a date, or 24h, 7d ago; as far back as the tenant keeps logs (default: now)")
	f.BoolVar(&n.Priority, "priority", false, "Auth0's prioritized stream: a few logs about attacks alone")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it, without secrets")
	cmd.MarkFlagsMutuallyExclusive("priority", "filter")
	cmd.MarkFlagsMutuallyExclusive("priority", "all")
	return cmd
}

// checkNew wants what a new stream cannot do without.
func (s *streamSink) checkNew(name string) error {
	var errs []error
	if strings.TrimSpace(name) == "" {
		errs = append(errs, fmt.Errorf("%w: want --name", errUsage))
	}
	if err := schemas.CheckTenant(s.tenant); err != nil {
		errs = append(errs, fmt.Errorf("%w: --tenant: %w", errUsage, err))
	}
	if !s.changed("endpoint") {
		errs = append(errs, fmt.Errorf("%w: want --endpoint, where the webhook is: https://your-host", errUsage))
	}
	if s.made.file == "" && s.kept == "" {
		errs = append(errs, fmt.Errorf("%w: want --secret-file FILE for a new secret, or --from-secret-file FILE with one that the instance knows", errUsage))
	}
	return errors.Join(errs...)
}

// categories are those to deliver; none is all.
func (s *streamSink) categories() []string {
	switch {
	case s.all:
		return nil
	case len(s.filters) > 0:
		return s.filters
	}
	return provision.MachineCategories()
}

// secret is the one that the flags name: read, or generated and on disk when there
// is no error; "" where they name none.
func (s *streamSink) secret(inv *invocation) (string, error) {
	if s.kept != "" {
		return existingSecret(s.kept)
	}
	if s.made.file == "" {
		return "", nil
	}
	secret := newStreamSecret()
	if err := s.made.keep(secret); err != nil {
		return "", fmt.Errorf("--secret-file: %w", err)
	}
	path, err := filepath.Abs(s.made.file)
	if err != nil {
		path = s.made.file
	}
	fmt.Fprintf(inv.stderr, "The secret is in %s. In m2mwatch.yaml the tenant needs it beside those that it has:\n\n  tenants:\n    - name: %s\n      secret_files: [%s]\n\n",
		printable(s.made.file), printable(cmp.Or(s.tenant, "…")), printable(path))
	return secret, nil
}

// newStreamSecret makes 256 random bits.
func newStreamSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// readStart reads when a stream begins, for Auth0: RFC 3339, a date, 24h or 7d ago.
func readStart(text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	start, err := time.Parse(time.RFC3339, text)
	if err != nil {
		start, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		var n int
		var unit string
		if _, scanned := fmt.Sscanf(text, "%d%s", &n, &unit); scanned != nil || n < 1 || unit != "h" && unit != "d" || text != fmt.Sprintf("%d%s", n, unit) {
			return "", fmt.Errorf("%w: --start-from %q: want RFC 3339, a date, or 24h, 7d ago", errUsage, text)
		}
		start = now.Add(-time.Duration(n) * map[string]time.Duration{"h": time.Hour, "d": 24 * time.Hour}[unit])
	}
	if start.After(now) {
		return "", fmt.Errorf("%w: --start-from %q: it is yet to come", errUsage, text)
	}
	return start.UTC().Format(time.RFC3339), nil
}

func newStreamsUpdate(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		c      provision.StreamChange
		sink   streamSink
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "update STREAM_ID",
		Short: "Change a webhook's name, address, categories, format or secret",
		Long: `update changes what its flags name. A new secret is on disk before it is in use, and update waits
until the webhook knows it: m2mwatch.yaml may name both files meanwhile, so that no delivery is
refused. The same goes for a new address.`,
		Example: `  m2mwatch streams update lst_0000000000000001 --secret-file acme-2.secret`,
		Args:    theArgs(1, "one log stream's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := sink.check(); err != nil {
				return err
			}
			c.Endpoint, c.Format, c.ContentType = sink.endpoint, sink.format, sink.contentType
			if sink.all || len(sink.filters) > 0 {
				categories := sink.categories()
				c.Categories = &categories
			}
			if c == (provision.StreamChange{}) && sink.made.file == "" && sink.kept == "" {
				return fmt.Errorf("%w: streams update: nothing to change", errUsage)
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			streams := &provision.Streams{API: api}
			stream, err := streams.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if stream.Type != provision.StreamWebhook {
				return fmt.Errorf("log stream %s is of type %s: m2mwatch changes webhooks alone", stream.ID, stream.Type)
			}
			if c.Authorization, err = sink.secret(inv); err != nil {
				return err
			}
			if err := awaitChange(cmd.Context(), inv, &sink, &stream, &c); err != nil {
				return err
			}
			if stream, err = streams.Update(cmd.Context(), stream.ID, c); err != nil {
				return err
			}
			return printDocument(inv, stream.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	sink.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.Name, "name", "", "another name")
	f.StringVar(&sink.tenant, "tenant", "", "the tenant's name in m2mwatch.yaml, where --endpoint is a host alone")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it, without secrets")
	return cmd
}

// awaitChange waits until the webhook that the stream will deliver to knows the
// secret that it will send.
func awaitChange(ctx context.Context, inv *invocation, sink *streamSink, stream *provision.Stream, c *provision.StreamChange) error {
	if sink.wait == 0 || c.Endpoint == "" && c.Authorization == "" {
		return nil
	}
	endpoint, secret := stream.Sink()
	return awaitSecret(ctx, inv, cmp.Or(c.Endpoint, endpoint), cmp.Or(c.Authorization, secret), sink.wait)
}
