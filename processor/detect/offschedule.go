package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// offSchedule finds matches at an hour of the week at which a key that keeps to
// its hours never has any.
//
// What it finds, per key, with hours of the week and days of UTC:
//
//   - The past of a day is the 28 days before it. Its hours are those that have a
//     match, its bins the different hours of the week among them.
//   - A key keeps to its hours if the past began 14 days before the day at
//     least, its bins are a smaller share of the week's 168 than share, its hours
//     are least at least, and each bin was used in weeks of the four weeks, on
//     the average. The last tells a timetable from somebody's errands.
//   - A match of such a key triggers if neither its hour of the week is one of the
//     bins, nor the hour before, nor the one after: a clock that is put forward
//     or back moves by an hour.
//   - Per period with a trigger there is one finding. It holds the triggers of
//     the period. The fact new_network is how many of them came from a network
//     of which the past has none, networks how many the past of the first has.
type offSchedule struct {
	share, weeks float64
	least        uint64
}

type pendingOffSchedule struct {
	offSchedule
	rule *yaml.Node
}

// readOffSchedule reads x-off-schedule.
func readOffSchedule(_ *pending, d *document) pendingKind {
	o := &pendingOffSchedule{}
	m := d.child("x-off-schedule")
	if m == nil {
		return o
	}
	o.rule = m.need("rule")
	o.share = m.ratio("share_below")
	o.weeks, o.least = m.positive("weeks"), m.uint("hours")
	m.rest("x-off-schedule")
	return o
}

func (o *pendingOffSchedule) names() []*yaml.Node { return []*yaml.Node{o.rule} }

func (o *pendingOffSchedule) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(o.rule, find); c.Main == nil {
		return nil
	}
	return o.offSchedule
}

func (offSchedule) uses(c *Correlation) []*Rule { return []*Rule{c.Main} }
func (offSchedule) learns() bool                { return true }

// reach: the past of the day.
func (offSchedule) reach(*Correlation) time.Duration { return 29 * oneDay }

func (o offSchedule) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main)
	params["share"], params["weeks"], params["least"] = o.share, o.weeks, o.least
	return schemas.Query{SQL: sql + strings.ReplaceAll(offScheduleSQL, "{{value}}", c.Main.shown("val")), Params: params}
}

// candidates are the keys with an hour that they had no match about a week
// before: of those that keep to their hours, few. A look at all four weeks would
// cost as much as the query. It trusts a match of that week whose event did not
// survive: a copy of the same log has another key or time only where a corrected
// normalizer moved it, and those are touched anew.
func (offSchedule) candidates(c *Correlation, a asked) schemas.Query {
	params := c.touched(a)
	params["before_day"], params["before_to_day"] = day(a.from.Add(-oneWeek-time.Hour)), day(a.to.Add(-oneWeek+time.Hour))
	params["before"] = millis(a.from.Add(-oneWeek - time.Hour))
	return schemas.Query{SQL: keysOf(offScheduleCandidatesSQL), Params: params}
}

const offScheduleCandidatesSQL = `
    SELECT DISTINCT key FROM (SELECT DISTINCT key, intDiv(t, 3600000) AS hour FROM matches WHERE ` + touchedMatches + `) AS now
    LEFT ANTI JOIN (
        SELECT DISTINCT key, intDiv(t, 3600000) + arrayJoin([167, 168, 169]) AS hour FROM matches
        WHERE selector = {main:String} AND tenant = {tenant:String}
          AND bucket >= {before_day:Date} AND bucket <= {before_to_day:Date} AND key IN {keys:Array(String)}
          AND t >= {before:UInt64} AND t < {to:UInt64}
    ) AS before USING (key, hour)`

// offScheduleSQL goes on behind believed. Its steps, by name:
//
//	seen   each match with its day and its hour of the week
//	days   the bins and networks of a day
//	past   those of the days before each day that is asked for
const offScheduleSQL = `,
seen AS (
    SELECT key, t, log_id, {{value}} AS network, imported,
        toInt64(intDiv(t, 86400000)) AS on_day, toUInt8(intDiv(t, 3600000) % 168) AS bin
    FROM believed
),
days AS (
    SELECT key, on_day, groupUniqArray(bin) AS bins, groupUniqArray(network) AS networks
    FROM seen
    GROUP BY key, on_day
),
past AS (
    SELECT key, on_day, groupUniqArrayArray(bins) AS bins, sum(length(bins_of)) AS hours,
        min(first_day) AS first_day, groupUniqArrayArray(networks) AS networks
    FROM (
        SELECT key, days.on_day + back AS on_day, days.on_day AS first_day, bins, bins AS bins_of, networks
        FROM days ARRAY JOIN range(1, 29) AS back
        WHERE (days.on_day + back) * 86400000 < {to:UInt64} AND (days.on_day + back + 1) * 86400000 > {from:UInt64}
    )
    GROUP BY key, on_day
)
SELECT key, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
    min(t) AS first_t, max(t) AS last_t, count() AS n,
    arraySlice(arraySort(groupUniqArrayIf(network, network != '')), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(seen.imported)) AS all_imported,
    ` + noBaseline + `,
    map('new_network', toString(countIf(NOT has(past.networks, network))),
        'hours_used', toString(argMin(length(past.bins), t)),
        'networks', toString(argMin(length(past.networks), t)),
        'hour', formatDateTime(fromUnixTimestamp64Milli(toInt64(first_t), 'UTC'), '%W %H:00', 'UTC')) AS facts
FROM seen JOIN past USING (key, on_day)
WHERE t >= {from:UInt64}
  AND past.first_day <= on_day - 14 AND length(past.bins) < {share:Float64} * 168
  AND past.hours >= {least:UInt64} AND past.hours >= {weeks:Float64} * length(past.bins)
  AND NOT hasAny(past.bins, [bin, toUInt8((bin + 1) % 168), toUInt8((bin + 167) % 168)])
GROUP BY key, period
ORDER BY key, period
`
