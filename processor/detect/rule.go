package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	rulePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// statuses are Sigma's.
var statuses = []string{"stable", "test", "experimental", "deprecated", "unsupported"}

// prose are keys for people alone: Sigma's, and those of Auth0's catalogue.
var prose = []string{
	"description", "author", "date", "modified", "references", "falsepositives", "license", "related", "fields", "scope",
	"explanation", "comments", "splunk", "tenant_logs", "prevention", "false_positive", "false_positives",
}

// ruleKeys are all keys of a rule that mean something.
var ruleKeys = append([]string{
	"title", "id", "name", "status", "level", "tags", "logsource", "detection", "correlation", "taxonomy",
}, prose...)

// parseRule reads a base rule. Its key is settled by resolve.
func parseRule(d *document) Rule {
	r := Rule{
		File: d.file, Line: d.node.Line,
		Name: d.name(), Title: d.needText("title"), Status: d.status(),
		Level: d.level(), Tags: d.texts("tags"),
	}
	r.ID = d.ruleID(r.Title)
	d.logSource()
	d.ignore(prose...)
	r.selection = d.detection()
	d.match(&r)
	d.finds(&r)
	d.annotations()
	d.rest("a rule")
	if r.selection == nil {
		return r
	}
	if types, bounded := r.selection.types(); bounded {
		r.Types = types
		if len(types) == 0 {
			d.aside(d.node, "detection: no event has a type for which it can hold")
		}
	}
	return r
}

// annotations takes the keys that are nobody's. Sigma allows any beside its
// own, and none changes what is selected; but a key that is nearly one of those
// that do is a slip, and those that begin with x- are this program's.
func (d *document) annotations() {
	for key, v := range d.vals {
		if strings.HasPrefix(key, "x-") || nearlyOneOf(key, ruleKeys) || !isProse(v) {
			continue
		}
		delete(d.vals, key)
	}
}

// isProse reports whether a value is text, or lists and mappings of it.
func isProse(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Tag == "!!str" || n.Tag == "!!null" || n.Tag == "!!timestamp"
	case yaml.SequenceNode, yaml.MappingNode:
		return !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !isProse(c) })
	}
	return false
}

// nearlyOneOf reports whether a word is one or two slips away from one of the
// others: letters too many, too few or wrong.
func nearlyOneOf(word string, others []string) bool {
	return slices.ContainsFunc(others, func(o string) bool { return distance(strings.ToLower(word), o) <= 2 })
}

// distance is how many letters have to be put in, taken out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// hash names the selection: whatever changes what is matched, or what a match
// says, changes it. The version is raised when the meaning of the canonical
// form changes.
func (r *Rule) hash() string {
	const version = "1"
	canonical := strings.Join([]string{version, allOf{r.selection}.canonical(), quoted(r.key.name), quoted(r.value.name)}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	return hex.EncodeToString(sum[:8])
}

// ruleID is the id of a base rule. Sigma does not ask for one; where it is
// missing it is made of the title, so that findings keep theirs.
func (d *document) ruleID(title string) string {
	if d.keys["id"] == nil && !d.set.strict {
		sum := sha256.Sum256([]byte("title\n" + title))
		h := hex.EncodeToString(sum[:16])
		d.note(d.node, "id: missing; one is made of the title, so that another title is another rule")
		return h[:8] + "-" + h[8:12] + "-8" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
	}
	return d.id()
}

func (d *document) id() string {
	n := d.need("id")
	if n == nil {
		return ""
	}
	id := d.scalar("id", n)
	if !uuidPattern.MatchString(id) {
		d.on(n, "id: want a UUID")
	}
	return strings.ToLower(id)
}

func (d *document) name() string {
	n := d.take("name")
	name := d.scalar("name", n)
	if n != nil && !rulePattern.MatchString(name) {
		d.on(n, "name: want up to 64 letters, digits, _ and -")
	}
	return name
}

// code is the short name of a correlation, MI-02, or its id where it has none.
func (d *document) code(id string) string {
	n := d.take("x-code")
	if n == nil {
		return id
	}
	code := d.scalar("x-code", n)
	if !rulePattern.MatchString(code) {
		d.on(n, "x-code: want up to 64 letters, digits, _ and -")
	}
	return code
}

func (d *document) status() string {
	n := d.take("status")
	s := d.scalar("status", n)
	if n != nil && !slices.Contains(statuses, s) {
		d.on(n, "status: want one of %s", strings.Join(statuses, ", "))
	}
	return s
}

// level is how urgent a rule is. One that does not say is taken for medium: at a
// lower level a rule alone finds nothing, and nobody would know.
func (d *document) level() schemas.Level {
	n := d.take("level")
	if n == nil {
		return schemas.LevelMedium
	}
	level := schemas.Level(d.scalar("level", n))
	if !level.Valid() {
		d.on(n, "level: want informational, low, medium, high or critical")
	}
	return level
}

// logSource checks that the rule is about Auth0's logs; category and service
// say nothing that the selection does not.
func (d *document) logSource() {
	if n := d.take("taxonomy"); n != nil && d.scalar("taxonomy", n) != "sigma" {
		d.aside(n, "taxonomy %s: its names of fields are not known", clip(n.Value))
	}
	n := d.need("logsource")
	if n == nil {
		return
	}
	s := newDocument(d.reporter, n, "logsource")
	if s == nil {
		return
	}
	if product := s.needText("product"); !strings.EqualFold(product, "auth0") && product != "" {
		d.aside(n, "logsource: want product auth0, found %q, of which no logs come here", clip(product))
	}
	s.ignore("service", "category", "definition")
	s.annotations()
	s.rest("logsource")
}

// match reads x-match, which field is the key of a match, and which its value,
// or x-entity, which is the key alone.
func (d *document) match(r *Rule) {
	if n := d.take("x-entity"); n != nil {
		if d.vals["x-match"] != nil {
			d.on(n, "x-entity: want that or x-match, not both")
		}
		r.key = d.entity(n)
	}
	m := d.child("x-match")
	if m == nil {
		return
	}
	if n := m.need("key"); n != nil {
		r.key = m.field("key", n)
	}
	if n := m.take("value"); n != nil {
		r.value = m.field("value", n)
	}
	m.rest("x-match")
}

// entity reads [tenant, client_id], or client_id: a key is always one of its
// tenant.
func (d *document) entity(n *yaml.Node) field {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) == 2 && items[0].Value == "tenant" {
		items = items[1:]
	}
	if len(items) != 1 {
		d.on(n, "x-entity: want one field, or [tenant, field]")
		return field{}
	}
	if items[0].Value == "tenant" {
		return wholeTenant
	}
	return d.field("x-entity", items[0])
}

