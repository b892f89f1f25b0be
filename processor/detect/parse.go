package detect

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Options say what Load reads and how.
type Options struct {
	Sources []Source
	// Placeholders fill what rules leave open, by name: your-tenant-domain for
	// {your-tenant-domain}. Each of several values counts.
	Placeholders map[string][]string
	// Catalogue knows the types of events; others are noted. Default: nothing is.
	Catalogue *schemas.Catalogue
	// Kept is for how long events and matches are kept; rules that look back
	// further are set aside. 0, the default, is for ever.
	Kept time.Duration
	// Counters count what look-around could not tell. Default: new ones.
	Counters *Counters
}

// Source is a tree of rule files.
type Source struct {
	Name string // before the names of its files in Problems; "" for none
	FS   fs.FS
	Text string // where FS is nil: the text of one file, which Name is the name of
	// Shipped holds the rules to what the program's own must be: none is set
	// aside, nothing is odd, and those that find something have tests.
	Shipped bool
}

// Parse is Load of one source that is held to what shipped rules must be.
func Parse(fsys fs.FS) (*Set, error) {
	return Load(Options{Sources: []Source{{FS: fsys, Shipped: true}}})
}

// Load reads every *.yml and *.yaml file of its sources, in all their folders
// but those whose name begins with a dot, and compiles the rules. Its error is
// of type Problems and holds everything that is not understood: nothing is
// skipped, and a set is given only without an error. A rule that is understood
// and cannot be evaluated as written is in Set.Asides, with the reasons.
func Load(o Options) (*Set, error) {
	if o.Counters == nil {
		o.Counters = &Counters{}
	}
	p := parser{kept: o.Kept}
	for _, s := range o.Sources {
		p.source(&source{
			Source: s, strict: s.Shipped,
			placeholders: o.Placeholders, catalogue: o.Catalogue, counters: o.Counters,
		})
	}
	correlations := p.resolve()
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	rules, correlations := p.evaluated(correlations)
	p.except(correlations)
	correlations, disabled := p.disable(correlations)
	if len(p.problems) > 0 {
		return nil, p.problems.sorted()
	}
	s := newSet(rules, correlations)
	s.disabled = disabled
	s.asides, s.notes = p.asides(), p.notes()
	return s, nil
}

// source is what is known where a file is read.
type source struct {
	Source
	strict       bool
	placeholders map[string][]string
	catalogue    *schemas.Catalogue
	counters     *Counters
	notes        Problems
}

type parser struct {
	kept         time.Duration
	problems     Problems
	sources      []*source
	rules        []*parsedRule
	correlations []*pending
	exceptions   []*pendingException
	disabled     []pendingDisabled
}

// parsedRule is a base rule before it is known what uses it.
type parsedRule struct {
	*Rule
	reporter
	used bool // by a correlation, which finds in its place
	own  bool // by one in this program's words, whose keys are clients where no rule says otherwise
}

func (p *parser) source(s *source) {
	p.sources = append(p.sources, s)
	if s.FS == nil {
		p.text(p.reporter(s, ""), []byte(s.Text))
		return
	}
	err := fs.WalkDir(s.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			p.reporter(s, name).at(0, "read: %v", err)
			return nil
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() { // a mounted volume keeps its former selves there
				return fs.SkipDir
			}
			return nil
		}
		if ext := path.Ext(name); !entry.IsDir() && (ext == ".yml" || ext == ".yaml") {
			p.file(s, name)
		}
		return nil
	})
	if err != nil {
		p.reporter(s, ".").at(0, "read: %v", err)
	}
}

func (p *parser) reporter(s *source, file string) reporter {
	return reporter{file: path.Join(s.Name, file), problems: &p.problems, set: s}
}

func (p *parser) file(s *source, name string) {
	r := p.reporter(s, name)
	data, err := fs.ReadFile(s.FS, name)
	if err != nil {
		r.at(0, "read: %v", err)
		return
	}
	p.text(r, data)
}

