package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// sequence finds what happened to one key in order.
//
// What it finds, per key, with all times those of the events and ties in order
// of log_id:
//
//   - An event is of a step if one of the step's rules selects it. Where several
//     rules select it, the values are those of the first.
//   - Where the steps are of the same value (same), they are told apart by it, as
//     if it were a part of the key; events without it are of no step.
//   - A chain completes a step by as many of its events as the step counts, all
//     behind the completion of the step before it, by settle at least. It starts
//     with its first event. Of an event that completes the last step the chain
//     that counts is the one that started last, by (time, log_id).
//   - Such an event triggers if its chain did not start more than timespan before
//     it, and if what is asked of its source holds.
//   - The source of a trigger is known if one of its values (fields) was that of a
//     match of the known rules, by the same field, before it and within lookback;
//     again if one of those matches came later than the chain's start. It is unclear if it has no value, if there are fewer such matches of the key
//     than least, or if more than most of them were of a source that was not
//     known, by these words, when they came. Else it is new.
//   - Per period with a trigger there is one finding. It counts the triggers, and
//     those events of the last step without which the first would be none.
//
// All of it is linear in the matches read: an event's chain, and the moment its
// value was last seen, are running maxima; the nth event back is a lag.
type sequence struct {
	steps    []step
	timespan time.Duration
	settle   time.Duration
	known    *known   // nil where nothing is asked of the source
	only     []string // the sources that a trigger may have, none for any
	ours     bool     // what this program's own commands did triggers nothing
}

// step is one of a sequence: Count events that one of the rules selects.
type step struct {
	rules []*Rule
	count uint64
	same  string // the field that is the same in all steps, "" for none
}

// known tells sources that a key has been seen at from new ones.
type known struct {
	fields   []string
	rules    []*Rule
	lookback time.Duration
	least    uint64
	most     uint64
}

func (s *sequence) uses(*Correlation) []*Rule {
	var rules []*Rule
	for _, st := range s.steps {
		rules = append(rules, st.rules...)
	}
	if s.known != nil {
		rules = append(rules, s.known.rules...)
	}
	return rules
}

// reach: whether a match was of a new source when it came lies a look-back
// before it, and it counts for a look-back.
func (s *sequence) reach(*Correlation) time.Duration {
	if s.known == nil {
		return s.timespan
	}
	return max(s.timespan, 2*s.known.lookback)
}

// learns: where a new source is told without a least number of matches, all are
// new at first.
func (s *sequence) learns() bool {
	return s.known != nil && s.known.least == 0 && slices.Contains(s.only, "new")
}

func (s *sequence) last() step { return s.steps[len(s.steps)-1] }

// query is long because it is one statement: see sequenceSQL.
func (s *sequence) query(c *Correlation, a asked) schemas.Query {
	rules := s.distinct(c)
	lo := a.from.Add(-s.reach(c))
	recent := lo
	if s.apart(rules) {
		recent = a.from.Add(-s.timespan)
	}
	sql, params := c.believed(a, recent, rules...)
	if s.apart(rules) {
		params["past_lo"], params["past_lo_day"], params["known"] = millis(lo), day(lo), selectorsOfRules(s.known.rules)
	}
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = cmp.Or(r.Name, r.ID)
	}
	params["names"] = names
	params["timespan"] = uint64(s.timespan.Milliseconds())
	params["settle"] = uint64(s.settle.Milliseconds())
	params["more"] = s.last().count - 1
	params["only"] = append([]string{}, s.only...)
	if s.known != nil {
		params["lookback"] = uint64(s.known.lookback.Milliseconds())
	}
	return schemas.Query{SQL: sql + s.sql(rules), Params: params}
}

// shows: the networks of the last step, where it tells them.
func (s *sequence) shows(*Correlation) fields {
	value := s.last().rules[0].value
	i := value.part(networkValue.name)
	return value[max(i-1, 0):i]
}

// distinct are the rules of the sequence, each selector once: the place of one is
// the role of its matches.
func (s *sequence) distinct(c *Correlation) []*Rule {
	var rules []*Rule
	for _, r := range s.uses(c) {
		if !slices.ContainsFunc(rules, func(o *Rule) bool { return o.Selector == r.Selector }) {
			rules = append(rules, r)
		}
	}
	return rules
}

