package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// gap finds keys that wake up.
//
// What it finds, per key, over the matches of Main, with all times those of the
// events and ties in order of log_id:
//
//   - A silence lies between two consecutive events, ends with the second, and is
//     as long as they are apart. Where the first of them is older than lookback
//     it is none: then the key is new.
//   - An event triggers if the silence that it ends is at least atLeast long, and
//     longer, by half, than each earlier one that began lookback before it at
//     most, and longer than the cadence that is declared of the key, if one is: who
//     comes once a quarter does not wake up. Before the silence there
//     must be, lookback before the trigger at most, the warm-up's number of events,
//     and one that is older than the silence by the warm-up's days.
//   - Per period with a trigger there is one finding. It holds the events of the
//     period from the first trigger on.
type gap struct {
	atLeast, lookback    time.Duration
	warmEvents, warmDays uint64
}

func (*gap) uses(c *Correlation) []*Rule        { return []*Rule{c.Main} }
func (*gap) learns() bool                       { return true }
func (k *gap) reach(*Correlation) time.Duration { return k.lookback }

type pendingGap struct {
	gap
	rule *yaml.Node
}

func (k *pendingGap) names() []*yaml.Node { return []*yaml.Node{k.rule} }

func readGap(p *pending, d *document) pendingKind {
	k := &pendingGap{}
	g := d.needChild("x-gap")
	if g == nil {
		return k
	}
	k.rule = g.need("rule")
	k.atLeast, k.lookback = g.duration("at_least"), g.duration("lookback")
	k.warmEvents, k.warmDays = g.warmup()
	if k.lookback <= k.atLeast {
		p.on(g.node, "lookback: want more than at_least")
	}
	g.rest("x-gap")
	return k
}

func (k *pendingGap) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(k.rule, find); c.Main == nil {
		return nil
	}
	return &k.gap
}

func (k *gap) recall(c *Correlation) Recall {
	return Recall{Selector: c.Main.Selector, Lookback: k.atLeast - time.Millisecond, rule: c.Main}
}

func (k *gap) candidates(c *Correlation, a asked) schemas.Query {
	r := k.recall(c)
	return r.candidates(a)
}

func (k *gap) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main)
	params["at_least"], params["lookback"] = uint64(k.atLeast.Milliseconds()), uint64(k.lookback.Milliseconds())
	params["warm_events"], params["warm"] = k.warmEvents, k.warmDays*uint64((24*time.Hour).Milliseconds())
	params["parts"] = c.Main.value.names()
	params["cadence_keys"], params["cadences"] = c.declaredCadences(a.tenant, a.keys)
	networks := "val"
	if c.Main.value.part("network") > 0 {
		networks = c.Main.part("val", "network")
	}
	return schemas.Query{SQL: sql + strings.ReplaceAll(gapSQL, "{{networks}}", networks), Params: params}
}

// gapSQL reads the matches of its keys three times, which few keys get to: those
// that were silent for long, and new ones. Its steps, by name:
//
//	ends     events, each with the one before it
//	silences those that end one; of shorter ones than two thirds none can matter
//	old      with the last event that is as old as the warm-up wants
//	firsts   per key and period the first that triggers
const gapSQL = `,
ends AS (
    SELECT key, t, log_id, val,
        lagInFrame(t) OVER w AS prev, lagInFrame(t, {warm_events:UInt64}) OVER w AS nth
    FROM believed
    WINDOW w AS (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
silences AS (
    SELECT *, t - prev AS length,
        groupArray((prev, t - prev)) OVER (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier,
        toUInt64(greatest(toInt64(prev) - toInt64({warm:UInt64}), 0)) AS limit
    FROM ends
    WHERE prev > 0 AND prev + {lookback:UInt64} >= t AND 3 * (t - prev) >= 2 * {at_least:UInt64}
),
old AS (
    SELECT silences.*, b.at AS oldest
    FROM silences ASOF LEFT JOIN (SELECT DISTINCT key, t AS at FROM believed) AS b ON silences.key = b.key AND silences.limit >= b.at
),
firsts AS (
    SELECT key, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
        argMin((t, log_id, prev, val), (t, log_id)) AS first
    FROM old
    WHERE length >= {at_least:UInt64} AND length > transform(key, {cadence_keys:Array(String)}, {cadences:Array(UInt64)}, toUInt64(0)) AND nth > 0 AND nth + {lookback:UInt64} >= t AND oldest > 0 AND oldest + {lookback:UInt64} >= t
      AND NOT arrayExists(e -> e.1 + {lookback:UInt64} >= t AND 2 * length <= 3 * e.2, earlier)
      AND t >= {from:UInt64}
    GROUP BY key, period
)
SELECT e.key AS key, e.period AS period, min(e.t) AS first_t, max(e.t) AS last_t, count() AS n,
    arraySlice(arraySort(arrayFilter(v -> v != '', groupUniqArray({{networks}}))), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((e.t, e.log_id))) AS top_logs,
    toUInt8(min(e.imported)) AS all_imported, ` + noBaseline + `,
    CAST(arrayConcat(
        arrayFilter(p -> p.2 != '' AND p.1 != 'token_id', arrayMap((n, p) -> (concat('', n), p), {parts:Array(String)}, splitByChar('\x1f', any(firsts.first.4)))),
        [('days', toString(intDiv(any(firsts.first.1) - any(firsts.first.3), 86400000)))],
        [('last_used', formatDateTime(fromUnixTimestamp64Milli(toInt64(any(firsts.first.3)), 'UTC'), '%Y-%m-%d'))]
    ), 'Map(String, String)') AS facts
FROM (SELECT *, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period FROM believed WHERE t >= {from:UInt64}) AS e
INNER JOIN firsts ON e.key = firsts.key AND e.period = firsts.period
WHERE (e.t, e.log_id) >= (firsts.first.1, firsts.first.2)
GROUP BY key, period
ORDER BY key, period
`
