package query_test

import (
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
func inventoryAPI(t *testing.T, items ...schemas.InventoryItem) (*httptest.Server, *clickhouse.InventoryStore) {
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
	return srv, store
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
	srv, store := inventoryAPI(t)
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
