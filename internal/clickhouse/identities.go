package clickhouse

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Identities lists who was seen, the last seen first, without names, and then who
// is in the inventory alone. It is exact
// at any moment, as Stats is, as long as conditions are on what counts have;
// with others nothing is found. Where f.Known, who has succeeded outside the range
// alone, and in hours that are not recounted, is missing until they are.
func (r *Reader) Identities(ctx context.Context, f schemas.IdentityFilter) ([]schemas.IdentitySummary, error) {
	f.From = r.within(f.From, "events", "counts_hourly", "counts_daily")
	c, err := r.counted(ctx, f.Tenant, f.From, f.To)
	if err != nil {
		return nil, err
	}
	return collect(ctx, r.conn, "list identities", identitiesQuery(f, c, r.edge("successes")), func(scan scanner) (s schemas.IdentitySummary, err error) {
		var kind string
		err = scan(&s.Tenant, &s.ID, &kind, &s.First, &s.Last, &s.Count, &s.Failures)
		s.Kind, s.First, s.Last = schemas.Kind(kind), timeOrNone(s.First), timeOrNone(s.Last)
		return s, err
	})
}

// identitiesQuery takes of successes what is not before an edge.
func identitiesQuery(f schemas.IdentityFilter, c *counted, edge time.Time) schemas.Query {
	w := where{}
	w.conditions = append(w.conditions, "identity != ''")
	w.known(f)
	inventoried := where{params: w.paramsOf(), conditions: slices.Clone(w.conditions)}
	w.filter(f.Where)
	w.param("limit", listingLimit(f.Limit))
	parts := c.union(&w, "counts_daily", func(string) []string { return []string{"tenant", "identity", "identity_kind", "outcome"} })
	if unseen := unseenPart(&inventoried, f); unseen != "" {
		parts += "\nUNION ALL\n" + unseen
	}
	having := where{params: w.params}
	if f.Known {
		having.conditions = append(having.conditions, "(countIf(outcome != 'failure') > 0 OR (tenant, identity) IN (\n"+successful(&having, f, edge)+
			"\n) OR (tenant, identity) IN (SELECT tenant, identity FROM inventory FINAL WHERE kind IN ('clients', 'users')))")
	}
	if !f.UnusedSince.IsZero() {
		having.and("seen < "+milliseconds("unused_since"), "unused_since", ceilMilli(f.UnusedSince))
	}
	if f.After != nil {
		having.and("(-toUnixTimestamp64Milli(seen), tenant, identity) > (-{after_last:Int64}, {after_tenant:String}, {after_id:String})", "after_last", noTime(f.After.Last))
		having.param("after_tenant", f.After.Tenant)
		having.param("after_id", f.After.ID)
	}
	return schemas.Query{
		SQL: "SELECT tenant, identity, argMax(identity_kind, t.last), minIf(t.first, n > 0), max(t.last) AS seen, sum(n), sumIf(n, outcome = 'failure')\n" +
			"FROM (\n" + parts + "\n) AS t\nGROUP BY tenant, identity\n" + having.after("HAVING") +
			"ORDER BY seen DESC, tenant, identity\nLIMIT {limit:UInt32}" + withinPartitions,
		Params: having.params,
	}
}

// known narrows to what the inventory has of identities.
func (w *where) known(f schemas.IdentityFilter) {
	const owners = "SELECT tenant, identity FROM inventory FINAL WHERE kind IN ('clients', 'users') AND " + thereNow
	if f.Owner != nil {
		owner := where{params: w.paramsOf()}
		owner.conditionOn("owner", "owner", *f.Owner)
		w.conditions = append(w.conditions, "(tenant, identity) IN ("+owners+" AND "+owner.conditions[0]+")")
	}
	for _, fact := range f.Facts {
		having := map[schemas.FactName]string{
			schemas.FactInventory:   owners,
			schemas.FactOwner:       owners + " AND owner != ''",
			schemas.FactGrants:      "SELECT tenant, identity FROM inventory FINAL WHERE kind = 'grants' AND " + thereNow,
			schemas.FactCredentials: "SELECT tenant, identity FROM inventory FINAL WHERE kind = 'credentials' AND " + thereNow,
		}[fact.Name]
		in := " IN ("
		if fact.Not {
			in = " NOT IN ("
		}
		w.conditions = append(w.conditions, "(tenant, identity)"+in+having+")")
	}
}