func (p *parser) text(r reporter, data []byte) {
	for _, n := range documents(r, data) {
		p.document(r, n)
	}
}

func (p *parser) document(r reporter, n *yaml.Node) {
	r.why = &Aside{File: r.file, Line: n.Line}
	d := newDocument(r, n, "rule")
	if d == nil {
		return
	}
	switch {
	case d.vals[exceptionKey] != nil:
		p.exceptions = append(p.exceptions, parseException(d))
		return
	case d.vals[DisabledKey] != nil:
		p.disabled = append(p.disabled, parseDisabled(d)...)
		return
	}
	kind := kindKey(d)
	switch rule, correlation := d.vals["detection"] != nil, d.vals["correlation"] != nil; {
	case kind != "" && !rule && !correlation:
		c := parseKind(d, kind)
		r.why.ID, r.why.Name, r.why.Title, r.why.Level = c.ID, c.Name, c.Title, c.Level
		p.correlations = append(p.correlations, c)
	case rule && !correlation && kind == "":
		rule := parseRule(d)
		r.why.ID, r.why.Name, r.why.Title, r.why.Level = rule.ID, rule.Name, rule.Title, rule.Level
		p.rules = append(p.rules, &parsedRule{Rule: &rule, reporter: d.reporter})
	case correlation && !rule && kind == "":
		c := parseCorrelation(d)
		r.why.ID, r.why.Name, r.why.Title, r.why.Level = c.ID, c.Name, c.Title, c.Level
		p.correlations = append(p.correlations, c)
	default:
		d.on(n, "want detection, correlation, exception or disabled in a document, or one of %s", strings.Join(slices.Sorted(maps.Keys(kindReaders)), ", "))
	}
}

// resolve connects the correlations with the rules they name, wherever these
// stand, and reports ids given twice and rules that nothing comes of. Rules that
// nothing uses find by themselves.
func (p *parser) resolve() []Correlation {
	p.unique()
	var others []string
	for _, c := range p.correlations {
		others = append(others, c.ID, c.Name)
	}
	for _, c := range p.correlations {
		c.others = others
		for _, name := range c.names() {
			if r := p.find(name, c.file); r != nil {
				r.used = r.used || !c.generate
				r.own = r.own || !c.plain
			}
		}
	}
	for _, r := range p.rules {
		r.settle()
	}
	var correlations []Correlation
	for _, c := range p.correlations {
		find := func(name string) *Rule {
			if r := p.find(name, c.file); r != nil {
				return r.Rule
			}
			return nil
		}
		if resolved := c.resolve(find); len(c.why.Reasons) == 0 {
			correlations = append(correlations, resolved)
		}
	}
	return correlations
}

// find looks a rule up: first in the file that names it, since a name need not
// be the only one of its kind elsewhere.
func (p *parser) find(name, file string) *parsedRule {
	var elsewhere []*parsedRule
	for _, r := range p.rules {
		switch {
		case r.ID != strings.ToLower(name) && (r.Name == "" || r.Name != name):
		case r.File == file:
			return r
		default:
			elsewhere = append(elsewhere, r)
		}
	}
	if len(elsewhere) != 1 {
		return nil
	}
	return elsewhere[0]
}

// levels from which on a rule finds something alone.
var finding = []schemas.Level{schemas.LevelMedium, schemas.LevelHigh, schemas.LevelCritical}

// settle decides what a base rule is keyed by and whether it finds something,
// now that it is known what uses it.
func (r *parsedRule) settle() {
	n := &yaml.Node{Line: r.Line}
	r.Rule.used = r.used
	r.Finds = !r.used && slices.Contains(finding, r.Level)
	switch {
	case r.Finds && r.set.strict && len(r.Tests) == 0 && r.testsNode == nil:
		r.on(n, "x-tests: missing")
	case !r.Finds && r.testsNode != nil:
		r.on(r.testsNode, "x-tests: a rule that a correlation uses, or below level medium, finds nothing to be tested")
	case !r.Finds && !r.used:
		r.idle = true
		if r.set.strict { // shipped rules may stand before what uses them
			break
		}
		r.note(n, "rule %s: no correlation uses it, and at level %s a rule alone finds nothing", cmp.Or(clip(r.Name), r.ID), r.Level)
	}
	if len(r.key) == 0 {
		r.key = fields{entityKey}
		if r.own {
			r.key = fields{clientKey}
		}
	}
	if len(r.value) == 0 && r.Finds {
		r.value = fields{networkValue}
	}
	if r.selection != nil {
		r.Selector = r.hash()
	}
}

