package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// spike finds windows in which a key has more matches than at this hour of the
// week before.
//
// What it finds, per key, with windows and UTC days aligned to the epoch:
//
//   - The past of a window is the spikeWeeks weeks before its day. Its known
//     weeks are the whole ones since the first day of them that has a match.
//   - Its samples are the counts of the windows of the same hour of the week, of
//     the hour before and of the hour after, in each known week. A window
//     without a match is a sample of 0.
//   - MAD is the median distance of the samples from their median, and at least
//     1 and at least the root of the median, which a Poisson count has anyway.
//   - A window triggers if a week is known, and its count is Threshold at least,
//     MAD × score above the median at least, and more than over × the most of
//     any window of the past. The last is for bursts that come at any hour, as a
//     deploy's do, of which a median knows nothing.
//   - Per period with such a window there is one finding. It holds the events of
//     the period's windows that trigger; its facts are those of the largest.
//
// The samples end days before the window begins, so that nothing about it ever
// changes but by late events.
type spike struct {
	score float64
	over  float64
}

// spikeWeeks is how many weeks a window is compared with.
const spikeWeeks = 4

const (
	oneDay  = 24 * time.Hour
	oneWeek = 7 * oneDay
)

type pendingSpike struct {
	spike
	rule *yaml.Node
	node *yaml.Node
}

// readSpike reads x-spike.
func readSpike(p *pending, d *document) pendingKind {
	s := &pendingSpike{node: d.vals["x-spike"]}
	m := d.child("x-spike")
	if m == nil {
		return s
	}
	s.rule = m.need("rule")
	p.Timespan = m.duration("window")
	p.Threshold = m.uint("min")
	s.score, s.over = m.positive("z"), m.positive("over")
	if p.Timespan > 0 && time.Hour%p.Timespan != 0 {
		m.on(s.node, "x-spike: want a window that divides an hour: 1m, 5m, 10m, 15m, 30m, 60m")
	}
	if p.Threshold < 1 {
		m.on(s.node, "x-spike: want a min of 1 or more")
	}
	m.rest("x-spike")
	return s
}

func (s *pendingSpike) names() []*yaml.Node { return []*yaml.Node{s.rule} }

func (s *pendingSpike) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(s.rule, find); c.Main == nil {
		return nil
	}
	p.wholeWindows(s.node, c)
	return s.spike
}

// wholeWindows reports periods that windows lie across the edge of.
func (p *pending) wholeWindows(n *yaml.Node, c *Correlation) {
	if c.Timespan > 0 && c.Dedupe%c.Timespan != 0 {
		p.on(n, "x-dedupe: want a multiple of the window")
	}
}

func (spike) uses(c *Correlation) []*Rule { return []*Rule{c.Main} }
func (spike) learns() bool                { return true }

// reach: the weeks before the day of the window, and an hour before them.
func (spike) reach(*Correlation) time.Duration { return spikeWeeks*oneWeek + oneDay + time.Hour }

func (s spike) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main)
	params["window"] = uint64(c.Timespan.Milliseconds())
	params["min"], params["score"], params["over"] = c.Threshold, s.score, s.over
	return schemas.Query{SQL: sql + strings.ReplaceAll(spikeSQL, "{{value}}", c.Main.shown("val")), Params: params}
}

// candidates are the keys with a window that has enough matches at all.
func (spike) candidates(c *Correlation, a asked) schemas.Query {
	params := c.touched(a)
	params["window"], params["min"] = uint64(c.Timespan.Milliseconds()), c.Threshold
	return schemas.Query{SQL: keysOf(`SELECT DISTINCT key FROM (
    SELECT key FROM matches WHERE ` + touchedMatches + `
    GROUP BY key, intDiv(t, {window:UInt64})
    HAVING count() >= {min:UInt64}
)`), Params: params}
}

// spikeSQL goes on behind believed. Its steps, by name:
//
//	cells    matches per window
//	busy     windows that may trigger, by their count alone
//	past     what is known of the weeks before a day with such a window
//	suspects those that are far above all of it
//	sampled  their samples, sorted
//	judged   their median and MAD
const spikeSQL = `,
cells AS (
    SELECT key, toInt64(intDiv(t, {window:UInt64})) AS cell, count() AS n,
        toInt64(intDiv(cell * {window:UInt64}, 3600000)) AS hour, toInt64(intDiv(hour, 24)) AS on_day
    FROM believed
    GROUP BY key, cell
),
busy AS (
    SELECT key, cell, n, hour, on_day FROM cells
    WHERE n >= {min:UInt64} AND cell * {window:UInt64} >= {from:UInt64} AND cell * {window:UInt64} < {to:UInt64}
),
past AS (
    SELECT key, target AS on_day, min(before.on_day) AS first_day, max(before.most) AS most
    FROM (
        SELECT key, target, target - back AS on_day
        FROM (SELECT DISTINCT key, on_day AS target FROM busy)
        ARRAY JOIN range(1, 29) AS back
    ) AS asked
    JOIN (SELECT key, on_day, max(n) AS most FROM cells GROUP BY key, on_day) AS before USING (key, on_day)
    GROUP BY key, target
),
suspects AS (
    SELECT key, cell, n, hour, least(intDiv(on_day - first_day, 7), 4) AS weeks
    FROM busy JOIN past USING (key, on_day)
    WHERE weeks >= 1 AND n > {over:Float64} * most
),
sampled AS (
    SELECT key, cell, any(n) AS n, toUInt64(any(weeks) * 3 * intDiv(3600000, {window:UInt64})) AS total,
        groupArrayArray(counts) AS seen,
        arraySort(arrayConcat(seen, arrayWithConstant(total - length(seen), toUInt64(0)))) AS samples
    FROM (
        SELECT key, cell, n, weeks, toInt64(hour - 168 * week + beside) AS hour
        FROM suspects
        ARRAY JOIN range(1, toUInt64(weeks) + 1) AS week
        ARRAY JOIN [-1, 0, 1] AS beside
    ) AS wanted
    LEFT JOIN (SELECT key, hour, groupArray(n) AS counts FROM cells GROUP BY key, hour) AS hours USING (key, hour)
    GROUP BY key, cell
),
judged AS (
    SELECT key, cell, n,
        (samples[intDiv(total + 1, 2)] + samples[intDiv(total, 2) + 1]) / 2 AS median,
        arraySort(arrayMap(s -> abs(s - median), samples)) AS distances,
        greatest((distances[intDiv(total + 1, 2)] + distances[intDiv(total, 2) + 1]) / 2, 1, sqrt(median)) AS mad,
        (n - median) / mad AS score
    FROM sampled
)
SELECT key, period, first_t, last_t, events, top_values, top_logs, all_imported, ` + noBaseline + `,
    map('in_window', toString(largest.1), 'median', toString(largest.2),
        'mad', toString(floor(largest.3 * 10) / 10), 'z', toString(floor(largest.4 * 10) / 10)) AS facts
FROM (
    SELECT key, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
        min(t) AS first_t, max(t) AS last_t, count() AS events,
        arraySlice(arraySort(groupUniqArrayIf({{value}}, {{value}} != '')), 1, 20) AS top_values,
        arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
        toUInt8(min(believed.imported)) AS all_imported,
        argMax((n, median, mad, score), (n, -cell)) AS largest
    FROM (SELECT *, toInt64(intDiv(t, {window:UInt64})) AS cell FROM believed) AS believed
    JOIN (SELECT key, cell, n, median, mad, score FROM judged WHERE score >= {score:Float64}) AS spikes USING (key, cell)
    GROUP BY key, period
)
ORDER BY key, period
`
