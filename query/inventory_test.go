package query_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// inventoryAPI serves an API over a real store that holds items, as the user that
// it has there.
func inventoryAPI(t *testing.T, items ...schemas.InventoryItem) (*httptest.Server, *clickhouse.DB) {
	t.Helper()
	writer := clickhousetest.New(t)
	store := clickhouse.NewInventoryStore(writer)
	if err := store.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for i := range items {
		items[i].Ver = 1<<32 | 1
	}
	if err := store.SaveInventory(t.Context(), 1, nil, items); err != nil {
		t.Fatal(err)
	}
	c := clickhousetest.Engine(t).Options(clickhouse.RoleAPI)
	c.Database = writer.Database()
	db, err := clickhouse.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: clickhouse.NewReader(db), Syncs: clickhouse.NewInventorySyncs(db), Now: func() time.Time { return now }}).Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv, writer
}

func clientItem(id, owner string) schemas.InventoryItem {
	return schemas.InventoryItem{
		Tenant: "acme", Kind: schemas.InventoryClients, ID: id, Identity: "app:" + id, Name: "Name of " + id, Type: "non_interactive", Owner: owner,
		Members: schemas.InventoryMembers{GrantTypes: []string{"client_credentials"}, AuthMethod: "client_secret_post"}, FirstSeen: now, Changed: now,
	}
}

func itemIDs(items []schemas.InventoryItem) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

