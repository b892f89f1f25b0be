package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Recall says how to tell that a key does nothing that it has not done before,
// without reading what it did each time: see Correlation.Recall.
type Recall struct {
	Selector string
	Lookback time.Duration // for which something done is remembered
	Warm     time.Duration // a key that does its first deed less than that before its last does nothing new
	Before   time.Duration // how long before what is asked about what was new counts
	least    int           // so many new deeds together, at the least; 0 is one
	fields   []string      // whose values are compared
	rule     *Rule
}

// recalling is a kind that finds nothing of a key whose every deed it has seen
// before, Lookback ago at most. A deed is a value of one of some fields, or, of
// no fields, that there is an event at all.
type recalling interface {
	recall(c *Correlation) Recall
}

// Recall is that of c, ok where it has one. Then the rows of CandidatesQuery
// have, in Values, the deeds of their key in [from, to), between First and Last,
// up to one more than MaxDeeds of them.
func (c *Correlation) Recall() (r Recall, ok bool) {
	k, ok := c.kind.(recalling)
	if !ok {
		return Recall{}, false
	}
	return k.recall(c), true
}

// familiar is a kind that finds nothing of a key whose every deed it has seen before,
// Lookback ago at most, but tells by more than that whether a key is a candidate.
type familiar interface {
	familiar(c *Correlation) (r Recall, ok bool)
}

// Familiar is like Recall, of a rule of which CandidatesQuery asks something else: the
// deeds of its keys are to be asked for by DeedsQuery, Before longer than what is asked about.
func (c *Correlation) Familiar() (r Recall, ok bool) {
	if k, is := c.kind.(familiar); is {
		return k.familiar(c)
	}
	return Recall{}, false
}

// Least is how many new deeds a key must have done for anything to be found of it.
func (r *Recall) Least() int { return max(1, r.least) }

// MaxDeeds is how many deeds of a key are remembered at most.
const MaxDeeds = 64

// Query asks what the given keys last did in [since, from): a row for each deed, in
// Values, with its time in Last. Only events that survived count. Deeds are those of any
// rule with the same selector, and with whatever look-back.
func (r *Recall) Query(c *Correlation, tenant string, keys []string, since, from time.Time) schemas.Query {
	of := func(fields []string) string { return (&Recall{fields: fields, rule: r.rule}).deeds("val") }
	sql, params := c.believed(asked{tenant, keys, from, from}, since, r.rule)
	params["most"] = uint64(MaxDeeds)
	deeds := of(nil)
	if fields := r.compared(); len(fields) > 0 {
		deeds = "arrayConcat(" + deeds + ", " + of(fields) + ")"
	}
	return schemas.Query{SQL: sql + strings.ReplaceAll(recallSQL, "{{deeds}}", deeds), Params: params}
}

const recallSQL = `
SELECT key, toUInt64(0) AS period, toUInt64(0) AS first_t, max(t) AS last_t, toUInt64(0) AS n,
    [deed] AS vals, CAST([], 'Array(String)') AS logs, toUInt8(0) AS all_imported, ` + noBaseline + `, ` + noFacts + `
FROM believed ARRAY JOIN {{deeds}} AS deed
GROUP BY key, deed
ORDER BY key, last_t DESC, deed
LIMIT {most:UInt64} BY key
`

// deeds is SQL for those of a match whose value is in a column.
func (r *Recall) deeds(column string) string {
	if len(r.fields) == 0 {
		return "['']"
	}
	deeds := make([]string, len(r.fields))
	for i, name := range r.fields {
		part := r.rule.part(column, name)
		deeds[i] = fmt.Sprintf(`if(%s IN ('', 'unknown'), '', concat('%s\x1f', %s))`, part, name, part)
	}
	return "arrayFilter(d -> d != '', [" + strings.Join(deeds, ", ") + "])"
}

// compared are the fields of a match that any rule may compare: a token is used once.
func (r *Recall) compared() []string {
	return slices.DeleteFunc(r.rule.value.names(), func(name string) bool { return name == "token_id" || name == "used_token_id" })
}

