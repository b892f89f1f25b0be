package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// settleTime is how long a field is watched before its new values tell how
// often it changes: those of the first two days are the usual ones, one by one.
const settleTime = 48 * time.Hour

// firstSeen finds events of a key that say what the key has not said before.
//
// What it finds, per key, over the matches of Main, with all times those of the
// events and ties in order of log_id:
//
//   - Each field of an event has a value; "" and unknown are none. The second of
//     a|b is judged only in events without the first; what it was is remembered
//     in any case.
//   - A value arrives with an event if no earlier one of the key, lookback
//     before it at most, has the same value of the field.
//   - A field is known since the first of its events that are no further apart
//     than lookback, one from the next, up to the one that is judged.
//   - An arrival is a change if its field has been known for settleTime.
//   - A change is new if its field is warm: known for the warm-up's days, with at
//     least the warm-up's number of events lookback before it; and if the field
//     is steady: has had no more than the allowed number of changes within the time
//     of steady before it. Whoever runs on other people's machines has another network
//     every day, and none that could be new.
//   - Of a key of which the place or the program is declared, nothing that tells of
//     it is new: see undeclared.
//   - A sign is one field, or several of which any counts. An event triggers if
//     at least so many signs are new in it, by one of values where there are some,
//     and fewer than so many of unless.
//   - Per period with a trigger there is one finding. It holds the triggers of the
//     period, and the events of the period behind one that share a new value with it.
//
// All steps are windows over the signs of the events, linear in their number but
// for the sort. Nothing that is told depends on how far back was read, as long as
// it was reach.
type firstSeen struct {
	signs, unless []sign
	atLeast       uint64
	unlessAtLeast uint64
	lookback      time.Duration
	warmEvents    uint64
	warmDays      uint64
	steadyNew     uint64
	steadyWithin  time.Duration // 0 where any field is steady
	values        []string

	terms []term // the distinct ones of signs and unless, and what is told beside them
}

// sign is some terms of which any counts.
type sign []term

// term is a field, judged where the others have no value.
type term struct {
	name   string
	lack   []string // comes before it in a|b
	beside bool     // only told
}

func (t term) id() string { return strings.Join(append(slices.Clone(t.lack), t.name), "|") }

func (*firstSeen) uses(c *Correlation) []*Rule { return []*Rule{c.Main} }
func (*firstSeen) learns() bool                { return true }

// reach: a change within steadyWithin is one by what lies lookback before it, and
// by how long the field was known then; so is whether the field is warm.
func (k *firstSeen) reach(*Correlation) time.Duration {
	return k.lookback + max(k.steadyWithin+settleTime, time.Duration(k.warmDays)*24*time.Hour)
}

// pendingFirstSeen is a firstSeen whose rule is not looked up yet.
type pendingFirstSeen struct {
	firstSeen
	rule *yaml.Node
	node *yaml.Node
}

func (k *pendingFirstSeen) names() []*yaml.Node { return []*yaml.Node{k.rule} }

func readFirstSeen(p *pending, d *document) pendingKind {
	k := &pendingFirstSeen{node: d.node}
	f := d.needChild("x-first-seen")
	if f == nil {
		return k
	}
	k.node = f.node
	k.rule = f.need("rule")
	k.signs = f.signs("fields")
	k.atLeast = 1
	if f.vals["at_least"] != nil {
		k.atLeast = f.uint("at_least")
	}
	if n := uint64(len(k.signs)); k.atLeast < 1 || k.atLeast > n {
		p.on(k.node, "at_least: want 1 to %d, as there are fields", n)
	}
	k.values = f.texts("values")
	k.lookback = f.duration("lookback")
	k.warmEvents, k.warmDays = f.warmup()
	if u := f.child("unless"); u != nil {
		k.unless, k.unlessAtLeast = u.signs("fields"), u.uint("at_least")
		u.rest("unless")
	}
	if s := f.child("steady"); s != nil {
		k.steadyNew, k.steadyWithin = s.uint("changes"), s.duration("within")
		s.rest("steady")
	}
	f.rest("x-first-seen")
	return k
}

// warmup reads how much there must be before anything is new.
func (d *document) warmup() (events, days uint64) {
	w := d.needChild("warmup")
	if w == nil {
		return 1, 0
	}
	events, days = w.uint("events"), w.uint("days")
	if events < 1 || events > maxThreshold || days > maxDays {
		d.on(w.node, "warmup: want 1 to %d events and up to %d days", maxThreshold, maxDays)
	}
	w.rest("warmup")
	return events, days
}

// maxSigns bounds how many signs there are: a bit each.
const maxSigns = 16

