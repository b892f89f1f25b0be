package clickhouse

import (
	"context"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// knownWithin is how far back a network is looked for that an identity has
	// succeeded from.
	knownWithin = 30 * 24 * time.Hour
	// longestLifetime is the longest that Auth0 lets an API give its tokens.
	// https://auth0.com/docs/api/management/v2/resource-servers/post-resource-servers
	longestLifetime = 2_592_000 * time.Second
)

// FindingContext is what is known beside the events of a finding at a moment. An
// id that nobody is known by has none.
func (r *Reader) FindingContext(ctx context.Context, f schemas.Finding, at time.Time) (c schemas.FindingContext, err error) {
	if f.Identity == "" {
		return c, nil
	}
	reading, ctx := errgroup.WithContext(ctx) // an alert waits for it
	reading.Go(func() (err error) {
		c.Owner, err = r.owner(ctx, f.Tenant, f.Identity)
		return err
	})
	if f.State == schemas.StateOpen {
		reading.Go(func() (err error) {
			c.SourceKnown, err = r.sourceKnown(ctx, &f)
			return err
		})
		reading.Go(func() (err error) {
			c.TokensAlive, c.TokensUntil, err = r.tokensAlive(ctx, f.Tenant, f.Identity, at)
			return err
		})
	}
	err = reading.Wait()
	return c, err
}

func (r *Reader) owner(ctx context.Context, tenant, identity string) (string, error) {
	owners, err := collect(ctx, r.conn, "read the owner of an identity", schemas.Query{
		SQL:    "SELECT owner FROM inventory FINAL\nWHERE tenant = {tenant:String} AND identity = {identity:String} AND kind IN ('clients', 'users')\nORDER BY " + thereNow + " DESC, kind, id\nLIMIT 1",
		Params: map[string]any{"tenant": tenant, "identity": identity},
	}, scanText)
	if err != nil || len(owners) == 0 {
		return "", err
	}
	return owners[0], nil
}

// Owners are those that the inventory knows of identities of a tenant.
func (s *FindingStore) Owners(ctx context.Context, tenant string, identities []string) (map[string]string, error) {
	type owned struct{ identity, owner string }
	all, err := collect(ctx, s.db.conn, "read the owners of identities", schemas.Query{
		SQL:    "SELECT identity, owner FROM inventory FINAL\nWHERE tenant = {tenant:String} AND identity IN {identities:Array(String)} AND kind IN ('clients', 'users')\nORDER BY identity, " + thereNow + " DESC, kind, id\nLIMIT 1 BY identity",
		Params: map[string]any{"tenant": tenant, "identities": identities},
	}, func(scan scanner) (o owned, err error) {
		err = scan(&o.identity, &o.owner)
		return o, err
	})
	owners := make(map[string]string, len(all))
	for _, o := range all {
		owners[o.identity] = o.owner
	}
	return owners, err
}

func scanText(scan scanner) (s string, err error) {
	err = scan(&s)
	return s, err
}

// sourceKnown tells whether the identity had succeeded from every network of the
// first events of a finding in the thirty days before it.
func (r *Reader) sourceKnown(ctx context.Context, f *schemas.Finding) (*bool, error) {
	if len(f.Evidence.LogIDs) == 0 {
		return nil, nil //nolint:nilnil // nothing is told of where it came from
	}
	from, to := f.First.Add(-knownWithin), f.Last.Add(time.Millisecond)
	clients, err := r.clientsOf(ctx, f.Tenant, f.Identity, from, to)
	if err != nil {
		return nil, err
	}
	networks, err := r.networks(ctx, f, clients)
	if err != nil || len(networks) == 0 {
		return nil, err
	}
	all := false
	if len(clients) > 0 {
		known, err := r.Stats(ctx, schemas.StatsFilter{
			Tenant: f.Tenant, By: []string{"network"}, From: from, To: f.First, Limit: maxStatsRows,
			Where: []schemas.Condition{
				{Field: "client_id", Values: exactly(clients...)}, // by which counts are sorted
				{Field: "identity", Values: exactly(f.Identity)}, {Field: "outcome", Values: exactly(string(schemas.OutcomeSuccess))}, {Field: "network", Values: exactly(networks...)},
			},
		})
		if err != nil {
			return nil, err
		}
		all = len(known) == len(networks)
	}
	return &all, nil
}

