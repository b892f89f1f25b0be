package detect

import (
	"fmt"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// strangers narrow a count to events that name somebody who had no success from
// where they come from: whoever they name, it is somebody else who tries. The
// successes are matches of a rule that is keyed by whom they name, and not by what
// the correlation groups by.
//
//   - An event counts if no match of the rule for the same who and from is earlier
//     by the look-back at most. Times alone decide: one of the same millisecond is
//     not earlier.
//   - Who has any such match, from wherever, is real. With only real ones, the
//     others do not count.
//   - The fact real is how many of those that the finding's events name are real.
type strangers struct {
	rule      *Rule // nil where everybody counts
	who, from field
	lookback  time.Duration // a day at least
	onlyReal  bool
}

func (f *filters) readStrangers(d *document) {
	k := d.child("x-strangers")
	if k == nil {
		return
	}
	f.strangers = k.need("rule")
	f.strange.who = k.field("field", k.need("field"))
	f.strange.from = k.field("from", k.need("from"))
	if f.strange.lookback = k.duration("lookback"); f.strange.lookback < 24*time.Hour {
		k.on(k.node, "lookback: want a day or more")
	}
	if n := k.take("real"); n != nil {
		if f.strange.onlyReal = k.scalar("real", n) == "true"; !f.strange.onlyReal {
			k.on(n, "real: want true")
		}
	}
	k.rest("x-strangers")
	if f.known != nil || f.isNew {
		d.on(k.node, "x-strangers: goes without x-known and x-new")
	}
}

// strangersOnly leaves the matches that name strangers. Of each it is told when whom
// it names last had a success, from there (home_t) and from anywhere (real_t), 0 for
// never. Of a day's successes the first and the last say as much as all: of the
// match's own day the first is earlier if any is, and of the day that the look-back
// begins in the last is within it.
func (k counted) strangersOnly(s *statement, lo time.Time) {
	g := &k.strangers
	s.params["stranger_rule"], s.params["mains"] = g.rule.Selector, selectorsInOrder(k.rules)
	s.params["stranger_lo"], s.params["stranger_lo_day"] = millis(lo), day(lo)
	s.params["stranger_ms"] = uint64(g.lookback.Milliseconds())
	named := "SELECT DISTINCT " + valueSQL(k.rules, fields{g.who}, "value", "indexOf({mains:Array(String)}, selector)") + ` FROM matches
          WHERE selector IN {mains:Array(String)} AND tenant = {tenant:String}
            AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)} AND t >= {lo:UInt64} AND t < {to:UInt64}`
	clients := named
	if g.rule.key.name() != clientKey.name {
		clients = "SELECT DISTINCT client_id FROM matches WHERE selector = {stranger_rule:String} AND tenant = {tenant:String} AND bucket >= {stranger_lo_day:Date} AND bucket <= {to_day:Date} AND key IN (" + named + ")"
	}
	s.extra("successes", strings.NewReplacer("{{named}}", named, "{{survived}}", survived("client_id IN ("+clients+")", "stranger_lo"), "{{place}}", g.rule.part("value", g.from.name)).Replace(`SELECT key AS who, {{place}} AS place, arrayJoin(arrayDistinct([min(t), max(t)])) AS success_t FROM matches
    WHERE selector = {stranger_rule:String} AND tenant = {tenant:String}
      AND bucket >= {stranger_lo_day:Date} AND bucket <= {to_day:Date} AND key IN ({{named}})
      AND t >= {stranger_lo:UInt64} AND t < {to:UInt64}
      AND {{survived}}
    GROUP BY who, place, intDiv(t, 86400000)`))
	s.step("both", `SELECT key, t, log_id, role, imported, v, shown, known_value, new_value, who, place, 0 AS success FROM {{last}}
    UNION ALL
    SELECT '', success_t, '', 0, 0, '', '', '', '', who, place, 1 FROM successes`)
	s.step("homes", `SELECT *,
        maxIf(t, success = 1) OVER (PARTITION BY who, place ORDER BY t, success ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS home_t,
        maxIf(t, success = 1) OVER (PARTITION BY who ORDER BY t, success ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS real_t
    FROM {{last}}`)
	s.step("strangers", "SELECT *, real_t > 0 AND real_t + {stranger_ms:UInt64} >= t AS real FROM {{last}} WHERE success = 0 AND who != '' AND (home_t = 0 OR home_t + {stranger_ms:UInt64} < t)")
	if g.onlyReal {
		s.step("only_real", "SELECT * FROM {{last}} WHERE real")
	}
}

// lookedUp says what decides what of others counts.
type lookedUp struct {
	rule     *Rule         // whose matches do, for whom they are keyed by
	rules    []*Rule       // whose matches are decided about
	who      field         // of their values: whom they name
	lookback time.Duration // how long before them

	// least is how many that rules name, within a window, tell of what all others do at
	// that time, whom they do not name; 0 for never.
	least  uint64
	window time.Duration
}

// looksUp is what c looks up by another key than it groups by; most have no rule.
func (c *Correlation) looksUp() lookedUp {
	switch k := c.kind.(type) {
	case counted:
		return lookedUp{rule: k.strangers.rule, rules: k.rules, who: k.strangers.who, lookback: k.strangers.lookback}
	case storm:
		return lookedUp{rule: k.issued, rules: []*Rule{c.Main}, who: clientKey, lookback: k.known, least: k.least, window: k.window + time.Minute + stormBefore}
	}
	return lookedUp{}
}

// LookedUp is the rule whose matches decide what of others counts, keyed by another
// thing than c groups by; nil for most.
func (c *Correlation) LookedUp() *Rule { return c.looksUp().rule }

// LooksUp names what AffectedQuery asks: rules of which it is the same ask the same.
func (c *Correlation) LooksUp() string {
	l := c.looksUp()
	if l.rule == nil {
		return ""
	}
	return fmt.Sprint(l.rule.Selector, selectorsInOrder(l.rules), l.who.name, l.lookback, l.least, l.window)
}

// AffectedQuery asks which keys of c, in which hours, have matches that the given
// keys of the rule that is looked up may decide, where these were touched in
// [from, to): Key, and Period for the hour. These name the keys; of a storm any do,
// where enough matches of it lie near. LookedUp must not be nil.
func (c *Correlation) AffectedQuery(tenant string, keys []string, from, to time.Time) schemas.Query {
	l := c.looksUp()
	nearFrom, nearTo := from.Add(-l.window), to.Add(l.window)
	to = to.Add(l.lookback)
	who := valueSQL(l.rules, fields{l.who}, "value", "indexOf({selectors:Array(String)}, selector)")
	return schemas.Query{SQL: strings.ReplaceAll(affectedSQL, "{{who}}", who), Params: map[string]any{
		"tenant": tenant, "keys": keys, "selectors": selectorsInOrder(l.rules),
		"from": millis(from), "to": millis(to), "from_day": day(from), "to_day": day(to),
		"near_from": millis(nearFrom), "near_to": millis(nearTo), "near_from_day": day(nearFrom), "near_to_day": day(nearTo), "least": l.least,
	}}
}

const affectedSQL = `
WITH near AS (
    SELECT uniqExact({{who}}) AS clients FROM matches
    WHERE {least:UInt64} > 0 AND selector IN {selectors:Array(String)} AND tenant = {tenant:String}
      AND bucket >= {near_from_day:Date} AND bucket <= {near_to_day:Date} AND t >= {near_from:UInt64} AND t < {near_to:UInt64}
)
SELECT key, intDiv(t, 3600000) * 3600000 AS period, min(t) AS first_t, max(t) AS last_t, toUInt64(0) AS n, CAST([], 'Array(String)') AS vals, vals AS logs,
    toUInt8(0) AS imported, ` + noBaseline + `, ` + noFacts + `
FROM matches
WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String}
  AND bucket >= {near_from_day:Date} AND bucket <= greatest({to_day:Date}, {near_to_day:Date})
  AND (t >= {from:UInt64} AND t < {to:UInt64} AND {{who}} IN {keys:Array(String)}
    OR {least:UInt64} > 0 AND t >= {near_from:UInt64} AND t < {near_to:UInt64} AND (SELECT clients FROM near) >= {least:UInt64})
GROUP BY key, period
ORDER BY key, period
`

func selectorsInOrder(rules []*Rule) []string {
	selectors := make([]string, len(rules))
	for i, r := range rules {
		selectors[i] = r.Selector
	}
	return selectors
}