// evaluated are the rules and correlations that are not set aside. A rule that
// finds something alone becomes a correlation that one event triggers.
func (p *parser) evaluated(correlations []Correlation) (rules []Rule, all []Correlation) {
	place := map[*Rule]int{}
	for _, r := range p.rules {
		if len(r.why.Reasons) == 0 {
			place[r.Rule] = len(rules)
			rules = append(rules, *r.Rule)
		}
	}
	for _, c := range correlations {
		if p.setAside(&c, place) || p.forgotten(&c) {
			continue
		}
		all = append(all, c)
	}
	for i := range rules {
		if rules[i].Finds {
			all = append(all, alone(&rules[i]))
		}
	}
	return rules, all
}

// setAside reports whether a correlation uses a rule that is set aside, and so
// is itself.
func (p *parser) setAside(c *Correlation, place map[*Rule]int) bool {
	for _, r := range c.all() {
		if _, ok := place[cmp.Or(r.base, r)]; ok {
			continue
		}
		for _, pending := range p.correlations {
			if pending.Line == c.Line && pending.File == c.File {
				pending.aside(&yaml.Node{Line: c.Line}, "its rule %s is not evaluated", cmp.Or(clip(r.Name), r.ID))
			}
		}
		return true
	}
	return false
}

// forgotten reports whether a correlation needs more of the past than is kept, and
// so is set aside: its findings would come and go with what expires. That is no
// fault of the rule, shipped or not.
func (p *parser) forgotten(c *Correlation) bool {
	if p.kept <= 0 || c.Needs() <= p.kept {
		return false
	}
	const day = 24 * time.Hour
	text := fmt.Sprintf("needs events and matches of %d days, and they are kept for %d (store.retention, store.retention_by_table)", int(c.Needs()/day), int(p.kept/day))
	for _, pending := range p.correlations {
		if pending.Line == c.Line && pending.File == c.File {
			pending.why.Reasons = append(pending.why.Reasons, Problem{File: c.File, Line: c.Line, Text: text})
		}
	}
	return true
}

func (p *parser) asides() []Aside {
	var list []Aside
	add := func(a *Aside) {
		if len(a.Reasons) > 0 {
			list = append(list, *a)
		}
	}
	for _, r := range p.rules {
		add(r.why)
	}
	for _, c := range p.correlations {
		add(c.why)
	}
	slices.SortStableFunc(list, func(a, b Aside) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return list
}

func (p *parser) notes() Problems {
	var all Problems
	for _, s := range p.sources {
		all = append(all, s.notes...)
	}
	return all.sorted()
}

// unique reports ids that stand for two things, and names that do so in one
// file.
func (p *parser) unique() {
	seen := map[string]bool{}
	once := func(r reporter, line int, what, scope, name string) {
		if name == "" {
			return
		}
		if seen[scope+"\x00"+name] {
			r.at(line, "%s %s: is taken", what, clip(name))
		}
		seen[scope+"\x00"+name] = true
	}
	for _, r := range p.rules {
		once(r.reporter, r.Line, "id", "", r.ID)
		once(r.reporter, r.Line, "name", r.File, r.Name)
	}
	for _, c := range p.correlations {
		once(c.reporter, c.Line, "id", "", c.ID)
		if c.Code != c.ID {
			once(c.reporter, c.Line, "x-code", "", c.Code)
		}
		once(c.reporter, c.Line, "name", c.File, c.Name)
	}
}
