package detect

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// orphan finds uses of tokens that nobody saw issued.
//
// What it finds, per key, with all times those of the events and ties in order
// of log_id:
//
//   - A use is a match of the main rule with a token. It is an orphan if no match
//     of the issuing rule with the same token lies at its time or before, by
//     lifetime at most, although the key was watched: some match of the issuing
//     rule lies before it by lifetime at least and history at most.
//   - An orphan triggers if the one count − 1 before it is not older than within.
//   - Per period with a trigger there is one finding. It counts the triggers, and
//     the orphans without which the first would be none.
//
// A use whose issue comes late is an orphan until then, so that what a pause of
// the log stream held back takes the finding away when it comes.
type orphan struct {
	issued            *Rule
	use, as           string // the fields that hold the token: of the use, of the issue
	lifetime, history time.Duration
	within            time.Duration
	count             uint64
}

func (o *orphan) uses(c *Correlation) []*Rule { return []*Rule{c.Main, o.issued} }

func (o *orphan) learns() bool { return false }

// reach: the first orphan of a trigger lies within before it, and whether it was
// watched is told by what lies history before that.
func (o *orphan) reach(*Correlation) time.Duration {
	return o.within + max(o.history, o.lifetime)
}

func (o *orphan) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-o.reach(c)), c.Main, o.issued)
	params["lifetime"], params["history"] = uint64(o.lifetime.Milliseconds()), uint64(o.history.Milliseconds())
	params["within"], params["before"] = uint64(o.within.Milliseconds()), o.count-1
	return schemas.Query{SQL: sql + fmt.Sprintf(orphanSQL, c.Main.part("val", o.use), o.issued.part("val", o.as), o.network(c), factsOf(c.Main, "", "val")), Params: params}
}

// network is SQL for the network of a use, where the rule tells it.
func (o *orphan) network(c *Correlation) string {
	if c.Main.value.part("network") == 0 {
		return `''`
	}
	return c.Main.part("val", "network")
}

// orphanSQL: issues are put where they make their key watched, a lifetime later.
const orphanSQL = `,
tokens AS (
    SELECT key, t, log_id, val, imported, role = 1 AS is_use, if(is_use, %[1]s, %[2]s) AS token
    FROM believed
),
seen AS (
    SELECT *,
        maxIf(t, NOT is_use) OVER (PARTITION BY key, token ORDER BY t, is_use, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS issued_at,
        maxIf(t, NOT is_use) OVER (PARTITION BY key ORDER BY t + if(is_use, 0, {lifetime:UInt64}), is_use, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS watched_at
    FROM tokens
),
orphans AS (
    SELECT *, lagInFrame(t, {before:UInt64}) OVER (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS nth
    FROM seen
    WHERE is_use AND token != '' AND NOT (issued_at > 0 AND issued_at + {lifetime:UInt64} >= t) AND watched_at > 0 AND watched_at + {history:UInt64} >= t
),
triggers AS (
    SELECT *, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period, %[3]s AS from_network
    FROM orphans
    WHERE nth > 0 AND nth + {within:UInt64} >= t AND t >= {from:UInt64} AND t < {to:UInt64}
)
SELECT key, period,
    toUInt64(min(nth)) AS first_t,
    toUInt64(max(t)) AS last_t,
    count() + {before:UInt64} AS n,
    arraySlice(arraySort(groupUniqArrayIf(from_network, from_network != '')), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(triggers.imported)) AS all_imported,
    ` + noBaseline + `,
    mapFilter((k, v) -> v != '', map(
        'tokens', toString(uniqExact(token))%[4]s
    )) AS facts
FROM triggers
GROUP BY key, period
ORDER BY key, period
`

// candidates are keys with as many uses.
func (o *orphan) candidates(c *Correlation, a asked) schemas.Query {
	return schemas.Query{
		SQL: `
SELECT key, ` + keysOnly + `
FROM (
    SELECT key FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t + {within:UInt64} >= {from:UInt64} AND t < {to:UInt64}
    GROUP BY key HAVING count() >= {count:UInt64} AND max(t) >= {from:UInt64}
)
ORDER BY key
`,
		Params: map[string]any{
			"tenant": a.tenant, "keys": a.keys, "main": c.Main.Selector, "within": uint64(o.within.Milliseconds()), "count": o.count,
			"from": millis(a.from), "to": millis(a.to), "from_day": day(a.from.Add(-o.within)), "to_day": day(a.to),
		},
	}
}

// pendingOrphan is an orphan whose rules are not looked up yet.
type pendingOrphan struct {
	orphan
	rule, issuedBy, useField, issueField *yaml.Node
}

// readOrphan reads x-orphan: {rule, token, issued, as, lifetime, history, count, within}.
func readOrphan(_ *pending, d *document) pendingKind {
	q := &pendingOrphan{}
	s := d.needChild("x-orphan")
	if s == nil {
		return q
	}
	q.rule, q.useField = s.need("rule"), s.need("token")
	q.issuedBy, q.issueField = s.need("issued"), s.need("as")
	q.use, q.as = s.scalar("token", q.useField), s.scalar("as", q.issueField)
	q.lifetime, q.history, q.within = s.duration("lifetime"), s.duration("history"), s.duration("within")
	q.count = s.count("count")
	if q.history < q.lifetime {
		s.on(s.node, "history: want more than the lifetime, %s", q.lifetime)
	}
	s.rest("x-orphan")
	return q
}

func (q *pendingOrphan) names() []*yaml.Node { return []*yaml.Node{q.rule, q.issuedBy} }

func (q *pendingOrphan) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	o := q.orphan
	c.Main, o.issued = p.find(q.rule, find), p.find(q.issuedBy, find)
	if c.Main == nil || o.issued == nil {
		return nil
	}
	p.keyed(q.issuedBy, o.issued, c.Main)
	for _, f := range []struct {
		rule *Rule
		name string
		at   *yaml.Node
	}{{c.Main, o.use, q.useField}, {o.issued, o.as, q.issueField}} {
		if f.at != nil && f.rule.value.part(f.name) == 0 {
			p.on(f.at, "rule %s has no value %s in its x-match", f.rule.Name, clip(f.name))
		}
	}
	return &o
}
