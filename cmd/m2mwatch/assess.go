package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/assess"
	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newAssess(inv *invocation) *cobra.Command {
	var (
		a      assessment
		from   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "assess",
		Short: "Read a tenant once, and print one page about its machines",
		Long: `assess reads a tenant's applications, their grants and what Auth0 still keeps of its logs, into a
scratch store that it removes afterwards, and prints which machines fail, are unused, get far more
tokens than they need, have no owner, or come from many networks. It changes nothing, needs no
running instance, and nothing leaves this machine.

It needs the scopes read:logs, read:clients and read:client_grants. With read:resource_servers it
knows how long tokens are good.

  m2mwatch assess --domain acme.eu.auth0.com`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if a.from, err = readWhen("--from", from, time.Now()); err != nil {
				return err
			}
			page, err := a.run(cmd, inv)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(page)
			}
			return page.print(inv)
		},
	}
	a.flags(cmd, inv)
	cmd.Flags().StringVar(&from, "from", "", "logs since: RFC 3339, a date, or 24h, 7d ago (default: all that Auth0 keeps)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON: all of each list, of which the page has ten")
	return cmd
}

// assessment reads a tenant once.
type assessment struct {
	access
	from   time.Time
	client *auth0.Client
	in     assess.Input
}

// assessed is what is printed.
type assessed struct {
	Domain string     `json:"domain"`
	Logs   int        `json:"logs"`
	Dead   int        `json:"dead"`
	Kept   *time.Time `json:"kept_from"` // from when on Auth0 has logs
	*assess.Report
	Counted []string `json:"counted"` // how it was counted
	Unseen  []string `json:"unseen"`  // what could not be seen
}

func (a *assessment) run(cmd *cobra.Command, inv *invocation) (page *assessed, err error) {
	if a.client, _, err = a.access.client(inv); err != nil {
		return nil, err
	}
	if err := checkScopes(cmd, a.client); err != nil {
		return nil, err
	}
	ctx := cmd.Context()
	page = &assessed{Domain: a.client.Domain()}
	if err := a.inventory(ctx, page); err != nil {
		return nil, err
	}
	s, err := openScratch(ctx, inv)
	defer func() { err = errors.Join(err, s.Close()) }()
	if err != nil {
		return nil, err
	}
	done, err := a.read(ctx, inv, s)
	if err != nil {
		return nil, err
	}
	page.Logs, page.Dead, page.Kept = done.Logs, done.Dead, done.Kept
	if done.First != nil {
		a.in.From, a.in.To = *done.First, *done.Last
	}
	if a.in.Use, err = usesOf(ctx, s.client); err != nil {
		return nil, err
	}
	if err := a.lastOf(ctx, s.client); err != nil {
		return nil, err
	}
	page.Report = assess.Assess(&a.in)
	return page, nil
}

// inventory reads the machines.
func (a *assessment) inventory(ctx context.Context, page *assessed) error {
	api := managementAPI{a.client}
	apps, err := (&provision.Apps{API: api}).List(ctx)
	if err != nil {
		return fmt.Errorf("read the applications: %w", err)
	}
	granted := map[string][]string{}
	for raw, err := range api.List(ctx, []string{"client-grants"}, "client_grants", nil) {
		var g provision.Grant
		if err == nil {
			err = json.Unmarshal(raw, &g)
		}
		if err != nil {
			return fmt.Errorf("read the client grants: %w", err)
		}
		granted[g.ClientID] = append(append(granted[g.ClientID], []string{}...), g.Scopes...)
	}
	for _, app := range apps {
		scopes, ok := granted[app.ID]
		if !ok {
			continue // it may ask, and gets no token
		}
		a.in.Apps = append(a.in.Apps, assess.App{ID: app.ID, Name: app.Name, Owner: ownerOf(&app), Scopes: scopes})
	}
	return a.lifetimes(ctx, page)
}

// lifetimes reads how long tokens are good, where that may be seen.
func (a *assessment) lifetimes(ctx context.Context, page *assessed) error {
	page.Unseen = []string{
		"what tokens are used for at your own APIs, and calls of the Management API that only read or fail: Auth0 logs neither",
	}
	page.Counted = []string{
		fmt.Sprintf("failing: refused %d times or more, or the last that was heard of it is a refusal; by networks that it got tokens from, as anyone can fail with its client id: others are told apart", assess.LeastFailures),
		fmt.Sprintf("too many tokens: %d or more, and %d times as many as if each network (/24 or /48) that it came from had kept a token of each API until it expired; processes behind one address that share no token count as one", assess.LeastTokens, assess.LeastTimes),
		"owner: " + strings.Join(ownerNames, ", ") + " in the application's metadata",
		fmt.Sprintf("many networks: tokens from %d or more", assess.LeastNetworks),
		"of a machine that is used more rarely than the logs are long nothing can be said",
	}
	missing, err := missingScopes(ctx, a.client, provision.ScopesOf("assess", provision.WhenLifetimes))
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		page.Unseen = append(page.Unseen, fmt.Sprintf("how long tokens are good (%s): %.0f hours are assumed, which is Auth0's default", strings.Join(missing, " "), assess.DefaultLifetime.Hours()))
		return nil
	}
	servers, err := (&provision.Servers{API: managementAPI{a.client}}).List(ctx)
	if err != nil {
		return fmt.Errorf("read the APIs: %w", err)
	}
	a.in.Lifetimes = map[string]time.Duration{}
	for _, s := range servers {
		a.in.Lifetimes[s.Identifier] = time.Duration(s.Lifetime) * time.Second
	}
	return nil
}

