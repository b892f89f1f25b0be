package clickhouse_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// pick is one of values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// anyEvent is an event of few values, so that they meet: many share a
// millisecond, a client, an identity; and its time is one of a few dense ones
// or anywhere within some weeks.
func anyEvent(r *rand.Rand, n int) schemas.Event {
	at := noon().Add(-time.Duration(r.IntN(3)) * time.Millisecond)
	switch r.IntN(3) {
	case 0:
		at = at.Add(-time.Duration(r.IntN(9*24)) * time.Hour)
	case 1:
		at = at.Add(-time.Duration(r.IntN(5000)) * time.Millisecond)
	}
	e := event(n, at)
	e.Tenant = pick(r, "acme", "acme", "beta", "gamma")
	e.LogID = fmt.Sprintf("id-%05d", n)
	e.ClientID = pick(r, "", "a", "b", "c", fmt.Sprintf("client-%d", r.IntN(40)))
	spoil(r, &e)
	e.Ver = schemas.Version(e.Source, 2, e.Raw)
	return e
}

// spoil gives an event other values in what is not its key, as another copy or
// another version of the normalizer might.
func spoil(r *rand.Rand, e *schemas.Event) {
	e.Type = pick(r, "seccft", "seccft", "feccft", "sapi", "rare")
	e.UserID = pick(r, "", "", "auth0|1", "auth0|2", "a@clients")
	e.Identity.ID = pick(r, "", schemas.AppID(e.ClientID), schemas.AppID(e.ClientID), schemas.UserID(e.UserID), schemas.UserID("auth0|1"), "app:a", "agent:x")
	e.Raw = fmt.Appendf(nil, `{"n":%d}`, r.IntN(1e9))
}

