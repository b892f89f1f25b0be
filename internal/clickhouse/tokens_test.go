package clickhouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// issued is an event that issued a token, used one that used it n hours later.
func issued(jti string) schemas.Event {
	e := event(0, noon().Add(-40*24*time.Hour))
	e.TokenID, e.UserID, e.LogID = jti, "", "issue-"+jti
	return e
}

func used(jti string, n int) schemas.Event {
	e := event(n, issued(jti).Time.Add(time.Duration(n)*time.Hour))
	e.ClientID, e.UsedTokenID = "management", jti
	return e
}

func withoutRaw(e schemas.Event) schemas.Event {
	e.Raw = nil
	return e
}

func TestTokenTellsItsIssueAndItsUses(t *testing.T) {
	db := clickhousetest.New(t)
	elsewhere := used("j1", 3)
	elsewhere.Tenant = "beta"
	insertEvents(t, db, []schemas.Event{used("j1", 30), issued("j1"), used("j1", 2), elsewhere, issued("j2"), used("unissued", 4)})
	r := clickhouse.NewReader(db)
	issue := withoutRaw(issued("j1"))
	for want := range map[*schemas.Token]bool{
		{Tenant: "acme", ID: "j1", Issue: &issue, Uses: []schemas.Event{withoutRaw(used("j1", 2)), withoutRaw(used("j1", 30))}, UseCount: 2}: true,
		{Tenant: "beta", ID: "j1", Uses: []schemas.Event{withoutRaw(elsewhere)}, UseCount: 1}:                                                true,
		{Tenant: "acme", ID: "unissued", Uses: []schemas.Event{withoutRaw(used("unissued", 4))}, UseCount: 1}:                                true,
	} {
		got, err := r.Token(t.Context(), want.Tenant, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		got.Places = nil // see TestTokenTellsWhereItWasUsedAndForWhat
		if diff := diffEvents(*want, got); diff != "" {
			t.Errorf("token %s of %s (-want +got):\n%s", want.ID, want.Tenant, diff)
		}
	}
	for _, jti := range []string{"none", "", "j1 "} {
		if _, err := r.Token(t.Context(), "acme", jti); !errors.Is(err, schemas.ErrNotFound) {
			t.Errorf("token %q: %v, want ErrNotFound", jti, err)
		}
	}
}

// TestTokenOfACopyThatLostIsNotTold claims that the index of tokens is believed
// only where an event that survived agrees.
func TestTokenOfACopyThatLostIsNotTold(t *testing.T) {
	db := clickhousetest.New(t)
	lost, won, gone := issued("lost"), issued("won"), used("lost", 5)
	won.Ver, won.LogID = lost.Ver+1, lost.LogID
	insertEvents(t, db, []schemas.Event{lost})
	insertEvents(t, db, []schemas.Event{won, gone})
	execute(t, db, `INSERT INTO events (tenant, client_id, time, log_id, ver, deleted, source)
		SELECT tenant, client_id, time, log_id, ver + 1, 1, source FROM events WHERE used_token_id != ''`)
	r := clickhouse.NewReader(db)
	if _, err := r.Token(t.Context(), "acme", "lost"); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("token of copies that lost: %v, want ErrNotFound", err)
	}
	if got, err := r.Token(t.Context(), "acme", "won"); err != nil || got.Issue == nil || got.Issue.Ver != won.Ver {
		t.Errorf("got %+v, %v; want the copy that won", got, err)
	}
}

func TestTokenWithManyUsesCountsAllAndTellsTheFirst(t *testing.T) {
	db := clickhousetest.New(t)
	all := []schemas.Event{issued("j")}
	for n := range 1200 {
		e := used("j", 1)
		e.LogID = fmt.Sprintf("id-%04d", n)
		e.Time = e.Time.Add(time.Duration(n) * time.Second)
		all = append(all, e)
	}
	insertEvents(t, db, all)
	got, err := clickhouse.NewReader(db).Token(t.Context(), "acme", "j")
	if err != nil {
		t.Fatal(err)
	}
	if got.Issue == nil || got.UseCount != 1200 || len(got.Uses) != 1000 || got.Uses[0].LogID != "id-0000" || got.Uses[999].LogID != "id-0999" {
		t.Errorf("issue %v, %d uses counted, %d told", got.Issue, got.UseCount, len(got.Uses))
	}
}

func TestTokenTellsWhereItWasUsedAndForWhat(t *testing.T) {
	db := clickhousetest.New(t)
	use := func(n int, network, scope, audience string) schemas.Event {
		e := used("j", n)
		e.Network, e.Scopes, e.Audience = network, strings.Fields(scope), audience
		return e
	}
	all := []schemas.Event{
		issued("j"), use(1, "192.0.2.0/24", "a b", "x"), use(2, "192.0.2.0/24", "a b", "x"), use(3, "203.0.113.0/24", "a b", "x"),
		use(4, "192.0.2.0/24", "a", "x"), use(5, "192.0.2.0/24", "a b", "y"), use(6, "192.0.2.0/24", "a b", "x"), use(7, "", "", ""),
	}
	insertEvents(t, db, all)
	insertEvents(t, db, all) // a repeat counts once
	got, err := clickhouse.NewReader(db).Token(t.Context(), "acme", "j")
	if err != nil {
		t.Fatal(err)
	}
	place := func(network, scope, audience string, count uint64, first, last int) schemas.TokenPlace {
		return schemas.TokenPlace{Network: network, Scope: scope, Audience: audience, Count: count, First: used("j", first).Time, Last: used("j", last).Time}
	}
	want := []schemas.TokenPlace{
		place("192.0.2.0/24", "a b", "x", 3, 1, 6), place("", "", "", 1, 7, 7), place("192.0.2.0/24", "a", "x", 1, 4, 4),
		place("192.0.2.0/24", "a b", "y", 1, 5, 5), place("203.0.113.0/24", "a b", "x", 1, 3, 3),
	}
	if diff := cmp.Diff(want, got.Places); diff != "" || got.UseCount != 7 {
		t.Errorf("%d uses (-want +got):\n%s", got.UseCount, diff)
	}
}

// TestTokenIsFoundBehindManyCopiesThatLost claims that its uses are found,
// though the first candidates all turn out to be none.
func TestTokenIsFoundBehindManyCopiesThatLost(t *testing.T) {
	db := clickhousetest.New(t)
	var lost, won []schemas.Event
	for n := range 2500 {
		e := used("j", 1)
		e.LogID = fmt.Sprintf("id-%04d", n)
		e.Time = e.Time.Add(time.Duration(n) * time.Second)
		lost = append(lost, e)
		e.Ver, e.UsedTokenID = e.Ver+1, ""
		won = append(won, e)
	}
	late := used("j", 20)
	insertEvents(t, db, append(lost, issued("j"), late))
	insertEvents(t, db, won)
	got, err := clickhouse.NewReader(db).Token(t.Context(), "acme", "j")
	if err != nil || got.Issue == nil || got.UseCount != 1 || len(got.Uses) != 1 || got.Uses[0].LogID != late.LogID || len(got.Places) != 1 {
		t.Errorf("token %+v, %v", got, err)
	}
}
