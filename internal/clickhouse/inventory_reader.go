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

// Inventory lists what tenants have of one kind, by id.
func (r *Reader) Inventory(ctx context.Context, f schemas.InventoryFilter) ([]schemas.InventoryItem, error) {
	return collect(ctx, r.conn, "list the inventory", inventoryQuery(f), scanInventory)
}

func inventoryQuery(f schemas.InventoryFilter) schemas.Query {
	w := where{}
	w.equal("tenant", f.Tenant)
	w.equal("kind", string(f.Kind))
	w.equal("identity", f.Identity)
	for _, c := range f.Where {
		w.conditionOn(inventoryFilterColumns[c.Field], "filter_"+c.Field, c)
	}
	if !f.Deleted {
		w.conditions = append(w.conditions, thereNow)
	}
	if f.After != nil {
		w.and("(tenant, id) > ({after_tenant:String}, {after_id:String})", "after_tenant", f.After.Tenant)
		w.param("after_id", f.After.ID)
	}
	w.param("limit", listingLimit(f.Limit))
	return w.query(selectInventory, "ORDER BY tenant, id\nLIMIT {limit:UInt32}")
}

// thereNow keeps what was not deleted.
const thereNow = "toUnixTimestamp64Milli(deleted_at) = 0"

// inventoryFilterColumns are what a listing of the inventory is narrowed by; see
// filterColumns.
var inventoryFilterColumns = map[string]string{"name": "name", "owner": "owner"}

