package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// counted measures the matches of a key within a time span that ends at each of
// them: how many there are, how many distinct values they have, or what the
// values come to.
//
// What it finds, per key, with all times those of the events and ties in order of
// log_id:
//
//   - A match counts once for its event, however many of the rules select it.
//     Where values are compared one without a value does not count, nor one
//     whose value is no number where they are summed up: six decimals are kept
//     of a number, and one of more than twelve digits before the point is none.
//   - With x-known one counts whose field has a value that a match of the rule
//     of x-known had within the look-back before. With x-new one counts whose
//     field has a value that none of the counted rules' matches had within the
//     look-back before, if the key had a match within the look-back that is at
//     least as old as history. With x-own one counts unless its field has a value
//     that a match of the rule of x-own had within the look-back before.
//     With x-strangers one counts that names somebody who is a stranger where it
//     comes from (see strangers).
//   - The measure at a match is taken over those that count and are not older
//     than Timespan, up to itself.
//   - A match triggers if its measure keeps to all bounds, and exceeds what is
//     usual (see usual), and no match of the rule of x-unless lies at or within
//     its time before.
//   - Per period with a trigger there is one finding. It holds what counts of
//     the time spans of all triggers in the period.
//
// Its facts: most, the largest measure of a trigger; distinct, how many values
// its matches have; usual, the largest measure of the days before, where x-usual
// is asked for; real, where x-strangers is.
type counted struct {
	measure string // one of Sigma's types
	rules   []*Rule
	field   fields // what is compared or summed up
	shown   fields // what the finding's values are
	bounds  bounds
	filtered
}

func (k counted) uses(*Correlation) []*Rule {
	return append(slices.Clone(k.rules), k.filtered.rules()...)
}
func (k counted) learns() bool { return k.usual.Lookback > 0 || k.newField.name != "" }

func (k counted) reach(c *Correlation) time.Duration {
	return max(k.memory(c), c.Timespan+k.strangers.lookback)
}

// memory is how far back the matches of the rules that are used are read.
func (k counted) memory(c *Correlation) time.Duration {
	reach := max(c.Timespan+k.lookback, k.within)
	if k.usual.Lookback > 0 {
		reach += 24*time.Hour + k.usual.Lookback
	}
	return reach
}

// The places of the rules of the filters among those that are read.
func (k counted) knownRole() int { return len(k.rules) + 1 }
func (k counted) barRole() int   { return len(k.uses(nil)) }

func (k counted) query(c *Correlation, a asked) schemas.Query {
	lo := a.from.Add(-k.memory(c))
	sql, params := c.believed(a, lo, k.uses(c)...)
	s := &statement{params: params, last: "believed"}
	s.sql.WriteString(sql)
	params["timespan"] = uint64(c.Timespan.Milliseconds())
	params["count_from"] = millis(a.from.Add(-c.Timespan))
	if k.usual.Lookback > 0 {
		params["count_from"] = millis(lo)
	}
	s.step("told", "SELECT key, t, log_id, role, imported, "+k.column(k.field)+" AS v, "+k.column(k.shown)+" AS shown, "+
		k.column(fields{k.knownField})+" AS known_value, "+k.column(fields{k.newField})+" AS new_value, "+k.column(fields{k.strangers.who})+" AS who, "+k.column(fields{k.strangers.from})+" AS place FROM {{last}}")
	realName := "''"
	if k.strangers.rule != nil {
		realName = "max(if(real, who, ''))"
		k.strangersOnly(s, a.from.Add(-c.Timespan-k.strangers.lookback))
	}
	k.filter(s)
	s.step("events", "SELECT key, t, log_id, min(v) AS v, min(shown) AS val, min(imported) AS imported, max(barred) AS barred, "+realName+" AS real_name FROM {{last}} WHERE t >= {count_from:UInt64} GROUP BY key, t, log_id")
	k.measured(s)
	k.judge(s)
	return s.findings()
}

func (k counted) shows(*Correlation) fields { return k.shown }

// column is SQL for what a match tells of fields, ” where that is none.
func (k counted) column(of fields) string { return valueSQL(k.uses(nil), of, "val", "role") }

// valueSQL is SQL for the values of fields in the matches of rules, which may have
// them in different parts of column; role is the place of a match's rule.
func valueSQL(rules []*Rule, of fields, column, role string) string {
	var parts []string
	for _, f := range of {
		if f.name == "" {
			continue
		}
		var cases []string
		for i, r := range rules {
			if r.value.part(f.name) > 0 {
				cases = append(cases, fmt.Sprintf("%s = %d, %s", role, i+1, r.part(column, f.name)))
			}
		}
		parts = append(parts, "multiIf("+strings.Join(cases, ", ")+", '')")
	}
	switch len(parts) {
	case 0:
		return "''"
	case 1:
		return parts[0]
	}
	return "concat(" + strings.Join(parts, `, '\x1f', `) + ")"
}