func (d *document) field(key string, n *yaml.Node) field {
	f, err := parseField(d.scalar(key, n))
	if err != nil {
		d.on(n, "%s: %v", key, err)
	}
	return f
}

// finds reads what a rule says that finds something alone.
func (d *document) finds(r *Rule) {
	r.Dedupe = defaultDedupe
	if d.vals["x-dedupe"] != nil {
		r.Dedupe = d.duration("x-dedupe")
	}
	if d.vals["x-alert"] != nil {
		if a := d.child("x-alert"); a != nil {
			r.summary = a.template("summary", summarySample)
			a.rest("x-alert")
		}
	}
	if n := d.vals["x-tests"]; n != nil {
		r.testsNode = n
		r.Tests = parseTests(d)
	}
}

// detection reads the selections and their condition; nil after a problem.
func (d *document) detection() expr {
	n := d.need("detection")
	if n == nil {
		return nil
	}
	det := newDocument(d.reporter, n, "detection")
	if det == nil {
		return nil
	}
	condition := det.need("condition")
	if t := det.take("timeframe"); t != nil {
		d.aside(t, "timeframe: belongs to an aggregation of the old Sigma; a correlation has a timespan")
	}
	c := newCondition()
	for _, name := range det.order {
		node := det.vals[name]
		if node == nil {
			continue
		}
		if !selectionName.MatchString(name) {
			d.on(det.keys[name], "selection %q: want letters, digits, _ and -", clip(name))
		}
		c.add(name, d.selection(name, node))
	}
	if condition == nil {
		return nil
	}
	before := len(*d.problems)
	e := d.conditions(c, condition)
	if len(*d.problems) > before {
		return nil
	}
	for _, name := range c.order {
		if !c.used[name] {
			d.note(det.keys[name], "selection %s: the condition does not use it", clip(name))
		}
	}
	if hasHole(e) {
		return nil
	}
	return e
}

// conditions reads one condition, or a list of which one must hold.
func (d *document) conditions(c *condition, n *yaml.Node) expr {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	var group anyOf
	for _, item := range items {
		text, aggregation, has := strings.Cut(d.scalar("condition", item), "|")
		if has {
			d.aside(item, "condition: | %s: aggregations of the old Sigma are not evaluated; a correlation of type event_count or value_count says the same", clip(strings.TrimSpace(aggregation)))
		}
		e, err := c.parse(text)
		if err != nil {
			d.on(item, "%v", err)
			return nil
		}
		group = append(group, e)
	}
	if len(group) == 0 {
		d.on(n, "condition: empty")
		return nil
	}
	return single(group)
}

// hasHole reports whether some part of e could not be compiled, which has been
// reported.
func hasHole(e expr) bool { return e == nil || slices.ContainsFunc(e.parts(), hasHole) }

// selection reads a mapping of fields, all of which must hold, or a list of
// such mappings, one of which must.
func (d *document) selection(name string, n *yaml.Node) expr {
	switch n.Kind {
	case yaml.MappingNode:
		return d.fieldsOf(name, n)
	case yaml.SequenceNode:
		var group anyOf
		for _, item := range n.Content {
			if item.Kind == yaml.ScalarNode {
				d.on(item, "selection %s: keywords without a field are not supported: they would be looked for in all of each log, where whoever is logged can write them; want a mapping of fields", clip(name))
				return nil
			}
			group = append(group, d.fieldsOf(name, item))
		}
		if len(group) == 0 {
			d.on(n, "selection %s: empty", clip(name))
			return nil
		}
		return group
	}
	d.on(n, "selection %s: want a mapping of fields or a list of such, found %s", clip(name), kindName(n))
	return nil
}

