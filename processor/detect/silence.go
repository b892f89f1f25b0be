package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// silence finds keys with a beat that has stopped.
//
// What it finds, per key, with bins of five minutes aligned to the epoch:
//
//   - A key beats in a bin in which it has a match. The gaps of a beat are those,
//     in bins, between the beats of the history that ends with it.
//   - It is regular if there are gaps of them at least, the first of those beats
//     is known before it at least, and the gaps' coefficient of variation is
//     below cv. Whoever rests at weekends varies by more, unless he is so slow
//     that weekends are among his usual gaps.
//   - The limit of a regular beat is times × the 99th percentile of its gaps (the
//     nearest rank), and least at least. A limit above most is never reached.
//   - The trigger is the last match of the beat + its limit, if no match lies
//     between, and any event of the tenant behind it: while nothing comes of the
//     whole tenant it is the stream that is silent, not all its machines.
//   - Of a key with a declared cadence nothing is found: see overdue.
//   - Per period with a trigger there is one finding. It holds the last match
//     before each silence, and ends with the last trigger. Its facts are those of
//     the last silence: when it began, what is usual, and when the key came back,
//     if it did within most of the trigger.
//
// So time alone makes a finding: see OverdueQuery. What comes late between the last
// match and the trigger takes it away.
type silence struct {
	history, known, least, most time.Duration
	gaps                        uint64
	cv, times                   float64
}

const silenceBin = 5 * time.Minute

type pendingSilence struct {
	silence
	rule, node *yaml.Node
}

// readSilence reads x-silence.
func readSilence(_ *pending, d *document) pendingKind {
	s := &pendingSilence{node: d.vals["x-silence"]}
	m := d.child("x-silence")
	if m == nil {
		return s
	}
	s.rule = m.need("rule")
	s.history, s.known = m.duration("history"), m.duration("known")
	s.gaps, s.cv = m.uint("gaps"), m.positive("cv_below")
	s.times, s.least, s.most = m.positive("times"), m.duration("least"), m.duration("most")
	if s.least < time.Hour || s.most < s.least || s.known > s.history || s.gaps < 1 {
		m.on(s.node, "x-silence: want a least of 1h or more, a most that is no less, a history that is no less than known, and some gaps")
	}
	m.rest("x-silence")
	return s
}

func (s *pendingSilence) names() []*yaml.Node { return []*yaml.Node{s.rule} }

func (s *pendingSilence) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(s.rule, find); c.Main == nil {
		return nil
	}
	return s.silence
}

func (silence) uses(c *Correlation) []*Rule { return []*Rule{c.Main} }
func (silence) learns() bool                { return true }

// reach: from the trigger back to the last match, and its history before that.
func (s silence) reach(*Correlation) time.Duration { return s.most + s.history + 2*silenceBin }

func (s silence) params(params map[string]any) map[string]any {
	bins := func(d time.Duration) int64 { return int64(d / silenceBin) }
	params["bin"] = uint64(silenceBin.Milliseconds())
	params["history"], params["known"], params["gaps"] = bins(s.history), bins(s.known), s.gaps
	params["cv"], params["times"] = s.cv, s.times
	params["least"], params["most"] = uint64(s.least.Milliseconds()), uint64(s.most.Milliseconds())
	return params
}

func (s silence) query(c *Correlation, a asked) schemas.Query {
	until := a.to
	a.to = a.to.Add(s.most) // when it came back
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main)
	params["until"] = millis(until)
	params["declared"], _ = c.declaredCadences(a.tenant, a.keys)
	steps := strings.NewReplacer("{{value}}", c.Main.shown("val"))
	return schemas.Query{SQL: sql + steps.Replace(silenceSQL+silenceRows), Params: s.params(params)}
}

// candidates are the keys that have no match in some half hour: one lies in each
// hour that is silent. So those that beat all the time cost no more than this
// look. Unbelieved matches are few, and touched when they are found out.
func (s silence) candidates(c *Correlation, a asked) schemas.Query {
	params := c.touched(a)
	before := a.from.Add(-time.Hour)
	params["before"], params["before_day"] = millis(before), day(before)
	return schemas.Query{SQL: keysOf(silenceCandidatesSQL), Params: params}
}

