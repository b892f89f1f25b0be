package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// storm finds tenants of which many machines fail at once. Main is keyed by the
// tenant, and tells the client and the network of each failure.
//
// What it finds, with all times those of the events:
//
//   - A failure counts if the issued rule has a match of its client and network within
//     known before, and earlier: who fails with the ids of others makes no storm, and
//     so holds no page back.
//   - The machines that are active in a minute are the clients with a match of the
//     issued rule, or a failure that counts, in it or in the window before it: an outage
//     hits only those that ask while it lasts. The minute is a whole one, since machines
//     that all run at the full hour do not come in the order of who fails; and where
//     there were more that got a token an hour before, it is as many as these: the first
//     second of a minute tells of few. Those are counted whatever copy survived.
//   - A failure triggers if, in the window that ends with it, failures of least
//     clients at least count, and of share × the active ones of its minute.
//   - Per period with a trigger there is one finding. It holds the failures that count
//     from a window before its first trigger to its last one. Its facts are how many
//     machines these are of, and how many were active at the last trigger, those that
//     failed then at least.
type storm struct {
	issued        *Rule
	window, known time.Duration
	share         float64
	least         uint64
}

type pendingStorm struct {
	storm
	rule, issuedBy *yaml.Node
}

// readStorm reads x-storm.
func readStorm(_ *pending, d *document) pendingKind {
	k := &pendingStorm{}
	m := d.needChild("x-storm")
	if m == nil {
		return k
	}
	k.rule, k.issuedBy = m.need("rule"), m.need("issued")
	k.window, k.known = m.duration("window"), m.duration("known")
	k.share, k.least = m.positive("share"), m.uint("least")
	if k.window%time.Minute != 0 || k.window > time.Hour || k.known < 24*time.Hour || k.least < 2 {
		m.on(m.node, "x-storm: want a window of whole minutes, an hour at most, a known of a day or more, and a least of 2 or more")
	}
	m.rest("x-storm")
	return k
}

func (k *pendingStorm) names() []*yaml.Node { return []*yaml.Node{k.rule, k.issuedBy} }

func (k *pendingStorm) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	c.Main, k.issued = p.find(k.rule, find), p.find(k.issuedBy, find)
	if c.Main == nil || k.issued == nil {
		return nil
	}
	if c.Main.key.name() != wholeTenant.name || c.Main.value.name() != "client_id,network" {
		p.on(k.rule, "x-storm: want a rule with the key tenant and the value [client_id, network]")
	}
	if k.issued.key.name() != clientKey.name || k.issued.value.part(networkValue.name) == 0 {
		p.on(k.issuedBy, "x-storm: want an issued rule with the key client_id and a value that has the network")
	}
	if c.Dedupe%time.Minute != 0 {
		p.on(k.rule, "x-storm: want an x-dedupe of whole minutes")
	}
	c.Timespan = k.window
	return k.storm
}

// stormBefore is how long before a minute it is looked how many are usual then.
const stormBefore = time.Hour

func (storm) uses(c *Correlation) []*Rule { return []*Rule{c.Main} }
func (storm) learns() bool                { return false }

func (k storm) reach(*Correlation) time.Duration { return k.window + k.known }

// Storm reports whether findings of c tell that many machines of a tenant fail at once.
func (c *Correlation) Storm() bool {
	_, ok := c.kind.(storm)
	return ok
}

func (k storm) params(a asked, params map[string]any) map[string]any {
	active := a.from.Add(-k.window)
	success := active.Add(-k.known)
	params["issued"] = k.issued.Selector
	params["success_lo"], params["success_day"] = millis(success), day(success)
	params["active_lo"], params["active_day"] = millis(active), day(active)
	earlier := active.Add(-stormBefore)
	params["earlier_lo"], params["earlier_day"], params["earlier_ms"] = millis(earlier), day(earlier), uint64(stormBefore.Milliseconds())
	params["window"], params["known_ms"] = uint64(k.window.Milliseconds()), uint64(k.known.Milliseconds())
	params["share"], params["least"] = k.share, k.least
	return params
}

func (k storm) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-k.window), c.Main)
	return schemas.Query{SQL: sql + strings.NewReplacer(
		"{{network}}", k.issued.part("value", networkValue.name),
		"{{successes_survived}}", survivedLately("client_id IN (SELECT client FROM failed)", "success_lo"),
		"{{near_peaks}}", near("peaks", "0"), "{{earlier_near_peaks}}", near("peaks", "{earlier_ms:UInt64}"),
		"{{survived}}", survivedLately("(SELECT count() FROM peaks) > 0", "active_lo"),
	).Replace(stormSQL), Params: k.params(a, params)}
}

