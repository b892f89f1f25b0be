package detect

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// undeclared finds events that differ from what is declared of their key.
//
// What it finds, per key of which networks, clouds, runtimes or an end are declared,
// over the matches of Main:
//
//   - An event is from elsewhere if networks or clouds are declared, its network is
//     within none of the networks, and its operator is none of the clouds. Where
//     clouds are declared and nothing tells its operator, it is not judged.
//   - It is of another program if runtimes are declared, the log tells the program,
//     and it is none of them, in any case of letters.
//   - It is late if it is not before the declared end.
//   - It triggers if it is any of these. Per period with a trigger there is one
//     finding, of the triggers of the period.
//
// It has no memory, and learns nothing.
type undeclared struct{}

type pendingUndeclared struct{ rule *yaml.Node }

// readUndeclared reads x-undeclared.
func readUndeclared(_ *pending, d *document) pendingKind {
	k := &pendingUndeclared{}
	if u := d.needChild("x-undeclared"); u != nil {
		k.rule = u.need("rule")
		u.rest("x-undeclared")
	}
	return k
}

func (k *pendingUndeclared) names() []*yaml.Node { return []*yaml.Node{k.rule} }

func (k *pendingUndeclared) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(k.rule, find); c.Main == nil {
		return nil
	}
	for _, name := range []string{"network", "asn", "as_org", "runtime"} {
		if c.Main.value.part(name) == 0 {
			p.on(k.rule, "x-undeclared: rule %s has no %s as a value; it has %s", c.Main.Name, name, c.Main.value.name())
		}
	}
	p.declarable(k.rule, c)
	return &undeclared{}
}

// declarable wants that the key of a rule is an identity of which something can be
// declared.
func (p *pending) declarable(n *yaml.Node, c *Correlation) {
	if c.Identity == "" || len(c.Main.key) != 1 {
		p.on(n, "want x-identity, and a rule whose key is the identity alone: something is declared of identities")
	}
}

func (*undeclared) uses(c *Correlation) []*Rule      { return []*Rule{c.Main} }
func (*undeclared) learns() bool                     { return false }
func (*undeclared) reach(*Correlation) time.Duration { return 0 }

func (*undeclared) judges(e schemas.Expect) bool {
	return len(e.Networks)+len(e.Clouds)+len(e.Runtimes) > 0 || e.Expires != ""
}

// candidates are the keys that have a match: few keys are asked for, see
// Correlation.PassesOver.
func (k *undeclared) candidates(c *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: keysOf("SELECT DISTINCT key FROM matches WHERE " + touchedMatches), Params: c.touched(a)}
}

func (k *undeclared) query(c *Correlation, a asked) schemas.Query {
	sql, params := c.believed(a, a.from, c.Main)
	k.declared(c, a, params)
	params["parts"] = c.Main.value.names()
	sql += strings.NewReplacer("{{network}}", c.Main.part("val", "network"), "{{asn}}", c.Main.part("val", "asn"),
		"{{as_org}}", c.Main.part("val", "as_org"), "{{runtime}}", c.Main.part("val", "runtime")).Replace(undeclaredSQL)
	return schemas.Query{SQL: sql, Params: params}
}

// declared adds what is declared of the asked keys, as three lists beside one
// another.
func (*undeclared) declared(c *Correlation, a asked, params map[string]any) {
	keys, kinds, values := []string{}, []string{}, []string{}
	add := func(key, kind, value string) {
		keys, kinds, values = append(keys, key), append(kinds, kind), append(values, value)
	}
	c.declared(a.tenant, a.keys, func(key string, e schemas.Expect) {
		for _, n := range e.Networks {
			add(key, "network", n)
		}
		for _, cloud := range e.Clouds {
			if number, ok := schemas.ASNumber(cloud); ok {
				add(key, "asn", uint64Text(uint64(number)))
				continue
			}
			add(key, "as_org", likePattern(cloud))
		}
		for _, r := range e.Runtimes {
			add(key, "runtime", likePattern(r))
		}
		if t, ok := e.Until(); ok {
			add(key, "expires", uint64Text(millis(t)))
		}
	})
	params["declared_keys"], params["declared_kinds"], params["declared_values"] = keys, kinds, values
}

