package detect

import (
	"fmt"
	"slices"
	"strings"
)

// sql is what follows believed. Its steps, by name:
//
//	happened each event once, with the roles that it has
//	parts    what of its values is compared
//	days     what is known of the days before the range: see writeKept
//	past     what of that matters
//	kept     what of all matters
//	counted  the events of the steps before the last, until then
//	stepN    the chain that completes step N with the event, by its start
//	seen     when the values were seen last
//	told     whether that makes them known
//	lags     the nth match back of those that count
//	judged   the source
//	triggers
//
// A start is (t, log_id, value, count of events before it that are of the steps
// before the last): of a later time, or else of a later log_id, it is the greater
// one.
func (s *sequence) sql(rules []*Rule) string {
	b := &strings.Builder{}
	s.writeParts(b, rules)
	for i, st := range s.steps {
		s.writeStep(b, i, st)
	}
	chain := fmt.Sprintf("step%d", len(s.steps))
	s.writeSource(b, chain)
	s.writeTriggers(b, rules)
	return b.String()
}

const noStart = `(toUInt64(0), '', '', toUInt64(0))`

func (s *sequence) writeParts(b *strings.Builder, rules []*Rule) {
	b.WriteString(`,
happened AS (
    SELECT key, t, log_id, groupUniqArray(role) AS roles, toUInt64(min(believed.role)) AS first_role, argMin(believed.val, believed.role) AS value, min(believed.imported) AS was_imported
    FROM believed GROUP BY key, t, log_id
),
parts AS (
    SELECT *`)
	same := make([]string, len(rules))
	for i, st := range s.steps {
		fmt.Fprintf(b, ",\n        hasAny(roles, %s) AS is%d", rolesOf(rules, st.rules), i+1)
		for j, r := range rules {
			if slices.ContainsFunc(st.rules, func(o *Rule) bool { return o.Selector == r.Selector }) && st.same != "" {
				same[j] = st.same
			}
		}
	}
	fmt.Fprintf(b, ",\n        %s AS same", partOfRole(rules, func(i int) string { return same[i] }))
	if s.known != nil {
		fmt.Fprintf(b, ",\n        hasAny(roles, %s) AS known", rolesOf(rules, s.known.rules))
		for i, f := range s.known.fields {
			fmt.Fprintf(b, ",\n        %s AS part%d", partOfRole(rules, func(int) string { return f }), i+1)
		}
	}
	before := []string{"0"}
	for i := range len(s.steps) - 1 {
		before = append(before, fmt.Sprintf("is%d", i+1))
	}
	b.WriteString(`
    FROM happened
)`)
	fmt.Fprintf(b, `,
counted AS (
    SELECT *, (%s) AND NOT is%d AS counts,
        toUInt64(countIf(counts) OVER (PARTITION BY key, same ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS earlier
    FROM %s
)`, strings.Join(before, " OR "), len(s.steps), s.writeKept(b, rules))
}

// remembers reports whether of what is known it is asked for days.
func (s *sequence) remembers() bool { return s.known != nil && s.known.lookback >= oneDay }

// apart reports whether what is known is read apart from the steps, and only of it what
// writeKept leaves: of a busy key the months before are more than a query may hold. Not
// where an event may be one of two rules', since the first of them tells its values.
func (s *sequence) apart(rules []*Rule) bool {
	return s.remembers() && !slices.ContainsFunc(s.known.rules, func(k *Rule) bool {
		return slices.ContainsFunc(rules, func(r *Rule) bool { return r.Selector != k.Selector && mayShare(r, k) })
	})
}

// mayShare reports whether an event may match both rules.
func mayShare(a, b *Rule) bool {
	return a.Types == nil || b.Types == nil || slices.ContainsFunc(a.Types, func(typ string) bool { return slices.Contains(b.Types, typ) })
}

