package clickhouse_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// noon is yesterday's: no retention reaches it, and the day around it is over.
func noon() time.Time {
	return time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
}

// event is a stored event with every field set, number n of its tenant.
func event(n int, at time.Time) schemas.Event {
	return schemas.Event{
		Tenant: "acme", ClientID: fmt.Sprintf("client-%d", n%3), Time: at, LogID: fmt.Sprintf("900%s%06d", at.Format("20060102150405"), n), Ver: 7,
		Type: []string{"seccft", "feccft"}[n%2], Outcome: schemas.OutcomeSuccess, Description: "a description", Cause: "wrong_secret", Country: "DE", ASN: 64500 + uint32(n%2), ASOrg: "Example Cloud", UserAgentClass: "curl",
		Identity:   schemas.Identity{ID: fmt.Sprintf("app:client-%d", n%3), Kind: schemas.KindMachine, Reason: "grant"},
		ClientName: "invoice-sync", UserID: fmt.Sprintf("auth0|%d", n%5), IP: "203.0.113.7", Network: "203.0.113.0/24", UserAgent: "curl/8",
		Audience: "https://api", Scopes: []string{"read:a", "write:b"}, OrganizationID: "org_1", Hostname: "acme.eu.auth0.com",
		Call:   schemas.Call{Method: "POST", Path: "/api/v2/clients", Target: "app:x"},
		Source: schemas.SourceStream, IngestedAt: at.Add(time.Second), Raw: fmt.Appendf(nil, `{"log_id":"%d"}`, n), RawMasked: n%2 == 1,
	}
}

func events(n int, at time.Time) []schemas.Event {
	all := make([]schemas.Event, n)
	for i := range all {
		all[i] = event(i, at.Add(time.Duration(i)*time.Second))
	}
	return all
}

// newestFirst is the order of a listing, and listings have no raw logs.
func newestFirst(events []schemas.Event) []schemas.Event {
	listed := slices.Clone(events)
	slices.SortFunc(listed, func(a, b schemas.Event) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.LogID, a.LogID), cmp.Compare(b.Tenant, a.Tenant))
	})
	for i := range listed {
		listed[i].Raw = nil
	}
	return listed
}

// diffEvents compares events, or lists of them, but for the time of their
// storing.
func diffEvents(want, got any) string {
	return gocmp.Diff(want, got, cmpopts.IgnoreFields(schemas.Event{}, "StoredAt"))
}

// insertEvents stores events and what they touch.
func insertEvents(t *testing.T, db *clickhouse.DB, events []schemas.Event) {
	t.Helper()
	w := clickhouse.NewWriter(db)
	if err := w.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := w.InsertTouches(t.Context(), schemas.CountTouches(newFlush(t, time.Now()), events)); err != nil {
		t.Fatal(err)
	}
}

func listEvents(t *testing.T, db *clickhouse.DB, f schemas.EventFilter) []schemas.Event {
	t.Helper()
	events, err := clickhouse.NewReader(db).Events(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// countEvents counts by a dimension that only events has, whatever is touched.
func countEvents(t *testing.T, db *clickhouse.DB) uint64 {
	t.Helper()
	rows, err := clickhouse.NewReader(db).Stats(t.Context(), schemas.StatsFilter{By: []string{"source"}})
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for _, row := range rows {
		n += row.Count
	}
	return n
}

// plain is a connection of the driver's own to db, for what the adapter does
// not do.
func plain(tb testing.TB, db *clickhouse.DB) driver.Conn {
	tb.Helper()
	options, err := ch.ParseDSN(clickhousetest.Engine(tb).Options(clickhouse.RoleApp).URL)
	if err != nil {
		tb.Fatal(err)
	}
	options.Auth.Database = db.Database()
	conn, err := ch.Open(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

func execute(tb testing.TB, db *clickhouse.DB, sql string) {
	tb.Helper()
	if err := plain(tb, db).Exec(tb.Context(), sql); err != nil {
		tb.Fatal(err)
	}
}

// connectThrough gives a DB whose connections run through a relay, and a
// function that takes the server away from it.
func connectThrough(t *testing.T, db *clickhouse.DB, role clickhouse.Role) (*clickhouse.DB, func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	away := func() { cancel(); listener.Close() }
	t.Cleanup(away)
	c := relayed(ctx, t, db, role, listener, new(sync.Mutex))
	return connect(t, c), away
}

// relayed starts a relay at listener, and is how to connect to db through it.
func relayed(ctx context.Context, t *testing.T, db *clickhouse.DB, role clickhouse.Role, listener net.Listener, gate sync.Locker) clickhouse.Config {
	t.Helper()
	c := clickhousetest.Engine(t).Options(role)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	go relay(ctx, listener, u.Host, gate)
	u.Host = listener.Addr().String()
	c.URL, c.Database = u.String(), db.Database()
	return c
}

// relay joins what connects to listener with target, until ctx ends. While
// somebody holds the gate nothing passes, and nobody is told.
func relay(ctx context.Context, listener net.Listener, target string, gate sync.Locker) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			client.Close()
			return
		}
		context.AfterFunc(ctx, func() { client.Close(); server.Close() })
		go pass(client, server, gate)
		go pass(server, client, gate)
	}
}

func pass(from, to net.Conn, gate sync.Locker) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		gate.Lock()
		gate.Unlock() //nolint:staticcheck // to wait until it is open
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
