package clickhouse_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// grantedAt is a token that was issued to an identity.
func grantedAt(jti string, at time.Time, change func(*schemas.Event)) schemas.Event {
	e := event(0, at)
	e.LogID, e.TokenID, e.ClientID, e.Identity.ID, e.UserID, e.Network = "issue-"+jti, jti, "a", "app:a", "", "203.0.113.0/24"
	if change != nil {
		change(&e)
	}
	return e
}

func TestContextOfAFindingIsThatOfTheMoment(t *testing.T) {
	db := clickhousetest.New(t)
	now := noon().AddDate(0, 0, -3)
	store := clickhouse.NewInventoryStore(db)
	begin(t, store, 1)
	app, api, robot := inventoryItem(schemas.InventoryClients, "a", 1<<32|1), inventoryItem(schemas.InventoryAPIs, "api", 1<<32|1), inventoryItem(schemas.InventoryUsers, "auth0|robot", 1<<32|1)
	api.Members.Audience, api.Members.TokenLifetime = "https://short", 3600
	robot.Identity, robot.Owner = "user:auth0|robot", "ops"
	saveInventory(t, store, 1, app, api, robot)
	short := func(e *schemas.Event) { e.Audience = "https://short" }
	byRobot := func(e *schemas.Event) {
		e.Type, e.ClientID, e.UserID, e.Identity.ID = "sepft", "portal", "auth0|robot", "user:auth0|robot"
	}
	through := func(e *schemas.Event) { e.Identity.ID, e.Network = "app:exchanger", "192.0.2.0/24" } // by the client a
	failed := func(e *schemas.Event) {
		e.Type, e.Outcome, e.TokenID, e.Network = "feccft", schemas.OutcomeFailure, "", "198.51.100.0/24"
	}
	insertEvents(t, db, []schemas.Event{
		grantedAt("day", now.Add(-23*time.Hour), nil), grantedAt("old", now.Add(-25*time.Hour), nil), grantedAt("new", now.Add(-time.Hour), nil),
		grantedAt("short", now.Add(-59*time.Minute), short), grantedAt("over", now.Add(-61*time.Minute), short), grantedAt("later", now.Add(time.Hour), nil),
		grantedAt("robot", now.Add(-2*time.Hour), byRobot),
		grantedAt("exchanged", now.Add(-3*time.Hour), through), grantedAt("f3", now.Add(-10*time.Minute), func(e *schemas.Event) { failed(e); through(e) }),
		grantedAt("f1", now.Add(-10*time.Minute), failed), grantedAt("f2", now.Add(-9*time.Minute), func(e *schemas.Event) { failed(e); e.Network = "203.0.113.0/24" }),
	})
	owners, err := clickhouse.NewFindingStore(db).Owners(t.Context(), "acme", []string{app.Identity, "user:auth0|robot", "app:nobody"})
	if want := map[string]string{app.Identity: app.Owner, "user:auth0|robot": "ops"}; err != nil || !maps.Equal(owners, want) {
		t.Errorf("owners %v, %v; want %v", owners, err, want)
	}
	r := clickhouse.NewReader(db)
	yes, no := true, false
	finding := func(identity string, logs ...string) schemas.Finding {
		f := schemas.Finding{Tenant: "acme", Identity: identity, State: schemas.StateOpen, First: now.Add(-10 * time.Minute), Last: now.Add(-9 * time.Minute)}
		f.Evidence.LogIDs = logs
		return f
	}
	withdrawn := finding("app:a", "issue-f1")
	withdrawn.State = schemas.StateWithdrawn
	for i, c := range []struct {
		finding schemas.Finding
		want    schemas.FindingContext
	}{
		{finding("app:a", "issue-f1", "issue-f2"), schemas.FindingContext{Owner: "o'wner", SourceKnown: &no, TokensAlive: 3, TokensUntil: now.Add(23 * time.Hour)}},
		{finding("app:a", "issue-f2"), schemas.FindingContext{Owner: "o'wner", SourceKnown: &yes, TokensAlive: 3, TokensUntil: now.Add(23 * time.Hour)}},
		{finding("app:a"), schemas.FindingContext{Owner: "o'wner", TokensAlive: 3, TokensUntil: now.Add(23 * time.Hour)}},
		{finding("user:auth0|robot"), schemas.FindingContext{Owner: "ops", TokensAlive: 1, TokensUntil: now.Add(22 * time.Hour)}},
		{finding("user:auth0|robot", "issue-f2"), schemas.FindingContext{Owner: "ops", SourceKnown: &yes, TokensAlive: 1, TokensUntil: now.Add(22 * time.Hour)}},
		{finding("user:auth0|robot", "issue-f1", "issue-f2"), schemas.FindingContext{Owner: "ops", SourceKnown: &no, TokensAlive: 1, TokensUntil: now.Add(22 * time.Hour)}},
		{finding("user:stranger", "issue-f2"), schemas.FindingContext{SourceKnown: &no}},
		{finding("app:exchanger", "issue-f3"), schemas.FindingContext{SourceKnown: &yes, TokensAlive: 1, TokensUntil: now.Add(21 * time.Hour)}},
		{finding("app:a", "gone"), schemas.FindingContext{Owner: "o'wner", TokensAlive: 3, TokensUntil: now.Add(23 * time.Hour)}},
		{finding("app:portal"), schemas.FindingContext{}},
		{finding(""), schemas.FindingContext{}},
		{withdrawn, schemas.FindingContext{Owner: "o'wner"}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			got, err := r.FindingContext(t.Context(), c.finding, now)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