// ownerNames are members of an application's metadata that name who cares for it.
var ownerNames = []string{"owner", "team", "contact", "maintainer"}

func ownerOf(app *provision.App) string {
	for name := range app.Metadata {
		if value := app.Mark(name); value != "" && slices.ContainsFunc(ownerNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return value
		}
	}
	return ""
}

// read brings the logs into the scratch store.
func (a *assessment) read(ctx context.Context, inv *invocation, s *scratch) (*backfilled, error) {
	pace, err := parsePace(inv.environ)
	if err != nil {
		return nil, err
	}
	b := backfill{tenant: scratchTenant, from: a.from, logs: a.client, pace: pace.or("page", pageEvery), send: s.send, bar: newProgress(inv.stderr, "logs")}
	ctx, cancel := s.alive(ctx)
	defer cancel()
	err = b.run(ctx)
	b.bar.done()
	if err != nil {
		return nil, s.failure(fmt.Errorf("read the logs: %w", err))
	}
	return &b.done, s.failure(s.stored(ctx))
}

// usesOf reads what client ids did from the store.
func usesOf(ctx context.Context, client *apiclient.Client) (map[string]*assess.Use, error) {
	uses := map[string]*assess.Use{}
	use := func(id string) *assess.Use {
		if uses[id] == nil {
			uses[id] = &assess.Use{Audiences: map[string]uint64{}, Networks: map[string]uint64{}, FailedFrom: map[string]uint64{}, Causes: map[string]uint64{}}
		}
		return uses[id]
	}
	for _, q := range []struct {
		code, by string
		add      func(u *assess.Use, value string, n uint64)
	}{
		{typeToken, "audience", func(u *assess.Use, audience string, n uint64) { u.Tokens += n; u.Audiences[audience] += n }},
		{typeToken, "network", func(u *assess.Use, network string, n uint64) { u.Networks[network] += n }},
		{typeRefused, "network", func(u *assess.Use, network string, n uint64) { u.FailedFrom[network] += n }},
		{typeRefused, "cause", func(u *assess.Use, cause string, n uint64) { u.Failures += n; u.Causes[cause] += n }},
	} {
		rows, err := countPart(ctx, client, q.code, q.by, "*")
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Values[0] != "" && (row.Values[1] != "" || q.by != "network") { // a network that nobody knows is none
				q.add(use(row.Values[0]), row.Values[1], row.Count)
			}
		}
	}
	return uses, nil
}

// The types of a token that an application got by client credentials, and of one
// that it was refused.
const (
	typeToken   = "seccft"
	typeRefused = "feccft"
)

const (
	statsRows = 10_000 // that one answer has at the most
	alphabet  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// countPart counts the events of a type by client id and another dimension, those
// whose client id begins so. Where that is too much for one
// answer it is cut by the letter that comes next; ids that have another sign there
// are nobody's that Auth0 made.
func countPart(ctx context.Context, client *apiclient.Client, code, by, prefix string) ([]schemas.StatsEntry, error) {
	where := map[string]string{"tenant": scratchTenant, "type": code}
	if prefix != "*" {
		where["client_id"] = prefix
	}
	page, err := client.Stats(ctx, apiclient.StatsQuery{Where: where, By: []string{"client_id", by}, Limit: statsRows})
	if err != nil || !page.Truncated || len(prefix) > 4 {
		return page.Rows, err
	}
	var rows []schemas.StatsEntry
	for _, letter := range alphabet {
		part, err := countPart(ctx, client, code, by, strings.TrimSuffix(prefix, "*")+string(letter)+"*")
		if err != nil {
			return nil, err
		}
		rows = append(rows, part...)
	}
	return rows, nil
}

// lastLooked is of how many that failed most is looked when they did last.
const lastLooked = 200

// lastOf reads when the applications that failed most were refused last, and got a
// token last.
func (a *assessment) lastOf(ctx context.Context, client *apiclient.Client) error {
	uses, failed := a.in.Use, []string(nil)
	for i := range a.in.Apps {
		if u := uses[a.in.Apps[i].ID]; u != nil && u.Failures > 0 {
			failed = append(failed, a.in.Apps[i].ID)
		}
	}
	slices.SortFunc(failed, func(a, b string) int {
		if d := int(uses[b].Failures) - int(uses[a].Failures); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, id := range failed[:min(len(failed), lastLooked)] {
		for _, last := range []struct {
			code string
			at   *time.Time
		}{{typeToken, &uses[id].LastToken}, {typeRefused, &uses[id].LastFailed}} {
			where := map[string]string{"tenant": scratchTenant, "type": last.code, "client_id": literally(id)}
			if own := uses[id].Own(); len(own) > 0 && len(own) <= schemas.MaxFilterValues {
				where["network"] = strings.Join(own, ",")
			}
			page, err := client.Events(ctx, apiclient.EventQuery{Where: where, Limit: 1})
			if err != nil {
				return err
			}
			if len(page.Events) > 0 {
				*last.at = page.Events[0].Time
			}
		}
	}
	return nil
}

// literally is a value as a filter takes it for itself.
func literally(value string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `,`, `\,`, `!`, `\!`).Replace(value)
}