// unseenPart is the part of a union for machines of the inventory, as if each had
// no event long ago; "" where f asks about events.
func unseenPart(w *where, f schemas.IdentityFilter) string {
	columns := map[string]string{"identity": "identity", "identity_kind": "'machine'", "client_id": "if(kind = 'clients', id, '')"}
	for i, c := range f.Where {
		column := columns[c.Field]
		if column == "" {
			return ""
		}
		w.conditionOn(column, "unseen_"+strconv.Itoa(i), c)
	}
	w.conditions = append(w.conditions,
		"(kind = 'users' OR kind = 'clients' AND has(JSONExtract(members, 'grant_types', 'Array(String)'), 'client_credentials'))")
	if !f.Deleted {
		w.conditions = append(w.conditions, thereNow)
	}
	w.equal("tenant", f.Tenant)
	return "    SELECT tenant, identity, 'machine', '', toUInt64(0) AS n, toDateTime64(0, 3, 'UTC') AS first, toDateTime64(0, 3, 'UTC') AS last\n    FROM inventory FINAL\n    " + w.clause()
}

// successful are the identities that have succeeded at any time, of those that f
// names: all else that it asks is about the range.
func successful(params *where, f schemas.IdentityFilter, edge time.Time) string {
	w := where{params: params.paramsOf()}
	w.equal("tenant", f.Tenant)
	for i, c := range f.Where {
		if c.Field == "identity" {
			w.condition(i, c)
		}
	}
	w.and("last >= {successes_from:Date}", "successes_from", later(time.Unix(0, 0).AddDate(0, 0, 1), edge).UTC().Format(time.DateOnly))
	return "    SELECT tenant, identity FROM successes FINAL\n    " + w.clause()
}

// ClientNames are the names of clients of a tenant as they were last logged, of
// those that have one.
func (r *Reader) ClientNames(ctx context.Context, tenant string, clients []string) (map[string]string, error) {
	if len(clients) == 0 {
		return nil, nil
	}
	c, err := r.counted(ctx, tenant, r.within(minTime, "events", "presence"), maxTime)
	if err != nil {
		return nil, err
	}
	type named struct{ id, name string }
	rows, err := collect(ctx, r.conn, "read names of clients", namesQuery(tenant, clients, c), func(scan scanner) (n named, err error) {
		err = scan(&n.id, &n.name)
		return n, err
	})
	names := make(map[string]string, len(rows))
	for _, n := range rows {
		names[n.id] = n.name
	}
	return names, err
}

// namesQuery reads the last events of each client as presence knows them, and
// those of hours that it does not know yet. The last of some attribute are five
// at most; among them is one with a name where the very last has none, as a custom
// event may.
func namesQuery(tenant string, clients []string, c *counted) schemas.Query {
	identities := make([]string, len(clients))
	for i, id := range clients {
		identities[i] = schemas.AppID(id)
	}
	params := map[string]any{"tenant": tenant, "clients": clients, "identities": identities}
	c.params(params)
	ofClients := "tenant = {tenant:String} AND client_id IN {clients:Array(String)}"
	parts := []string{`    SELECT client_id, client_name, time FROM events FINAL
    PREWHERE ` + ofClients + ` AND (client_id, time) IN (
        SELECT DISTINCT client_id, last FROM presence FINAL
        WHERE tenant = {tenant:String} AND identity IN {identities:Array(String)} AND count > 0
        ORDER BY last DESC LIMIT 5 BY client_id
    )`}
	if c.readsEvents() {
		parts = append(parts, "    SELECT client_id, client_name, time FROM events FINAL\n    PREWHERE "+ofClients+" AND "+c.fromEvents())
	}
	return schemas.Query{
		SQL: "SELECT client_id, argMax(client_name, time)\nFROM (\n" + strings.Join(parts, "\n    UNION ALL\n") +
			"\n)\nWHERE client_name != ''\nGROUP BY client_id" + withinPartitions,
		Params: params,
	}
}
