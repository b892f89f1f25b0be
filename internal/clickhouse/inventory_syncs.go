package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InventorySyncs is the table by which the API asks for syncs of the inventory and
// tells of them. Its reads see every insert that has returned. Its methods may be
// called concurrently.
type InventorySyncs struct {
	db *DB
}

// NewInventorySyncs makes an InventorySyncs of db, whose user must be allowed to
// read and insert. db stays the caller's to close.
func NewInventorySyncs(db *DB) *InventorySyncs { return &InventorySyncs{db} }

// AddSync stores a sync that is asked for.
func (s *InventorySyncs) AddSync(ctx context.Context, sync schemas.InventorySync) error {
	return insert(ctx, s.db, "inventory_syncs", syncColumns(), syncPartition, []schemas.InventorySync{sync})
}

// Sync is one of them.
func (s *InventorySyncs) Sync(ctx context.Context, id string) (schemas.InventorySync, error) {
	w := where{}
	w.and("id = {id:String}", "id", id)
	syncs, err := collect(ctx, s.db.conn, "read a sync", w.query(selectSyncs, ""), scanSync)
	switch {
	case err != nil:
		return schemas.InventorySync{}, err
	case len(syncs) == 0:
		return schemas.InventorySync{}, fmt.Errorf("sync %s: %w", clip(id, maxErrorQuoted), schemas.ErrNotFound)
	}
	return syncs[0], nil
}

// SyncList is up to limit syncs, the newest first, of a tenant or of all.
func (s *InventorySyncs) SyncList(ctx context.Context, tenant string, limit int) ([]schemas.InventorySync, error) {
	w := where{}
	w.equal("tenant", tenant)
	w.since("created_at", s.db.edge("inventory_syncs"))
	w.param("limit", listingLimit(limit))
	return collect(ctx, s.db.conn, "list syncs", w.query(selectSyncs, "ORDER BY created_at DESC, id\nLIMIT {limit:UInt32}"), scanSync)
}

// OpenSyncs are those that are not over, the oldest first.
func (s *InventorySyncs) OpenSyncs(ctx context.Context) ([]schemas.InventorySync, error) {
	q := schemas.Query{SQL: selectSyncs + "WHERE state IN ('" + string(schemas.InventoryPending) + "', '" + string(schemas.InventoryRunning) + "')\nORDER BY created_at, id\nLIMIT 1000"}
	return collect(ctx, s.db.conn, "look for syncs", q, scanSync)
}

// WholeKinds are the kinds of which a snapshot of a tenant was whole.
func (s *InventorySyncs) WholeKinds(ctx context.Context, tenant string) ([]schemas.InventoryKind, error) {
	q := schemas.Query{
		SQL:    "SELECT DISTINCT toString(arrayJoin(whole)) FROM inventory_syncs FINAL WHERE tenant = {tenant:String}",
		Params: map[string]any{"tenant": tenant},
	}
	return collect(ctx, s.db.conn, "look for whole snapshots", q, func(scan scanner) (schemas.InventoryKind, error) {
		var kind string
		err := scan(&kind)
		return schemas.InventoryKind(kind), err
	})
}

func syncPartition(s *schemas.InventorySync) int64 { return monthOf(s.CreatedAt) }

func syncColumns() []column[schemas.InventorySync] {
	type sync = schemas.InventorySync
	return []column[sync]{
		{"id", func(s *sync) any { return s.ID }},
		{"tenant", func(s *sync) any { return s.Tenant }},
		{"reason", func(s *sync) any { return string(s.Reason) }},
		{"state", func(s *sync) any { return string(s.State) }},
		{"kinds", func(s *sync) any { return jsonText(s.Kinds) }},
		{"whole", func(s *sync) any { return wholeKinds(s) }},
		{"error", func(s *sync) any { return s.Error }},
		{"created_at", func(s *sync) any { return s.CreatedAt.UnixMilli() }},
		{"began_at", func(s *sync) any { return noTime(s.BeganAt) }},
		{"updated_at", func(s *sync) any { return s.UpdatedAt.UnixMilli() }},
		{"ver", func(s *sync) any { return s.Ver }},
	}
}

func wholeKinds(s *schemas.InventorySync) []string {
	whole := []string{}
	for _, k := range s.Kinds {
		if k.Whole {
			whole = append(whole, string(k.Kind))
		}
	}
	return whole
}

const selectSyncs = `SELECT id, tenant, reason, state, kinds, error, created_at, began_at, updated_at, ver
FROM inventory_syncs FINAL
`

func scanSync(scan scanner) (schemas.InventorySync, error) {
	var (
		s                    schemas.InventorySync
		reason, state, kinds string
	)
	if err := scan(&s.ID, &s.Tenant, &reason, &state, &kinds, &s.Error, &s.CreatedAt, &s.BeganAt, &s.UpdatedAt, &s.Ver); err != nil {
		return s, err
	}
	s.Reason, s.State = schemas.InventoryReason(reason), schemas.InventoryState(state)
	s.CreatedAt, s.BeganAt, s.UpdatedAt = s.CreatedAt.UTC(), timeOrNone(s.BeganAt), s.UpdatedAt.UTC()
	if err := json.Unmarshal([]byte(kinds), &s.Kinds); err != nil {
		return s, fmt.Errorf("read the kinds of sync %s: %w", s.ID, err)
	}
	return s, nil
}