const silenceCandidatesSQL = `
    WITH intDiv(least({to:UInt64}, (SELECT toUInt64(toUnixTimestamp64Milli(max(time))) FROM events WHERE tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli(toInt64({before:UInt64}), 'UTC'))), 1800000) AS end
    SELECT key FROM (SELECT arrayJoin({keys:Array(String)}) AS key) AS asked
    LEFT JOIN (
        SELECT key, uniqExact(intDiv(t, 1800000)) AS busy FROM matches
        WHERE selector = {main:String} AND tenant = {tenant:String}
          AND bucket >= {before_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
          AND t >= {before:UInt64} AND intDiv(t, 1800000) < end
        GROUP BY key
    ) AS active USING (key)
    WHERE busy + intDiv({before:UInt64}, 1800000) < end`

func (s silence) trail() time.Duration { return s.most }
func (silence) looksBack() bool        { return false }

func (s silence) overdue(c *Correlation, tenant string, from, to time.Time, share Share) schemas.Query {
	lo := from.Add(-c.Reach())
	sql := strings.NewReplacer("{{value}}", "''", "{{keys}}", "(SELECT key FROM paused) AND "+shareSQL).Replace(pausedSQL + silenceSQL)
	params := s.params(map[string]any{
		"tenant": tenant, "main": c.Main.Selector, "lo": millis(lo), "lo_day": day(lo),
		"from": millis(from), "to": millis(to), "to_day": day(to), "until": millis(to), "pause_day": day(from.Add(-s.most)),
		"least_key": share.From, "next_key": share.Before,
	})
	params["declared"] = []string{} // a superset will do
	return schemas.Query{SQL: sql + "SELECT DISTINCT key, " + keysOnly + " FROM silences ORDER BY key", Params: params}
}

// LastEventsQuery asks, for each tenant with an event since then, in column Key, when its
// last one was, in First and Last.
func LastEventsQuery(since time.Time) schemas.Query {
	return schemas.Query{Params: map[string]any{"since": millis(since)}, SQL: `
SELECT tenant AS key, toUInt64(0) AS period, toUInt64(toUnixTimestamp64Milli(max(time))) AS t, t AS last_t, toUInt64(0) AS n,
    CAST([], 'Array(String)') AS vals, vals AS logs, toUInt8(0) AS imported, ` + noBaseline + `, ` + noFacts + `
FROM events
WHERE time >= fromUnixTimestamp64Milli(toInt64({since:UInt64}), 'UTC')
GROUP BY tenant
ORDER BY key
`}
}

// pausedSQL begins a statement for keys that are silent: only those with a pause
// that is long enough have their past looked at, which is most of all matches.
// busy is when one was active, by half of the least pause, of which a longer one
// spans one at least. Where the range is shorter than the least pause, whoever has a
// match in the rest of that before it has no trigger in it.
const pausedSQL = `
WITH intDiv({least:UInt64}, 2) AS part,
paused AS (
    SELECT key, arraySort(groupUniqArray(intDiv(t, part))) AS busy FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String} AND ` + shareSQL + `
      AND bucket >= {pause_day:Date} AND bucket <= {to_day:Date} AND t + {most:UInt64} >= {from:UInt64} AND t < {to:UInt64}
    GROUP BY key
    HAVING countIf(t + {least:UInt64} >= {to:UInt64} AND t < {from:UInt64}) = 0
       AND arrayExists(d -> d > 1, arrayDifference(arrayPushBack(busy, intDiv({to:UInt64}, part))))
),
` + unprovenSQL

// unprovenSQL takes matches of some keys for believed: to look their events up
// takes most of the time, and few are left then.
const unprovenSQL = `believed AS (
    SELECT key, t, log_id, '' AS val, source = 'import' AS imported FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String} AND key IN {{keys}}
      AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date} AND t >= {lo:UInt64} AND t < {to:UInt64}
)`