// Shared reports whether what the rule compares is among the deeds that DeedsQuery asks
// for.
func (r *Recall) Shared() bool {
	compared := r.compared()
	return !slices.ContainsFunc(r.fields, func(name string) bool { return !slices.Contains(compared, name) })
}

// DeedsQuery asks what the given keys did since from, in rows like those of
// CandidatesQuery but with the deeds of all rules with the same selector, up to one more
// than MaxDeeds of each field: see Own.
func (r *Recall) DeedsQuery(tenant string, keys []string, from time.Time) schemas.Query {
	var fields []string
	for _, name := range r.compared() {
		part := r.rule.part("value", name)
		fields = append(fields, fmt.Sprintf(`groupUniqArrayIf(%d)(concat('%s\x1f', %s), %[3]s NOT IN ('', 'unknown'))`, MaxDeeds+1, name, part))
	}
	deeds := "arrayConcat(" + strings.Join(append(fields, "CAST([], 'Array(String)')"), ", ") + ")"
	return schemas.Query{SQL: strings.NewReplacer("{{deeds}}", deeds, "{{until}}", "").Replace(deedsSQL), Params: map[string]any{
		"tenant": tenant, "keys": keys, "main": r.Selector, "from_day": day(from), "from": millis(from),
	}}
}

// Own are the deeds of a rule among those that DeedsQuery answers of a key.
func (r *Recall) Own(all []string) []string {
	if len(r.fields) == 0 {
		return []string{""}
	}
	var own []string
	for _, deed := range all {
		if name, _, _ := strings.Cut(deed, "\x1f"); slices.Contains(r.fields, name) {
			own = append(own, deed)
		}
	}
	return own
}

// candidates are all keys with a match, each with its deeds.
func (r *Recall) candidates(a asked) schemas.Query {
	until := "\n  AND bucket <= {to_day:Date} AND t < {to:UInt64}"
	deeds := "arraySlice(groupUniqArrayArray(" + r.deeds("value") + "), 1, {most:UInt64})"
	return schemas.Query{SQL: strings.NewReplacer("{{deeds}}", deeds, "{{until}}", until).Replace(deedsSQL), Params: map[string]any{
		"tenant": a.tenant, "keys": a.keys, "main": r.Selector, "most": uint64(MaxDeeds + 1),
		"from_day": day(a.from), "to_day": day(a.to), "from": millis(a.from), "to": millis(a.to),
	}}
}

const deedsSQL = `
SELECT key, toUInt64(0) AS period, min(t) AS first_t, max(t) AS last_t, toUInt64(0) AS n,
    {{deeds}} AS vals, CAST([], 'Array(String)') AS logs,
    toUInt8(0) AS all_imported, ` + noBaseline + `, ` + noFacts + `
FROM matches
WHERE selector = {main:String} AND tenant = {tenant:String}
  AND bucket >= {from_day:Date} AND key IN {keys:Array(String)} AND t >= {from:UInt64}{{until}}
GROUP BY key
ORDER BY key
`

func (k *firstSeen) recall(c *Correlation) Recall {
	warm := max(settleTime, time.Duration(k.warmDays)*24*time.Hour)
	if slices.ContainsFunc(k.terms, func(t term) bool { return t.name == "token_id" || t.name == "used_token_id" }) {
		warm = 0 // it is among no deeds, so that a key without any may have had some
	}
	r := Recall{Selector: c.Main.Selector, Lookback: k.lookback, Warm: warm, rule: c.Main}
	for _, name := range c.Main.value.names() {
		if slices.ContainsFunc(k.terms, func(t term) bool { return t.name == name && !t.beside }) {
			r.fields = append(r.fields, name)
		}
	}
	return r
}

func (k *firstSeen) candidates(c *Correlation, a asked) schemas.Query {
	r := k.recall(c)
	return r.candidates(a)
}
