package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InventoryStore is what a sync of the inventory reads and writes. What it writes
// is dropped, without an error, where a later epoch has begun. Its reads see
// every insert that has returned. Its methods may be called concurrently.
type InventoryStore struct {
	*InventorySyncs
	db    *DB
	fence fence
}

// roleInventory is whose epochs fence a sync.
const roleInventory = "inventory"

// NewInventoryStore makes an InventoryStore of db, whose user must be allowed to
// read and insert. db stays the caller's to close.
func NewInventoryStore(db *DB) *InventoryStore {
	return &InventoryStore{NewInventorySyncs(db), db, fence{db, roleInventory}}
}

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *InventoryStore) LastEpoch(ctx context.Context) (uint64, error) {
	return s.fence.lastEpoch(ctx)
}

// BeginEpoch records that a holder of the lease begins, before it reads anything,
// and returns when nothing of an earlier holder can be written any more.
func (s *InventoryStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// Clock is the time of the store's server, by which events are stored.
func (s *InventoryStore) Clock(ctx context.Context) (time.Time, error) {
	return NewReader(s.db).Clock(ctx)
}

// SaveSync stores how far a sync is, of one epoch, Ver >> 32.
func (s *InventoryStore) SaveSync(ctx context.Context, sync schemas.InventorySync) error {
	return insertFenced(ctx, s.fence, sync.Ver>>32, "inventory_syncs", syncColumns(), syncPartition, []schemas.InventorySync{sync})
}

// KnownInventory is all that is known of a tenant, what is gone, too.
func (s *InventoryStore) KnownInventory(ctx context.Context, tenant string) ([]schemas.InventoryItem, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	return collect(ctx, s.db.conn, "read the inventory", w.query(selectInventory, "ORDER BY kind, id"), scanInventory)
}

// SaveInventory stores changes and then the items that they have made, of one
// epoch. After an error some may be stored; the same may be stored again.
func (s *InventoryStore) SaveInventory(ctx context.Context, epoch uint64, changes []schemas.InventoryChange, items []schemas.InventoryItem) error {
	for part := range slices.Chunk(changes, inventoryRows) {
		if err := insertFenced(ctx, s.fence, epoch, "inventory_changes", inventoryChangeColumns(), func(*schemas.InventoryChange) int64 { return 0 }, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(items, inventoryRows) {
		if err := insertFenced(ctx, s.fence, epoch, "inventory", inventoryColumns(), func(*schemas.InventoryItem) int64 { return 0 }, part); err != nil {
			return err
		}
	}
	return nil
}

// inventoryRows is how many rows are sent at once: they come before their
// statement, and stand in memory.
const inventoryRows = 10_000

// InventoryHint tells of calls that have written something of the inventory and
// were stored since a time of the store's clock, repeats too.
func (s *InventoryStore) InventoryHint(ctx context.Context, tenant string, since time.Time) (schemas.InventoryHint, error) {
	w := inventoryActs(tenant)
	w.and("stored_at >= "+milliseconds("since"), "since", since.UnixMilli())
	w.and("time >= "+milliseconds("from"), "from", since.Add(-actsLate).UnixMilli())
	q := w.query("SELECT count(), min(stored_at), max(stored_at) FROM events\n", "")
	hints, err := collect(ctx, s.db.conn, "look for changes of the inventory", q, func(scan scanner) (h schemas.InventoryHint, err error) {
		err = scan(&h.Count, &h.First, &h.Last)
		h.First, h.Last = h.First.UTC(), h.Last.UTC()
		return h, err
	})
	if err != nil || len(hints) == 0 {
		return schemas.InventoryHint{}, err
	}
	return hints[0], nil
}

const (
	actsLate = 48 * time.Hour // the lateness of a log that asks for a sync; one makes use of any
	maxActs  = 20_000         // that are read of a tenant, the newest: they are held at once, some KB each
)

// InventoryActs are the calls that have written something of the inventory and
// were stored since a time, or ever where it is zero, with their raw logs, the
// oldest first.
func (s *InventoryStore) InventoryActs(ctx context.Context, tenant string, since time.Time) ([]schemas.Event, error) {
	rows := newEventScan()
	events, err := collect(ctx, s.db.conn, "read changes of the inventory", actsQuery(tenant, since, s.db.edge("events")), func(scan scanner) (schemas.Event, error) {
		var cut string
		e, err := rows.row(scan, &cut)
		e.Raw = rebuildRaw(&e, []byte(cut))
		return e, err
	})
	slices.Reverse(events)
	return events, err
}

// actsQuery finds the keys of any copies first, as no key leads to a type; of
// those what survived is read.
func actsQuery(tenant string, since, edge time.Time) schemas.Query {
	keys := inventoryActs(tenant)
	outer := where{conditions: slices.Clone(keys.conditions), params: keys.params}
	if !since.IsZero() {
		keys.and("stored_at >= "+milliseconds("since"), "since", since.UnixMilli())
	}
	keys.since("time", edge)
	keys.param("limit", maxActs)
	return schemas.Query{
		SQL: "SELECT " + eventFields() + ", raw\nFROM events FINAL\nPREWHERE " + eventKey + " IN (\nSELECT tenant, client_id, time, log_id FROM events\n" + keys.clause() +
			"ORDER BY time DESC LIMIT {limit:UInt32}\n)\n" + outer.clause() + "ORDER BY time DESC, log_id" + withinPartitions,
		Params: keys.params,
	}
}

// inventoryActs narrows to what the tenant's logs tell of writes to what the
// inventory has. Of users, whom anything may write to all day, only calls that
// speak of programmatic ones, or of those that are known.
func inventoryActs(tenant string) where {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.conditions = append(w.conditions,
		"type = 'sapi'", "status BETWEEN 200 AND 299", "lower(method) IN ('post', 'put', 'patch', 'delete')",
		`(match(path, '^(/api)?/v2/(clients|client-grants|resource-servers|roles|log-streams)(/|$)')
    OR match(path, '^(/api)?/v2/users(/|$)') AND (position(raw, 'programmatic') > 0
        OR target IN (SELECT identity FROM inventory WHERE tenant = {tenant:String} AND kind = 'users')))`)
	return w
}

// MachineUsers are the ids of users who have acted as machines since a day, at
// most 1,000. What failed says nothing of whom it names: anyone may try.
func (s *InventoryStore) MachineUsers(ctx context.Context, tenant string, since time.Time) ([]string, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("day >= {since:Date}", "since", since.UTC().Format(time.DateOnly))
	w.conditions = append(w.conditions, "identity_kind = 'machine'", "startsWith(identity, 'user:')", "outcome != 'failure'", "count > 0")
	q := w.query("SELECT DISTINCT identity FROM counts_daily FINAL\n", "ORDER BY identity\nLIMIT 1000"+withinPartitions)
	ids, err := collect(ctx, s.db.conn, "look for users who are machines", q, scanOne[string])
	for i := range ids {
		ids[i] = strings.TrimPrefix(ids[i], schemas.UserID(""))
	}
	return ids, err
}

// noTime is how the columns say that there is none.
func noTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOrNone(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}

func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil { // structs of texts, numbers and lists always marshal
		panic(err)
	}
	return string(text)
}

func inventoryColumns() []column[schemas.InventoryItem] {
	type item = schemas.InventoryItem
	return []column[item]{
		{"tenant", func(i *item) any { return i.Tenant }},
		{"kind", func(i *item) any { return string(i.Kind) }},
		{"id", func(i *item) any { return i.ID }},
		{"identity", func(i *item) any { return i.Identity }},
		{"name", func(i *item) any { return i.Name }},
		{"type", func(i *item) any { return i.Type }},
		{"owner", func(i *item) any { return i.Owner }},
		{"purpose", func(i *item) any { return i.Purpose }},
		{"expires", func(i *item) any { return i.Expires }},
		{"members", func(i *item) any { return jsonText(i.Members) }},
		{"created_at", func(i *item) any { return noTime(i.Created) }},
		{"first_seen", func(i *item) any { return i.FirstSeen.UnixMilli() }},
		{"changed_at", func(i *item) any { return i.Changed.UnixMilli() }},
		{"deleted_at", func(i *item) any { return noTime(i.Deleted) }},
		{"n", func(i *item) any { return i.N }},
		{"ver", func(i *item) any { return i.Ver }},
	}
}

const selectInventory = `SELECT tenant, kind, id, identity, name, type, owner, purpose, expires, members, created_at, first_seen, changed_at, deleted_at, n, ver
FROM inventory FINAL
`

func scanInventory(scan scanner) (schemas.InventoryItem, error) {
	var (
		i             schemas.InventoryItem
		kind, members string
	)
	err := scan(&i.Tenant, &kind, &i.ID, &i.Identity, &i.Name, &i.Type, &i.Owner, &i.Purpose, &i.Expires, &members, &i.Created, &i.FirstSeen, &i.Changed, &i.Deleted, &i.N, &i.Ver)
	if err != nil {
		return i, err
	}
	i.Kind = schemas.InventoryKind(kind)
	i.Created, i.FirstSeen, i.Changed, i.Deleted = timeOrNone(i.Created), i.FirstSeen.UTC(), i.Changed.UTC(), timeOrNone(i.Deleted)
	if err := json.Unmarshal([]byte(members), &i.Members); err != nil {
		return i, fmt.Errorf("read the members of %s %s: %w", kind, clip(i.ID, maxErrorQuoted), err)
	}
	return i, nil
}

func inventoryChangeColumns() []column[schemas.InventoryChange] {
	type change = schemas.InventoryChange
	return []column[change]{
		{"tenant", func(c *change) any { return c.Tenant }},
		{"kind", func(c *change) any { return string(c.Kind) }},
		{"id", func(c *change) any { return c.ID }},
		{"n", func(c *change) any { return c.N }},
		{"identity", func(c *change) any { return c.Identity }},
		{"name", func(c *change) any { return c.Name }},
		{"act", func(c *change) any { return string(c.Act) }},
		{"members", func(c *change) any { return jsonText(c.Members) }},
		{"time", func(c *change) any { return c.Time.UnixMilli() }},
		{"found_at", func(c *change) any { return c.Found.UnixMilli() }},
		{"ver", func(c *change) any { return c.Ver }},
	}
}
