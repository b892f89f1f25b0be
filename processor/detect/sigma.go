package detect

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// sigma is a correlation as Sigma defines it, before its rules are looked up.
type sigma struct {
	node    *yaml.Node
	typ     string
	rules   []*yaml.Node
	groupBy []*yaml.Node
	aliases map[string]map[string]field // by alias and the rule's name
	bounds  bounds
	field   fields // what is compared or summed up
	filters filters
}

// The types of correlations.
const (
	eventCount      = "event_count"
	valueCount      = "value_count"
	valueSum        = "value_sum"
	valueAvg        = "value_avg"
	temporal        = "temporal"
	temporalOrdered = "temporal_ordered"
)

// bounds are what a measure must keep to.
type bounds []bound

type bound struct {
	op    string
	value float64
}

// maxTogether is how many rules a temporal correlation has: each is a window of its
// query, and the store plans those of sixty for seconds.
const maxTogether = 16

// operators are Sigma's, in the words of SQL.
var operators = map[string]string{"gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "eq": "="}

// least is the smallest count that keeps to the bounds, 0 where none is too
// small.
func (b bounds) least() uint64 {
	least := 0.0
	for _, b := range b {
		switch b.op {
		case "gte", "eq":
			least = max(least, math.Ceil(b.value))
		case "gt":
			least = max(least, math.Floor(b.value)+1)
		}
	}
	return uint64(least)
}

// readSigma reads a correlation in Sigma's words. What this program adds is
// optional in a file that a user brings.
func (p *pending) readSigma(d *document) {
	p.plain = !d.set.strict && !d.hasOwn()
	p.Title, p.Name, p.Status = d.needText("title"), d.name(), d.status()
	p.ID = d.correlationID(p.Title)
	p.Code = d.code(p.ID)
	p.Level, p.Tags = d.level(), d.texts("tags")
	d.ignore(prose...)
	s := &sigma{}
	p.own = s
	c := d.child("correlation")
	if c != nil {
		s.read(p, c)
	}
	s.filters.read(d)
	p.readEvidence(d)
	p.Dedupe = max(defaultDedupe, (p.Timespan + defaultDedupe - 1).Truncate(defaultDedupe))
	if n := d.vals["x-dedupe"]; n != nil {
		if p.Dedupe = d.duration("x-dedupe"); p.Dedupe < p.Timespan {
			d.on(n, "x-dedupe: want no less than the timespan")
		}
	}
	if d.vals["x-identity"] != nil {
		p.readIdentity(d)
	}
	if d.set.strict || d.vals["x-alert"] != nil {
		p.readAlert(d)
	}
	p.levels = d.levels()
	if d.set.strict || d.vals["x-tests"] != nil {
		p.Tests = parseTests(d)
	}
	if !d.set.strict {
		d.annotations()
	}
	d.rest("a correlation")
}

// correlationID is the id of a correlation. Where Sigma leaves it out one is
// made of the title.
func (d *document) correlationID(title string) string {
	return d.idOf("correlation\n" + title)
}

func (s *sigma) read(p *pending, c *document) {
	s.node = c.node
	s.typ = c.needText("type")
	switch s.typ {
	case eventCount, valueCount, valueSum, valueAvg, temporal, temporalOrdered:
	case "value_percentile", "value_median", "":
		c.aside(c.node, "correlation of type %s: is not evaluated", s.typ)
	default:
		c.on(c.node, "correlation type: want event_count, value_count, value_sum, value_avg, temporal or temporal_ordered, found %q", clip(s.typ))
	}
	s.rules = c.list("rules", c.need("rules"))
	if n := c.take("group-by"); n != nil {
		s.groupBy = c.list("group-by", n)
	}
	if len(s.groupBy) > maxFields {
		c.on(c.node, "group-by: want at most %d fields", maxFields)
	}
	if ordered := s.typ == temporal || s.typ == temporalOrdered; ordered && len(s.rules) > maxTogether {
		c.on(c.node, "correlation rules: %s goes with %d at most", s.typ, maxTogether)
	}
	s.readAliases(c)
	p.rules = s.rules
	p.Timespan = c.timespan()
	if n := c.take("generate"); n != nil {
		text := c.scalar("generate", n)
		if p.generate = text == "true"; !p.generate && text != "false" {
			c.on(n, "generate: want true or false, found %q", clip(text))
		}
	}
	s.readCondition(c)
	c.rest("correlation")
}

// timespan reads the time span of a correlation, which Sigma has in minutes and
// hours mostly.
func (d *document) timespan() time.Duration { return d.duration("timespan") }

// list reads a list of words, or one word.
func (d *document) list(key string, n *yaml.Node) []*yaml.Node {
	if n == nil {
		return nil
	}
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) == 0 {
		d.on(n, "%s: want a name or a list of names", key)
	}
	for _, item := range items {
		d.scalar(key, item)
	}
	return items
}

