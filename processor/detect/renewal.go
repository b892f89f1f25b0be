package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// renewal finds keys that ask for tokens again and again while those that they
// have live on.
//
// What it finds, per key, with windows aligned to the epoch:
//
//   - A window of an audience is too much if its count is above Threshold, and
//     above times × what its sources need: a token per lifetime and network.
//   - A window triggers if windows of them, it among them, of one audience are
//     too much in its period, so that machines that all start at once are none.
//   - Per period with such an audience there is one finding. It holds the events of
//     all such windows; its facts are of the audience with the most of them.
type renewal struct {
	lifetime time.Duration
	times    float64
	windows  uint64
}

type pendingRenewal struct {
	renewal
	rule, node *yaml.Node
}

// readRenewal reads x-renewal.
func readRenewal(p *pending, d *document) pendingKind {
	r := &pendingRenewal{node: d.vals["x-renewal"]}
	m := d.child("x-renewal")
	if m == nil {
		return r
	}
	r.rule = m.need("rule")
	r.lifetime = m.duration("lifetime")
	p.Timespan = m.duration("window")
	p.Threshold = m.uint("above")
	r.times, r.windows = m.positive("times"), m.uint("windows")
	m.rest("x-renewal")
	return r
}

func (r *pendingRenewal) names() []*yaml.Node { return []*yaml.Node{r.rule} }

func (r *pendingRenewal) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(r.rule, find); c.Main == nil {
		return nil
	}
	p.wholeWindows(r.node, c)
	if c.Main.value.part(networkValue.name) == 0 || c.Main.value.part("audience") == 0 {
		p.on(r.rule, "rule %s: x-renewal wants one whose x-match has network and audience in its value", clip(r.rule.Value))
		return nil
	}
	return r.renewal
}

func (renewal) uses(c *Correlation) []*Rule        { return []*Rule{c.Main} }
func (renewal) learns() bool                       { return false }
func (renewal) reach(c *Correlation) time.Duration { return c.Dedupe }

func (r renewal) params(c *Correlation, params map[string]any) map[string]any {
	params["window"], params["above"], params["windows"] = uint64(c.Timespan.Milliseconds()), c.Threshold, r.windows
	params["dedupe"] = uint64(c.Dedupe.Milliseconds())
	return params
}

func (r renewal) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from, c.Main)
	r.params(c, params)
	params["lifetime"], params["times"] = uint64(r.lifetime.Milliseconds()), r.times
	parts := strings.NewReplacer("{{network}}", c.Main.part("val", networkValue.name), "{{audience}}", c.Main.part("val", "audience"))
	return schemas.Query{SQL: sql + parts.Replace(renewalSQL), Params: params}
}

// candidates have enough windows with enough matches, of whatever audience.
func (r renewal) candidates(c *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: keysOf(`SELECT DISTINCT key FROM (
    SELECT key, intDiv(t, {window:UInt64}) AS cell, intDiv(cell * {window:UInt64}, {dedupe:UInt64}) AS period FROM matches WHERE ` + touchedMatches + `
    GROUP BY key, cell
    HAVING count() > {above:UInt64}
)
GROUP BY key, period
HAVING count() >= {windows:UInt64}`), Params: r.params(c, c.touched(a))}
}

const renewalSQL = `,
asked AS (
    SELECT key, t, log_id, imported, {{network}} AS network, {{audience}} AS audience,
        intDiv(t, {window:UInt64}) AS cell, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period
    FROM believed
),
cells AS (
    SELECT key, period, audience, cell, count() AS n, uniqExact(network) AS sources
    FROM asked
    GROUP BY key, period, audience, cell
    HAVING n > {above:UInt64} AND n > {times:Float64} * sources * {window:UInt64} / {lifetime:UInt64}
),
wasteful AS (
    SELECT key, period, audience, groupArray(cell) AS cells, count() AS windows, sum(n) AS tokens, sum(sources) AS sources
    FROM cells
    GROUP BY key, period, audience
    HAVING windows >= {windows:UInt64}
)
SELECT key, period, first_t, last_t, events, top_values, top_logs, all_imported, ` + noBaseline + `,
    map('audience', most.2,
        'every_seconds', toString(intDiv(most.3 * {window:UInt64}, most.1 * 1000)),
        'tokens_an_hour', toString(intDiv(most.1 * 3600000, most.3 * {window:UInt64})),
        'lifetime_hours', toString(intDiv({lifetime:UInt64}, 3600000)),
        'wasted_a_month', toString(toUInt64(floor((most.1 - most.4 * {window:UInt64} / {lifetime:UInt64}) * 2628000000 / (most.3 * {window:UInt64}))))) AS facts
FROM (
    SELECT key, period,
        min(t) AS first_t, max(t) AS last_t, count() AS events,
        arraySlice(arraySort(groupUniqArrayIf(network, network != '')), 1, 20) AS top_values,
        arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
        toUInt8(min(asked.imported)) AS all_imported,
        max((tokens, audience, windows, sources)) AS most
    FROM asked JOIN wasteful USING (key, period, audience)
    WHERE has(cells, cell)
    GROUP BY key, period
)
ORDER BY key, period
`