// writeKept leaves out most of what is looked back at, and returns the name of the
// step to go on from. No chain of a trigger began more than timespan before the
// range. Of what lies before that only the values of known matches are asked:
//
//   - Whether one was seen: of each day the first and the last of the same values
//     tell, as either lies in a look-back, of a day at least, that any of that day
//     lies in. None between them was new.
//   - Whether there were enough: the latest do, as many as it takes.
func (s *sequence) writeKept(b *strings.Builder, rules []*Rule) string {
	if !s.remembers() {
		return "parts"
	}
	var same, columns, told []string
	for i := range s.known.fields {
		same = append(same, fmt.Sprintf("part%d", i+1))
		told = append(told, fmt.Sprintf("values.%d", i+1))
	}
	for i := range s.steps {
		columns = append(columns, fmt.Sprintf("is%d", i+1))
	}
	from := "parts WHERE known AND t + {timespan:UInt64} < {from:UInt64}"
	if s.apart(rules) {
		from = s.knownBefore(rules)
	}
	latest, last := "", ""
	if s.known.least > 0 {
		last = fmt.Sprintf(",\n        groupArraySorted(%d)((-toInt64(t), log_id)) AS last", s.known.least)
		latest = fmt.Sprintf(`
    UNION DISTINCT
    SELECT key, toUInt64(-l.1) AS t, l.2 AS log_id, l.3 AS values
    FROM (SELECT key, arrayJoin(groupArraySorted(%d)((one.1, one.2, values))) AS l FROM days ARRAY JOIN last AS one GROUP BY key)`, s.known.least)
	}
	fmt.Fprintf(b, `,
days AS MATERIALIZED (
    SELECT key, (%[1]s, '') AS values, min((t, log_id)) AS earliest, max((t, log_id)) AS latest%[6]s
    FROM %[7]s GROUP BY key, values, intDiv(t, 86400000)
),
past AS (
    SELECT key, l.1 AS t, l.2 AS log_id, values FROM days ARRAY JOIN [earliest, latest] AS l%[2]s
),
kept AS (
    SELECT key, t, log_id, roles, first_role, value, was_imported, same, known, %[3]s, %[1]s FROM parts WHERE t + {timespan:UInt64} >= {from:UInt64}
    UNION ALL
    SELECT key, t, log_id, emptyArrayUInt64(), toUInt64(0), '', toUInt8(0), '', true, %[4]s, %[5]s FROM past
)`, strings.Join(same, ", "), latest, strings.Join(columns, ", "), strings.TrimSuffix(strings.Repeat("false, ", len(columns)), ", "), strings.Join(told, ", "), last, from)
	return "kept"
}

// knownBefore are the believed matches of what is known that lie before all chains, as
// a subquery with the parts of parts.
func (s *sequence) knownBefore(rules []*Rule) string {
	var parts []string
	for i, f := range s.known.fields {
		parts = append(parts, fmt.Sprintf("%s AS part%d", partOfRole(rules, func(int) string { return f }), i+1))
	}
	clients := clientsAreKeys
	if slices.ContainsFunc(s.known.rules, func(r *Rule) bool { return r.key.name() != clientKey.name }) {
		clients = "client_id IN (SELECT DISTINCT client_id FROM matches WHERE " + knownMatches + ")"
	}
	return `(
        SELECT key, t, log_id, toUInt64(indexOf({selectors:Array(String)}, selector)) AS first_role, ` + strings.Join(parts, ", ") + `
        FROM matches FINAL
        WHERE ` + knownMatches + `
          AND t >= {past_lo:UInt64} AND t + {timespan:UInt64} < {from:UInt64}
          AND ` + survived(clients, "past_lo") + `
    )`
}

const knownMatches = `selector IN {known:Array(String)} AND tenant = {tenant:String}
          AND bucket >= {past_lo_day:Date} AND bucket <= {from_day:Date} AND key IN {keys:Array(String)}`

// rolesOf is an array of the roles that some of the rules have.
func rolesOf(rules, some []*Rule) string {
	var roles []string
	for i, r := range rules {
		if slices.ContainsFunc(some, func(o *Rule) bool { return o.Selector == r.Selector }) {
			roles = append(roles, fmt.Sprint(i+1))
		}
	}
	return "[" + strings.Join(roles, ", ") + "]"
}

// partOfRole is the part of an event's value that has a name, where its rule has
// one of that name.
func partOfRole(rules []*Rule, name func(i int) string) string {
	var cases []string
	for i, r := range rules {
		if f := name(i); f != "" && r.value.part(f) > 0 {
			cases = append(cases, fmt.Sprintf("first_role = %d, %s", i+1, r.part("value", f)))
		}
	}
	if len(cases) == 0 {
		return `''`
	}
	return "multiIf(" + strings.Join(cases, ", ") + ", '')"
}