func TestInventoryIsListedByKind(t *testing.T) {
	gone := clientItem("gone", "ops")
	gone.Deleted = now
	role := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryRoles, ID: "rol_1", Name: "robot", FirstSeen: now, Changed: now}
	other := clientItem("other", "ops")
	other.Tenant = "globex"
	srv, _ := inventoryAPI(t, clientItem("a", "ops"), clientItem("b", "billing"), clientItem("c", ""), gone, role, other)
	for path, want := range map[string][]string{
		"clients":                          {"a", "b", "c", "other"},
		"clients?tenant=acme":              {"a", "b", "c"},
		"clients?tenant=acme&deleted=true": {"a", "b", "c", "gone"},
		"clients?owner=ops":                {"a", "other"},
		"clients?owner=!ops&tenant=acme":   {"b", "c"},
		"clients?name=Name+of+b":           {"b"},
		"clients?name=*b":                  {"b"},
		"clients?identity=app:c":           {"c"},
		"roles":                            {"rol_1"},
		"streams":                          nil,
	} {
		page := decode[schemas.InventoryPage](t, ok(t, srv, "/v1/inventory/"+path))
		if diff := cmp.Diff(want, itemIDs(page.Items)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	var all []string
	for cursor := ""; len(all) < 10; {
		page := decode[schemas.InventoryPage](t, ok(t, srv, "/v1/inventory/clients?limit=2&cursor="+cursor))
		all = append(all, itemIDs(page.Items)...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "other"}, all); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
	if a := get(t, srv, "/v1/inventory/secrets"); a.status != http.StatusUnprocessableEntity {
		t.Errorf("an unknown kind: %d %s", a.status, a.body)
	}
	golden(t, "inventory.json", ok(t, srv, "/v1/inventory/clients?tenant=acme&limit=1"))
}

func TestASyncIsAskedForOnce(t *testing.T) {
	srv, db := inventoryAPI(t)
	store := clickhouse.NewInventoryStore(db)
	ask := func() schemas.InventorySync {
		t.Helper()
		a := post(t, srv, "/v1/inventory/syncs", `{"tenant":"acme"}`)
		if a.status != http.StatusAccepted {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		return decode[schemas.InventorySync](t, a.body)
	}
	first := ask()
	if again := ask(); again.ID != first.ID || first.State != schemas.InventoryPending {
		t.Errorf("asked for twice: %+v, then %+v", first, again)
	}
	running := first
	running.State, running.BeganAt, running.Ver = schemas.InventoryRunning, now, 1<<32|1
	if err := store.SaveSync(t.Context(), running); err != nil {
		t.Fatal(err)
	}
	if other := ask(); other.ID == first.ID {
		t.Error("one that has begun, and may have read what is another now, is taken for what is asked for")
	}
	if got := decode[schemas.InventorySync](t, ok(t, srv, "/v1/inventory/syncs/"+first.ID)); got.State != schemas.InventoryRunning {
		t.Errorf("%+v", got)
	}
	if page := decode[schemas.InventorySyncPage](t, ok(t, srv, "/v1/inventory/syncs?tenant=acme")); len(page.Syncs) != 2 {
		t.Errorf("%+v", page)
	}
	if a := get(t, srv, "/v1/inventory/syncs/none"); a.status != http.StatusNotFound || !strings.Contains(a.body, "none") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// TestIdentitiesHaveTheirInventory holds a listing of those that were seen, those
// that the inventory knows, and both together against what is asked of them.
func TestIdentitiesHaveTheirInventory(t *testing.T) {
	web := clientItem("web", "front")
	web.Members.GrantTypes = []string{"authorization_code"}
	gone := clientItem("gone", "ops")
	gone.Deleted = now.AddDate(0, 0, -3)
	robot := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryUsers, ID: "auth0|robot", Identity: "user:auth0|robot", Name: "robot@example.com", Owner: "ops", Members: schemas.InventoryMembers{Programmatic: true, Blocked: true, Connection: "db"}, FirstSeen: now, Changed: now}
	grant := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryGrants, ID: "cgr_1", Identity: "app:busy", Members: schemas.InventoryMembers{ClientID: "busy", Audience: "https://api", Scopes: []string{"read"}}, FirstSeen: now, Changed: now}
	lost := grant
	lost.ID, lost.Deleted = "cgr_2", now
	key := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryCredentials, ID: "cred_1", Identity: "app:busy", Type: "public_key", Expires: "2026-01-01T00:00:00.000Z", Created: now.AddDate(0, -6, 0), Members: schemas.InventoryMembers{ClientID: "busy", KeyID: "k1"}, FirstSeen: now, Changed: now}
	api := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryAPIs, ID: "5f", Members: schemas.InventoryMembers{Audience: "https://api", TokenLifetime: 3600}, FirstSeen: now, Changed: now}
	srv, db := inventoryAPI(t, clientItem("busy", "billing"), clientItem("idle", ""), clientItem("never", "ops"), clientItem("failing", "ops"), web, gone, robot, grant, lost, key, api)
	if err := clickhouse.NewInventoryStore(db).SaveSync(t.Context(), schemas.InventorySync{ID: "s", Tenant: "acme", State: schemas.InventoryDone, Kinds: []schemas.InventoryRead{{Kind: schemas.InventoryGrants, Whole: true}}, CreatedAt: now, UpdatedAt: now, Ver: 1<<32 | 1}); err != nil {
		t.Fatal(err)
	}
	var events []schemas.Event
	for i, seen := range []struct {
		client  string
		ago     time.Duration
		outcome schemas.Outcome
	}{
		{"busy", time.Hour, schemas.OutcomeSuccess},
		{"idle", 60 * 24 * time.Hour, schemas.OutcomeSuccess},
		{"failing", 2 * time.Hour, schemas.OutcomeFailure},
		{"made-up", time.Hour, schemas.OutcomeFailure},
		{"unknown", 3 * time.Hour, schemas.OutcomeSuccess},
	} {
		e := event()
		e.LogID, e.ClientID, e.Time, e.Outcome = fmt.Sprintf("90020250314%06d", i), seen.client, now.Add(-seen.ago), seen.outcome
		e.Identity = schemas.Identity{ID: schemas.AppID(seen.client), Kind: schemas.KindMachine}
		e.Ver = schemas.Version(e.Source, schemas.NormalizerVersion, e.Raw)
		events = append(events, e)
	}
	writer := clickhouse.NewWriter(db)
	if err := errors.Join(writer.InsertEvents(t.Context(), events), writer.InsertTouches(t.Context(), schemas.CountTouches("01946b80-0000-7000-8000-000000000001", events))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"from=30d":                                  {"app:busy", "app:failing", "app:unknown", "app:idle", "app:never", "user:auth0|robot"},
		"":                                          {"app:busy", "app:failing", "app:unknown", "app:idle", "app:never", "user:auth0|robot"},
		"from=30d&tenant=acme&identity=app:*":       {"app:busy", "app:failing", "app:unknown", "app:idle", "app:never"},
		"from=30d&identity_kind=human":              nil,
		"from=30d&client_id=never,busy":             {"app:busy", "app:never"},
		"from=30d&outcome=success":                  {"app:busy", "app:unknown"},
		"from=30d&owner=ops":                        {"app:failing", "app:never", "user:auth0|robot"},
		"from=30d&owner=!ops":                       {"app:busy", "app:idle"},
		"from=30d&has=inventory":                    {"app:busy", "app:failing", "app:idle", "app:never", "user:auth0|robot"},
		"from=30d&has=!inventory":                   {"app:unknown"},
		"from=30d&has=inventory,!owner":             {"app:idle"},
		"from=30d&has=grants,credentials":           {"app:busy"},
		"from=30d&has=inventory,!grants&owner=ops":  {"app:failing", "app:never", "user:auth0|robot"},
		"unused_since=30d":                          {"app:idle", "app:never", "user:auth0|robot"},
		"unused_since=90d":                          {"app:never", "user:auth0|robot"},
		"unused_since=30d&from=90d&identity=app:*":  {"app:idle", "app:never"},
		"from=30d&all=true&client_id=made-up,never": {"app:made-up", "app:never"},
	} {
		var got []string
		for _, i := range decode[schemas.IdentityPage](t, ok(t, srv, "/v1/identities?"+path)).Identities {
			got = append(got, i.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	var paged []string
	for cursor := ""; len(paged) < 20; {
		page := decode[schemas.IdentityPage](t, ok(t, srv, "/v1/identities?limit=1&from=30d&cursor="+cursor))
		for _, i := range page.Identities {
			paged = append(paged, i.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"app:busy", "app:failing", "app:unknown", "app:idle", "app:never", "user:auth0|robot"}, paged); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}
	busy := decode[schemas.IdentityDetail](t, ok(t, srv, "/v1/identities/acme/app:busy?from=30d"))
	want := &schemas.IdentityInventory{
		Type: "non_interactive", Owner: "billing", Programmatic: true, AuthMethod: "client_secret_post",
		Grants:      []schemas.IdentityGrant{{ID: "cgr_1", Audience: "https://api", Scopes: []string{"read"}, TokenLifetime: 3600}},
		Credentials: []schemas.IdentityCredential{{ID: "cred_1", Type: "public_key", KeyID: "k1", Created: now.AddDate(0, -6, 0), Expires: "2026-01-01T00:00:00.000Z"}},
	}
	if diff := cmp.Diff(want, busy.Inventory); diff != "" || busy.Name != "Name of busy" || busy.Count != 1 {
		t.Errorf("busy: %q, %d events (-want +got):\n%s", busy.Name, busy.Count, diff)
	}
	never := decode[schemas.IdentityDetail](t, ok(t, srv, "/v1/identities/acme/app:never?from=30d"))
	if never.Count != 0 || !never.Last.IsZero() || never.Inventory == nil || !never.Inventory.Disabled {
		t.Errorf("never: %+v, %+v", never.IdentitySummary, never.Inventory)
	}
	if deleted := decode[schemas.IdentityDetail](t, ok(t, srv, "/v1/identities/acme/app:gone?from=30d")); deleted.Inventory == nil || !deleted.Inventory.Deleted.Equal(gone.Deleted) {
		t.Errorf("gone: %+v", deleted.Inventory)
	}
	if user := decode[schemas.IdentityDetail](t, ok(t, srv, "/v1/identities/acme/user:auth0%7Crobot")); user.Inventory == nil || !user.Inventory.Disabled || user.Kind != schemas.KindMachine {
		t.Errorf("robot: %+v, %+v", user.IdentitySummary, user.Inventory)
	}
	for _, path := range []string{"has=secrets", "owner=a,,b", "unused_since=soon", "unused_since=30d&from=7d"} {
		if a := get(t, srv, "/v1/identities?"+path); a.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if csv := accepting(t, srv.URL+"/v1/identities?from=30d&client_id=never", "text/csv").body; !strings.Contains(csv, "inventory.owner") || !strings.Contains(csv, "app:never") {
		t.Errorf("CSV:\n%s", csv)
	}
}
