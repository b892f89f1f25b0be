package clickhouse_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func inventoryItem(kind schemas.InventoryKind, id string, ver uint64) schemas.InventoryItem {
	return schemas.InventoryItem{
		Tenant: "acme", Kind: kind, ID: id, Identity: "app:" + id, Name: "Name of " + id, Type: "non_interactive", Owner: "o'wner", Purpose: "\\", Expires: "2027-06-30",
		Members:   schemas.InventoryMembers{GrantTypes: []string{"client_credentials"}, TokenLifetime: 86400, SecretRotated: noon()},
		FirstSeen: noon(), Changed: noon().Add(time.Hour), N: 2, Ver: ver,
	}
}

func saveInventory(t *testing.T, s *clickhouse.InventoryStore, epoch uint64, items ...schemas.InventoryItem) {
	t.Helper()
	if err := s.SaveInventory(t.Context(), epoch, nil, items); err != nil {
		t.Fatal(err)
	}
}

func TestInventoryComesBack(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewInventoryStore(db)
	begin(t, s, 1)
	client, gone := inventoryItem(schemas.InventoryClients, "a", 1<<32|1), inventoryItem(schemas.InventoryRoles, "b", 1<<32|1)
	client.Created, gone.Deleted = noon().Add(-time.Hour), noon()
	other := inventoryItem(schemas.InventoryClients, "c", 1<<32|1)
	other.Tenant = "globex"
	saveInventory(t, s, 1, client, gone, other)
	client.Name, client.Ver = "another name", 1<<32|2
	saveInventory(t, s, 1, client)
	got, err := s.KnownInventory(t.Context(), "acme")
	if diff := cmp.Diff([]schemas.InventoryItem{client, gone}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestASnapshotOfAStalledHolderIsDropped(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewInventoryStore(db)
	begin(t, s, 1)
	begin(t, s, 2)
	item := inventoryItem(schemas.InventoryClients, "a", 1<<32|1)
	change := schemas.InventoryChange{Tenant: "acme", Kind: item.Kind, ID: "a", N: 1, Act: schemas.InventoryAdded, Time: noon(), Found: noon(), Ver: item.Ver}
	sync := schemas.InventorySync{ID: "s", Tenant: "acme", State: schemas.InventoryDone, CreatedAt: noon(), UpdatedAt: noon(), Ver: item.Ver}
	if err := errors.Join(s.SaveInventory(t.Context(), 1, []schemas.InventoryChange{change}, []schemas.InventoryItem{item}), s.SaveSync(t.Context(), sync)); err != nil {
		t.Error(err)
	}
	for _, table := range []string{"inventory", "inventory_changes", "inventory_syncs"} {
		if n := rowsOf(t, db, table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	saveInventory(t, s, 2, item)
	if n := rowsOf(t, db, "inventory"); n != 1 {
		t.Errorf("the holder has written %d rows, want 1", n)
	}
}

func TestSyncsComeBack(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewInventoryStore(db)
	begin(t, s, 1)
	asked := schemas.InventorySync{ID: "old", Tenant: "acme", Reason: schemas.InventoryByRequest, State: schemas.InventoryPending, CreatedAt: noon(), UpdatedAt: noon()}
	young := schemas.InventorySync{ID: "young", Tenant: "globex", Reason: schemas.InventoryByEvents, State: schemas.InventoryFailed, Error: "odd", CreatedAt: noon().Add(time.Hour), BeganAt: noon(), UpdatedAt: noon(), Ver: 1<<32 | 1}
	young.Kinds = []schemas.InventoryRead{{Kind: schemas.InventoryClients, Whole: true, Items: 9, Added: 1, Changed: 2, Deleted: 3}, {Kind: schemas.InventoryGrants, Error: "403"}}
	if err := errors.Join(s.AddSync(t.Context(), asked), s.SaveSync(t.Context(), young)); err != nil {
		t.Fatal(err)
	}
	if open, err := s.OpenSyncs(t.Context()); len(open) != 1 || open[0].ID != "old" || err != nil {
		t.Errorf("open %+v, %v", open, err)
	}
	all, err := s.SyncList(t.Context(), "", 10)
	if diff := cmp.Diff([]schemas.InventorySync{young, asked}, all); diff != "" || err != nil {
		t.Errorf("list: %v (-want +got):\n%s", err, diff)
	}
	if one, err := s.SyncList(t.Context(), "acme", 10); len(one) != 1 || err != nil {
		t.Errorf("of one tenant: %+v, %v", one, err)
	}
	got, err := s.Sync(t.Context(), "young")
	if diff := cmp.Diff(young, got); diff != "" || err != nil {
		t.Errorf("one: %v (-want +got):\n%s", err, diff)
	}
	if _, err := s.Sync(t.Context(), "none"); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("error %v, want not found", err)
	}
	if whole, err := s.WholeKinds(t.Context(), "globex"); !slices.Equal(whole, []schemas.InventoryKind{schemas.InventoryClients}) || err != nil {
		t.Errorf("whole are %q, %v", whole, err)
	}
}

// managementCall is a logged call of the Management API.
func managementCall(n int, method, path, raw string) schemas.Event {
	e := event(n, noon().AddDate(0, 0, -5))
	e.Type, e.Raw = "sapi", []byte(raw)
	e.Call = schemas.Call{Method: method, Path: path, Status: 200}
	return e
}

func TestOnlyWritesToTheInventoryAskForASync(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewInventoryStore(db)
	begin(t, s, 1)
	robot := inventoryItem(schemas.InventoryUsers, "auth0|robot", 1<<32|1)
	robot.Identity = "user:auth0|robot"
	saveInventory(t, s, 1, robot)
	known := managementCall(4, "patch", "/api/v2/users/auth0%7Crobot", `{"b":1}`)
	known.Call.Target = robot.Identity
	human := managementCall(5, "patch", "/api/v2/users/auth0%7Chuman", `{"c":1}`)
	human.Call.Target = "user:auth0|human"
	refused := managementCall(6, "delete", "/api/v2/clients/a", `{}`)
	refused.Call.Status = 403
	other := managementCall(7, "post", "/api/v2/clients", `{}`)
	other.Tenant = "globex"
	wanted := []schemas.Event{
		managementCall(1, "post", "/v2/clients", `{"log_id":"1","a":"made"}`), managementCall(2, "delete", "/api/v2/client-grants/cgr_1", `{}`),
		managementCall(3, "post", "/api/v2/users", `{"app_metadata":{"programmatic":true}}`), known,
	}
	insertEvents(t, db, slices.Concat(wanted, wanted, []schemas.Event{
		human, refused, other, managementCall(8, "get", "/api/v2/clients", `{}`), managementCall(9, "patch", "/api/v2/tenants/settings", `{}`),
		managementCall(10, "post", "/api/v2/clientsx", `{}`),
	}))
	acts, err := s.InventoryActs(t.Context(), "acme", time.Time{})
	slices.SortFunc(wanted, func(a, b schemas.Event) int { return a.Time.Compare(b.Time) })
	if diff := cmp.Diff(paths(wanted), paths(acts)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	since, err := s.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	since = since.Add(-time.Minute)
	// The events are of days ago: what comes so late is read when a sync is made, and asks for none.
	if hint, err := s.InventoryHint(t.Context(), "acme", since); hint.Count != 0 || err != nil {
		t.Errorf("%+v, %v", hint, err)
	}
	live := managementCall(11, "patch", "/api/v2/roles/rol_1", `{}`)
	live.Time = since
	insertEvents(t, db, []schemas.Event{live})
	if hint, err := s.InventoryHint(t.Context(), "acme", since); hint.Count != 1 || hint.First.Before(since) || err != nil {
		t.Errorf("%+v, %v", hint, err)
	}
	if hint, err := s.InventoryHint(t.Context(), "acme", since.Add(time.Hour)); hint.Count != 0 || err != nil {
		t.Errorf("after it: %+v, %v", hint, err)
	}
	if acts, err := s.InventoryActs(t.Context(), "acme", since); len(acts) != len(wanted)+1 || err != nil {
		t.Errorf("since then %v, %v", paths(acts), err)
	}
	if acts, err := s.InventoryActs(t.Context(), "acme", since.Add(time.Hour)); len(acts) != 0 || err != nil {
		t.Errorf("after it: %v, %v", paths(acts), err)
	}
}

// paths are what calls were, with their raw logs.
func paths(events []schemas.Event) (all []string) {
	for _, e := range events {
		all = append(all, fmt.Sprintf("%s %s %s", e.Call.Method, e.Call.Path, e.Raw))
	}
	slices.Sort(all)
	return all
}

func TestInventoryOverShards(t *testing.T) {
	db := clickhousetest.Migrated(t, clickhousetest.Shards(t, 2))
	s := clickhouse.NewInventoryStore(db)
	begin(t, s, 1)
	var items []schemas.InventoryItem
	for i := range 40 {
		items = append(items, inventoryItem(schemas.InventoryClients, fmt.Sprintf("c%02d", i), 1<<32|1))
	}
	saveInventory(t, s, 1, items...)
	for i := range items {
		items[i].Owner, items[i].Ver = "another", 1<<32|2
	}
	saveInventory(t, s, 1, items...)
	insertEvents(t, db, []schemas.Event{managementCall(1, "post", "/v2/clients", `{}`)})
	got, err := s.KnownInventory(t.Context(), "acme")
	if diff := cmp.Diff(items, got, cmpopts.SortSlices(func(a, b schemas.InventoryItem) bool { return a.ID < b.ID })); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if acts, err := s.InventoryActs(t.Context(), "acme", time.Time{}); len(acts) != 1 || err != nil {
		t.Errorf("%d acts, %v", len(acts), err)
	}
	reader := clickhouse.NewReader(db)
	who, err := reader.Identities(t.Context(), schemas.IdentityFilter{Tenant: "acme", Known: true, Facts: []schemas.Fact{{Name: schemas.FactOwner}, {Name: schemas.FactGrants, Not: true}}})
	if len(who) != 40 || err != nil {
		t.Errorf("%d identities, %v", len(who), err)
	}
	if of, _, err := reader.IdentityInventories(t.Context(), "acme", []string{"app:c00", "app:c39"}); len(of) != 2 || of["app:c39"].Owner != "another" || err != nil {
		t.Errorf("%+v, %v", of, err)
	}
	if changes, err := reader.InventoryChanges(t.Context(), schemas.InventoryChangeFilter{}); len(changes) != 0 || err != nil {
		t.Errorf("%+v, %v", changes, err)
	}
}

// A change whose item was not written, since its sync died, is none yet.
func TestChangesAreListedWhenTheirItemsHaveThem(t *testing.T) {
	db := clickhousetest.New(t)
	s, reader := clickhouse.NewInventoryStore(db), clickhouse.NewReader(db)
	begin(t, s, 1)
	item := inventoryItem(schemas.InventoryGrants, "g", 1<<32|1) // n is 2
	change := func(id string, n uint32, at time.Time) schemas.InventoryChange {
		return schemas.InventoryChange{
			Tenant: "acme", Kind: schemas.InventoryGrants, ID: id, N: n, Identity: "app:" + id, Name: "x", Act: schemas.InventoryChanged, Time: at, Found: noon(), Ver: 1<<32 | 1,
			Members: []schemas.MemberChange{{Name: "scopes", Before: []any{"a"}, After: []any{"a", "b"}}},
		}
	}
	first, second := change("g", 1, noon().Add(-time.Hour)), change("g", 2, noon().Add(-time.Minute))
	err := s.SaveInventory(t.Context(), 1, []schemas.InventoryChange{first, second, change("g", 3, noon()), change("new", 1, noon())}, []schemas.InventoryItem{item})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    schemas.InventoryChangeFilter
		want []schemas.InventoryChange
	}{
		{schemas.InventoryChangeFilter{}, []schemas.InventoryChange{second, first}},
		{schemas.InventoryChangeFilter{Tenant: "acme", Kind: schemas.InventoryGrants, Identity: "app:g", Act: schemas.InventoryChanged, From: noon().Add(-2 * time.Minute)}, []schemas.InventoryChange{second}},
		{schemas.InventoryChangeFilter{To: noon().Add(-30 * time.Minute)}, []schemas.InventoryChange{first}},
		{schemas.InventoryChangeFilter{Act: schemas.InventoryDeleted}, nil},
		{schemas.InventoryChangeFilter{After: &schemas.InventoryChangeCursor{Time: second.Time, Tenant: "acme", Kind: second.Kind, ID: "g", N: 2}}, []schemas.InventoryChange{first}},
	} {
		got, err := reader.InventoryChanges(t.Context(), c.f)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v (-want +got):\n%s", c.f, err, diff)
		}
	}
}