// candidates are tenants of which enough clients fail at once, wherever from, for half
// the share of the machines that got a token. That is asked of matches alone: those
// that lost are no half of them.
func (k storm) candidates(c *Correlation, a asked) schemas.Query {
	params := k.params(a, c.touched(a))
	lo := a.from.Add(-k.window)
	params["lo"], params["lo_day"] = millis(lo), day(lo)
	params["block"] = uint64(k.block().Milliseconds())
	sql := strings.NewReplacer("{{near_peaks}}", near("possible", "0"), "{{earlier_near_peaks}}", near("possible", "{earlier_ms:UInt64}")).Replace(stormCandidatesSQL)
	return schemas.Query{SQL: keysOf(sql), Params: params}
}

// block is a time of which a whole one, as they are counted from 1970 on, lies in each
// minute with the window before it: the last that is over with the minute.
func (k storm) block() time.Duration {
	return (k.window/time.Minute + 2) / 2 * time.Minute
}

// near is which matches tell who was active in a minute of a step, or so long before it.
func near(step, before string) string {
	return "intDiv(t, 60000) * 60000 + " + before + " IN (SELECT arrayJoin(range(toUInt64(" + step + ".minute - {window:UInt64}), " + step + ".minute + 1, 60000)) FROM " + step + ")"
}

// stormCandidatesSQL counts the machines near a minute only where those of a block in it
// leave that open, which no minute of a usual day does. Its steps, by name:
//
//	deltas    when a client begins to fail within a window, and when it ceases
//	peaks     the minutes in which enough do, and how many
//	blocks    how many machines got a token in each block
//	possible  the peaks of which that tells too little
//	near      how many were active, by minute
const stormCandidatesSQL = `
    WITH deltas AS (
        SELECT key, step.1 AS at, sum(step.2) AS delta, countIf(step.2 > 0) AS entered
        FROM (
            SELECT key, t, leadInFrame(t, 1, t + {window:UInt64} + 1) OVER (PARTITION BY key, client ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
            FROM (
                SELECT DISTINCT key, splitByChar('\x1f', value)[1] AS client, t FROM matches
                WHERE selector = {main:String} AND tenant = {tenant:String}
                  AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)} AND t >= {lo:UInt64} AND t < {to:UInt64}
            )
        ) ARRAY JOIN [(t, 1), (least(next, t + {window:UInt64} + 1), -1)] AS step
        GROUP BY key, at
    ),
    peaks AS MATERIALIZED (
        SELECT key, intDiv(at, 60000) * 60000 AS minute, max(failing) AS most
        FROM (SELECT key, at, entered, sum(delta) OVER (PARTITION BY key ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS failing FROM deltas)
        WHERE entered > 0 AND failing >= toInt64({least:UInt64}) AND at >= {from:UInt64}
        GROUP BY key, minute
    ),
    blocks AS (
        SELECT toUInt64(intDiv(t, {block:UInt64}) + 1) AS next_block, uniqExact(key) AS machines FROM matches
        WHERE selector = {issued:String} AND tenant = {tenant:String}
          AND bucket >= {active_day:Date} AND bucket <= {to_day:Date} AND t >= {active_lo:UInt64} AND t < {to:UInt64}
          AND (SELECT count() FROM peaks) > 0
        GROUP BY next_block
    ),
    possible AS MATERIALIZED (
        SELECT peaks.key AS key, peaks.minute AS minute, peaks.most AS most
        FROM peaks LEFT JOIN blocks ON toUInt64(intDiv(peaks.minute + 60000, {block:UInt64})) = blocks.next_block
        WHERE 2 * peaks.most >= {share:Float64} * blocks.machines
    ),
    near AS (
        SELECT minute, max(machines) AS machines
        FROM (
            SELECT arrayJoin(range(worked, worked + {window:UInt64} + 1, 60000)) AS minute, early, uniqExact(client) AS machines
            FROM (
                SELECT DISTINCT key AS client, arrayJoin([0, {earlier_ms:UInt64}]) AS early, intDiv(t, 60000) * 60000 + early AS worked FROM matches
                WHERE selector = {issued:String} AND tenant = {tenant:String}
                  AND bucket >= {earlier_day:Date} AND bucket <= {to_day:Date} AND t >= {earlier_lo:UInt64} AND t < {to:UInt64}
                  AND ({{near_peaks}} OR {{earlier_near_peaks}})
            )
            GROUP BY minute, early
        )
        GROUP BY minute
        HAVING minute IN (SELECT possible.minute FROM possible)
    )
    SELECT DISTINCT key FROM possible LEFT JOIN near ON possible.minute = near.minute WHERE 2 * possible.most >= {share:Float64} * near.machines`

