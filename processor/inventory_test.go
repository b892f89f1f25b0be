package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/inventory"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// management is a tenant's Management API, by path: a list for each collection.
type management struct {
	mu    sync.Mutex
	docs  map[string][]map[string]any // by collection
	cut   map[string]int              // after how many elements a listing ends with an error
	reads int
}

func newManagement() *management {
	return &management{docs: map[string][]map[string]any{}, cut: map[string]int{}}
}

func (m *management) put(collection string, docs ...map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.docs[collection] = docs
}

func (m *management) Get(_ context.Context, path []string, _ url.Values) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if path[0] == "log-streams" && len(path) == 1 {
		m.reads++
		return json.Marshal(m.docs["log-streams"])
	}
	for _, doc := range m.docs[path[0]] {
		for _, name := range []string{"id", "client_id", "user_id"} {
			if doc[name] == path[1] {
				return json.Marshal(doc)
			}
		}
	}
	return nil, inventory.ErrNotFound
}

func (m *management) List(_ context.Context, path []string, _ string, _ url.Values) iter.Seq2[json.RawMessage, error] {
	m.mu.Lock()
	docs, cut, isCut := m.docs[strings.Join(path, "/")], m.cut[path[0]], m.cut[path[0]] > 0
	m.mu.Unlock()
	return func(yield func(json.RawMessage, error) bool) {
		for i, doc := range docs {
			if isCut && i == cut {
				yield(nil, errors.New("the connection was lost"))
				return
			}
			raw, err := json.Marshal(doc)
			if !yield(raw, err) {
				return
			}
		}
	}
}

func (m *management) ListFrom(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return m.List(ctx, path, key, query)
}

func clientDoc(id, owner string) map[string]any {
	return map[string]any{"client_id": id, "name": "Name of " + id, "client_secret": "s3cret-of-" + id, "client_metadata": map[string]any{"owner": owner}}
}

// inventories is a store with what syncs it.
type inventories struct {
	t     *testing.T
	db    *clickhouse.DB
	store *clickhouse.InventoryStore
	api   *management
}

func newInventories(t *testing.T) *inventories {
	t.Helper()
	db := clickhousetest.New(t)
	return &inventories{t, db, clickhouse.NewInventoryStore(db), newManagement()}
}

// run runs an inventory until done says so.
func (b *inventories) run(c processor.InventoryConfig, done func() bool) {
	b.t.Helper()
	if c.Store == nil {
		c.Store = b.store
	}
	if c.Tenants == nil {
		c.Tenants = func() []processor.InventoryTenant {
			return []processor.InventoryTenant{{Name: "acme", API: b.api, Every: time.Hour}}
		}
	}
	if c.Lease == nil {
		c.Lease = everybodysLease{}
	}
	c.Interval = 5 * time.Millisecond
	i, err := processor.NewInventory(c)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	b.eventually(done)
	cancel()
	if err := <-ended; err != nil {
		b.t.Fatal(err)
	}
}

func (b *inventories) eventually(done func() bool) {
	b.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); !done(); {
		select {
		case <-limit:
			b.t.Fatal("not within a minute")
		case <-tick.C:
		}
	}
}