// writeStep writes the chains that complete step i: those that began with the
// start that lay before the first of the step's events.
func (s *sequence) writeStep(b *strings.Builder, i int, st step) {
	n := i + 1
	of := fmt.Sprintf("is%d", n)
	if st.same != "" {
		of = fmt.Sprintf("(is%d AND same != '')", n)
	}
	start, from := `(t, log_id, value, toUInt64(earlier - counts))`, "counted"
	if i > 0 {
		start, from = fmt.Sprintf("prior%d", n), s.priorSQL(n)
	}
	if st.count > 1 {
		start = fmt.Sprintf("lagInFrame(%s, %d) OVER (PARTITION BY key, same, %s ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)", start, st.count-1, of)
	}
	fmt.Fprintf(b, `,
step%d AS (
    SELECT *, if(%s, %s, %s) AS start%d
    FROM %s
)`, n, of, start, noStart, n, from)
}

// priorSQL gives each event the latest start of the chains that had completed
// the step before n. Where they have to settle, they are put that much later,
// as rows of their own that only the maximum sees.
func (s *sequence) priorSQL(n int) string {
	before := fmt.Sprintf("start%d", n-1)
	if s.settle == 0 {
		return fmt.Sprintf(`(
        SELECT *, maxIf(%s, %s.1 > 0) OVER (PARTITION BY key, same ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS prior%d
        FROM step%d
    )`, before, before, n, n-1)
	}
	return fmt.Sprintf(`(
        SELECT * EXCEPT (settles) FROM (
            SELECT *, maxIf(%[1]s, %[1]s.1 > 0 AND settles) OVER (PARTITION BY key, same ORDER BY t + if(settles, {settle:UInt64}, 0), settles DESC, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS prior%[2]d
            FROM (SELECT *, arrayJoin(if(%[1]s.1 > 0, [true, false], [false])) AS settles FROM step%[3]d)
        )
        WHERE NOT settles
    )`, before, n, n-1)
}

func (s *sequence) writeSource(b *strings.Builder, chain string) {
	if s.known == nil {
		fmt.Fprintf(b, `,
judged AS (SELECT *, '' AS source FROM %s)`, chain)
		return
	}
	var seen, isKnown, isAgain, absent []string
	for i := range s.known.fields {
		seen = append(seen, fmt.Sprintf("maxIf(t, known) OVER (PARTITION BY key, part%d ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen%d", i+1, i+1))
		isKnown = append(isKnown, fmt.Sprintf("(part%d != '' AND seen%d > 0 AND seen%d + {lookback:UInt64} >= t)", i+1, i+1, i+1))
		isAgain = append(isAgain, fmt.Sprintf("(part%d != '' AND seen%d > start%d.1)", i+1, i+1, len(s.steps)))
		absent = append(absent, fmt.Sprintf("part%d = ''", i+1))
	}
	none := "(" + strings.Join(absent, " AND ") + ")"
	few, many := "0", "0"
	if s.known.least > 0 {
		few = "NOT (enough > 0 AND enough + {lookback:UInt64} >= t)"
	}
	if s.known.most > 0 {
		many = "(over > 0 AND over + {lookback:UInt64} >= t)"
	}
	fmt.Fprintf(b, `,
seen AS (
    SELECT *, %s
    FROM %s
),
told AS (
    SELECT *, (%s) AS is_known, known AND NOT is_known AND NOT %s AS fresh
    FROM seen
),
lags AS (
    SELECT *,
        lagInFrame(t, %d) OVER (PARTITION BY key, known ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS nth_known,
        lagInFrame(t, %d) OVER (PARTITION BY key, fresh ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS nth_fresh
    FROM told
),
judged AS (
    SELECT *,
        maxIf(nth_known, known) OVER o AS enough, maxIf(nth_fresh, fresh) OVER o AS over,
        multiIf(%s, 'unclear', is_known AND (%s), 'again', is_known, 'known', %s OR %s, 'unclear', 'new') AS source
    FROM lags
    WINDOW o AS (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)`, strings.Join(seen, ",\n        "), chain, strings.Join(isKnown, " OR "), none, max(s.known.least, 1)-1, s.known.most, none, strings.Join(isAgain, " OR "), few, many)
}