// candidates are keys with enough events of the last step, one of which has those
// of the first behind it, within the time span. Events of the first are rare, for
// a sequence that is worth a rule: only the keys that have them are looked at for
// the last step.
func (s *sequence) candidates(_ *Correlation, a asked) schemas.Query {
	first, last := s.steps[0], s.last()
	params := map[string]any{
		"tenant": a.tenant, "keys": a.keys, "last": selectorsOfRules(last.rules), "last_count": last.count,
		"from": millis(a.from), "to": millis(a.to), "timespan": uint64(s.timespan.Milliseconds()),
		"from_day": day(a.from.Add(-s.timespan)), "to_day": day(a.to),
	}
	if len(s.steps) == 1 {
		return schemas.Query{Params: params, SQL: keysOf(`
    SELECT key FROM matches
    WHERE selector IN {last:Array(String)} AND ` + stepMatches + `
    GROUP BY key HAVING count() >= {last_count:UInt64} AND max(t) >= {from:UInt64}
`)}
	}
	params["first"], params["first_count"], params["first_before"] = selectorsOfRules(first.rules), first.count, first.count-1
	return schemas.Query{Params: params, SQL: keysOf(strings.NewReplacer("{{first}}", first.part("value"), "{{last}}", last.part("value")).Replace(begunSQL))}
}

// familiar: a network that the key was seen at is not new, where it is seen by what
// triggers and only a new source does. An event without a network must have none of the
// other values either, as it is among no deeds.
func (s *sequence) familiar(c *Correlation) (r Recall, ok bool) {
	if s.known == nil || !slices.Equal(s.only, []string{"new"}) || len(s.last().rules) != 1 || !slices.Contains(s.known.fields, networkValue.name) ||
		slices.ContainsFunc(s.known.fields, func(name string) bool { return !slices.Contains(ofAddress, name) }) {
		return Recall{}, false
	}
	main := s.last().rules[0]
	same := func(r *Rule) bool { return r.Selector == main.Selector }
	told := func(r *Rule) bool { return !same(r) && mayShare(r, main) } // by whose values an event may be judged
	if !slices.ContainsFunc(s.known.rules, same) || slices.ContainsFunc(s.distinct(c), told) {
		return Recall{}, false
	}
	return Recall{Selector: main.Selector, Lookback: s.known.lookback, fields: []string{networkValue.name}, rule: main}, true
}

// ofAddress are the fields that come from an event's address alone.
var ofAddress = []string{networkValue.name, "asn", "as_org"}

// stepMatches are the conditions of matches that a trigger of the asked range may
// need, but for their selectors.
const stepMatches = `tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t + {timespan:UInt64} >= {from:UInt64} AND t < {to:UInt64}`

// begunSQL leaves out the steps between, what is known, and whether events
// survived. Its steps, by name:
//
//	firsts  matches of the first step, as many as it takes
//	both    with those of the last step that have such before them, or behind them
//	starts  when the first step began that each of its matches completes
//	begun   when the last of them did before each match
const begunSQL = `
    WITH firsts AS (
        SELECT key, {{first}} AS part FROM matches
        WHERE selector IN {first:Array(String)} AND ` + stepMatches + `
        GROUP BY key, part HAVING count() >= {first_count:UInt64}
    ),
    both AS (
        SELECT key, {{first}} AS part, t, 0 AS ends FROM matches
        WHERE selector IN {first:Array(String)} AND ` + stepMatches + `
        UNION ALL
        SELECT key, {{last}} AS part, t, 1 AS ends FROM matches
        WHERE selector IN {last:Array(String)} AND ` + stepMatches + ` AND (key, part) IN (SELECT key, part FROM firsts)
    ),
    starts AS (
        SELECT *, lagInFrame(t, {first_before:UInt64}) OVER (PARTITION BY key, part, ends ORDER BY t ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS start FROM both
    ),
    begun AS (
        SELECT *, maxIf(start, ends = 0) OVER (PARTITION BY key, part ORDER BY t, ends ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS began FROM starts
    )
    SELECT key FROM begun
    GROUP BY key
    HAVING sum(ends) >= {last_count:UInt64} AND countIf(ends = 1 AND t >= {from:UInt64} AND began > 0 AND began + {timespan:UInt64} >= t) > 0
`

func selectorsOfRules(rules []*Rule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.Selector)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// part is SQL for what is the same in all steps. All rules of a step say it in
// the same place.
func (st step) part(column string) string {
	if st.same == "" {
		return `''`
	}
	return st.rules[0].part(column, st.same)
}