// signs reads a list of fields: a name, a|b, or a list of them of which any
// counts.
func (d *document) signs(key string) []sign {
	n := d.need(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxSigns {
		d.on(n, "%s: want a list of 1 to %d fields", key, maxSigns)
		return nil
	}
	var all []sign
	for _, item := range n.Content {
		terms := []*yaml.Node{item}
		if item.Kind == yaml.SequenceNode {
			terms = item.Content
		}
		var s sign
		for _, t := range terms {
			names := strings.Split(d.scalar(key, t), "|")
			for i, name := range names {
				s = append(s, term{name: name, lack: names[:i]})
			}
		}
		all = append(all, s)
	}
	return all
}

func (k *pendingFirstSeen) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	c.Main = p.find(k.rule, find)
	if c.Main == nil {
		return nil
	}
	if k.lookback < c.Dedupe {
		p.on(k.node, "lookback: want no less than the period of a finding (x-dedupe), so that a value arrives once in it")
	}
	add := func(t term) {
		if c.Main.value.part(t.name) == 0 {
			p.on(k.node, "field %s: is no value of rule %s; it has %s", clip(t.name), c.Main.Name, c.Main.value.name())
		}
		if !slices.ContainsFunc(k.terms, func(o term) bool { return o.id() == t.id() }) {
			k.terms = append(k.terms, t)
		}
	}
	for _, s := range slices.Concat(k.signs, k.unless) {
		for _, t := range s {
			add(t)
		}
	}
	if c.Main.value.part("as_org") > 0 { // names what asn numbers
		add(term{name: "as_org", beside: true})
	}
	return &k.firstSeen
}

// masks are, for each term, a bit for each sign that it is of.
func (k *firstSeen) masks(signs []sign) []uint64 {
	masks := make([]uint64, len(k.terms))
	for bit, s := range signs {
		for _, t := range s {
			i := slices.IndexFunc(k.terms, func(o term) bool { return o.id() == t.id() && !o.beside })
			if i >= 0 {
				masks[i] |= 1 << bit
			}
		}
	}
	return masks
}

// shows: without networks, what is new of one field or another.
func (k *firstSeen) shows(c *Correlation) fields {
	i := c.Main.value.part(networkValue.name)
	return c.Main.value[max(i-1, 0):i]
}

func (k *firstSeen) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from.Add(-c.Reach()), c.Main)
	terms, names := make([]string, len(k.terms)), make([]string, len(k.terms))
	for i, t := range k.terms {
		judged := []string{"1"}
		for _, lack := range t.lack {
			judged = append(judged, c.Main.part("val", lack)+" IN ('', 'unknown')")
		}
		terms[i] = fmt.Sprintf("(toUInt16(%d), %s, toUInt8(%s))", i+1, c.Main.part("val", t.name), strings.Join(judged, " AND "))
		names[i] = t.name
	}
	// One more row of each event carries all of its values: beside each of them they
	// would be most of what is sorted.
	params["carrier"] = uint64(len(terms) + 1)
	terms = append(terms, fmt.Sprintf("(toUInt16(%d), val, toUInt8(0))", len(terms)+1))
	params["masks"], params["unless_masks"] = append(k.masks(k.signs), 0), append(k.masks(k.unless), 0)
	params["at_least"], params["unless_at_least"] = k.atLeast, max(k.unlessAtLeast, 1)
	params["lookback"], params["settle"] = uint64(k.lookback.Milliseconds()), uint64(settleTime.Milliseconds())
	params["warm_events"], params["warm"] = k.warmEvents, k.warmDays*uint64((24*time.Hour).Milliseconds())
	params["changes"], params["steady"] = k.steadyNew+1, uint64(k.steadyWithin.Milliseconds())
	params["only"] = append([]string{}, k.values...)
	aspects := make([]uint64, len(terms)) // of the carrier none
	for i, name := range names {
		aspects[i] = aspectOf(name)
	}
	params["aspects"] = aspects
	params["declared_keys"], params["declared_aspects"] = c.declaredAspects(a)
	params["names"], params["parts"] = names, c.Main.value.names()
	networks := "arrayMap(p -> p.2, pairs)"
	if c.Main.value.part("network") > 0 {
		networks = "[" + c.Main.part("val", "network") + "]"
	}
	return schemas.Query{
		SQL:    sql + strings.NewReplacer("{{terms}}", strings.Join(terms, ", "), "{{networks}}", networks).Replace(firstSeenSQL),
		Params: params,
	}
}

// names are those of the fields, one by one.
func (fs fields) names() []string {
	names := make([]string, len(fs))
	for i := range fs {
		names[i] = fs[i].name
	}
	return names
}