// IdentityInventories are what the inventory has of identities of a tenant, of
// those that it knows, and their names.
func (r *Reader) IdentityInventories(ctx context.Context, tenant string, identities []string) (map[string]schemas.IdentityInventory, map[string]string, error) {
	if len(identities) == 0 {
		return nil, nil, nil
	}
	params := map[string]any{"tenant": tenant, "identities": identities}
	items, err := collect(ctx, r.conn, "read the inventory of identities", schemas.Query{
		SQL:    selectInventory + "WHERE tenant = {tenant:String} AND (identity IN {identities:Array(String)} OR kind = 'apis')\nORDER BY kind, id",
		Params: params,
	}, scanInventory)
	if err != nil {
		return nil, nil, err
	}
	whole, err := (&InventorySyncs{r.db}).WholeKinds(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	inventories, names := gatherInventories(items, slices.Contains(whole, schemas.InventoryGrants))
	type success struct{ identity, day string }
	last, err := collect(ctx, r.conn, "read when identities last succeeded", schemas.Query{
		SQL: "SELECT identity, toString(max(last)) FROM successes FINAL\nWHERE tenant = {tenant:String} AND identity IN {identities:Array(String)} AND last > '1970-01-01'\nGROUP BY identity" +
			withinPartitions,
		Params: params,
	}, func(scan scanner) (s success, err error) {
		err = scan(&s.identity, &s.day)
		return s, err
	})
	for _, s := range last {
		if i, ok := inventories[s.identity]; ok {
			i.LastSuccess = s.day
			inventories[s.identity] = i
		}
	}
	return inventories, names, err
}

// gatherInventories puts together what belongs to an identity. Whether one has no
// grants is known where a snapshot of grants was whole.
func gatherInventories(items []schemas.InventoryItem, grantsKnown bool) (map[string]schemas.IdentityInventory, map[string]string) {
	lifetimes := map[string]int64{}
	all, names := map[string]schemas.IdentityInventory{}, map[string]string{}
	for i := range items {
		item := &items[i]
		switch item.Kind {
		case schemas.InventoryAPIs:
			if !item.Gone() {
				lifetimes[item.Members.Audience] = item.Members.TokenLifetime
			}
		case schemas.InventoryClients, schemas.InventoryUsers:
			all[item.Identity], names[item.Identity] = identityInventory(item), item.Name
		}
	}
	for i := range items {
		item := &items[i]
		of, ok := all[item.Identity]
		if !ok || item.Gone() {
			continue
		}
		m := &item.Members
		switch item.Kind {
		case schemas.InventoryGrants:
			of.Grants = append(of.Grants, schemas.IdentityGrant{ID: item.ID, Audience: m.Audience, Scopes: m.Scopes, AllScopes: m.AllScopes, TokenLifetime: lifetimes[m.Audience]})
		case schemas.InventoryCredentials:
			of.Credentials = append(of.Credentials, schemas.IdentityCredential{ID: item.ID, Name: item.Name, Type: item.Type, KeyID: m.KeyID, Created: item.Created, Expires: item.Expires})
		}
		all[item.Identity] = of
	}
	for id, of := range all {
		if strings.HasPrefix(id, schemas.AppID("")) && of.Programmatic { // others sign people in, and need no grant
			of.Disabled = grantsKnown && len(of.Grants) == 0
			all[id] = of
		}
	}
	return all, names
}

func identityInventory(item *schemas.InventoryItem) schemas.IdentityInventory {
	m := &item.Members
	return schemas.IdentityInventory{
		Type: item.Type, Owner: item.Owner, Purpose: item.Purpose, Expires: item.Expires, Created: item.Created, Deleted: item.Deleted,
		Disabled: m.Blocked, Programmatic: m.Programmatic || slices.Contains(m.GrantTypes, "client_credentials"),
		AuthMethod: m.AuthMethod, Connection: m.Connection, SecretRotated: m.SecretRotated,
		Grants: []schemas.IdentityGrant{}, Credentials: []schemas.IdentityCredential{},
	}
}

// InventoryChanges lists what became of items, the newest first. One that its item
// has not reached, since a sync died in between, is left out until it has.
func (r *Reader) InventoryChanges(ctx context.Context, f schemas.InventoryChangeFilter) ([]schemas.InventoryChange, error) {
	return collect(ctx, r.conn, "list changes of the inventory", inventoryChangesQuery(f, r.edge("inventory_changes")), func(scan scanner) (c schemas.InventoryChange, err error) {
		var kind, act, members string
		if err = scan(&c.Tenant, &kind, &c.ID, &c.N, &c.Identity, &c.Name, &act, &members, &c.Time, &c.Found, &c.Ver); err != nil {
			return c, err
		}
		c.Kind, c.Act, c.Time, c.Found = schemas.InventoryKind(kind), schemas.InventoryAct(act), c.Time.UTC(), c.Found.UTC()
		if err = json.Unmarshal([]byte(members), &c.Members); err != nil {
			err = fmt.Errorf("read a change of %s %s: %w", kind, clip(c.ID, maxErrorQuoted), err)
		}
		return c, err
	})
}

func inventoryChangesQuery(f schemas.InventoryChangeFilter, edge time.Time) schemas.Query {
	w := where{}
	w.equal("tenant", f.Tenant)
	w.equal("kind", string(f.Kind))
	w.equal("identity", f.Identity)
	w.equal("act", string(f.Act))
	w.since("found_at", edge)
	if !f.From.IsZero() {
		w.and("time >= "+milliseconds("from"), "from", ceilMilli(f.From))
	}
	if !f.To.IsZero() {
		w.and("time < "+milliseconds("to"), "to", ceilMilli(f.To))
	}
	// A change is written under the number that its item will have: one at most is ahead of it.
	w.conditions = append(w.conditions, "(tenant, kind, id) IN (SELECT tenant, kind, id FROM inventory)",
		"(tenant, kind, id, n) NOT IN (SELECT tenant, kind, id, toUInt32(n + 1) FROM inventory FINAL)")
	if a := f.After; a != nil {
		w.and("(-toUnixTimestamp64Milli(time), tenant, kind, id, n) > (-{after_time:Int64}, {after_tenant:String}, {after_kind:String}, {after_id:String}, {after_n:UInt32})",
			"after_time", a.Time.UnixMilli())
		w.param("after_tenant", a.Tenant)
		w.param("after_kind", string(a.Kind))
		w.param("after_id", a.ID)
		w.param("after_n", a.N)
	}
	w.param("limit", listingLimit(f.Limit))
	return w.query("SELECT tenant, kind, id, n, identity, name, act, members, time, found_at, ver\nFROM inventory_changes FINAL\n",
		"ORDER BY time DESC, tenant, kind, id, n\nLIMIT {limit:UInt32}")
}