// oursSQL are the events that this program's own commands made: recorded before
// they were made, as the same application, by method and path.
const oursSQL = `
        AND log_id NOT IN (
            SELECT e.log_id
            FROM (
                SELECT log_id, client_id, method, decodeURLComponent(replaceRegexpOne(path, '^/v2/', '/api/v2/')) AS called, time
                FROM events FINAL
                WHERE tenant = {tenant:String} AND client_id IN (SELECT client_id FROM provision_log)
                  AND time >= fromUnixTimestamp64Milli(toInt64({from:UInt64}), 'UTC')
                  AND time < fromUnixTimestamp64Milli(toInt64({to:UInt64}), 'UTC')
            ) AS e
            INNER JOIN (
                SELECT client_id, method, decodeURLComponent(path) AS called, at FROM provision_log FINAL WHERE outcome != 'refused'
            ) AS o ON e.client_id = o.client_id AND e.method = o.method AND e.called = o.called
            WHERE e.time >= o.at - INTERVAL 1 MINUTE AND e.time <= o.at + INTERVAL 2 MINUTE
        )`

func (s *sequence) writeTriggers(b *strings.Builder, rules []*Rule) {
	n := len(s.steps)
	last := s.last().rules[0]
	first := s.steps[0].rules[0]
	ours := ""
	if s.ours {
		ours = oursSQL
	}
	network := `''`
	if last.value.part("network") > 0 {
		network = last.part("value", "network")
	}
	fmt.Fprintf(b, `,
triggers AS (
    SELECT *, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period, %[2]s AS from_network,
        arrayMap(r -> {names:Array(String)}[r], arrayFilter(r -> has(%[3]s, r), roles)) AS rules
    FROM judged
    WHERE is%[1]d AND start%[1]d.1 > 0 AND start%[1]d.1 + {timespan:UInt64} >= t AND t >= {from:UInt64} AND t < {to:UInt64}
        AND (empty({only:Array(String)}) OR has({only:Array(String)}, source))%[4]s
)
SELECT key, period,
    toUInt64(min(start%[1]d.1)) AS first_t,
    toUInt64(max(t)) AS last_t,
    count() + {more:UInt64} AS n,
    arraySlice(arraySort(groupUniqArrayIf(from_network, from_network != '')), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(was_imported)) AS all_imported,
    %[5]s,
    mapFilter((k, v) -> v != '', map(
        'source', multiIf(has(groupUniqArray(source), 'new'), 'new', has(groupUniqArray(source), 'known'), 'known', max(source)),
        'rules', arrayStringConcat(arraySort(groupUniqArrayArray(rules)), ' ')%[6]s%[7]s
    )) AS facts
FROM triggers
GROUP BY key, period
ORDER BY key, period
`, n, network, rolesOf(rules, s.last().rules), ours, noBaseline, factsOf(last, "", "value"), s.startFacts(first, n))
}

// maxFacts is how many values of a part a finding tells.
const maxFacts = 5

// factsOf are the parts of the triggers' values, under their names.
func factsOf(r *Rule, prefix, column string) string {
	b := &strings.Builder{}
	for _, f := range r.value {
		part := r.part(column, f.name)
		fmt.Fprintf(b, ",\n        '%s%s', arrayStringConcat(arraySlice(arraySort(groupUniqArrayIf(%s, %s != '')), 1, %d), ', ')", prefix, f.name, part, part, maxFacts)
	}
	return b.String()
}

// startFacts are the parts of the values that the first trigger's chain started
// with.
func (s *sequence) startFacts(first *Rule, n int) string {
	if n == 1 {
		return ""
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, `,
        'earlier', toString(argMin(toUInt64(earlier - start%[1]d.4), (t, log_id))),
        'start', formatDateTime(fromUnixTimestamp64Milli(toInt64(argMin(start%[1]d.1, (t, log_id))), 'UTC'), '%%Y-%%m-%%d %%H:%%i UTC')`, n)
	for _, f := range first.value {
		fmt.Fprintf(b, ",\n        'first.%s', argMin(%s, (t, log_id))", f.name, first.part(fmt.Sprintf("start%d.3", n), f.name))
	}
	return b.String()
}
