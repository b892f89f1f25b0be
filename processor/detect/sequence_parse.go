package detect

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// pendingSequence is a sequence whose rules are not looked up yet.
type pendingSequence struct {
	sequence
	node       *yaml.Node
	stepRules  [][]*yaml.Node
	knownRules []*yaml.Node
}

// maxSteps bounds how deep the statement of a sequence is.
const maxSteps = 5

// sources are what a trigger's source can be: see sequence.
var sources = []string{"new", "known", "again", "unclear"}

func readSequence(_ *pending, d *document) pendingKind {
	q := &pendingSequence{node: d.node}
	s := d.needChild("x-sequence")
	if s == nil {
		return q
	}
	q.readSteps(s)
	if len(q.steps) > 1 || s.vals["timespan"] != nil {
		q.timespan = s.duration("timespan")
	}
	if s.vals["settle"] != nil {
		q.settle = s.duration("settle")
	}
	q.readKnown(s)
	if n := s.vals["only"]; n != nil {
		q.only = s.texts("only")
		if q.known == nil || slices.ContainsFunc(q.only, func(o string) bool { return !slices.Contains(sources, o) }) {
			s.on(n, "only: want some of new, known, again and unclear, and known beside it")
		}
	}
	if n := s.take("ours"); n != nil {
		if q.ours = s.scalar("ours", n) == "ignore"; !q.ours {
			s.on(n, "ours: want ignore, or nothing")
		}
	}
	s.rest("x-sequence")
	return q
}

func (q *pendingSequence) readSteps(s *document) {
	n := s.need("steps")
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxSteps {
		s.on(n, "steps: want a list of 1 to %d", maxSteps)
		return
	}
	for _, item := range n.Content {
		d := newDocument(s.reporter, item, "steps")
		if d == nil {
			continue
		}
		st := step{count: 1}
		if d.vals["count"] != nil {
			at := d.vals["count"]
			if st.count = d.uint("count"); st.count < 1 || st.count > maxThreshold {
				d.on(at, "count: want 1 to %d", maxThreshold)
				st.count = 1
			}
		}
		if n := d.take("same"); n != nil {
			st.same = d.scalar("same", n)
		}
		q.steps = append(q.steps, st)
		q.stepRules = append(q.stepRules, d.names("rules"))
		d.rest("a step")
	}
	for _, st := range q.steps {
		if (st.same == "") != (q.steps[0].same == "") {
			s.on(n, "same: want it in all steps, or in none")
			return
		}
	}
}

// names reads a list of one name or more.
func (d *document) names(key string) []*yaml.Node {
	n := d.need(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		d.on(n, "%s: want a list of names", key)
		return nil
	}
	for _, item := range n.Content {
		d.scalar(key, item)
	}
	return n.Content
}

func (q *pendingSequence) readKnown(s *document) {
	k := s.child("known")
	if k == nil {
		return
	}
	q.known = &known{lookback: k.duration("lookback")}
	for _, n := range k.names("fields") {
		q.known.fields = append(q.known.fields, n.Value)
	}
	q.knownRules = k.names("rules")
	if k.vals["least"] != nil {
		q.known.least = k.count("least")
	}
	if k.vals["most"] != nil {
		q.known.most = k.count("most")
	}
	k.rest("known")
}

// count reads a whole number that a window can be as wide as.
func (d *document) count(key string) uint64 {
	n := d.vals[key]
	if n == nil {
		d.need(key)
		return 0
	}
	v := d.uint(key)
	if v < 1 || v > maxThreshold {
		d.on(n, "%s: want 1 to %d", key, maxThreshold)
	}
	return v
}

func (q *pendingSequence) names() []*yaml.Node {
	return append(slices.Concat(q.stepRules...), q.knownRules...)
}

func (q *pendingSequence) resolve(p *pending, c *Correlation, find func(string) *Rule) kind {
	s := q.sequence
	s.steps = slices.Clone(q.steps)
	whole := len(s.steps) > 0
	for i, nodes := range q.stepRules {
		whole = whole && len(nodes) > 0
		for _, n := range nodes {
			r := p.find(n, find)
			if r == nil {
				whole = false
				continue
			}
			st := &s.steps[i]
			if st.same != "" && r.value.part(st.same) == 0 {
				p.on(n, "rule %s: its x-match has no value %s, which is the same in all steps", cmp.Or(r.Name, r.ID), clip(st.same))
			}
			if len(st.rules) > 0 && st.rules[0].value.name() != r.value.name() {
				p.on(n, "rule %s: its x-match has other values than the step's first rule", cmp.Or(r.Name, r.ID))
			}
			st.rules = append(st.rules, r)
		}
	}
	if s.known != nil {
		known := *s.known
		for _, n := range q.knownRules {
			if r := p.find(n, find); r != nil {
				known.rules = append(known.rules, r)
			} else {
				whole = false
			}
		}
		s.known = &known
	}
	if !whole {
		return nil
	}
	c.Main = s.last().rules[0]
	q.check(p, c, &s)
	return &s
}

// check reports rules whose matches could never meet.
func (q *pendingSequence) check(p *pending, c *Correlation, s *sequence) {
	for i, st := range s.steps {
		for j, r := range st.rules {
			p.keyed(q.stepRules[i][j], r, c.Main)
		}
	}
	if s.known == nil {
		return
	}
	for i, r := range s.known.rules {
		p.keyed(q.knownRules[i], r, c.Main)
	}
	for _, f := range s.known.fields {
		for _, r := range append(slices.Clone(s.known.rules), s.last().rules...) {
			if r.value.part(f) == 0 {
				p.on(q.node, "known: rule %s has no value %s in its x-match", cmp.Or(r.Name, r.ID), clip(f))
			}
		}
	}
}