// ask has a sync made, and returns it.
func (b *inventories) ask(c processor.InventoryConfig) schemas.InventorySync {
	b.t.Helper()
	now, err := b.store.Clock(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	sync := schemas.InventorySync{ID: processor.NewSyncID(), Tenant: "acme", Reason: schemas.InventoryByRequest, State: schemas.InventoryPending, CreatedAt: now, UpdatedAt: now}
	if err := b.store.AddSync(b.t.Context(), sync); err != nil {
		b.t.Fatal(err)
	}
	b.run(c, func() bool {
		got, err := b.store.Sync(b.t.Context(), sync.ID)
		if err == nil && got.Over() {
			sync = got
		}
		return got.Over()
	})
	return sync
}

// there are the ids of a kind that are not gone.
func (b *inventories) there(kind schemas.InventoryKind) []string {
	b.t.Helper()
	items, err := b.store.KnownInventory(b.t.Context(), "acme")
	if err != nil {
		b.t.Fatal(err)
	}
	var ids []string
	for _, item := range items {
		if item.Kind == kind && !item.Gone() {
			ids = append(ids, item.ID)
		}
	}
	return ids
}

// changes are the rows of the changes, as text.
func (b *inventories) changes() []string {
	b.t.Helper()
	rows, err := (&again{bench: &bench{t: b.t}, db: b.db}).conn().Query(b.t.Context(), "SELECT concat(kind, ' ', id, ' ', toString(n), ' ', act, ' ', members) FROM inventory_changes FINAL ORDER BY tenant, kind, id, n")
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			b.t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

func TestASyncFindsWhatIsAnotherThanBefore(t *testing.T) {
	b := newInventories(t)
	b.api.put("clients", clientDoc("a", "ops"), clientDoc("b", "ops"))
	b.api.put("client-grants", map[string]any{"id": "g", "client_id": "a", "audience": "https://api", "scope": []string{"read"}})
	if sync := b.ask(processor.InventoryConfig{}); sync.State != schemas.InventoryDone || len(sync.Kinds) != 7 || sync.Kinds[0].Items != 2 || sync.Kinds[0].Added != 0 {
		t.Fatalf("%+v", sync)
	}
	b.api.put("clients", clientDoc("a", "billing"), clientDoc("c", "ops"))
	b.api.put("client-grants", map[string]any{"id": "g", "client_id": "a", "audience": "https://api", "scope": []string{"write", "read"}})
	b.api.put("log-streams", map[string]any{"id": "l", "name": "stream", "status": "paused"})
	sync := b.ask(processor.InventoryConfig{})
	if k := sync.Kinds[0]; k.Added != 1 || k.Changed != 1 || k.Deleted != 1 {
		t.Errorf("clients: %+v", k)
	}
	want := []string{
		`clients a 1 changed [{"name":"owner","before":"ops","after":"billing"}]`,
		`clients b 1 deleted null`,
		`clients c 1 added null`,
		`grants g 1 changed [{"name":"scopes","before":["read"],"after":["read","write"]}]`,
		`streams l 1 added null`,
	}
	if diff := cmp.Diff(want, b.changes()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	b.ask(processor.InventoryConfig{})
	if diff := cmp.Diff(want, b.changes()); diff != "" {
		t.Errorf("once more (-want +got):\n%s", diff)
	}
	if n := secretsIn(t, b.db); n > 0 {
		t.Errorf("%d rows have a secret", n)
	}
}

// secretsIn counts the rows of all tables that have a secret of clientDoc.
func secretsIn(t *testing.T, db *clickhouse.DB) (n uint64) {
	t.Helper()
	for _, table := range []string{"inventory", "inventory_changes", "inventory_syncs"} {
		var found uint64
		if err := (&again{bench: &bench{t: t}, db: db}).conn().QueryRow(t.Context(), "SELECT countIf(position(toString(tuple(*)), 's3cret') > 0) FROM "+table).Scan(&found); err != nil {
			t.Fatal(err)
		}
		n += found
	}
	return n
}

func TestAListingThatIsCutDeletesNothing(t *testing.T) {
	b := newInventories(t)
	b.api.put("clients", clientDoc("a", ""), clientDoc("b", ""), clientDoc("c", ""))
	b.api.put("roles", map[string]any{"id": "r", "name": "robot"})
	b.ask(processor.InventoryConfig{})
	b.api.put("clients", clientDoc("a", "new owner"), clientDoc("d", ""), clientDoc("e", ""))
	b.api.put("roles")
	b.api.cut["clients"] = 2
	sync := b.ask(processor.InventoryConfig{})
	if sync.State != schemas.InventoryFailed || sync.Kinds[0].Whole || !strings.Contains(sync.Error, "the connection was lost") {
		t.Errorf("%+v", sync)
	}
	if got := b.there(schemas.InventoryClients); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("clients are %q", got)
	}
	if got := b.there(schemas.InventoryRoles); len(got) != 0 {
		t.Errorf("roles are %q, of which the listing was whole", got)
	}
	b.api.cut["clients"] = 0
	b.ask(processor.InventoryConfig{})
	if got := b.there(schemas.InventoryClients); !slices.Equal(got, []string{"a", "d", "e"}) {
		t.Errorf("clients are %q", got)
	}
}

// TestACrashOnAnyStepLosesNoChange ends a sync behind each of its steps; the next
// holder makes it anew, and what it finds is there once.
func TestACrashOnAnyStepLosesNoChange(t *testing.T) {
	for _, at := range []string{"began", "read", "stored"} {
		b := newInventories(t)
		b.api.put("clients", clientDoc("a", "ops"))
		b.ask(processor.InventoryConfig{})
		b.api.put("clients", clientDoc("a", "billing"), clientDoc("b", "ops"))
		lease := &breakable{}
		crashed := false
		sync := b.ask(processor.InventoryConfig{Lease: lease, At: func(point string) {
			if point == at && !crashed {
				crashed = true
				lease.end()
			}
		}})
		want := []string{`clients a 1 changed [{"name":"owner","before":"ops","after":"billing"}]`, `clients b 1 added null`}
		if diff := cmp.Diff(want, b.changes()); diff != "" || sync.State != schemas.InventoryDone || !crashed {
			t.Errorf("%s: %s, crashed %t (-want +got):\n%s", at, sync.State, crashed, diff)
		}
	}
}

// breakable is a lease whose holder can be ended at any moment, and is the next.
type breakable struct{ end context.CancelFunc }

func (l *breakable) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	held, cancel := context.WithCancel(ctx)
	l.end = cancel
	return held, atLeast + 1, cancel, nil
}

// TestAStalledHoldersSnapshotLoses stops a holder when it has read, lets another
// make a later snapshot, and wakes it up.
func TestAStalledHoldersSnapshotLoses(t *testing.T) {
	b := newInventories(t)
	b.api.put("clients", clientDoc("a", "old owner"), clientDoc("only then", ""))
	stalled, wake := make(chan struct{}), make(chan struct{})
	i, err := processor.NewInventory(processor.InventoryConfig{
		Store: b.store, Lease: everybodysLease{}, Interval: time.Hour,
		Tenants: func() []processor.InventoryTenant {
			return []processor.InventoryTenant{{Name: "acme", API: b.api, Every: time.Hour}}
		},
		At: func(point string) {
			if point == "read" && stalled != nil {
				close(stalled)
				stalled = nil
				<-wake
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, isStalled := make(chan error, 1), stalled
	go func() { ended <- i.Run(ctx) }()
	<-isStalled
	b.api.put("clients", clientDoc("a", "new owner"))
	b.ask(processor.InventoryConfig{})
	close(wake)
	// The stalled one goes on through all kinds, and what it sends is dropped.
	b.eventually(func() bool { b.api.mu.Lock(); defer b.api.mu.Unlock(); return b.api.reads >= 2 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	items, err := b.store.KnownInventory(t.Context(), "acme")
	if err != nil || len(items) != 1 || items[0].Owner != "new owner" {
		t.Errorf("%v, %+v", err, items)
	}
}

func TestATenantThatCannotBeAskedIsTold(t *testing.T) {
	b := newInventories(t)
	sync := b.ask(processor.InventoryConfig{Tenants: func() []processor.InventoryTenant { return nil }})
	if sync.State != schemas.InventoryFailed || !strings.Contains(sync.Error, "tenants[].domain") {
		t.Errorf("%+v", sync)
	}
}

func TestLogsThatTellOfChangesAskForASync(t *testing.T) {
	b := newInventories(t)
	b.api.put("clients", clientDoc("a", ""))
	b.ask(processor.InventoryConfig{})
	b.api.put("clients", clientDoc("a", "billing"))
	now, err := b.store.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := schemas.Event{Tenant: "acme", LogID: "1", Time: now.Truncate(time.Millisecond), Type: "sapi", Source: schemas.SourceStream, IngestedAt: now, Raw: []byte(`{}`)}
	e.Call = schemas.Call{Method: "patch", Path: "/api/v2/clients/a", Status: 200}
	if err := clickhouse.NewWriter(b.db).InsertEvents(t.Context(), []schemas.Event{e}); err != nil {
		t.Fatal(err)
	}
	quick := processor.InventoryConfig{Quiet: time.Nanosecond, Gap: time.Nanosecond}
	b.run(quick, func() bool {
		syncs, err := b.store.SyncList(t.Context(), "acme", 1)
		return err == nil && len(syncs) == 1 && syncs[0].Reason == schemas.InventoryByEvents && syncs[0].Over()
	})
	// What has led to a sync leads to no other.
	var looks atomic.Int32
	quick.Tenants = func() []processor.InventoryTenant {
		looks.Add(1)
		return []processor.InventoryTenant{{Name: "acme", API: b.api, Every: time.Hour}}
	}
	b.run(quick, func() bool { return looks.Load() > 5 })
	if syncs, err := b.store.SyncList(t.Context(), "acme", 10); len(syncs) != 2 || err != nil {
		t.Errorf("%d syncs, %v: %+v", len(syncs), err, syncs)
	}
}
