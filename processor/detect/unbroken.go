package detect

import (
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// unbroken counts failures of a key that nothing but failures lie between.
//
// What it finds, per key, with all times those of the events and ties in
// order of log_id:
//
//   - A failure (a match of Main) is known if a success (a match of Known)
//     with the same value precedes it by KnownLookback at most.
//   - A streak is the known failures between two consecutive successes.
//   - The streak counts only if, of what lies BaselineLookback before its
//     first failure, there are at least BaselineMin successes, and known
//     failures are less than BaselineRatio of both. Failures from elsewhere do
//     not spoil the ratio: else whoever has a client id could hide an outage.
//   - A failure triggers if the one Threshold − 1 before it in the streak is
//     not older than Timespan.
//   - Per period with a trigger there is one finding. It holds the failures,
//     up to the last trigger of the period, of all streaks that have a trigger
//     in it.
//
// Every step is linear in the matches read: running counts where a success
// adds one and takes it away when it leaves the look-back, never a RANGE
// frame, which counts anew for each row.
type unbroken struct{}

func (unbroken) shows(c *Correlation) fields { return c.Main.value }
func (unbroken) uses(c *Correlation) []*Rule { return []*Rule{c.Main, c.Known} }
func (unbroken) learns() bool                { return false }

// reach: all that is counted lies within KnownLookback behind the success that
// made its value known; the baseline lies before the first of it; and whether a
// failure within the baseline was of a known value, again KnownLookback before
// that.
func (unbroken) reach(c *Correlation) time.Duration {
	return c.KnownLookback + c.BaselineLookback + c.KnownLookback
}

func (unbroken) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main, c.Known)
	params["timespan"], params["threshold"], params["before"] = uint64(c.Timespan.Milliseconds()), c.Threshold, c.Threshold-1
	params["known_ms"], params["base_ms"] = uint64(c.KnownLookback.Milliseconds()), uint64(c.BaselineLookback.Milliseconds())
	params["base_days"], params["base_min"], params["base_ratio"] = c.BaselineLookback.Hours()/24, c.BaselineMin, c.BaselineRatio
	return schemas.Query{SQL: sql + unbrokenSQL, Params: params}
}

func (unbroken) candidates(c *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: candidatesSQL, Params: map[string]any{
		"tenant": a.tenant, "keys": a.keys, "main": c.Main.Selector, "known": c.Known.Selector,
		"seen_day": day(a.from.Add(-c.Timespan - c.KnownLookback)), "from_day": day(a.from.Add(-c.Timespan)), "to_day": day(a.to),
		"from": millis(a.from), "to": millis(a.to),
		"timespan": uint64(c.Timespan.Milliseconds()), "threshold": c.Threshold,
	}}
}

// millis and day write a time as the store has it, which knows none before 1970.
func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func day(t time.Time) string {
	return time.UnixMilli(max(t.UnixMilli(), 0)).UTC().Format(time.DateOnly)
}

// candidatesSQL finds a superset of the keys with a trigger: all that a trigger
// needs lies within the time span before it, of values that were seen before, and
// repeats only raise the count. So whoever fails with another's client id from a
// network of his own costs no more than this look.
const candidatesSQL = `
SELECT key, toUInt64(0) AS period, toUInt64(0) AS t, t AS last_t, toUInt64(0) AS n, CAST([], 'Array(String)') AS vals, vals AS logs,
    toUInt8(0) AS imported, toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success, CAST(map(), 'Map(String, String)') AS facts
FROM (
    SELECT key FROM matches
    WHERE selector = {main:String} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t + {timespan:UInt64} >= {from:UInt64} AND t < {to:UInt64}
      AND (key, value) IN (
          SELECT key, value FROM matches
          WHERE selector = {known:String} AND tenant = {tenant:String}
            AND bucket >= {seen_day:Date} AND bucket <= {to_day:Date} AND t < {to:UInt64}
            AND key IN (
                SELECT key FROM matches
                WHERE selector = {main:String} AND tenant = {tenant:String}
                  AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
                  AND t + {timespan:UInt64} >= {from:UInt64} AND t < {to:UInt64}
                GROUP BY key
                HAVING count() >= {threshold:UInt64} AND max(t) >= {from:UInt64}
            )
          GROUP BY key, value
      )
    GROUP BY key
    HAVING count() >= {threshold:UInt64} AND max(t) >= {from:UInt64}
)
ORDER BY key
`

