package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ticking is a kind of which time alone makes findings: it lasts until an event of
// anybody of the tenant lies behind their trigger.
type ticking interface {
	kind
	// trail is how far behind its trigger an event may change what a finding says.
	trail() time.Duration
	// looksBack reports whether what comes late changes findings of keys that nothing
	// touches.
	looksBack() bool
	// overdue: see Correlation.OverdueQuery.
	overdue(c *Correlation, tenant string, from, to time.Time, share Share) schemas.Query
}

// Ticks reports whether time alone changes what c finds.
func (c *Correlation) Ticks() bool {
	_, ok := c.kind.(ticking)
	return ok
}

// Trail is how far behind its trigger an event may change what a finding says.
func (c *Correlation) Trail() time.Duration {
	if k, ok := c.kind.(ticking); ok {
		return k.trail()
	}
	return 0
}

// LooksBack reports whether a tick has to look at what former ticks have looked at: what
// comes late may change it though nothing touches the key. Of others, a trigger passes
// when the tenant's last event gets behind it, and all else that has part in it has the
// key.
func (c *Correlation) LooksBack() bool { return c.kind.(ticking).looksBack() }

// OverdueQuery asks, of a rule that ticks, for a superset of the keys of a share of a
// tenant's, in column Key, that have triggers in [from, to): no match may have touched
// them since.
func (c *Correlation) OverdueQuery(tenant string, from, to time.Time, share Share) schemas.Query {
	return c.kind.(ticking).overdue(c, tenant, from, to, share)
}

// Digest names what a rule that ticks asks for and what is excepted from that, whatever is
// declared: rules of one digest find the same by time alone.
func (c *Correlation) Digest() string {
	at := time.Unix(0, 0)
	sum := sha256.New()
	for _, q := range []schemas.Query{c.OverdueQuery("", at, at, Share{}), c.Query("", nil, at, at)} {
		fmt.Fprintf(sum, "%q", q.SQL)
		for _, name := range slices.Sorted(maps.Keys(q.Params)) {
			fmt.Fprintf(sum, "%q %q", name, fmt.Sprint(q.Params[name]))
		}
	}
	for _, e := range c.exceptions {
		fmt.Fprintf(sum, "%q", fmt.Sprint(e.Match))
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// overdue finds keys that are silent for longer than their declared cadence.
//
// What it finds, per key of which a cadence is declared, over the matches of Main:
//
//   - The trigger is a match + the cadence, if no later match lies before it or
//     with it, and any event of the tenant behind it, as of silence.
//   - Per period with a trigger there is one finding, as of silence: it holds the
//     last match before each silence, ends with the last trigger, and tells when
//     the key came back, if it did within comeBack of the trigger.
type overdue struct{}

// comeBack is how long after a trigger it is told that a key came back.
const comeBack = 5 * 24 * time.Hour

type pendingOverdue struct{ rule *yaml.Node }

// readOverdue reads x-overdue.
func readOverdue(_ *pending, d *document) pendingKind {
	k := &pendingOverdue{}
	if o := d.needChild("x-overdue"); o != nil {
		k.rule = o.need("rule")
		o.rest("x-overdue")
	}
	return k
}

func (k *pendingOverdue) names() []*yaml.Node { return []*yaml.Node{k.rule} }

func (k *pendingOverdue) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	if c.Main = p.find(k.rule, find); c.Main == nil {
		return nil
	}
	p.declarable(k.rule, c)
	return &overdue{}
}

func (*overdue) uses(c *Correlation) []*Rule      { return []*Rule{c.Main} }
func (*overdue) learns() bool                     { return false }
func (*overdue) reach(*Correlation) time.Duration { return schemas.MaxCadence }
func (*overdue) trail() time.Duration             { return comeBack }
func (*overdue) looksBack() bool                  { return false }

func (*overdue) judges(e schemas.Expect) bool {
	_, ok := e.Every()
	return ok
}

// limits are the cadences of the asked keys, and the longest of them.
func (*overdue) limits(c *Correlation, a asked, params map[string]any) (longest time.Duration) {
	keys, every := c.declaredCadences(a.tenant, a.keys)
	params["cadence_keys"], params["cadences"] = keys, every
	for _, ms := range every {
		longest = max(longest, time.Duration(ms)*time.Millisecond)
	}
	return longest
}

func (k *overdue) query(c *Correlation, a asked) schemas.Query {
	until, limits := a.to, map[string]any{}
	longest := k.limits(c, a, limits)
	a.to = a.to.Add(comeBack)
	sql, params := c.believed(a, a.from.Add(-longest-time.Millisecond), c.Main)
	params["until"], params["most"] = millis(until), uint64(comeBack.Milliseconds())
	params["bin"] = uint64(time.Minute.Milliseconds())
	maps.Copy(params, limits)
	return schemas.Query{SQL: sql + strings.ReplaceAll(declaredSilenceSQL, "{{value}}", c.Main.shown("val")) + silenceRows, Params: params}
}

// candidates are all keys: few are asked for, see Correlation.PassesOver.
func (k *overdue) candidates(_ *Correlation, a asked) schemas.Query {
	return schemas.Query{SQL: keysOf("SELECT arrayJoin({keys:Array(String)}) AS key"), Params: map[string]any{"keys": a.keys}}
}

// overdue asks silences of matches that are not looked up: see unprovenSQL.
func (k *overdue) overdue(c *Correlation, tenant string, from, to time.Time, share Share) schemas.Query {
	outside := func(key string) bool { return !share.Has(key) }
	keys := slices.DeleteFunc(c.declaredKeys(tenant), outside)
	a := asked{tenant: tenant, keys: keys, from: from, to: to}
	params := map[string]any{}
	lo := from.Add(-k.limits(c, a, params) - time.Millisecond)
	params["tenant"], params["main"], params["keys"], params["bin"] = tenant, c.Main.Selector, a.keys, uint64(1)
	params["lo"], params["lo_day"], params["from"], params["to"], params["to_day"], params["until"] = millis(lo), day(lo), millis(from), millis(to), day(to), millis(to)
	sql := strings.NewReplacer("{{value}}", "''", "{{keys}}", "{keys:Array(String)}").Replace("\nWITH " + unprovenSQL + declaredSilenceSQL)
	return schemas.Query{SQL: sql + "SELECT DISTINCT key, " + keysOnly + " FROM silences ORDER BY key", Params: params}
}

// declaredSilenceSQL goes on behind believed, and comes to what silenceSQL comes to.
const declaredSilenceSQL = `,
silences AS (
    SELECT key, tail, network, imported, next, intDiv(every, {bin:UInt64}) AS usual, tail.1 + every AS trigger
    FROM (
        SELECT key, (t, log_id) AS tail, {{value}} AS network, imported,
            leadInFrame(t, 1, toUInt64(0)) OVER (PARTITION BY key ORDER BY t, log_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next,
            transform(key, {cadence_keys:Array(String)}, {cadences:Array(UInt64)}, toUInt64(0)) AS every
        FROM believed
    )
    WHERE every > 0 AND trigger >= {from:UInt64} AND trigger < {until:UInt64} AND (next = 0 OR next > trigger)
      AND trigger < (
          SELECT toUInt64(toUnixTimestamp64Milli(max(time))) FROM events
          WHERE tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli(toInt64({from:UInt64}), 'UTC'))
)
`

func uint64Text(n uint64) string { return strconv.FormatUint(n, 10) }
