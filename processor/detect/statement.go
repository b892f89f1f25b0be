package detect

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// statement is SQL that is built step by step, each of which reads the one
// before.
type statement struct {
	sql    strings.Builder
	params map[string]any
	last   string
	facts  string // names and values, for map()
}

// step adds a step; {{last}} in it stands for the one before.
func (s *statement) step(name, body string) {
	s.sql.WriteString(",\n" + name + " AS (\n    " + strings.ReplaceAll(body, "{{last}}", s.last) + "\n)")
	s.last = name
}

// extra adds a step beside the others.
func (s *statement) extra(name, body string) {
	s.sql.WriteString(",\n" + name + " AS (\n    " + body + "\n)")
}

// findings ends a statement whose last step has key, t, log_id, val, imported,
// measure, usual and triggers of events, each once per key. Per period with a
// trigger there is one finding: of what lies within the time span before one of
// its triggers. An event lies in the findings of two periods at most, as no period
// is shorter than a time span.
func (s *statement) findings() schemas.Query {
	s.step("periods", `SELECT * REPLACE (triggers AND intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} = period AS triggers)
    FROM (
        SELECT *, (intDiv(t, {dedupe:UInt64}) + later) * {dedupe:UInt64} AS period
        FROM {{last}} ARRAY JOIN if(intDiv(t + {timespan:UInt64}, {dedupe:UInt64}) > intDiv(t, {dedupe:UInt64}), [0, 1], [0]) AS later
    )
    WHERE period >= {from:UInt64} AND period < {to:UInt64}`)
	s.step("leading", `SELECT *, minIf(t, triggers) OVER (PARTITION BY key, period ORDER BY t, log_id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS trigger_t,
        countIf(triggers) OVER (PARTITION BY key, period) AS triggered FROM {{last}}`)
	s.step("members", `SELECT *, row_number() OVER (PARTITION BY key, period, val ORDER BY t, log_id) = 1 AS first_of_value
    FROM {{last}} WHERE triggered > 0 AND trigger_t > 0 AND trigger_t <= t + {timespan:UInt64}`)
	s.sql.WriteString(strings.ReplaceAll(`
SELECT key, period,
    min(t) AS first_t,
    max(t) AS last_t,
    count() AS n,
    groupArraySortedIf(20)(val, first_of_value AND val != '') AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(imported)) AS all_imported,
    `+noBaseline+`,
    CAST(map({{facts}}), 'Map(String, String)') AS facts
FROM {{last}}
GROUP BY key, period
ORDER BY key, period
`, "{{last}}", s.last))
	return schemas.Query{SQL: strings.ReplaceAll(s.sql.String(), "{{facts}}", s.facts), Params: s.params}
}
