package inventory_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/inventory"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	first  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	second = first.Add(time.Hour)
)

func grant(id string, scopes ...string) schemas.InventoryItem {
	return schemas.InventoryItem{
		Tenant: "acme", Kind: schemas.InventoryGrants, ID: id, Identity: "app:sync", Name: "https://api",
		Members: schemas.InventoryMembers{ClientID: "sync", Audience: "https://api", Scopes: scopes, Subject: "client"},
	}
}

func seen(item schemas.InventoryItem, n uint32) schemas.InventoryItem {
	item.FirstSeen, item.Changed, item.N = first, first, n
	return item
}

func write(method, path, raw string, at time.Time) schemas.Event {
	e := schemas.Event{Tenant: "acme", Type: "sapi", Time: at, Raw: []byte(raw)}
	e.Call.Method, e.Call.Path, e.Call.Status = method, path, 200
	return e
}

func change(item schemas.InventoryItem, n uint32, act schemas.InventoryAct, at time.Time, members ...schemas.MemberChange) schemas.InventoryChange {
	return schemas.InventoryChange{
		Tenant: "acme", Kind: item.Kind, ID: item.ID, N: n, Identity: item.Identity, Name: item.Name, Act: act, Members: members, Time: at, Found: second,
	}
}

func TestWhatIsThereAtFirstWasNotAdded(t *testing.T) {
	d := inventory.Compare(inventory.Comparison{Read: []schemas.InventoryItem{grant("g", "a")}, At: first, First: true})
	if diff := cmp.Diff(inventory.Difference{Items: []schemas.InventoryItem{seen(grant("g", "a"), 0)}}, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsTheSameIsNotWritten(t *testing.T) {
	d := inventory.Compare(inventory.Comparison{Known: []schemas.InventoryItem{seen(grant("g", "a", "b"), 3)}, Read: []schemas.InventoryItem{grant("g", "a", "b")}, At: second})
	if diff := cmp.Diff(inventory.Difference{}, d); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEachChangeIsFoundOnce(t *testing.T) {
	asked := second.Add(-time.Minute)
	acts := inventory.ReadActs([]schemas.Event{
		write("patch", "/api/v2/client-grants/widened", "{}", asked),
		write("post", "/v2/client-grants", `{"data":{"details":{"response":{"body":{"id":"new","client_id":"sync"}}}}}`, asked),
		write("delete", "/api/v2/client-grants/gone", "{}", asked),
	})
	d := inventory.Compare(inventory.Comparison{
		Known: []schemas.InventoryItem{seen(grant("widened", "a"), 2), seen(grant("gone", "a"), 0), seen(grant("lost", "a"), 0)},
		Read:  []schemas.InventoryItem{grant("widened", "a", "b"), grant("new", "a"), grant("quiet", "a")},
		Acts:  acts, At: second,
	})
	want := []schemas.InventoryChange{
		change(grant("widened"), 3, schemas.InventoryChanged, asked, schemas.MemberChange{Name: "scopes", Before: []any{"a"}, After: []any{"a", "b"}}),
		change(grant("new"), 1, schemas.InventoryAdded, asked),
		change(grant("quiet"), 1, schemas.InventoryAdded, second),
		change(grant("gone"), 1, schemas.InventoryDeleted, asked),
		change(grant("lost"), 1, schemas.InventoryDeleted, second),
	}
	if diff := cmp.Diff(want, d.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	made := grant("new", "a")
	made.FirstSeen, made.Changed, made.Created, made.N = second, second, asked, 1
	gone := seen(grant("gone", "a"), 1)
	gone.Changed, gone.Deleted = second, asked
	for id, want := range map[string]schemas.InventoryItem{"new": made, "gone": gone} {
		if diff := cmp.Diff(&want, find(d.Items, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	known := append([]schemas.InventoryItem{}, d.Items...)
	again := inventory.Compare(inventory.Comparison{
		Known: known, Read: []schemas.InventoryItem{grant("widened", "a", "b"), grant("new", "a"), grant("quiet", "a")}, Acts: acts, At: second.Add(time.Hour),
	})
	if len(again.Changes)+len(again.Items) > 0 {
		t.Errorf("once more: %+v", again)
	}
}

func TestARotatedSecretIsAChange(t *testing.T) {
	client := schemas.InventoryItem{Tenant: "acme", Kind: schemas.InventoryClients, ID: "sync", Identity: "app:sync"}
	rotated := second.Add(-time.Minute)
	for _, e := range []schemas.Event{
		write("post", "/api/v2/clients/sync/rotate-secret", "{}", rotated),
		write("patch", "/api/v2/clients/sync", `{"details":{"request":{"body":{"client_secret":"***"}}}}`, rotated),
	} {
		d := inventory.Compare(inventory.Comparison{Known: []schemas.InventoryItem{seen(client, 0)}, Read: []schemas.InventoryItem{client}, Acts: inventory.ReadActs([]schemas.Event{e}), At: second})
		want := []schemas.InventoryChange{change(client, 1, schemas.InventoryChanged, rotated, schemas.MemberChange{Name: "secret_rotated", After: "2026-03-01T12:59:00Z"})}
		if diff := cmp.Diff(want, d.Changes); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", e.Call.Method, e.Call.Path, diff)
		}
		later := inventory.Compare(inventory.Comparison{Known: d.Items, Read: []schemas.InventoryItem{client}, At: second.Add(time.Hour)})
		if len(later.Items) > 0 {
			t.Errorf("a snapshot forgets it: %+v", later)
		}
	}
}

func TestWhatComesBackGoesOnCounting(t *testing.T) {
	gone := seen(grant("g", "a"), 4)
	gone.Deleted = first
	d := inventory.Compare(inventory.Comparison{Known: []schemas.InventoryItem{gone}, Read: []schemas.InventoryItem{grant("g", "a")}, At: second})
	if diff := cmp.Diff([]schemas.InventoryChange{change(grant("g"), 5, schemas.InventoryAdded, second)}, d.Changes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(d.Items) != 1 || d.Items[0].Gone() || !d.Items[0].FirstSeen.Equal(first) {
		t.Errorf("items: %+v", d.Items)
	}
}

// An act that failed, is a read, or is of another resource tells nothing.
func TestOnlyWritesThatWereDoneAreActs(t *testing.T) {
	refused := write("delete", "/api/v2/clients/sync", "{}", first)
	refused.Call.Status = 403
	acts := inventory.ReadActs([]schemas.Event{
		refused, write("delete", "/api/v2/attack-protection/x", "{}", first), write("delete", "/dashboard/clients/sync", "{}", first), write("post", "/api/v2/clients", "not JSON", first),
	})
	if len(acts) > 0 {
		t.Errorf("acts: %+v", acts)
	}
}