// filter leaves what counts, and of each how late it is barred.
func (k counted) filter(s *statement) {
	barred, counts := "toUInt64(0)", []string{fmt.Sprintf("role <= %d", len(k.rules))}
	if k.bar != nil {
		s.params["bar_ms"] = uint64(k.within.Milliseconds())
		barred = fmt.Sprintf("maxIf(t + {bar_ms:UInt64} + 1, role = %d) OVER (PARTITION BY key ORDER BY t, log_id, role != %[1]d ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", k.barRole())
	}
	seen := "toUInt64(0)"
	switch {
	case k.known != nil:
		s.params["known_ms"] = uint64(k.lookback.Milliseconds())
		seen = fmt.Sprintf("maxIf(t, role = %d) OVER (PARTITION BY key, known_value ORDER BY t, log_id, role = %[1]d ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)", k.knownRole())
		if known := "seen > 0 AND seen + {known_ms:UInt64} >= t"; k.own {
			counts = append(counts, "(known_value = '' OR NOT ("+known+"))")
		} else {
			counts = append(counts, known)
		}
	case k.newField.name != "":
		k.filterNew(s)
		counts = append(counts, "new_value != ''", "(before = 0 OR before + {known_ms:UInt64} < t)", "aged > 0", "aged + {known_ms:UInt64} >= t")
	}
	switch k.measure {
	case valueCount, valueSum, valueAvg:
		counts = append(counts, "v != ''")
	}
	s.step("seen", "SELECT *, "+seen+" AS seen, "+barred+" AS barred FROM {{last}}")
	s.step("counting", "SELECT * FROM {{last}} WHERE "+strings.Join(counts, " AND "))
}

// filterNew tells of each match when its value was there before, and when
// something was that is old enough: each match comes a second time when it is.
func (k counted) filterNew(s *statement) {
	s.params["known_ms"], s.params["history_ms"] = uint64(k.lookback.Milliseconds()), uint64(k.history.Milliseconds())
	s.step("aging", "SELECT *, t + older AS at, older = 0 AS comes FROM {{last}} ARRAY JOIN [0, {history_ms:UInt64}] AS older")
	s.step("old", `SELECT *, maxIf(t, comes) OVER (PARTITION BY key, new_value ORDER BY at, comes, log_id, role ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
        maxIf(t, NOT comes) OVER (PARTITION BY key ORDER BY at, comes, log_id, role ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS aged
    FROM {{last}}`)
	s.step("present", "SELECT * EXCEPT (at, comes) FROM {{last}} WHERE comes")
}

// measured gives each event the measure of the time span that ends at it: it
// enters, and leaves when it is too old or its value comes again.
func (k counted) measured(s *statement) {
	leaves := "(t + {timespan:UInt64} + 1, '', 0)"
	number := "toDecimal64OrNull(v, 6)"
	switch k.measure {
	case valueSum, valueAvg:
		s.step("numbers", "SELECT *, assumeNotNull("+number+") AS x FROM {{last}} WHERE isNotNull("+number+")")
	case valueCount:
		s.step("following", `SELECT *, leadInFrame(t) OVER f AS next_t, leadInFrame(log_id) OVER f AS next_id FROM {{last}}
    WINDOW f AS (PARTITION BY key, v ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)`)
		leaves = "if(next_t > 0 AND next_t <= t + {timespan:UInt64}, (next_t, next_id, 0), " + leaves + ")"
	}
	s.step("spans", "SELECT *, span.1 AS at, span.2 AS at_id, span.3 AS enters FROM {{last}} ARRAY JOIN [(t, log_id, 1), "+leaves+"] AS span")
	count := "toFloat64(countIf(enters = 1) OVER o - countIf(enters = 0) OVER o)"
	sum := "toFloat64(sumIf(x, enters = 1) OVER o - sumIf(x, enters = 0) OVER o)"
	measure := map[string]string{eventCount: count, valueCount: count, valueSum: sum, valueAvg: "if(enters = 1, " + sum + " / " + count + ", 0)"}[k.measure]
	s.step("running", "SELECT *, "+measure+` AS measure FROM {{last}}
    WINDOW o AS (PARTITION BY key ORDER BY at, at_id, enters ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)`)
	s.step("entering", "SELECT * FROM {{last}} WHERE enters = 1")
}

