package detect

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// filters narrow what a count counts, and when it triggers. They are this
// program's own and stand beside Sigma's correlation:
//
//	x-known:  {rule: NAME, field: FIELD, lookback: 7d}
//	x-own:    {rule: NAME, field: FIELD, lookback: 7d}
//	x-new:    {field: FIELD, lookback: 30d, history: 7d}
//	x-unless: {rule: NAME, within: 30m}
//	x-usual:  {lookback: 7d, days: 3, times: 2, more: 2}
//	x-strangers: {rule: NAME, field: FIELD, from: FIELD, lookback: 7d, real: true}
type filters struct {
	known, unless   *yaml.Node // names of rules; known is that of x-own too
	isOwn           bool
	strangers       *yaml.Node
	strange         strangers
	knownRule, bar  *Rule
	knownField      field
	newField        field
	isNew           bool
	lookback        time.Duration // of known or new
	history, within time.Duration
	usual           usual
}

const filterKeys = "x-known, x-own, x-new, x-unless, x-usual and x-strangers"

// usual is what a measure must exceed: Times the most that it was on any day of
// the look-back before, and More. Where the key has matches on fewer of these days
// than Days, there is nothing usual to go by, and nothing triggers.
type usual struct {
	Lookback time.Duration // whole days; 0 where anything is usual
	Days     uint64
	Times    float64
	More     float64
}

// filtered are filters whose rules are looked up.
type filtered struct {
	known      *Rule // nil where each match counts
	own        bool  // what is known does not count, and all else does
	knownField field
	newField   field // "" where it does not matter
	lookback   time.Duration
	history    time.Duration
	bar        *Rule
	within     time.Duration
	usual      usual
	strangers  strangers
}

func (f *filters) any() bool {
	return f.known != nil || f.isNew || f.unless != nil || f.strangers != nil || f.usual.Lookback > 0
}

func (f *filters) read(d *document) {
	if k := d.child("x-known"); k != nil {
		f.known = k.need("rule")
		f.knownField = k.field("field", k.need("field"))
		f.lookback = k.duration("lookback")
		k.rest("x-known")
	}
	if k := d.child("x-own"); k != nil {
		if f.known != nil {
			d.on(k.node, "x-own: goes without x-known")
		}
		f.isOwn = true
		f.known = k.need("rule")
		f.knownField = k.field("field", k.need("field"))
		f.lookback = k.duration("lookback")
		k.rest("x-own")
	}
	if k := d.child("x-new"); k != nil {
		f.isNew = true
		f.newField = k.field("field", k.need("field"))
		f.lookback = k.duration("lookback")
		if f.history = k.duration("history"); f.history >= f.lookback {
			k.on(k.node, "history: want less than the lookback")
		}
		k.rest("x-new")
		if f.known != nil {
			d.on(k.node, "x-new: goes without x-known and x-own")
		}
	}
	if k := d.child("x-unless"); k != nil {
		f.unless = k.need("rule")
		f.within = k.duration("within")
		k.rest("x-unless")
	}
	f.readStrangers(d)
	if k := d.child("x-usual"); k != nil {
		f.usual = usual{Lookback: k.duration("lookback"), Days: k.uint("days"), Times: 1}
		if f.usual.Lookback%(24*time.Hour) != 0 {
			k.on(k.node, "lookback: want whole days")
		}
		if k.vals["times"] != nil {
			f.usual.Times = float64(k.uint("times"))
		}
		if k.vals["more"] != nil {
			f.usual.More = float64(k.uint("more"))
		}
		k.rest("x-usual")
	}
}

func (f *filters) names() []*yaml.Node { return []*yaml.Node{f.known, f.unless, f.strangers} }

func (f *filters) find(p *pending, find func(string) *Rule) {
	f.knownRule, f.bar, f.strange.rule = p.find(f.known, find), p.find(f.unless, find), p.find(f.strangers, find)
	if r := f.strange.rule; r != nil && (r.value.part(f.strange.from.name) == 0 || r.key.name() != f.strange.who.name) {
		p.on(f.strangers, "x-strangers: want a rule with x-match, whose key is %s and whose value has %s", f.strange.who.name, f.strange.from.name)
	}
}

// shown is what the matches tell where nothing is compared.
func (f *filters) shown() field {
	if f.known != nil && !f.isOwn {
		return f.knownField
	}
	return networkValue
}

// with are fields and those that the filters read.
func (f *filters) with(value fields) fields {
	value = slices.Clone(value)
	for _, extra := range []field{f.knownField, f.newField, f.strange.who, f.strange.from} {
		if extra.name != "" && value.part(extra.name) == 0 {
			value = append(value, extra)
		}
	}
	return value
}

// resolve has the rules of the filters make matches that meet those that are
// counted.
func (f *filters) resolve(key fields) filtered {
	of := filtered{
		own: f.isOwn, knownField: f.knownField, newField: f.newField, lookback: f.lookback, history: f.history, within: f.within, usual: f.usual, strangers: f.strange,
	}
	if f.knownRule != nil {
		of.known = derived(f.knownRule, key, fields{f.knownField})
	}
	if f.bar != nil {
		of.bar = derived(f.bar, key, nil)
	}
	return of
}

// rules are those whose matches the filters read.
func (f *filtered) rules() []*Rule {
	var rules []*Rule
	for _, r := range []*Rule{f.known, f.bar} {
		if r != nil {
			rules = append(rules, r)
		}
	}
	return rules
}
