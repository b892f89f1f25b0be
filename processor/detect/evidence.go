package detect

import (
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The queries here answer schemas.CorrelationRow too, so that a store has one
// way to run what is compiled; each says which columns it fills.

// EvidenceQuery asks for the matches of one evidence of the given keys in
// [from, to): one row each, with Key, First (its time) and LogIDs (its one).
// See Found.
func (c *Correlation) EvidenceQuery(i int, tenant string, keys []string, from, to time.Time) schemas.Query {
	r := c.Evidence[i].Rule
	return schemas.Query{SQL: evidenceSQL, Params: map[string]any{
		"tenant": tenant, "keys": keys, "selector": r.Selector,
		"from": millis(from), "to": millis(to), "from_day": day(from), "to_day": day(to),
	}}
}

// Found reads the rows of EvidenceQuery.
func (c *Correlation) Found(i int, rows []schemas.CorrelationRow) []Found {
	found := make([]Found, 0, len(rows))
	for _, r := range rows {
		if len(r.LogIDs) == 1 {
			found = append(found, Found{Evidence: i, Key: r.Key, Time: r.First, LogID: r.LogIDs[0]})
		}
	}
	return found
}

const evidenceClients = `client_id IN (
          SELECT DISTINCT client_id FROM matches
          WHERE selector = {selector:String} AND tenant = {tenant:String}
            AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)})`

// A key has few such events; the limit is against one that somebody floods.
var evidenceSQL = `
SELECT key, toUInt64(0) AS period, t, t AS last_t, toUInt64(1) AS n, [any(value)] AS vals, [log_id] AS logs,
    toUInt8(0) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM matches
WHERE selector = {selector:String} AND tenant = {tenant:String}
  AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
  AND t >= {from:UInt64} AND t < {to:UInt64}
  AND ` + survived(evidenceClients, "from") + `
GROUP BY key, t, log_id
ORDER BY key, t DESC, log_id
LIMIT 1000 BY key
`

// DetailsQuery asks what the events of findings say: one row each, with LogIDs
// (its one), First (its time) and Values (its description, its client's name,
// and its source).
func (c *Correlation) DetailsQuery(tenant string, keys, logIDs []string, from, to time.Time) schemas.Query {
	clients := `{keys:Array(String)}`
	if c.Main.key.name() != "client_id" {
		clients = `(
    SELECT DISTINCT client_id FROM matches
    WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)})`
	}
	var selectors []string
	for _, r := range c.kind.uses(c) {
		selectors = append(selectors, r.Selector)
	}
	return schemas.Query{SQL: strings.ReplaceAll(detailsSQL, "{{clients}}", clients), Params: map[string]any{
		"tenant": tenant, "keys": keys, "log_ids": logIDs, "selectors": selectors,
		"from": millis(from), "to": millis(to), "from_day": day(from), "to_day": day(to),
	}}
}

const detailsSQL = `
SELECT '' AS key, toUInt64(0) AS period, toUInt64(toUnixTimestamp64Milli(time)) AS t, t AS last_t, toUInt64(1) AS n,
    [toString(description), client_name, toString(source)] AS vals, [log_id] AS logs,
    toUInt8(0) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM events FINAL
WHERE tenant = {tenant:String} AND client_id IN {{clients}}
  AND time >= fromUnixTimestamp64Milli(toInt64({from:UInt64}), 'UTC')
  AND time < fromUnixTimestamp64Milli(toInt64({to:UInt64}), 'UTC')
  AND log_id IN {log_ids:Array(String)}
ORDER BY t, log_id
`
