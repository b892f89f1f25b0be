package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Correlation is a rule with memory: it counts the matches of its main rule
// per key, within a time span. Query says exactly what it finds.
type Correlation struct {
	ID     string
	Code   string // what people call it and findings carry as rule_id: MI-02
	Name   string
	Title  string
	Status string
	Level  schemas.Level
	Tags   []string
	File   string
	Line   int

	Main      *Rule         // whose matches are counted
	Timespan  time.Duration // within which there must be
	Threshold uint64        // at least so many

	// Known narrows the count to matches with a value that this key had in a
	// match of Known within KnownLookback before. A match of Known also starts
	// the count anew (x-unbroken).
	Known         *Rule
	KnownLookback time.Duration

	// What the key must have done in the look-back before the count began: at
	// least BaselineMin matches of Known, of which a smaller ratio than
	// BaselineRatio failed.
	BaselineLookback time.Duration
	BaselineMin      uint64
	BaselineRatio    float64

	Evidence []Evidence    // what may explain a finding
	Dedupe   time.Duration // length of a period; one finding per key and period
	Identity string        // of what the key is the id: app or user
	Tests    []Test

	// ResolveAfter is how long nothing of a finding must have happened for it to be
	// over, and Renotify how long people are not told again of one that grows; 0
	// where the rule leaves that to whoever tells.
	ResolveAfter, Renotify time.Duration

	summary    *text
	kind       kind
	levels     []levelIf
	exceptions []*Exception
	expected   Expectations // what is declared; nil for nothing
}

// Evidence is a rule whose matches of the same key are shown beside a finding.
type Evidence struct {
	Rule     *Rule
	Lookback time.Duration // before the first event of the finding
	text     *text
}

// Rules are the base rules whose matches c reads by whatever key, its main one
// first.
func (c *Correlation) Rules() []*Rule { return c.all() }

// Occasions are selectors of which a key has so many matches together, at the
// least, that c finds something of. Most keys of a history have fewer.
func (c *Correlation) Occasions() (selectors []string, least uint64) {
	if _, counts := c.kind.(unbroken); counts {
		return []string{c.Main.Selector}, c.Threshold
	}
	return selectorsOfRules(c.kind.uses(c)), 1
}

// Reads reports whether matches of the selector can change what c finds.
func (c *Correlation) Reads(selector string) bool {
	r := c.LookedUp()
	return c.Keyed(selector) || r != nil && r.Selector == selector
}

// Keyed reports whether c reads matches of the selector by their keys, which are
// then those that c is asked for.
func (c *Correlation) Keyed(selector string) bool {
	return slices.ContainsFunc(c.uses(), func(r *Rule) bool { return r.Selector == selector })
}