func (s *sigma) readAliases(c *document) {
	all := c.child("aliases")
	if all == nil {
		return
	}
	s.aliases = map[string]map[string]field{}
	for _, alias := range all.order {
		if !slices.ContainsFunc(s.groupBy, func(n *yaml.Node) bool { return n.Value == alias }) {
			c.on(all.keys[alias], "aliases: %s: group-by does not use it", clip(alias))
		}
		of := newDocument(c.reporter, all.vals[alias], "aliases")
		if of == nil {
			continue
		}
		s.aliases[alias] = map[string]field{}
		for _, rule := range of.order {
			s.aliases[alias][rule] = of.field("aliases", of.vals[rule])
		}
	}
}

// readCondition reads what must hold of the measure. A count is looked at when an
// event comes, so that one which wants few events would hold at the first event of
// everything, and of what never happens nobody would know.
func (s *sigma) readCondition(d *document) {
	n := d.take("condition")
	ordered := s.typ == temporal || s.typ == temporalOrdered
	switch {
	case n == nil && !ordered:
		d.on(d.node, "condition: missing")
		return
	case n == nil:
		return
	case n.Kind == yaml.ScalarNode && ordered:
		d.aside(n, "condition: which of the rules must hold is not evaluated; all must, or so many as gte says")
		return
	}
	c := newDocument(d.reporter, n, "condition")
	if c == nil {
		return
	}
	if v := c.take("field"); v != nil {
		s.field = c.fields("field", v)
	}
	for _, op := range c.order {
		if v := c.vals[op]; operators[op] != "" {
			s.bounds = append(s.bounds, bound{op, c.number(op, c.take(op), v)})
		}
	}
	c.rest("the condition of a correlation, where there are gte, gt, lte, lt, eq and field")
	s.checkCondition(d, n)
}

func (s *sigma) checkCondition(d *document, n *yaml.Node) {
	switch s.typ {
	case eventCount, temporal, temporalOrdered:
		if s.field != nil {
			d.on(n, "field: goes with value_count, value_sum and value_avg, not with %s", s.typ)
		}
	default:
		if s.field == nil {
			d.on(n, "field: missing; %s is about the values of one", s.typ)
		}
	}
	switch s.typ {
	case temporal, temporalOrdered:
		s.checkHowMany(d, n)
	case valueSum, valueAvg:
		if len(s.field) > 1 {
			d.on(n, "field: want one")
		}
	default:
		for _, b := range s.bounds {
			if b.value != math.Trunc(b.value) || b.value < 0 || b.value > maxThreshold {
				d.on(n, "condition: want a whole number, %d at most", maxThreshold)
			}
		}
		if s.bounds.least() == 0 && s.typ != temporal && s.typ != temporalOrdered {
			d.aside(n, "condition: a count is looked at when an event comes: one that has no lower bound above 0 (gte, gt or eq) holds at the first event of everything, and what never happens is not found")
		}
	}
	if len(s.bounds) == 0 && s.typ != temporal && s.typ != temporalOrdered {
		d.on(n, "condition: want gte, gt, lte, lt or eq with a number")
	}
}

// checkHowMany checks how many of the rules must hold. What comes in an order must
// come whole.
func (s *sigma) checkHowMany(d *document, n *yaml.Node) {
	for _, b := range s.bounds {
		if b.op != "gte" && b.op != "gt" {
			d.aside(n, "condition: %s: how many of the rules do not hold is not evaluated; gte says how many must", b.op)
		}
	}
	switch least := s.bounds.least(); {
	case least > uint64(len(s.rules)):
		d.on(n, "condition: wants %d rules to hold, and there are %d", least, len(s.rules))
	case s.typ == temporalOrdered && least > 0 && least < uint64(len(s.rules)):
		d.aside(n, "condition: some of rules in an order are not evaluated; all must hold")
	}
}

