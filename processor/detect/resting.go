package detect

import (
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// remembering is a kind that ticks and of which a key's next trigger stays what it is
// until the key is touched, so that each tick need not compute it anew from weeks of what
// the key did.
type remembering interface {
	ticking
	// rest is how long before a trigger a key has no match, at the least.
	rest() time.Duration
	// resting: see Correlation.RestingQuery.
	resting(c *Correlation, tenant string, from, to time.Time) schemas.Query
	// due: see Correlation.DueQuery.
	due(c *Correlation, tenant string, keys []string, before time.Time) schemas.Query
}

// Remembers reports whether RestingQuery and DueQuery tell which keys have a trigger in
// [from, to), as OverdueQuery does: the range has to be short.
func (c *Correlation) Remembers(from, to time.Time) bool {
	k, ok := c.kind.(remembering)
	return ok && to.Sub(from) < k.rest()
}

// RestingQuery asks for the keys of a tenant that may have a trigger in [from, to) by what
// they did lately, in column Key, and for their last matches before from, in Last.
func (c *Correlation) RestingQuery(tenant string, from, to time.Time) schemas.Query {
	return c.kind.(remembering).resting(c, tenant, from, to)
}

// DueQuery asks when keys have the trigger that follows their last match before some time,
// if nothing comes of them: in Last, of those that have one.
func (c *Correlation) DueQuery(tenant string, keys []string, before time.Time) schemas.Query {
	return c.kind.(remembering).due(c, tenant, keys, before)
}

func (s silence) rest() time.Duration { return s.least }

func (s silence) resting(c *Correlation, tenant string, from, to time.Time) schemas.Query {
	return schemas.Query{SQL: restingSQL, Params: map[string]any{
		"tenant": tenant, "main": c.Main.Selector, "from": millis(from), "to": millis(to), "to_day": day(to), "pause_day": day(from.Add(-s.most)),
		"least": uint64(s.least.Milliseconds()), "most": uint64(s.most.Milliseconds()),
	}}
}

// due takes matches for believed: see unprovenSQL.
func (s silence) due(c *Correlation, tenant string, keys []string, before time.Time) schemas.Query {
	lo := before.Add(-c.Reach())
	return schemas.Query{SQL: dueSQL, Params: s.params(map[string]any{
		"tenant": tenant, "main": c.Main.Selector, "keys": keys,
		"lo": millis(lo), "lo_day": day(lo), "before": millis(before), "before_day": day(before),
	})}
}

const restingSQL = `
SELECT key, toUInt64(0) AS period, tail AS t, ` + noEvents + `
FROM (
    SELECT key, maxIf(t, t < {from:UInt64}) AS tail FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String}
      AND bucket >= {pause_day:Date} AND bucket <= {to_day:Date} AND t + {most:UInt64} >= {from:UInt64} AND t < {to:UInt64}
    GROUP BY key
    HAVING tail > 0 AND tail + {least:UInt64} < {to:UInt64}
)
ORDER BY key
`

// dueSQL is what silenceSQL says of the last beat of each key alone.
const dueSQL = `
WITH rhythms AS (
    SELECT key, max(t) AS tail, arraySort(groupUniqArray(toInt64(intDiv(t, {bin:UInt64})))) AS beats FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String} AND key IN {keys:Array(String)}
      AND bucket >= {lo_day:Date} AND bucket <= {before_day:Date} AND t >= {lo:UInt64} AND t < {before:UInt64}
    GROUP BY key
),
known AS (
    SELECT key, tail, arrayFilter(beat -> beat >= beats[-1] - {history:Int64}, beats) AS lately,
        arraySort(arrayPopFront(arrayDifference(lately))) AS gaps, toInt64(length(gaps)) AS size
    FROM rhythms
)
SELECT key, toUInt64(0) AS period, tail + greatest({least:UInt64}, toUInt64({times:Float64} * gaps[greatest(1, intDiv(99 * size + 99, 100))] * {bin:UInt64})) AS t, ` + noEvents + `
FROM known
WHERE size >= {gaps:UInt64} AND lately[1] + {known:Int64} <= lately[-1]
  AND toFloat64(size * arraySum(x -> x * x, gaps) - arraySum(gaps) * arraySum(gaps)) < {cv:Float64} * {cv:Float64} * toFloat64(arraySum(gaps) * arraySum(gaps))
  AND t <= tail + {most:UInt64}
ORDER BY key
`