// RuleNames are the names of the base rules whose matches c reads, or their ids
// where they have none.
func (c *Correlation) RuleNames() []string {
	var names []string
	for _, r := range c.all() {
		if name := cmp.Or(r.Name, r.ID); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// uses are the rules whose matches c reads.
func (c *Correlation) uses() []*Rule {
	rules := c.kind.uses(c)
	for _, e := range c.Evidence {
		rules = append(rules, e.Rule)
	}
	return rules
}

// all are the rules whose matches c reads by whatever key.
func (c *Correlation) all() []*Rule {
	rules := c.uses()
	if r := c.LookedUp(); r != nil {
		rules = append(rules, r)
	}
	return rules
}

// Reach is how far back from the event that triggers a finding the finding may
// depend on others.
func (c *Correlation) Reach() time.Duration {
	reach := c.kind.reach(c)
	for _, e := range c.Evidence {
		reach = max(reach, c.KnownLookback+e.Lookback)
	}
	return reach
}

// spare is what has to be kept beside what a rule looks back on: a day before it
// can expire a period is frozen, two are for late events and a day's rounding.
const spare = 3 * 24 * time.Hour

// Needs is for how long events and matches must be kept so that c finds anything.
func (c *Correlation) Needs() time.Duration { return c.Reach() + spare + c.Dedupe }

// Learns reports whether c judges by what is usual, which it has to learn first.
func (c *Correlation) Learns() bool { return c.kind.learns() }

// Query asks for the findings of the given keys whose triggers lie in
// [from, to), which must be starts of periods: see Period and PeriodEnd. It
// answers schemas.CorrelationRow. What it finds is told at each kind.
func (c *Correlation) Query(tenant string, keys []string, from, to time.Time) schemas.Query {
	return c.kind.query(c, asked{tenant, keys, from, to})
}

// CandidatesQuery asks which of the keys can have a trigger in [from, to) at
// all, in column Key. Of the others Query finds nothing, and would read all of
// their matches to say so; most touches are of clients that do nothing unusual.
func (c *Correlation) CandidatesQuery(tenant string, keys []string, from, to time.Time) schemas.Query {
	return c.kind.candidates(c, asked{tenant, keys, from, to})
}

// Period is the start of the dedupe period that t lies in.
func (c *Correlation) Period(t time.Time) time.Time {
	return time.UnixMilli(t.UnixMilli() - mod(t.UnixMilli(), c.Dedupe.Milliseconds())).UTC()
}

// PeriodEnd is the start of the first period at or after t.
func (c *Correlation) PeriodEnd(t time.Time) time.Time {
	start := c.Period(t)
	if start.Equal(t) {
		return start
	}
	return start.Add(c.Dedupe)
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// IdentityID is the identity that a key stands for.
func (c *Correlation) IdentityID(key string) string {
	switch c.Identity {
	case "user":
		return schemas.UserID(schemas.Parts(key)[0])
	case "app":
		return schemas.AppID(schemas.Parts(key)[0])
	}
	parts := schemas.Parts(key)
	for i := range c.Main.key {
		if i >= len(parts) {
			break
		}
		if id := identityOf(c.Main.key[i].name, parts[i]); id != "" {
			return id
		}
	}
	return ""
}

// identityOf is the identity that the value of a field names, "" for none.
func identityOf(field, value string) string {
	switch kindOf(field) {
	case "client_id":
		return schemas.AppID(value)
	case "agent_id":
		return schemas.AgentID(value)
	case "user_id":
		return schemas.UserID(value)
	case "identity", "target":
		return value
	case entityKey.name:
		if !strings.HasPrefix(value, tenantPrefix) {
			return value
		}
	}
	return ""
}

// pending is a correlation whose rules are not looked up yet: they may stand
// in another file.
type pending struct {
	Correlation
	reporter
	plain    bool     // Sigma's own, without this program's x-
	generate bool     // the rules it names find something, too
	others   []string // names and ids of all correlations
	rules    []*yaml.Node
	groupBy  *yaml.Node
	main     *yaml.Node
	known    *yaml.Node
	unbroken *yaml.Node
	baseline *yaml.Node
	evidence []*yaml.Node
	own      pendingKind // of a document that says its kind under a key of kindReaders
}

// parseCorrelation reads a correlation: as Sigma has it or, with x-unbroken, a
// count that starts anew.
func parseCorrelation(d *document) *pending {
	p := &pending{reporter: d.reporter}
	p.File, p.Line = d.file, d.node.Line
	if d.vals["x-unbroken"] == nil {
		p.readSigma(d)
		return p
	}
	p.ID, p.Name, p.Title, p.Status = d.id(), d.name(), d.needText("title"), d.status()
	p.Code = d.code(p.ID)
	p.Level, p.Tags = d.level(), d.texts("tags")
	d.ignore(prose...)
	p.readCount(d)
	p.readKnown(d)
	p.readBaseline(d)
	p.readEvidence(d)
	p.Dedupe = d.duration("x-dedupe")
	p.readIdentity(d)
	p.readAlert(d)
	p.levels = d.levels()
	p.Tests = parseTests(d)
	d.rest("a correlation")
	return p
}

// parseKind reads a correlation of a kind that is this program's own.
func parseKind(d *document, key string) *pending {
	p := &pending{reporter: d.reporter}
	p.File, p.Line = d.file, d.node.Line
	p.ID, p.Name, p.Title, p.Status = d.id(), d.name(), d.needText("title"), d.status()
	p.Code = d.code(p.ID)
	p.Level, p.Tags = d.level(), d.texts("tags")
	d.ignore(prose...)
	p.own = kindReaders[key](p, d)
	p.readEvidence(d)
	p.Dedupe = defaultDedupe
	if d.vals["x-dedupe"] != nil {
		p.Dedupe = d.duration("x-dedupe")
	}
	if d.vals["x-identity"] != nil {
		p.readIdentity(d)
	}
	p.levels = d.levels()
	p.readAlert(d)
	p.Tests = parseTests(d)
	d.rest("a rule with " + key)
	return p
}

// hasOwn reports whether a correlation says anything in this program's words.
func (d *document) hasOwn() bool {
	for key := range d.keys {
		if strings.HasPrefix(key, "x-") {
			return true
		}
	}
	return false
}

func (p *pending) readCount(d *document) {
	c := d.child("correlation")
	if c == nil {
		return
	}
	if kind := c.need("type"); kind != nil && c.scalar("type", kind) != "event_count" {
		c.on(kind, "correlation type: there is event_count; %q is not understood", clip(kind.Value))
	}
	p.main = c.one("rules")
	p.groupBy = c.one("group-by")
	p.Timespan = c.duration("timespan")
	if n := c.need("condition"); n != nil {
		p.Threshold = p.threshold(n)
	}
	c.rest("correlation")
}

// one reads a list that must have exactly one element.
func (d *document) one(key string) *yaml.Node {
	n := d.need(key)
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) != 1 || n.Content[0].Kind != yaml.ScalarNode {
		d.on(n, "%s: want a list of one name", key)
		return nil
	}
	return n.Content[0]
}

// maxThreshold bounds a count, which is also the width of a window frame.
const maxThreshold = 100_000

func (p *pending) threshold(n *yaml.Node) uint64 {
	c := newDocument(p.reporter, n, "condition")
	if c == nil {
		return 0
	}
	var least uint64
	switch {
	case c.vals["gte"] != nil:
		least = c.uint("gte")
	case c.vals["gt"] != nil:
		least = c.uint("gt") + 1
	}
	c.rest("the condition of a count, where there are gte and gt")
	if least < 1 || least > maxThreshold {
		p.on(n, "condition: want gte or gt with a number, 1 to %d events", maxThreshold)
	}
	return least
}

func (p *pending) readKnown(d *document) {
	if k := d.needChild("x-known"); k != nil {
		p.known = k.need("rule")
		p.KnownLookback = k.duration("lookback")
		k.rest("x-known")
	}
	if u := d.needChild("x-unbroken"); u != nil {
		p.unbroken = u.need("rule")
		u.rest("x-unbroken")
	}
}

// needChild reads a mapping that must be there: this version has no count
// without it.
func (d *document) needChild(key string) *document {
	n := d.need(key)
	if n == nil {
		return nil
	}
	return newDocument(d.reporter, n, key)
}

func (p *pending) readBaseline(d *document) {
	b := d.needChild("x-baseline")
	if b == nil {
		return
	}
	p.baseline = b.need("rule")
	p.BaselineLookback = b.duration("lookback")
	p.BaselineMin = b.uint("min")
	p.BaselineRatio = b.ratio("failure_ratio_below")
	b.rest("x-baseline")
}

func (p *pending) readEvidence(d *document) {
	n := d.take("x-evidence")
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.on(n, "x-evidence: want a list, found %s", kindName(n))
		return
	}
	for _, item := range n.Content {
		e := newDocument(p.reporter, item, "x-evidence")
		if e == nil {
			continue
		}
		p.evidence = append(p.evidence, e.need("rule"))
		p.Evidence = append(p.Evidence, Evidence{Lookback: e.duration("lookback"), text: e.template("text", evidenceSample)})
		e.rest("x-evidence")
	}
}

func (p *pending) readIdentity(d *document) {
	n := d.need("x-identity")
	if n == nil {
		return
	}
	p.Identity = d.scalar("x-identity", n)
	if p.Identity != "app" && p.Identity != "user" {
		d.on(n, "x-identity: want app or user")
	}
}

func (p *pending) readAlert(d *document) {
	a := d.needChild("x-alert")
	if a == nil {
		return
	}
	p.summary = a.template("summary", summarySample)
	if a.keys["resolve_after"] != nil {
		p.ResolveAfter = a.duration("resolve_after")
	}
	if a.keys["renotify"] != nil {
		p.Renotify = a.duration("renotify")
	}
	a.rest("x-alert")
}

// names are those of all rules that p speaks of.
func (p *pending) names() []string {
	var names []string
	nodes := slices.Concat(p.rules, p.evidence, []*yaml.Node{p.main, p.known, p.unbroken, p.baseline})
	if p.own != nil {
		nodes = append(nodes, p.own.names()...)
	}
	for _, n := range nodes {
		if n != nil && n.Kind == yaml.ScalarNode {
			names = append(names, n.Value)
		}
	}
	return names
}

// resolve looks the rules up by name or id and checks that they fit.
func (p *pending) resolve(find func(string) *Rule) Correlation {
	c := p.Correlation
	if p.own != nil {
		c.kind = p.own.resolve(p, &c, find)
		p.resolveEvidence(&c, find)
		return c
	}
	c.Main = p.find(p.main, find)
	c.Known = p.find(p.known, find)
	p.same(p.unbroken, find, c.Known, "x-unbroken")
	p.same(p.baseline, find, c.Known, "x-baseline")
	p.resolveEvidence(&c, find)
	p.keyed(p.known, c.Known, c.Main)
	if c.Main != nil && c.Known != nil && c.Main.Selector == c.Known.Selector {
		p.on(p.known, "x-known: the rule that is counted cannot be the one that ends the count")
	}
	p.grouped(c.Main)
	c.kind = unbroken{}
	return c
}

func (p *pending) resolveEvidence(c *Correlation, find func(string) *Rule) {
	for i, n := range p.evidence {
		c.Evidence[i].Rule = p.find(n, find)
		p.keyed(n, c.Evidence[i].Rule, c.Main)
	}
}

// isCorrelation reports whether a name is that of another correlation.
func (p *pending) isCorrelation(name string) bool { return slices.Contains(p.others, name) }

func (p *pending) find(n *yaml.Node, find func(string) *Rule) *Rule {
	if n == nil {
		return nil
	}
	r := find(n.Value)
	if r == nil {
		p.on(n, "rule %q: there is no such rule", clip(n.Value))
	}
	return r
}

// same reports a rule that is not the one of x-known.
func (p *pending) same(n *yaml.Node, find func(string) *Rule, known *Rule, what string) {
	if r := p.find(n, find); r != nil && known != nil && r.Selector != known.Selector {
		p.on(n, "%s: want the rule of x-known; others are not understood here", what)
	}
}