// number reads a number, or a placeholder that is configured as one.
func (d *document) number(key string, taken, n *yaml.Node) float64 {
	text, hole := "", ""
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[1].Tag == "!!null" {
		hole = n.Content[0].Value // {threshold} without quotes
	} else {
		text = d.scalar(key, taken)
		if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") {
			hole = strings.Trim(text, "{}")
		}
	}
	if hole != "" {
		values := d.set.placeholders[hole]
		if len(values) == 0 {
			d.needs(n, key, hole)
			return 1
		}
		text = strings.TrimSpace(values[0])
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		d.on(n, "%s: want a number", key)
	}
	return v
}

func (s *sigma) names() []*yaml.Node { return s.filters.names() }

// resolve makes a kind of the correlation: each rule is asked for matches that
// are keyed by what the correlation groups by, and that say what it compares.
func (s *sigma) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	rules := s.find(p, find)
	if len(p.why.Reasons) > 0 || len(rules) == 0 || len(rules) != len(s.rules) {
		return nil
	}
	s.filters.find(p, find)
	value := s.field
	if value == nil {
		value = fields{s.filters.shown()}
	}
	var mains []*Rule
	for i, r := range rules {
		key := s.key(p, s.rules[i].Value, r)
		main := derived(r, key, s.filters.with(value))
		if slices.ContainsFunc(mains, func(m *Rule) bool { return m.Selector == main.Selector && m.Selector != "" }) {
			if s.typ == temporal || s.typ == temporalOrdered {
				p.aside(s.rules[i], "correlation rules: two of them select the same, which %s cannot tell apart", s.typ)
			}
			continue
		}
		mains = append(mains, main)
	}
	c.Main = mains[0]
	c.Timespan = p.Timespan
	switch s.typ {
	case temporal, temporalOrdered:
		if s.filters.any() {
			p.on(s.node, "correlation type %s: goes without %s", s.typ, filterKeys)
		}
		least := uint64(len(mains))
		if n := s.bounds.least(); n > 0 && s.typ == temporal {
			least = n
		}
		return together{rules: mains, shown: value, ordered: s.typ == temporalOrdered, least: least}
	}
	c.Threshold = s.bounds.least()
	k := counted{measure: s.typ, rules: mains, field: s.field, shown: value, bounds: s.bounds}
	k.filtered = s.filters.resolve(mains[0].key)
	if known := k.known; known != nil && slices.ContainsFunc(mains, func(m *Rule) bool { return m.Selector == known.Selector }) {
		p.on(s.filters.known, "x-known and x-own: the rule cannot be one that is counted by the same field")
	}
	return k
}

// find looks up the rules that are correlated.
func (s *sigma) find(p *pending, find func(string) *Rule) []*Rule {
	var rules []*Rule
	for _, n := range s.rules {
		if n.Kind != yaml.ScalarNode {
			continue
		}
		if find(n.Value) == nil && p.isCorrelation(n.Value) {
			p.aside(n, "correlation rules: %s is a correlation itself; those of correlations are not evaluated", clip(n.Value))
			continue
		}
		if r := p.find(n, find); r != nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// key is what the matches of a rule are keyed by: the fields of group-by, or
// those that their aliases stand for in this rule; the tenant where there is none.
func (s *sigma) key(p *pending, name string, r *Rule) fields {
	var key fields
	for _, n := range s.groupBy {
		f, err := parseField(n.Value)
		if of := s.aliases[n.Value]; of != nil {
			var ok bool
			if f, ok = of[name]; !ok {
				if f, ok = of[cmp.Or(r.Name, name)]; !ok {
					p.on(n, "aliases: %s says nothing of rule %s", clip(n.Value), clip(name))
				}
			}
			err = nil
		}
		if err != nil {
			p.on(n, "group-by: %v", err)
		}
		if key.part(f.name) > 0 {
			p.on(n, "group-by: %s stands twice", clip(n.Value))
		}
		key = append(key, f)
	}
	if len(key) == 0 {
		return fields{wholeTenant}
	}
	return key
}

// derived is a rule whose matches have a key and tell values: r itself, or one
// that selects the same.
func derived(r *Rule, key, value fields) *Rule {
	if r.key.name() == key.name() && !slices.ContainsFunc(value, func(f field) bool { return r.value.part(f.name) == 0 }) {
		return r
	}
	d := *r
	d.key, d.value, d.base, d.Finds, d.Tests = key, value, r, false, nil
	if d.base.base != nil {
		d.base = r.base
	}
	if d.selection != nil {
		d.Selector = d.hash()
	}
	return &d
}
