package detect

import (
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// defaultDedupe is the length of a period where a rule does not say.
const defaultDedupe = 24 * time.Hour

// What a rule is keyed by, and what its matches say, where it does not say.
var (
	clientKey    = field{name: "client_id", column: columns["client_id"]}
	entityKey    = field{name: "entity", column: entityOf}
	wholeTenant  = field{name: "tenant", column: func(e *schemas.Event) string { return e.Tenant }}
	networkValue = field{name: "network", column: columns["network"]}
)

// tenantPrefix is before the tenant's name where an event has no other entity.
const tenantPrefix = "tenant:"

// entityOf is whom an event is about: the identity that acted, or else the
// tenant. A failed exchange names whatever client its sender likes, and so
// counts for the tenant: findings stay few, however many names are made up.
func entityOf(e *schemas.Event) string {
	switch {
	case e.Identity.ID == "", madeUp(e):
		return tenantPrefix + e.Tenant
	}
	return e.Identity.ID
}

// madeUp reports whether the identity may be one that nobody has: a failure that
// was no call of the Management API, which takes a valid token.
func madeUp(e *schemas.Event) bool {
	return e.Outcome == schemas.OutcomeFailure && e.Call.Method == "" && e.Identity.ID == schemas.AppID(e.ClientID)
}

// alone is the correlation of a rule that finds something by itself: one finding
// for each key and period in which there is a match.
func alone(r *Rule) Correlation {
	return Correlation{
		ID: r.ID, Code: r.ID, Name: r.Name, Title: r.Title, Status: r.Status, Level: r.Level, Tags: r.Tags,
		File: r.File, Line: r.Line, Main: r, Threshold: 1, Dedupe: r.Dedupe, Tests: r.Tests, summary: r.summary, levels: r.levels, kind: lone{},
	}
}

// Alone reports whether one match is enough: c is a rule without memory.
func (c *Correlation) Alone() bool {
	_, ok := c.kind.(lone)
	return ok
}

// lone is the kind of a rule without memory: each match is a trigger.
type lone struct{}

func (lone) shows(c *Correlation) fields      { return c.Main.value }
func (lone) uses(c *Correlation) []*Rule      { return []*Rule{c.Main} }
func (lone) reach(*Correlation) time.Duration { return 0 }
func (lone) learns() bool                     { return false }

func (lone) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from, c.Main)
	return schemas.Query{SQL: sql + aloneSQL, Params: params}
}

// candidates are the keys that have a match at all.
func (lone) candidates(c *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: aloneCandidatesSQL, Params: map[string]any{
		"tenant": a.tenant, "keys": a.keys, "main": c.Main.Selector,
		"from_day": day(a.from), "to_day": day(a.to), "from": millis(a.from), "to": millis(a.to),
	}}
}

const aloneCandidatesSQL = `
SELECT key, toUInt64(0) AS period, toUInt64(0) AS t, t AS last_t, toUInt64(0) AS n, CAST([], 'Array(String)') AS vals, vals AS logs,
    toUInt8(0) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM (
    SELECT key FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t >= {from:UInt64} AND t < {to:UInt64}
    GROUP BY key
)
ORDER BY key
`

// aloneSQL goes on behind believed: it counts, per key and period.
const aloneSQL = `
SELECT key, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
    min(t) AS first_t,
    max(t) AS last_t,
    count() AS n,
    arraySlice(arraySort(groupUniqArrayIf(val, val != '')), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(believed.imported)) AS all_imported,
    toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM believed
GROUP BY key, period
ORDER BY key, period
`
