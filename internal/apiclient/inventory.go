package apiclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InventoryPath is that of listings, for CSV: a kind follows.
const InventoryPath = "/v1/inventory/"

const syncsPath = InventoryPath + "syncs"

// InventoryQuery narrows a listing of one kind; what is empty does not. Name and
// Owner have conditions in the words of schemas.ReadCondition.
type InventoryQuery struct {
	Kind             schemas.InventoryKind
	Tenant, Identity string
	Name, Owner      string
	Deleted          bool // also what was deleted
	Limit            int
	Cursor           string
}

// Values are the parameters of the question.
func (q InventoryQuery) Values() url.Values {
	deleted := ""
	if q.Deleted {
		deleted = "true"
	}
	return setParams("tenant", q.Tenant, "identity", q.Identity, "name", q.Name, "owner", q.Owner, "deleted", deleted, "limit", number(q.Limit), "cursor", q.Cursor)
}

// Inventory lists what tenants have of one kind.
func (c *Client) Inventory(ctx context.Context, q InventoryQuery) (schemas.InventoryPage, error) {
	var page schemas.InventoryPage
	err := c.get(ctx, InventoryPath+url.PathEscape(string(q.Kind)), q.Values(), &page)
	return page, err
}

// InventoryChangesPath is that of the listing, for CSV.
const InventoryChangesPath = InventoryPath + "changes"

// InventoryChangeQuery narrows a listing of changes; what is empty does not. From
// and To are in the forms of EventQuery.
type InventoryChangeQuery struct {
	Tenant, Kind, Identity, Act string
	From, To                    string
	Limit                       int
	Cursor                      string
}

// Values are the parameters of the question.
func (q InventoryChangeQuery) Values() url.Values {
	return setParams("tenant", q.Tenant, "kind", q.Kind, "identity", q.Identity, "act", q.Act, "from", q.From, "to", q.To, "limit", number(q.Limit), "cursor", q.Cursor)
}

// InventoryChanges lists what became of what tenants have, the newest first.
func (c *Client) InventoryChanges(ctx context.Context, q InventoryChangeQuery) (schemas.InventoryChangePage, error) {
	var page schemas.InventoryChangePage
	err := c.get(ctx, InventoryChangesPath, q.Values(), &page)
	return page, err
}

// StartInventorySync asks for a sync of a tenant's inventory. While one waits to be
// begun, it is that one.
func (c *Client) StartInventorySync(ctx context.Context, tenant string) (schemas.InventorySync, error) {
	var sync schemas.InventorySync
	body, err := json.Marshal(schemas.InventorySyncRequest{Tenant: tenant})
	if err != nil {
		return sync, fmt.Errorf("write the request: %w", err)
	}
	b, err := c.do(ctx, http.MethodPost, syncsPath, "application/json", bytes.NewReader(body))
	if err != nil {
		return sync, err
	}
	return sync, decode(b, &sync)
}

// InventorySync is how far a sync is.
func (c *Client) InventorySync(ctx context.Context, id string) (schemas.InventorySync, error) {
	var sync schemas.InventorySync
	err := c.get(ctx, syncsPath+"/"+url.PathEscape(id), nil, &sync)
	return sync, err
}