// likePattern is a text with wildcards as LIKE has it, in lower case.
func likePattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "*", "%").Replace(strings.ToLower(text))
}

// undeclaredSQL goes on behind believed. Its steps, by name:
//
//	declared what is declared, by key
//	told     the events with what they say, and what is declared of their key
//	judged   which of them differ, and in what
const undeclaredSQL = `,
declared AS (
    SELECT d.1 AS key,
        groupArrayIf(d.3, d.2 = 'network') AS networks, groupArrayIf(d.3, d.2 = 'asn') AS asns, groupArrayIf(d.3, d.2 = 'as_org') AS orgs,
        groupArrayIf(d.3, d.2 = 'runtime') AS runtimes, maxIf(toUInt64OrZero(d.3), d.2 = 'expires') AS expires
    FROM (SELECT arrayJoin(arrayZip({declared_keys:Array(String)}, {declared_kinds:Array(String)}, {declared_values:Array(String)})) AS d)
    GROUP BY key
),
told AS (
    SELECT b.key AS key, t, log_id, val, imported, networks, asns, orgs, runtimes, expires,
        {{network}} AS network, splitByChar('/', network)[1] AS address, {{asn}} AS asn, lower({{as_org}}) AS org, lower({{runtime}}) AS program
    FROM believed AS b INNER JOIN declared AS d ON b.key = d.key
),
judged AS (
    SELECT key, t, log_id, val, imported, network, asn, program, intDiv(t, {dedupe:UInt64}) * {dedupe:UInt64} AS period,
        (notEmpty(networks) OR notEmpty(asns) OR notEmpty(orgs)) AND (isIPv4String(address) OR isIPv6String(address))
            AND NOT arrayExists(n -> isIPAddressInRange(address, n), networks)
            AND (empty(asns) AND empty(orgs) OR asn NOT IN ('', '0') AND NOT has(asns, asn) AND NOT arrayExists(o -> org LIKE o, orgs)) AS elsewhere,
        notEmpty(runtimes) AND program NOT IN ('', 'unknown') AND NOT arrayExists(r -> program LIKE r, runtimes) AS other,
        expires > 0 AND t >= expires AS late
    FROM told
)
SELECT key, period, min(t) AS first_t, max(t) AS last_t, count() AS n,
    arraySlice(arraySort(arrayFilter(v -> v != '', groupUniqArray(network))), 1, 20) AS top_values,
    arrayMap(l -> l.2, groupArraySorted(20)((t, log_id))) AS top_logs,
    toUInt8(min(judged.imported)) AS all_imported, ` + noBaseline + `,
    CAST(arrayConcat(
        arrayFilter(p -> p.2 != '' AND p.1 != 'token_id', arrayMap((n, p) -> (concat('', n), p), {parts:Array(String)}, splitByChar('\x1f', argMin(val, (t, log_id))))),
        [('elsewhere', toString(countIf(elsewhere))), ('other_program', toString(countIf(other))), ('both', toString(countIf(elsewhere AND other))), ('late', toString(countIf(late)))],
        [('against', arrayStringConcat(arraySlice(arrayConcat(
            arraySort(groupUniqArrayIf(concat('network ', network), elsewhere)), arraySort(groupUniqArrayIf(concat('program ', program), other)), if(countIf(late) > 0, ['use after its end'], [])), 1, 10), ', '))]
    ), 'Map(String, String)') AS facts
FROM judged
WHERE (elsewhere OR other OR late) AND period >= {from:UInt64} AND period < {to:UInt64}
GROUP BY key, period
ORDER BY key, period
`