func (d *document) fieldsOf(name string, n *yaml.Node) expr {
	s := newDocument(d.reporter, n, "selection "+clip(name))
	if s == nil {
		return nil
	}
	var all allOf
	for _, key := range s.order { // as in the file, where what is cheap and telling comes first
		all = append(all, d.leaf(s.keys[key], s.vals[key]))
	}
	if len(all) == 0 {
		d.on(n, "selection %s: empty", clip(name))
		return nil
	}
	return all
}

// leaf reads one field: name|modifier|…: value or list.
func (d *document) leaf(key, value *yaml.Node) expr {
	words := strings.Split(key.Value, "|")
	f, err := parseField(words[0])
	if err != nil {
		d.on(key, "%v", err)
		return nil
	}
	m, err := parseModifiers(words[1:])
	if err != nil {
		d.on(key, "%v", err)
		return nil
	}
	l := &leaf{field: f, all: m.all}
	if m.kind == "exists" {
		return d.exists(l, m, value)
	}
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	if len(items) == 0 {
		d.on(value, "%s: an empty list selects nothing", clip(key.Value))
		return nil
	}
	ok := true
	for _, item := range items {
		ok = d.addComparison(l, m, item) && ok
	}
	if !ok {
		return nil
	}
	return l
}

func (d *document) addComparison(l *leaf, m modifiers, item *yaml.Node) bool {
	text, plain := scalarOf(item)
	switch {
	case !plain:
		d.on(item, "%s: want a value, found %s", clip(l.field.name), kindName(item))
		return false
	case item.Tag == "!!null":
		l.null = true
		if m != (modifiers{}) {
			d.on(item, "%s: null goes with no modifier", clip(l.field.name))
		}
		return m == (modifiers{})
	case m.ref:
		return d.addReference(l, m, item)
	}
	texts, missing, err := m.fill(text, d.set.placeholders)
	if err != nil {
		d.on(item, "%s: %v", clip(l.field.name), err)
		return false
	}
	for _, name := range missing {
		d.needs(item, l.field.name, name)
	}
	if len(missing) > 0 {
		l.tests = append(l.tests, never{})
		return true
	}
	for _, text := range texts {
		if !d.addText(l, m, item, text) {
			return false
		}
	}
	return true
}

func (d *document) addText(l *leaf, m modifiers, item *yaml.Node, text string) bool {
	t, err := m.newComparison(text, item.Tag == "!!int" || item.Tag == "!!float", d.set.counters)
	if err != nil {
		d.on(item, "%s: %v", clip(l.field.name), err)
		return false
	}
	if e, is := t.(equal); is && e.text == "" && l.field.path == nil {
		l.null = true // what is normalized does not tell empty from absent
	}
	if l.field.name == "type" && d.set.catalogue != nil {
		d.checkType(item, t)
	}
	l.tests = append(l.tests, t)
	return true
}

// checkType notes a type that nobody has heard of: it may be new, or misspelled.
func (d *document) checkType(n *yaml.Node, t comparison) {
	if e, is := t.(equal); is && !knows(d.set.catalogue, e.text) {
		d.note(n, "type %s: is not in the catalogue of event types", clip(e.text))
	}
}

func (d *document) addReference(l *leaf, m modifiers, item *yaml.Node) bool {
	f, err := parseField(item.Value)
	if err != nil {
		d.on(item, "%s: %v", clip(l.field.name), err)
		return false
	}
	l.refs = append(l.refs, reference{field: f, how: m.kind, cased: m.cased})
	return true
}

// scalarOf is the text of a scalar. {name} without quotes is a mapping in YAML,
// and a placeholder to whoever wrote it.
func scalarOf(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Style&yaml.FlowStyle != 0 &&
		n.Content[0].Kind == yaml.ScalarNode && n.Content[1].Tag == "!!null" && n.Content[1].Value == "" {
		return "{" + n.Content[0].Value + "}", true
	}
	return n.Value, n.Kind == yaml.ScalarNode
}

func (d *document) exists(l *leaf, m modifiers, value *yaml.Node) expr {
	var is bool
	if m.all || m.expand || value.Kind != yaml.ScalarNode || value.Decode(&is) != nil {
		d.on(value, "%s|exists: want true or false", clip(l.field.name))
		return nil
	}
	l.exists = &is
	return l
}

// knows reports whether a catalogue has a type. Custom events have types of
// their own.
func knows(c *schemas.Catalogue, typ string) bool {
	typ = strings.ToLower(typ)
	_, known := c.Lookup(typ)
	return known || strings.HasPrefix(typ, "custom:")
}
