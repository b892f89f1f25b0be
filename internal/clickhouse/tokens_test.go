package clickhouse_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

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
