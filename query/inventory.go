package query

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Syncs is the table by which this stage asks the processor for syncs of the
// inventory. internal/clickhouse has the one for ClickHouse. Reads see every insert
// that has returned. An error that wraps schemas.ErrNotFound means that the named
// sync is not there.
type Syncs interface {
	AddSync(ctx context.Context, sync schemas.InventorySync) error
	Sync(ctx context.Context, id string) (schemas.InventorySync, error)
	// SyncList is the newest syncs of a tenant, or of all, the newest first.
	SyncList(ctx context.Context, tenant string, limit int) ([]schemas.InventorySync, error)
	// OpenSyncs are the syncs that are not over, the oldest first.
	OpenSyncs(ctx context.Context) ([]schemas.InventorySync, error)
}

type inventoryInput struct {
	Kind     string `path:"kind" enum:"clients,grants,apis,roles,users,credentials,streams"`
	Tenant   string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Identity string `query:"identity" maxLength:"512" doc:"Of this identity alone." example:"app:invoice-sync"`
	Name     string `query:"name" maxLength:"4096" doc:"This and owner take a value, several with commas between them, * for any characters, and ! before all of it; see list-events." example:"invoice-*"`
	Owner    string `query:"owner" maxLength:"4096" example:"billing"`
	Deleted  bool   `query:"deleted" doc:"Also what was deleted."`
	Page
}

type inventoryOutput struct {
	Next
	Body schemas.InventoryPage
}

type inventoryChangesInput struct {
	Tenant   string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Kind     string `query:"kind" enum:"clients,grants,apis,roles,users,credentials,streams"`
	Identity string `query:"identity" maxLength:"512" doc:"Of this identity alone, its grants and credentials among it." example:"app:invoice-sync"`
	Act      string `query:"act" enum:"added,changed,deleted"`
	Period
	Page
}

type inventoryChangesOutput struct {
	Next
	Body schemas.InventoryChangePage
}

type startSyncInput struct {
	Body schemas.InventorySyncRequest
}

type syncInput struct {
	ID string `path:"id" maxLength:"64" example:"k3v5q2m7x4a6b8cd"`
}

type syncOutput struct {
	Body schemas.InventorySync
}

type syncsInput struct {
	Tenant string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type syncsOutput struct {
	Body schemas.InventorySyncPage
}

func (a *API) registerInventory(api huma.API) {
	huma.Register(api, operation("list-inventory", "/inventory/{kind}", "List what tenants have",
		"What the last snapshot of each tenant saw, by id: applications, their grants and credentials, APIs, roles, programmatic users, log streams. No secrets.", http.StatusBadRequest), a.inventory)
	huma.Register(api, operation("list-inventory-changes", "/inventory/changes", "List what became of what tenants have",
		"Grants that were widened, secrets that were rotated, applications that were made or deleted: what snapshots found to be another than before, the newest first. The first snapshot of a kind is where its changes begin.", http.StatusBadRequest), a.inventoryChanges)
	start := operation("start-inventory-sync", "/inventory/syncs", "Read a tenant's inventory now",
		"Asks the processor to compare what a tenant has with what is stored. Asked for while one waits to be begun, it is that one.")
	start.Method, start.DefaultStatus = http.MethodPost, http.StatusAccepted
	huma.Register(api, start, a.startSync)
	huma.Register(api, operation("list-inventory-syncs", "/inventory/syncs", "List syncs of the inventory", "The newest first."), a.syncs)
	huma.Register(api, operation("get-inventory-sync", "/inventory/syncs/{id}", "Show one sync of the inventory",
		"How far it is.", http.StatusNotFound), a.sync)
}

func (a *API) inventory(ctx context.Context, in *inventoryInput) (*inventoryOutput, error) {
	f := schemas.InventoryFilter{Tenant: in.Tenant, Kind: schemas.InventoryKind(in.Kind), Identity: in.Identity, Deleted: in.Deleted, Limit: in.Limit}
	for _, text := range [][2]string{{"name", in.Name}, {"owner", in.Owner}} {
		c, some, err := schemas.ReadCondition(text[0], text[1])
		if err != nil {
			return nil, invalid(err.Error())
		}
		if some {
			f.Where = append(f.Where, c)
		}
	}
	var err error
	f.After, err = decodeCursor(in.Cursor, func(c schemas.InventoryCursor) bool { return c.ID != "" && schemas.CheckTenant(c.Tenant) == nil })
	if err != nil {
		return nil, err
	}
	items, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.InventoryItem, error) { return a.cfg.Store.Inventory(ctx, f) })
	if err != nil {
		return nil, err
	}
	page := schemas.InventoryPage{Items: items}
	if len(items) == f.Limit { // the next page may turn out empty
		last := &items[len(items)-1]
		page.Next = encodeCursor(schemas.InventoryCursor{Tenant: last.Tenant, ID: last.ID})
	}
	return &inventoryOutput{Next: in.next(page.Next), Body: page}, nil
}