// judge tells which events trigger.
func (k counted) judge(s *statement) {
	triggers := []string{"barred <= t"}
	for i, b := range k.bounds {
		name := fmt.Sprintf("bound_%d", i)
		s.params[name] = b.value
		triggers = append(triggers, "measure "+operators[b.op]+" {"+name+":Float64}")
	}
	usual := "toFloat64(0)"
	if u := k.usual; u.Lookback > 0 {
		s.params["usual_days"], s.params["usual_least"] = uint64(u.Lookback.Hours()/24), u.Days
		s.params["usual_times"], s.params["usual_more"] = u.Times, u.More
		s.step("daily", "SELECT *, intDiv(t, 86400000) AS day, max(measure) OVER (PARTITION BY key, intDiv(t, 86400000)) AS daily FROM {{last}}")
		s.step("days", "SELECT *, arrayFilter(d -> d.1 < day AND d.1 + {usual_days:UInt64} >= day, groupUniqArray((day, daily)) OVER (PARTITION BY key)) AS before_days FROM {{last}}")
		usual = "arrayMax(arrayConcat([toFloat64(0)], arrayMap(d -> d.2, before_days)))"
		triggers = append(triggers, "length(before_days) >= {usual_least:UInt64}", "measure > usual", "measure >= usual * {usual_times:Float64} + {usual_more:Float64}")
	}
	s.step("usual", "SELECT *, "+usual+" AS usual FROM {{last}}")
	s.step("judged", "SELECT key, t, log_id, val, imported, measure, usual, real_name, "+strings.Join(triggers, " AND ")+" AS triggers FROM {{last}}")
	s.facts = "'most', toString(maxIf(measure, triggers)), 'distinct', toString(countIf(first_of_value))"
	if k.strangers.rule != nil {
		s.facts += ", 'real', toString(uniqExactIf(real_name, real_name != ''))"
	}
	if k.usual.Lookback > 0 {
		s.facts += ", 'usual', toString(maxIf(usual, triggers))"
	}
}

// familiar: where new values of one field are counted, a key has as many that are not among
// what it did before. A value that is called unknown is none of its deeds.
func (k counted) familiar(c *Correlation) (r Recall, ok bool) {
	least := int(min(k.bounds.least(), MaxDeeds)) - 1
	if k.measure != valueCount || len(k.rules) != 1 || len(k.field) != 1 || k.field[0].name != k.newField.name || least < 1 {
		return Recall{}, false
	}
	return Recall{Selector: c.Main.Selector, Lookback: k.lookback, Before: c.Timespan, least: least, fields: []string{k.newField.name}, rule: c.Main}, true
}

// candidates are keys with as many matches, or distinct values, as it takes, in
// one of the stretches of two time spans that any time span lies in. Repeats, and
// matches whose event did not survive, only raise the count.
func (k counted) candidates(c *Correlation, a asked) schemas.Query {
	params := candidateParams(a, c.Timespan, k.rules)
	least, n := max(k.bounds.least(), 1), "count()"
	params["threshold"] = least
	if k.measure == valueSum || k.measure == valueAvg {
		params["threshold"] = uint64(1)
	}
	if k.measure == valueCount {
		v := valueSQL(k.rules, k.field, "value", "indexOf({mains:Array(String)}, selector)")
		n = "uniqExactIf(" + v + ", " + v + " != '')"
		if least < 100 {
			n = fmt.Sprintf("uniqUpToIf(%d)(%s, %[2]s != '')", least, v)
		}
	}
	return schemas.Query{SQL: candidateSQL(n), Params: params}
}

func candidateParams(a asked, timespan time.Duration, mains []*Rule) map[string]any {
	return map[string]any{
		"tenant": a.tenant, "keys": a.keys, "mains": selectorsInOrder(mains), "timespan": uint64(timespan.Milliseconds()),
		"from": millis(a.from), "from_day": day(a.from.Add(-timespan)), "to": millis(a.to), "to_day": day(a.to),
	}
}

// candidateSQL has, for each key, n of what lies in two time spans of its matches.
func candidateSQL(n string) string {
	return "\nSELECT DISTINCT key, " + keysOnly + `
FROM (
    SELECT key FROM matches ARRAY JOIN [0, 1] AS later
    WHERE selector IN {mains:Array(String)} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t + {timespan:UInt64} >= {from:UInt64} AND t < {to:UInt64}
    GROUP BY key, intDiv(t, {timespan:UInt64}) + later
    HAVING ` + n + ` >= {threshold:UInt64}
)
ORDER BY key
`
}
