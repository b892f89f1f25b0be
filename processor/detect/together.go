package detect

import (
	"fmt"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// together looks for matches of several rules within a time span of one key, in
// any order or in theirs.
//
// What it finds, per key, with all times those of the events and ties in order of
// log_id:
//
//   - In any order, an event triggers if so many of the rules as it takes have a
//     match that is not older than Timespan, up to and with the event.
//   - In order, an event that the last rule selects triggers if there are one of
//     each of the others, the first not older than Timespan, each of which is
//     before that of the next rule. One event is not before itself.
//   - Per period with a trigger there is one finding. It holds the matches of all
//     rules in the time spans of all triggers in the period.
//
// Its facts: distinct, how many values its matches have.
type together struct {
	rules   []*Rule
	shown   fields
	ordered bool
	least   uint64 // how many of the rules
}

func (k together) shows(*Correlation) fields          { return k.shown }
func (k together) uses(*Correlation) []*Rule          { return k.rules }
func (k together) reach(c *Correlation) time.Duration { return c.Timespan }
func (k together) learns() bool                       { return false }

func (k together) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Timespan), k.rules...)
	s := &statement{params: params, last: "believed", facts: "'distinct', toString(countIf(first_of_value))"}
	s.sql.WriteString(sql)
	params["timespan"] = uint64(c.Timespan.Milliseconds())
	s.step("told", "SELECT key, t, log_id, role, imported, "+valueSQL(k.rules, k.shown, "val", "role")+" AS shown FROM {{last}}")
	triggers := k.anyOrder
	if k.ordered {
		triggers = k.inOrder
	}
	triggers(s)
	return s.findings()
}

// anyOrder: of each rule the last match, as of each event.
func (k together) anyOrder(s *statement) {
	s.params["least"] = k.least
	s.step("events", "SELECT key, t, log_id, min(shown) AS val, min(imported) AS imported, groupArray(role) AS roles FROM {{last}} GROUP BY key, t, log_id")
	var recent []string
	for i := range k.rules {
		last := fmt.Sprintf("maxIf(t, has(roles, %d)) OVER o", i+1)
		recent = append(recent, fmt.Sprintf("(%s > 0 AND %[1]s + {timespan:UInt64} >= t)", last))
	}
	s.step("judged", "SELECT key, t, log_id, val, imported, toFloat64("+strings.Join(recent, " + ")+`) AS measure, toFloat64(0) AS usual,
        measure >= {least:UInt64} AS triggers
    FROM {{last}}
    WINDOW o AS (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)`)
}

// inOrder: began is, of each match of a rule, the latest match of the first rule
// that it goes back to. Those of an event that several rules select come with the
// last rule first, so that none is before itself.
func (k together) inOrder(s *statement) {
	s.step("first", "SELECT *, if(role = 1, t, 0) AS began FROM {{last}}")
	for i := 2; i <= len(k.rules); i++ {
		s.step(fmt.Sprintf("rule_%d", i), fmt.Sprintf(`SELECT * REPLACE (if(role = %d, maxIf(began, role = %d) OVER (PARTITION BY key ORDER BY t, log_id, role DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), began) AS began)
    FROM {{last}}`, i, i-1))
	}
	s.step("judged", fmt.Sprintf(`SELECT key, t, log_id, min(shown) AS val, min(imported) AS imported, toFloat64(1) AS measure, toFloat64(0) AS usual,
        max(role = %d AND began > 0 AND began + {timespan:UInt64} >= t) AS triggers
    FROM {{last}} GROUP BY key, t, log_id`, len(k.rules)))
}

// candidates have matches of so many of the rules close enough together.
func (k together) candidates(c *Correlation, a asked) schemas.Query {
	params := candidateParams(a, c.Timespan, k.rules)
	params["threshold"] = k.least
	return schemas.Query{SQL: candidateSQL("uniqExact(selector)"), Params: params}
}