func (a *API) inventoryChanges(ctx context.Context, in *inventoryChangesInput) (*inventoryChangesOutput, error) {
	f := schemas.InventoryChangeFilter{Tenant: in.Tenant, Kind: schemas.InventoryKind(in.Kind), Identity: in.Identity, Act: schemas.InventoryAct(in.Act), Limit: in.Limit}
	var err error
	if f.From, f.To, err = in.resolve(a.cfg.Now()); err != nil {
		return nil, err
	}
	f.After, err = decodeCursor(in.Cursor, func(c schemas.InventoryChangeCursor) bool {
		return c.ID != "" && schemas.CheckTenant(c.Tenant) == nil && inRange(c.Time)
	})
	if err != nil {
		return nil, err
	}
	changes, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.InventoryChange, error) {
		return a.cfg.Store.InventoryChanges(ctx, f)
	})
	if err != nil {
		return nil, err
	}
	page := schemas.InventoryChangePage{Changes: changes}
	if len(changes) == f.Limit { // the next page may turn out empty
		last := &changes[len(changes)-1]
		page.Next = encodeCursor(schemas.InventoryChangeCursor{Time: last.Time, Tenant: last.Tenant, Kind: last.Kind, ID: last.ID, N: last.N})
	}
	return &inventoryChangesOutput{Next: in.next(page.Next), Body: page}, nil
}

func (a *API) startSync(ctx context.Context, in *startSyncInput) (*syncOutput, error) {
	now := a.cfg.Now().UTC().Truncate(time.Millisecond)
	sync := schemas.InventorySync{
		ID: strings.ToLower(rand.Text()[:16]), Tenant: in.Body.Tenant, Reason: schemas.InventoryByRequest, State: schemas.InventoryPending,
		CreatedAt: now, UpdatedAt: now,
	}
	sync, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.InventorySync, error) {
		open, err := a.cfg.Syncs.OpenSyncs(ctx)
		if err != nil {
			return sync, err
		}
		for _, other := range open { // one that has begun may have read what is another now
			if other.Tenant == sync.Tenant && other.State == schemas.InventoryPending {
				return other, nil
			}
		}
		return sync, a.cfg.Syncs.AddSync(ctx, sync)
	})
	if err != nil {
		return nil, err
	}
	return &syncOutput{Body: sync}, nil
}

func (a *API) syncs(ctx context.Context, in *syncsInput) (*syncsOutput, error) {
	syncs, err := ask(ctx, a, "store", func(ctx context.Context) ([]schemas.InventorySync, error) {
		return a.cfg.Syncs.SyncList(ctx, in.Tenant, in.Limit)
	})
	if err != nil {
		return nil, err
	}
	return &syncsOutput{Body: schemas.InventorySyncPage{Syncs: syncs}}, nil
}

func (a *API) sync(ctx context.Context, in *syncInput) (*syncOutput, error) {
	sync, err := ask(ctx, a, "store", func(ctx context.Context) (schemas.InventorySync, error) { return a.cfg.Syncs.Sync(ctx, in.ID) })
	if err != nil {
		return nil, named(err, fmt.Sprintf("No sync has the id %s.", in.ID))
	}
	return &syncOutput{Body: sync}, nil
}