// stormSQL goes on behind believed. Its steps, by name:
//
//	failed     with the parts of their value
//	successes  of those that failed: the first and the last of a day say as much as all
//	home       failures from where the client had succeeded, one of a client and moment
//	deltas     when a client begins to fail within a window, and when it ceases
//	running    how many do at each moment
//	peaks      the minutes in which they are enough
//	working    in which minutes of these, and of the windows before them, which machine got a token or failed
//	earlier    in which of these one got a token an hour before
//	limits     how many were active, by minute
//	triggers   by period
const stormSQL = `,
failed AS (
    SELECT key, t, log_id, imported, splitByChar('\x1f', val)[1] AS client, splitByChar('\x1f', val)[2] AS network FROM believed
),
successes AS (
    SELECT key AS who, {{network}} AS place, arrayJoin(arrayDistinct([min(t), max(t)])) AS success_t FROM matches
    WHERE selector = {issued:String} AND tenant = {tenant:String}
      AND bucket >= {success_day:Date} AND bucket <= {to_day:Date} AND key IN (SELECT client FROM failed)
      AND t >= {success_lo:UInt64} AND t < {to:UInt64}
      AND {{successes_survived}}
    GROUP BY who, place, intDiv(t, 86400000)
),
home AS MATERIALIZED (
    SELECT failed.key AS key, failed.t AS t, failed.log_id AS log_id, failed.client AS client, failed.network AS network, failed.imported AS imported
    FROM failed ASOF JOIN successes ON failed.client = successes.who AND failed.network = successes.place AND failed.t > successes.success_t
    WHERE successes.success_t + {known_ms:UInt64} >= failed.t
),
deltas AS (
    SELECT key, step.1 AS at, sum(step.2) AS delta, countIf(step.2 > 0) AS entered
    FROM (
        SELECT key, t, leadInFrame(t, 1, t + {window:UInt64} + 1) OVER (PARTITION BY key, client ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
        FROM (SELECT DISTINCT key, client, t FROM home)
    ) ARRAY JOIN [(t, 1), (least(next, t + {window:UInt64} + 1), -1)] AS step
    GROUP BY key, at
),
running AS MATERIALIZED (
    SELECT key, at, entered, sum(delta) OVER (PARTITION BY key ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS failing FROM deltas
),
peaks AS MATERIALIZED (
    SELECT DISTINCT intDiv(at, 60000) * 60000 AS minute FROM running WHERE entered > 0 AND failing >= toInt64({least:UInt64}) AND at >= {from:UInt64}
),
working AS (
    SELECT DISTINCT key AS client, intDiv(t, 60000) * 60000 AS worked FROM matches
    WHERE selector = {issued:String} AND tenant = {tenant:String}
      AND bucket >= {active_day:Date} AND bucket <= {to_day:Date} AND t >= {active_lo:UInt64} AND t < {to:UInt64}
      AND {{near_peaks}} AND {{survived}}
    UNION DISTINCT
    SELECT client, intDiv(t, 60000) * 60000 AS worked FROM home
),
earlier AS (
    SELECT DISTINCT key AS client, intDiv(t, 60000) * 60000 + {earlier_ms:UInt64} AS worked FROM matches
    WHERE selector = {issued:String} AND tenant = {tenant:String}
      AND bucket >= {earlier_day:Date} AND bucket <= {to_day:Date} AND t >= {earlier_lo:UInt64} AND t < {to:UInt64}
      AND {{earlier_near_peaks}}
),
limits AS (
    SELECT minute, max(machines) AS machines
    FROM (
        SELECT arrayJoin(range(worked, worked + {window:UInt64} + 1, 60000)) AS minute, early, uniqExact(client) AS machines
        FROM (SELECT client, worked, 0 AS early FROM working UNION ALL SELECT client, worked, 1 AS early FROM earlier)
        GROUP BY minute, early
    )
    GROUP BY minute
    HAVING minute IN (SELECT peaks.minute FROM peaks)
),
triggers AS (
    SELECT key, intDiv(at, {dedupe:UInt64}) * {dedupe:UInt64} AS period, min(at) AS first_trigger, max(at) AS last_trigger, argMax(greatest(limits.machines, toUInt64(failing)), at) AS machines
    FROM running JOIN limits ON intDiv(at, 60000) * 60000 = limits.minute
    WHERE entered > 0 AND failing >= toInt64({least:UInt64}) AND failing >= {share:Float64} * limits.machines AND at >= {from:UInt64}
    GROUP BY key, period
)
SELECT home.key AS key, triggers.period AS period, min(home.t) AS first_t, any(triggers.last_trigger) AS last_t, count() AS n,
    arraySlice(arraySort(groupUniqArray(home.network)), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((home.t, home.log_id))) AS top_logs,
    toUInt8(min(home.imported)) AS all_imported, ` + noBaseline + `,
    map('machines', toString(uniqExact(home.client)), 'active', toString(any(triggers.machines))) AS facts
FROM home JOIN triggers ON home.key = triggers.key
WHERE home.t + {window:UInt64} >= triggers.first_trigger AND home.t <= triggers.last_trigger
GROUP BY key, period
ORDER BY key, period
`
