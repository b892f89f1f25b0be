package detect

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// kind is how a correlation comes from matches to findings. Kinds are values
// that never change; what all correlations have they find in c.
type kind interface {
	// uses are the rules whose matches are read, but for the evidence.
	uses(c *Correlation) []*Rule
	// reach is how far before the event that triggers a finding the finding may
	// depend on others.
	reach(c *Correlation) time.Duration
	// query answers schemas.CorrelationRow: see Correlation.Query.
	query(c *Correlation, a asked) schemas.Query
	// candidates finds, in column Key, a superset of the keys that query finds
	// something of, and is quick where there are none.
	candidates(c *Correlation, a asked) schemas.Query
	// learns reports whether the kind judges by what is usual, which it has to
	// learn first.
	learns() bool
}

// asked is what is asked of a kind: triggers of keys in [from, to), which are
// starts of periods.
type asked struct {
	tenant   string
	keys     []string
	from, to time.Time
}

// pendingKind is a kind whose rules are not looked up yet.
type pendingKind interface {
	// names are those of the rules that it speaks of.
	names() []*yaml.Node
	// resolve looks them up and checks that they fit; it sets Main of c, and
	// returns nil where something is wrong, which it has reported.
	resolve(p *pending, c *Correlation, find func(string) *Rule) kind
}

// kindReaders read the kinds that stand under a key of this program's own, in a
// document that has neither detection nor correlation: x-first-seen, say.
var kindReaders = map[string]func(p *pending, d *document) pendingKind{
	"x-spike":          readSpike,
	"x-off-schedule":   readOffSchedule,
	"x-renewal":        readRenewal,
	"x-orphan":         readOrphan,
	"x-sequence":       readSequence,
	"x-silence":        readSilence,
	"x-stream-silence": readStreamSilence,
	"x-first-seen":     readFirstSeen,
	"x-gap":            readGap,
	"x-undeclared":     readUndeclared,
	"x-overdue":        readOverdue,
	"x-storm":          readStorm,
}

// kindKey is the key under which a document says its kind, "" where it has none.
func kindKey(d *document) string {
	for _, key := range d.order {
		if kindReaders[key] != nil {
			return key
		}
	}
	return ""
}

// emptyRow ends the columns of a query that has no baseline: see
// schemas.CorrelationRow.
const noBaseline = `toUInt64(0) AS baseline, toFloat64(0) AS baseline_days, toUInt64(0) AS last_success`

// noFacts is the last column of a query that has no facts.
const noFacts = `CAST(map(), 'Map(String, String)') AS facts`

// keysOnly are the columns of a query for candidates behind its key.
const keysOnly = `toUInt64(0) AS period, toUInt64(0) AS t, ` + noEvents

// noEvents are the columns of a query for keys and a time behind that.
const noEvents = `t AS last_t, toUInt64(0) AS n, CAST([], 'Array(String)') AS vals, vals AS logs,
    toUInt8(0) AS imported, ` + noBaseline + `, ` + noFacts

// believed begins a statement: the matches of some rules whose event survived,
// each once, from lo on, as rows of key, t, log_id, val, role and imported. role
// is the place of the match's selector among those of the rules, from 1; rules
// that share a selector share the first one's.
func (c *Correlation) believed(a asked, lo time.Time, rules ...*Rule) (sql string, params map[string]any) {
	selectors := make([]string, len(rules))
	clients := clientsAreKeys
	for i, r := range rules {
		selectors[i] = r.Selector
		if r.key.name() != clientKey.name {
			clients = believedClients
		}
	}
	survive := survived(clients, "lo")
	if clients == believedClients && a.from.Sub(lo) <= fewDays {
		survive = survivedLately(clients, "lo")
	}
	return strings.ReplaceAll(believedSQL, "{{survived}}", survive), map[string]any{
		"tenant": a.tenant, "keys": a.keys, "selectors": selectors,
		"lo": millis(lo), "lo_day": day(lo), "from": millis(a.from), "from_day": day(a.from), "to": millis(a.to), "to_day": day(a.to),
		"dedupe": uint64(c.Dedupe.Milliseconds()),
	}
}

const (
	believedClients = `client_id IN (
                SELECT DISTINCT client_id FROM matches
                WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String}
                  AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)})`
	believedSQL = `
WITH believed AS MATERIALIZED (
    SELECT key, t, log_id, value AS val, indexOf({selectors:Array(String)}, selector) AS role, source = 'import' AS imported
    FROM matches FINAL
    WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String}
      AND bucket >= {lo_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t >= {lo:UInt64} AND t < {to:UInt64}
      AND {{survived}}
)`
)

// part is SQL for one field of a rule's value, which is in a column.
func (r *Rule) part(column, field string) string {
	if len(r.value) == 1 {
		return column
	}
	return fmt.Sprintf("arrayElement(splitByChar('\\x1f', %s), %d)", column, r.value.part(field))
}

// LooksBackOnly reports whether nothing that happens behind a trigger changes what
// c finds of it, so that an event leaves alone what was found before it; and
// whether the candidates of a range that begins anywhere are those with a trigger
// in it. Kinds that are remembered (see Recall) have quicker ways.
func (c *Correlation) LooksBackOnly() bool {
	switch c.kind.(type) {
	case lone, counted, unbroken, spike, *sequence:
		return true
	}
	return false
}
