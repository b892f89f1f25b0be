package clickhouse

import (
	"context"

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