// unbrokenSQL goes on behind believed. Its steps, by name:
//
//	known    failures of unknown values are gone
//	spans    each match twice: when it enters the look-back, and when it leaves
//	running  counts as of each moment
//	failures the failures, with what their streak was like when it began
//	marked   which of them trigger
//	parts    per streak and period
//	sums     from the streak's beginning to the end of the period
const unbrokenSQL = `,
known AS (
    SELECT key, t, log_id, val, ok, imported,
        leadInFrame(t) OVER (PARTITION BY key, ok ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next
    FROM (
        SELECT *, role = 2 AS ok, maxIf(t, ok) OVER (PARTITION BY key, val ORDER BY t, log_id, ok ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen
        FROM believed
    )
    WHERE ok OR (seen > 0 AND seen + {known_ms:UInt64} >= t)
),
spans AS (
    SELECT key, t + left_at AS at, left_at = 0 AS enters, log_id, val, ok, imported, t, next
    FROM known ARRAY JOIN [0, {base_ms:UInt64} + 1] AS left_at
),
running AS (
    SELECT key, t, log_id, val, ok, imported, enters,
        countIf(ok AND enters) OVER o AS streak,
        countIf(ok AND enters) OVER o - countIf(ok AND NOT enters) OVER o AS successes,
        countIf(NOT ok AND enters) OVER o - countIf(NOT ok AND NOT enters) OVER o AS failures,
        maxIf(t, ok AND enters) OVER o AS last_success,
        if(countIf(ok AND NOT enters) OVER o > 0, maxIf(next, ok AND NOT enters) OVER o, minIf(t, ok AND enters) OVER o) AS first_success
    FROM spans
    WINDOW o AS (PARTITION BY key ORDER BY at, enters, log_id, ok ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
failures AS (
    SELECT key, streak, t, log_id, val, imported,
        row_number() OVER s AS n,
        lagInFrame(t, {before:UInt64}) OVER s AS nth,
        first_value(t) OVER s AS began,
        first_value(successes) OVER s AS base,
        first_value(failures) OVER s - 1 AS base_failed,
        first_value(first_success) OVER s AS base_first,
        first_value(last_success) OVER s AS base_last
    FROM running
    WHERE enters AND NOT ok
    WINDOW s AS (PARTITION BY key, streak ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
marked AS (
    SELECT *, (t, log_id) <= maxIf((t, log_id), triggers) OVER (PARTITION BY key, period) AS upto
    FROM (
        SELECT *, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
            n >= {threshold:UInt64} AND nth + {timespan:UInt64} >= t AS triggers
        FROM failures
        WHERE base >= {base_min:UInt64} AND base_failed / (base_failed + base) < {base_ratio:Float64}
    )
),
parts AS (
    SELECT key, streak, period, countIf(triggers) AS triggered, maxIf(t, triggers) AS last,
        any(began) AS began, any(base) AS base, any(base_first) AS base_first, any(base_last) AS base_last,
        count() AS whole, countIf(upto) AS part,
        countIf(NOT imported) AS whole_live, countIf(NOT imported AND upto) AS part_live,
        groupUniqArray(val) AS whole_values, groupUniqArrayIf(val, upto) AS part_values,
        groupArraySorted(20)((t, log_id)) AS whole_logs, groupArraySortedIf(20)((t, log_id), upto) AS part_logs
    FROM marked
    GROUP BY key, streak, period
),
sums AS (
    SELECT key, streak, period, triggered, last, began, base, base_first, base_last,
        sum(whole) OVER b + part AS events,
        sum(whole_live) OVER b + part_live AS live,
        arrayConcat(groupUniqArrayArray(whole_values) OVER b, part_values) AS vals,
        arrayConcat(groupArrayArray(whole_logs) OVER b, part_logs) AS logs
    FROM parts
    WINDOW b AS (PARTITION BY key, streak ORDER BY period ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT key, period,
    min(began) AS first_t,
    max(last) AS last_t,
    sum(events) AS n,
    arraySlice(arraySort(groupUniqArrayArray(vals)), 1, 20) AS top_values,
    arrayMap(l -> l.2, arraySlice(arraySort(groupArrayArray(logs)), 1, 20)) AS top_logs,
    toUInt8(sum(live) = 0) AS all_imported,
    toUInt64(argMin(base, streak)) AS baseline,
    least(greatest((first_t - argMin(base_first, streak)) / 86400000, 1), {base_days:Float64}) AS baseline_days,
    argMin(base_last, streak) AS last_success,
    CAST(map(), 'Map(String, String)') AS facts
FROM sums
WHERE triggered > 0 AND period >= {from:UInt64} AND period < {to:UInt64}
GROUP BY key, period
ORDER BY key, period
`