// networks are those of the first events of a finding: of these clients, by which
// events are sorted, or of whoever else is found by them.
func (r *Reader) networks(ctx context.Context, f *schemas.Finding, clients []string) ([]string, error) {
	w := within(f.First.UnixMilli(), f.Last.UnixMilli()+1)
	w.and("tenant = {tenant:String}", "tenant", f.Tenant)
	w.and("log_id IN {log_ids:Array(String)}", "log_ids", f.Evidence.LogIDs)
	const sql = "SELECT network FROM events FINAL\n"
	theirs := w
	theirs.conditions = slices.Clone(w.conditions)
	theirs.and("client_id IN {clients:Array(String)}", "clients", clients)
	networks, err := collect(ctx, r.conn, "read the networks of a finding", theirs.query(sql, withinPartitions), scanText)
	if err == nil && len(networks) < len(f.Evidence.LogIDs) {
		networks, err = collect(ctx, r.conn, "read the networks of a finding", w.query(sql, withinPartitions), scanText)
	}
	slices.Sort(networks)
	return slices.DeleteFunc(slices.Compact(networks), func(n string) bool { return n == "" }), err
}

// clientsOf are the clients by whose events an identity acts: an application itself, and
// those that it, or a user, came by.
func (r *Reader) clientsOf(ctx context.Context, tenant, identity string, from, to time.Time) ([]string, error) {
	w := within(from.UnixMilli(), to.UnixMilli())
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("identity = {identity:String}", "identity", identity)
	clients, err := collect(ctx, r.conn, "read by which clients an identity came", w.query("SELECT DISTINCT client_id FROM events_by_identity\n", ""), scanText)
	if id, ok := strings.CutPrefix(identity, schemas.AppID("")); ok {
		clients = append(clients, id)
	}
	return clients, err
}

func exactly(values ...string) []schemas.Pattern {
	patterns := make([]schemas.Pattern, len(values))
	for i, v := range values {
		patterns[i] = schemas.Pattern{v}
	}
	return patterns
}

// tokensAlive counts the tokens that an identity was issued and that have not
// expired, by the lifetimes that the inventory knows of their APIs.
func (r *Reader) tokensAlive(ctx context.Context, tenant, identity string, at time.Time) (n uint64, until time.Time, err error) {
	audiences, lifetimes, err := r.lifetimes(ctx, tenant)
	if err != nil {
		return 0, until, err
	}
	longest := min(longestLifetime, time.Duration(slices.Max(lifetimes))*time.Second)
	from := r.within(at.Add(-longest), "events")
	clients, err := r.clientsOf(ctx, tenant, identity, from, at.Add(time.Millisecond))
	if err != nil {
		return 0, until, err
	}
	w := within(from.UnixMilli(), at.UnixMilli()+1)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("identity = {identity:String}", "identity", identity)
	w.and("client_id IN {clients:Array(String)}", "clients", clients)
	w.param("audiences", audiences)
	w.param("lifetimes", lifetimes)
	w.param("default", uint64(schemas.TokenLifetime.Seconds()))
	w.conditions = append(w.conditions, "outcome = 'success'", "token_id != ''",
		"expires >= "+milliseconds("to"))
	type alive struct {
		n     uint64
		until time.Time
	}
	rows, err := collect(ctx, r.conn, "count the tokens of an identity", w.query(
		"SELECT uniqExact(token_id), max(time + toIntervalSecond(transform(audience, {audiences:Array(String)}, {lifetimes:Array(UInt64)}, {default:UInt64})) AS expires)\nFROM events FINAL\n",
		withinPartitions), func(scan scanner) (a alive, err error) {
		err = scan(&a.n, &a.until)
		return a, err
	})
	if err != nil || len(rows) == 0 || rows[0].n == 0 {
		return 0, until, err
	}
	return rows[0].n, rows[0].until.UTC(), nil
}

// lifetimes are those of the tokens of APIs, in seconds. There is always one, of
// no API.
func (r *Reader) lifetimes(ctx context.Context, tenant string) (audiences []string, seconds []uint64, err error) {
	type lifetime struct {
		audience string
		seconds  uint64
	}
	rows, err := collect(ctx, r.conn, "read the lifetimes of tokens", schemas.Query{
		SQL: "SELECT JSONExtractString(members, 'audience'), JSONExtractUInt(members, 'token_lifetime') AS lifetime FROM inventory FINAL\n" +
			"WHERE tenant = {tenant:String} AND kind = 'apis' AND lifetime > 0 AND " + thereNow,
		Params: map[string]any{"tenant": tenant},
	}, func(scan scanner) (l lifetime, err error) {
		err = scan(&l.audience, &l.seconds)
		return l, err
	})
	audiences, seconds = []string{""}, []uint64{uint64(schemas.TokenLifetime.Seconds())}
	for _, row := range rows {
		if row.audience != "" {
			audiences, seconds = append(audiences, row.audience), append(seconds, row.seconds)
		}
	}
	return audiences, seconds, err
}

// FindingContext is that of Reader.
func (s *FindingStore) FindingContext(ctx context.Context, f schemas.Finding, at time.Time) (schemas.FindingContext, error) {
	return NewReader(s.db).FindingContext(ctx, f, at)
}
