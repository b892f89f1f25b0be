package query

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Store answers the questions of the API. internal/clickhouse has the one for
// ClickHouse. Reads see every insert that has returned. A log_id is never
// returned or counted twice, whatever was repeated. Methods may be called
// concurrently and end when ctx does. An error that wraps schemas.ErrNotFound
// means that the named thing is not there.
type Store interface {
	Events(ctx context.Context, f schemas.EventFilter) ([]schemas.Event, error)
	Event(ctx context.Context, tenant, logID string) (schemas.Event, error) // with Raw
	Token(ctx context.Context, tenant, jti string) (schemas.Token, error)
	Stats(ctx context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error)
	Usage(ctx context.Context, f schemas.UsageFilter) ([]schemas.UsageRow, error)
	Identities(ctx context.Context, f schemas.IdentityFilter) ([]schemas.IdentitySummary, error) // without names
	// Presence is what was seen of an identity, from the day of from to that of to.
	Presence(ctx context.Context, tenant, identity string, from, to time.Time) ([]schemas.Presence, error)
	// ClientNames are the last names of those clients that have one.
	ClientNames(ctx context.Context, tenant string, clients []string) (map[string]string, error)
	// Clock is the store's time, by which it says when something was stored.
	Clock(ctx context.Context) (time.Time, error)
	// Stored are the copies that were stored in [since, until) and that f lets
	// through, repeats too. A later call may find more: they are seen some time
	// after they were stored.
	Stored(ctx context.Context, f schemas.EventFilter, since, until time.Time) ([]schemas.Stored, error)
	// EventsStored are those of the logs of Stored in a range, as they are now,
	// that f lets through.
	EventsStored(ctx context.Context, f schemas.EventFilter, since, until time.Time, logs []uint64) ([]schemas.Event, error)
	// LogHash is what Stored calls a log.
	LogHash(tenant, logID string) uint64
	// DirtyHours is how many hours of a tenant, or of all, are not recounted yet.
	DirtyHours(ctx context.Context, tenant string, from, to time.Time) (int, error)
	// IdentityInventories are what the inventory has of those identities that it
	// knows, and their names.
	IdentityInventories(ctx context.Context, tenant string, identities []string) (map[string]schemas.IdentityInventory, map[string]string, error)
	// Warm are those of the identities of which enough was known, when the day of a
	// time began, to judge what is unusual for them.
	Warm(ctx context.Context, tenant string, identities []string, at time.Time) (map[string]bool, error)
	// CountWarm counts the applications that are warm.
	CountWarm(ctx context.Context, at time.Time) (schemas.WarmCount, error)
	// InventoryChanges lists what became of what tenants have, the newest first.
	InventoryChanges(ctx context.Context, f schemas.InventoryChangeFilter) ([]schemas.InventoryChange, error)
	// Inventory lists what tenants have of one kind.
	Inventory(ctx context.Context, f schemas.InventoryFilter) ([]schemas.InventoryItem, error)
	Findings(ctx context.Context, f schemas.FindingFilter) ([]schemas.Finding, error)
	Finding(ctx context.Context, id string) (schemas.Finding, error)
	// FindingHistory returns the changes that made f what it is, the first first.
	FindingHistory(ctx context.Context, f schemas.Finding) ([]schemas.FindingChange, error)
	Status(ctx context.Context) (schemas.StoreStatus, error)
	// Tables compares the tables with what this build makes.
	Tables(ctx context.Context) (schemas.TablesView, error)
}

// Pulls tells how far tenants have been followed through their Management APIs, by
// name. internal/nats keeps it.
type Pulls interface {
	All(ctx context.Context) (map[string]schemas.PullState, error)
}

// Backlog tells how much was accepted and is not yet stored. internal/nats has
// the one for JetStream.
type Backlog interface {
	Backlog(ctx context.Context) (schemas.Backlog, error)
}