// firstSeenSQL is long because it is one statement. Its steps, by name:
//
//	signs   the values that are told, by field
//	told    each with the one before it, and the one of the same value
//	known   since when its field is known, and which are changes
//	judged  which of them are new
//	near    what is of a period with something new
//	moments the events again, with what is new in them
//	marked  which of them trigger
//	held    what is new in the period up to each
const firstSeenSQL = `,
signs AS (
    SELECT key, t, log_id, imported, sign.1 AS id, sign.2 AS v, sign.3 AS counts
    FROM believed ARRAY JOIN [{{terms}}] AS sign
    WHERE v NOT IN ('', 'unknown') OR id = {carrier:UInt64}
),
told AS (
    SELECT *,
        lagInFrame(t) OVER (PARTITION BY key, id, v ORDER BY t, log_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS same,
        lagInFrame(t) OVER f AS prev,
        lagInFrame(v) OVER f AS was,
        lagInFrame(t, {warm_events:UInt64}) OVER f AS nth
    FROM signs
    WINDOW f AS (PARTITION BY key, id ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
),
known AS (
    SELECT *,
        maxIf(t, prev = 0 OR prev + {lookback:UInt64} < t) OVER (PARTITION BY key, id ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS since,
        (same = 0 OR same + {lookback:UInt64} < t) AND since + {settle:UInt64} <= t AS changes
    FROM told
),
judged AS (
    SELECT key, t, log_id, imported, id, v, counts, if(prev + {lookback:UInt64} < t, '', was) AS was,
        changes AND counts AND bitAnd({aspects:Array(UInt64)}[id], transform(key, {declared_keys:Array(String)}, {declared_aspects:Array(UInt64)}, toUInt64(0))) = 0 AND since + {warm:UInt64} <= t AND nth > 0 AND nth + {lookback:UInt64} >= t
            AND ({steady:UInt64} = 0 OR lagInFrame(t, {changes:UInt64}) OVER (PARTITION BY key, id, changes ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) + {steady:UInt64} < t) AS fresh,
        fresh AND (empty({only:Array(String)}) OR v IN {only:Array(String)}) AND {masks:Array(UInt64)}[id] != 0 AS wanted,
        intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period
    FROM known
),
near AS (
    SELECT *, max(wanted) OVER (PARTITION BY key, period) AS hot FROM judged WHERE t >= {from:UInt64}
),
moments AS (
    SELECT key, t, log_id, any(imported) AS imported, anyIf(v, id = {carrier:UInt64}) AS val, any(near.period) AS period,
        bitCount(groupBitOr(if(wanted, {masks:Array(UInt64)}[id], 0))) >= {at_least:UInt64}
            AND bitCount(groupBitOr(if(fresh, {unless_masks:Array(UInt64)}[id], 0))) < {unless_at_least:UInt64} AS triggers,
        groupArrayIf((id, v), counts) AS pairs,
        arraySort(groupArrayIf((id, v, was), wanted)) AS news,
        arraySort(groupUniqArrayIf(({names:Array(String)}[id], was), id != {carrier:UInt64})) AS before
    FROM near
    WHERE hot
    GROUP BY key, t, log_id
),
marked AS (
    SELECT *, max(triggers) OVER (PARTITION BY key, period) AS triggered FROM moments
),
held AS (
    SELECT *,
        groupArrayArrayIf(arrayMap(n -> (n.1, n.2), news), triggers) OVER (PARTITION BY key, period ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS new_pairs
    FROM marked
    WHERE triggered
),
firsts AS (
    SELECT key, period, argMinIf((val, news, before), (t, log_id), triggers) AS event,
        arrayMap((n, p) -> (concat('', n), p), {parts:Array(String)}, splitByChar('\x1f', event.1)) AS parts,
        min(t) AS first_t, max(t) AS last_t, count() AS n,
        arraySlice(arraySort(arrayFilter(v -> v != '', groupUniqArrayArray({{networks}}))), 1, 20) AS top_values,
        arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
        toUInt8(min(imported)) AS all_imported
    FROM held
    WHERE triggers OR hasAny(pairs, new_pairs)
    GROUP BY key, period
)
SELECT key, period, first_t, last_t, n, top_values, top_logs, all_imported, ` + noBaseline + `,
    CAST(arrayConcat(
        arrayFilter(p -> p.2 != '' AND p.1 != 'token_id', parts),
        [('new', arrayStringConcat(arrayMap(n -> concat({names:Array(String)}[n.1], ' ', n.2), event.2), ', '))],
        [('was', arrayStringConcat(arrayMap(n -> concat({names:Array(String)}[n.1], ' ', n.3), event.2), ', '))],
        arrayMap(b -> (concat('was_', b.1), b.2), arrayFilter(b -> b.2 != '', event.3))
    ), 'Map(String, String)') AS facts
FROM firsts
WHERE period >= {from:UInt64} AND period < {to:UInt64}
ORDER BY key, period
`
