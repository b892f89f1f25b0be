// Package detect holds the rules: it parses Sigma YAML, compiles what a rule
// selects into matchers that run on each event, and compiles correlations to
// SQL over the stored matches. It is pure: no I/O but the given file system,
// no clock but the times of the events.
package detect

import (
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Set is a compiled set of rules. It never changes and may be used by any
// number of goroutines.
type Set struct {
	rules        []Rule
	matched      []*Rule // each with a selector of its own
	correlations []Correlation

	asides   []Aside
	disabled []Disabled
	notes    Problems

	plans map[string]*plan // by event type, for selectors that name their types
	other *plan            // for all other types
	pool  sync.Pool        // of *state
}

// Rule is a base rule: what it selects, without memory.
type Rule struct {
	ID       string
	Name     string // what correlations call it
	Title    string
	Status   string
	Level    schemas.Level
	Tags     []string
	File     string
	Line     int
	Selector string   // names the selection in matches and touches; rules with the same selection share it
	Types    []string // the event types it can match, sorted, "" for none; nil means any

	// Finds says that one match is a finding: no correlation uses the rule, and
	// its level is medium or more. Then Dedupe is the length of a period, and
	// Tests are the rule's own.
	Finds  bool
	Dedupe time.Duration
	Tests  []Test

	selection expr
	key       fields
	value     fields // none where the rule has no value
	used      bool   // by a correlation
	base      *Rule  // which this one selects the same as, with another key or value; nil for a rule of a file
	summary   *text  // nil where the rule has none
	levels    []levelIf
	testsNode *yaml.Node
	idle      bool // nothing uses it and it finds nothing, so it is not matched: a match is a row
}

// Rules returns the base rules, in the order of their files.
func (s *Set) Rules() []Rule { return slices.Clone(s.rules) }

// Correlations returns the correlation rules, in the order of their files, and
// behind them a correlation for each base rule that finds something alone.
func (s *Set) Correlations() []Correlation { return slices.Clone(s.correlations) }

// Asides returns the rules that are understood and not evaluated, by file and
// line.
func (s *Set) Asides() []Aside { return slices.Clone(s.asides) }

// Notes returns what is odd in the rules and harms nothing, by file and line.
func (s *Set) Notes() Problems { return slices.Clone(s.notes) }

// CodesOf are the codes of the rules that look at what a selector selects.
func (s *Set) CodesOf(selector string) (codes []string) {
	for _, c := range s.correlations {
		if slices.ContainsFunc(c.Rules(), func(r *Rule) bool { return r.Selector == selector }) {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// Selectors returns the selectors that events are matched with, each once.
func (s *Set) Selectors() []string {
	var all []string
	for _, r := range s.matched {
		all = append(all, r.Selector)
	}
	slices.Sort(all)
	return all
}

// Selecting is a set that matches by the selectors of these rules alone, whatever
// uses them where they come from.
func Selecting(rules ...*Rule) *Set {
	chosen := make([]Rule, len(rules))
	for i, r := range rules {
		chosen[i] = *r
		chosen[i].used, chosen[i].idle = false, false
	}
	return newSet(chosen, nil)
}

// plan is what has to be tried for the events of one type.
type plan struct {
	selectors []*Rule
	raw       *node // the paths that selectors read from the raw log; nil where there are none
	slots     int
}

func newSet(rules []Rule, correlations []Correlation) *Set {
	s := &Set{rules: rules, correlations: correlations, plans: map[string]*plan{}}
	s.pool.New = func() any { return newState() }
	s.matched = matchedRules(rules, correlations)
	var untyped []*Rule
	for _, r := range s.matched {
		if r.Types == nil {
			untyped = append(untyped, r)
		}
	}
	s.other = newPlan(untyped)
	for _, typ := range indexedTypes(s.matched) {
		s.plans[typ] = newPlan(selectorsOf(s.matched, typ))
	}
	return s
}

// matchedRules are the rules that events are matched with, one for each selector:
// those that are read, and those that nothing uses. Of a rule whose correlations
// all want other keys or values nobody would read the matches.
func matchedRules(rules []Rule, correlations []Correlation) []*Rule {
	var read []*Rule
	for i := range correlations {
		read = append(read, correlations[i].all()...)
	}
	for i := range rules {
		if !rules[i].used && !rules[i].idle {
			read = append(read, &rules[i])
		}
	}
	var matched []*Rule
	seen := map[string]bool{}
	for _, r := range read {
		if !seen[r.Selector] {
			seen[r.Selector] = true
			matched = append(matched, r)
		}
	}
	return matched
}

func indexedTypes(selectors []*Rule) []string {
	var types []string
	for _, r := range selectors {
		types = append(types, r.Types...)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func selectorsOf(all []*Rule, typ string) []*Rule {
	var of []*Rule
	for _, r := range all {
		if r.Types == nil || slices.Contains(r.Types, typ) {
			of = append(of, r)
		}
	}
	return of
}

// newPlan gives each path that the selectors read from the raw log a slot.
func newPlan(selectors []*Rule) *plan {
	p := &plan{selectors: selectors}
	for _, r := range selectors {
		for f := range r.fields() {
			if f.column == nil && f.path != nil {
				p.addPath(f.path)
			}
		}
	}
	return p
}

func (p *plan) addPath(path []string) {
	if p.raw == nil {
		p.raw = &node{slot: -1}
	}
	if p.raw.add(path, p.slots) == p.slots {
		p.slots++
	}
}

// Match appends one match per selector that selects e. It does not fail: what
// cannot be read of the raw log is absent. A match without a key is dropped,
// and so is one whose key is longer than maxKey in a part, which no client id is.
func (s *Set) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	p := s.plans[e.Type]
	if p == nil {
		p = s.plans[strings.ToLower(e.Type)] // Auth0 writes none in upper case
	}
	if p == nil {
		p = s.other
	}
	if len(p.selectors) == 0 {
		return dst
	}
	st := s.pool.Get().(*state)
	st.reset(e, p)
	for _, r := range p.selectors {
		if r.selection.eval(st) {
			dst = r.appendMatch(dst, st)
		}
	}
	st.reset(nil, nil)
	s.pool.Put(st)
	return dst
}

// What a failed exchange names as its client is chosen by whoever sends it.
const (
	maxKey   = 256 // of each part
	maxValue = 256
	maxPart  = 128 // of a value of several
)

func (r *Rule) appendMatch(dst []schemas.Match, st *state) []schemas.Match {
	key, ok := st.key(r.key)
	if !ok {
		return dst
	}
	value := st.joined(r.value)
	e := st.event
	return append(dst, schemas.Match{
		Selector: r.Selector,
		Tenant:   e.Tenant,
		Key:      key,
		Time:     e.Time,
		LogID:    e.LogID,
		Value:    value,
		ClientID: e.ClientID,
		Ver:      e.Ver,
		Source:   e.Source,
	})
}