// silenceSQL goes on behind believed. Its steps, by name:
//
//	beats     bins with a match, and the last match in each
//	gapped    with the gap before, and the next match behind
//	long      those with a silence behind them that may be long enough
//	histories what is usual as of each of those
//	silences  those that are longer, and over when something of the tenant came
//
// The least gap of a key is no more than any percentile, so that most beats are
// out before their history is looked at.
const silenceSQL = `,
beats AS (
    SELECT key, toInt64(intDiv(t, {bin:UInt64})) AS beat, min(t) AS head, max((t, log_id)) AS tail,
        argMax({{value}}, (t, log_id)) AS network, argMax(believed.imported, (t, log_id)) AS imported
    FROM believed
    WHERE NOT has({declared:Array(String)}, key)
    GROUP BY key, beat
),
gapped AS (
    SELECT key, beat, tail, network, imported,
        beat - lagInFrame(beat, 1, beat) OVER w AS gap,
        leadInFrame(head, 1, toUInt64(0)) OVER w AS next
    FROM beats
    WINDOW w AS (PARTITION BY key ORDER BY beat ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
),
long AS (
    SELECT key, beat, tail, network, imported, next
    FROM (SELECT *, minIf(gap, gap > 0) OVER (PARTITION BY key) AS shortest FROM gapped)
    WHERE tail.1 + {least:UInt64} < {until:UInt64} AND tail.1 + {most:UInt64} >= {from:UInt64}
      AND (next = 0 OR next > tail.1 + greatest({least:UInt64}, toUInt64({times:Float64} * shortest * {bin:UInt64})))
),
histories AS (
    SELECT long.key AS key, long.beat AS beat, any(long.tail) AS tail, any(long.network) AS network, any(long.imported) AS imported, any(long.next) AS next,
        arraySort(groupArray(gapped.gap)) AS gaps, length(gaps) AS n, min(gapped.beat - gapped.gap) AS first_beat
    FROM long JOIN gapped USING (key)
    WHERE gapped.gap > 0 AND gapped.beat <= long.beat AND gapped.beat - gapped.gap >= long.beat - {history:Int64}
    GROUP BY key, beat
),
silences AS (
    SELECT key, tail, network, imported, next, gaps[intDiv(n + 1, 2)] AS usual,
        tail.1 + greatest({least:UInt64}, toUInt64({times:Float64} * gaps[intDiv(99 * n + 99, 100)] * {bin:UInt64})) AS trigger
    FROM histories
    WHERE n >= {gaps:UInt64} AND first_beat + {known:Int64} <= beat
      AND toFloat64(n * arraySum(x -> x * x, gaps) - arraySum(gaps) * arraySum(gaps)) < {cv:Float64} * {cv:Float64} * toFloat64(arraySum(gaps) * arraySum(gaps))
      AND trigger <= tail.1 + {most:UInt64} AND trigger >= {from:UInt64} AND trigger < {until:UInt64}
      AND (next = 0 OR next > trigger)
      AND trigger < (
          SELECT toUInt64(toUnixTimestamp64Milli(max(time))) FROM events
          WHERE tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli(toInt64({from:UInt64}), 'UTC'))
)
`

const silenceRows = `
SELECT key, period, first_t, last_t, n, top_values, top_logs, all_imported, ` + noBaseline + `,
    map('since', formatDateTime(fromUnixTimestamp64Milli(toInt64(last.1), 'UTC'), '%F %H:%i', 'UTC'),
        'usual_minutes', toString(last.2 * intDiv({bin:UInt64}, 60000)),
        'limit_minutes', toString(intDiv(last_t - last.1, 60000)),
        'came_back', if(last.3 > 0 AND last.3 <= last_t + {most:UInt64}, formatDateTime(fromUnixTimestamp64Milli(toInt64(last.3), 'UTC'), '%F %H:%i', 'UTC'), '')) AS facts
FROM (
    SELECT key, intDiv(trigger, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
        min(tail.1) AS first_t, max(trigger) AS last_t, count() AS n,
        arraySlice(arraySort(groupUniqArrayIf(network, network != '')), 1, 20) AS top_values,
        arrayMap(l -> l.2, groupArraySorted(20)(tail)) AS top_logs,
        toUInt8(min(silences.imported)) AS all_imported,
        argMax((tail.1, usual, next), trigger) AS last
    FROM silences
    GROUP BY key, period
)
ORDER BY key, period
`
