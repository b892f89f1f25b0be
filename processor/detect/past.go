package detect

import (
	"math"
	"strconv"
)

// What kinds share that judge a key by its own past.

// touchedMatches are the conditions of matches of the asked keys and range; its
// parameters are those of touched.
const touchedMatches = `selector = {main:String} AND tenant = {tenant:String}
      AND bucket >= {from_day:Date} AND bucket <= {to_day:Date} AND key IN {keys:Array(String)}
      AND t >= {from:UInt64} AND t < {to:UInt64}`

func (c *Correlation) touched(a asked) map[string]any {
	return map[string]any{
		"tenant": a.tenant, "keys": a.keys, "main": c.Main.Selector,
		"from": millis(a.from), "from_day": day(a.from), "to": millis(a.to), "to_day": day(a.to),
	}
}

// keysOf makes rows of candidates of a statement that has keys.
func keysOf(sql string) string {
	return "\nSELECT key, " + keysOnly + "\nFROM (" + sql + ")\nORDER BY key\n"
}

// shown is SQL for what a finding shows of a match: its network where it tells
// one, else all that it tells.
func (r *Rule) shown(column string) string {
	if r.value.part(networkValue.name) > 0 {
		return r.part(column, networkValue.name)
	}
	return column
}

// positive reads a finite number above 0.
func (d *document) positive(key string) float64 {
	n := d.need(key)
	if n == nil {
		return 0
	}
	v, err := strconv.ParseFloat(d.scalar(key, n), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		d.on(n, "%s: want a number above 0", key)
	}
	return v
}