// history stores distinct events and, for some of them, copies that won or lost
// and rows that hide them.
func history(t *testing.T, db *clickhouse.DB, r *rand.Rand, size int) {
	t.Helper()
	var all []schemas.Event
	for n := range size {
		e := anyEvent(r, n)
		all = append(all, e)
		for range r.IntN(3) * r.IntN(2) {
			other := e
			other.Source = pick(r, schemas.SourceStream, schemas.SourcePull, schemas.SourceImport)
			spoil(r, &other)
			other.Ver = schemas.Version(other.Source, uint32(1+r.IntN(3)), other.Raw)
			all = append(all, other)
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for len(all) > 0 {
		part := min(len(all), 1+r.IntN(size))
		insertEvents(t, db, all[:part])
		all = all[part:]
	}
	execute(t, db, `INSERT INTO events (tenant, client_id, time, log_id, ver, deleted, source)
		SELECT tenant, client_id, time, log_id, ver + 1, 1, source FROM events WHERE sipHash64(log_id) % 10 = 0`)
}

// anyFilter is a filter of some of the values that events have.
func anyFilter(r *rand.Rand) schemas.EventFilter {
	var f schemas.EventFilter
	if r.IntN(4) > 0 {
		f.Tenant = pick(r, "acme", "beta", "nobody")
	}
	if r.IntN(4) == 0 {
		f.ClientID = pick(r, "a", "client-7")
	}
	if r.IntN(2) == 0 {
		f.Identity = pick(r, "app:a", "app:client-7", "user:auth0|1", "user:a@clients", "agent:x", "app:")
	}
	if r.IntN(4) == 0 {
		f.UserID = pick(r, "auth0|1", "a@clients")
	}
	if r.IntN(2) == 0 {
		f.Type = pick(r, "seccft", "rare", "none")
	}
	f.Where = anyConditions(r)
	if r.IntN(6) == 0 {
		f.Text = pick(r, "LIENT-7", "rare", "auth0|", "no such text", "%")
	}
	if r.IntN(3) == 0 {
		f.From = noon().Add(-time.Duration(r.IntN(9*24)) * time.Hour)
	}
	if r.IntN(3) == 0 {
		f.To = noon().Add(-time.Duration(r.IntN(5000)) * time.Millisecond)
	}
	return f
}

// anyConditions are conditions on fields that counts have.
func anyConditions(r *rand.Rand) []schemas.Condition {
	var all []schemas.Condition
	for field, texts := range map[string][]string{
		"type":      {"seccft,rare", "!seccft", "*cc*", "!*cc*,rare", "s*t,sapi", "none,never"},
		"client_id": {"client-1*", "a,b", "!a,client-*", "*"},
		"identity":  {"user:*", "!app:*", "app:a,agent:x", "*"},
	} {
		if r.IntN(5) > 0 {
			continue
		}
		c, _, err := schemas.ParseCondition(field, pick(r, texts...))
		if err != nil {
			panic(err)
		}
		all = append(all, c)
	}
	return all
}

// lets tells whether a condition lets a value through, by the words of its
// documentation.
func lets(c schemas.Condition, value string) bool {
	for _, p := range c.Values {
		parts := make([]string, len(p))
		for i, part := range p {
			parts[i] = regexp.QuoteMeta(part)
		}
		if regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`).MatchString(value) {
			return !c.Not
		}
	}
	return c.Not
}

// bruteForce is what every listing has to equal: the same filter over all of
// events. Values of these tests need no quoting.
func bruteForce(t *testing.T, conn driver.Conn, f schemas.EventFilter) []string {
	t.Helper()
	conditions := []string{"1"}
	for column, value := range map[string]string{"tenant": f.Tenant, "client_id": f.ClientID, "identity": f.Identity, "user_id": f.UserID, "type": f.Type} {
		if value != "" {
			conditions = append(conditions, fmt.Sprintf("%s = '%s'", column, value))
		}
	}
	if !f.From.IsZero() {
		conditions = append(conditions, fmt.Sprintf("toUnixTimestamp64Milli(time) >= %d", f.From.UnixMilli()))
	}
	if !f.To.IsZero() {
		conditions = append(conditions, fmt.Sprintf("toUnixTimestamp64Milli(time) < %d", f.To.UnixMilli()))
	}
	var keys, types, clients, identities, texts []string
	err := conn.QueryRow(t.Context(), `SELECT groupArray(concat(tenant, ' ', client_id, ' ', log_id, ' ', toString(ver))),
			groupArray(type), groupArray(client_id), groupArray(identity), groupArray(concat(log_id, '\n', type, '\n', client_id, '\n', user_id, '\n', identity)) FROM (
		SELECT tenant, client_id, log_id, ver, type, identity, user_id FROM events FINAL WHERE `+strings.Join(conditions, " AND ")+`
		ORDER BY time DESC, log_id DESC, tenant DESC)`).Scan(&keys, &types, &clients, &identities, &texts)
	if err != nil {
		t.Fatal(err)
	}
	left := []string{}
	for i, key := range keys {
		fields := map[string]string{"type": types[i], "client_id": clients[i], "identity": identities[i]}
		if f.Text != "" && !strings.Contains(strings.ToLower(texts[i]), strings.ToLower(f.Text)) {
			continue
		}
		if !slices.ContainsFunc(f.Where, func(c schemas.Condition) bool { return !lets(c, fields[c.Field]) }) {
			left = append(left, key)
		}
	}
	return left
}

func keysOf(events []schemas.Event) []string {
	keys := []string{}
	for _, e := range events {
		keys = append(keys, fmt.Sprintf("%s %s %s %d", e.Tenant, e.ClientID, e.LogID, e.Ver))
	}
	return keys
}

// TestListingEqualsBruteForce claims that listing by way of the indexes tells
// the same events as looking at all of them, page by page, whatever copies
// lost and wherever in a millisecond a page ends.
func TestListingEqualsBruteForce(t *testing.T) {
	const seeds, filters, size = 2, 40, 1200
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			db := clickhousetest.New(t)
			conn := plain(t, db)
			history(t, db, r, size)
			listed := 0
			for range filters {
				f := anyFilter(r)
				want := bruteForce(t, conn, f)
				f.Limit = max(pick(r, 7, 60, 400, 1000), len(want)/6)
				if diff := gocmp.Diff(want, keysOf(page(t, db, f))); diff != "" {
					t.Fatalf("filter %+v (-want +got):\n%s", f, diff)
				}
				listed += len(want)
			}
			if listed < size/2 {
				t.Errorf("%d events were listed in all: the filters let nothing through", listed)
			}
		})
	}
}

// TestPagesAreStableUnderInserts claims that what comes in between two pages
// neither repeats nor hides an event that was there before the first.
func TestPagesAreStableUnderInserts(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	db := clickhousetest.New(t)
	before := map[string]bool{}
	history(t, db, r, 400)
	for _, key := range bruteForce(t, plain(t, db), schemas.EventFilter{}) {
		before[key] = true
	}
	f := schemas.EventFilter{Limit: 37}
	seen := map[string]bool{}
	for n := 1000; ; n++ {
		events := listEvents(t, db, f)
		for _, key := range keysOf(events) {
			if seen[key] {
				t.Errorf("%s is listed twice", key)
			}
			seen[key] = true
		}
		if len(events) < f.Limit {
			break
		}
		last := events[len(events)-1]
		f.After = &schemas.EventCursor{Time: last.Time, LogID: last.LogID, Tenant: last.Tenant}
		insertEvents(t, db, []schemas.Event{anyEvent(r, n), anyEvent(r, n+10_000), anyEvent(r, n+20_000)})
	}
	for key := range before {
		if !seen[key] {
			t.Errorf("%s is missing", key)
		}
	}
}
