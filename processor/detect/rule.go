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

// prose are Sigma's keys for people alone.
var prose = []string{"description", "author", "date", "modified", "references", "falsepositives", "license"}

// parseRule reads a base rule.
func parseRule(d *document) Rule {
	r := Rule{
		File: d.file, Line: d.node.Line,
		ID: d.id(), Name: d.name(), Title: d.needText("title"), Status: d.status(),
		Level: d.level(), Tags: d.texts("tags"),
	}
	d.logSource()
	d.ignore(prose...)
	r.selection = d.detection()
	r.key, r.value = d.match()
	d.rest("a rule")
	if r.selection == nil {
		return r
	}
	if types, bounded := r.selection.types(); bounded {
		r.Types = types
		if len(types) == 0 {
			d.on(d.node, "detection: no event has a type for which it can hold")
		}
	}
	r.Selector = r.hash()
	return r
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

func (d *document) level() schemas.Level {
	n := d.take("level")
	if n == nil {
		return schemas.LevelInformational
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
	n := d.need("logsource")
	if n == nil {
		return
	}
	s := newDocument(d.reporter, n, "logsource")
	if s == nil {
		return
	}
	if product := s.needText("product"); product != "auth0" && product != "" {
		d.on(n, "logsource: want product auth0, found %q", clip(product))
	}
	s.ignore("service", "category", "definition")
	s.rest("logsource")
}

// match reads x-match: which field is the key of a match, and which its value.
// Without it the key is the client and there is no value.
func (d *document) match() (key, value field) {
	key, _ = parseField("client_id")
	m := d.child("x-match")
	if m == nil {
		return key, value
	}
	if n := m.need("key"); n != nil {
		key = m.field("key", n)
	}
	if n := m.take("value"); n != nil {
		value = m.field("value", n)
	}
	m.rest("x-match")
	return key, value
}

func (d *document) field(key string, n *yaml.Node) field {
	f, err := parseField(d.scalar(key, n))
	if err != nil {
		d.on(n, "%s: %v", key, err)
	}
	return f
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
	selections := map[string]expr{}
	for name, node := range det.vals {
		if !selectionName.MatchString(name) {
			d.on(det.keys[name], "selection %q: want letters, digits, _ and -", clip(name))
		}
		selections[name] = d.selection(name, node)
	}
	if condition == nil {
		return nil
	}
	before := len(*d.problems)
	e, used, err := parseCondition(d.scalar("condition", condition), selections)
	if len(*d.problems) > before {
		return nil
	}
	if err != nil {
		d.on(condition, "%v", err)
		return nil
	}
	for name := range selections {
		if !used[name] {
			d.on(det.keys[name], "selection %s: the condition does not use it", clip(name))
		}
	}
	if hasHole(e) {
		return nil
	}
	return e
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
	switch {
	case item.Kind != yaml.ScalarNode:
		d.on(item, "%s: want a value, found %s", clip(l.field.name), kindName(item))
		return false
	case item.Tag == "!!null":
		l.null = true
		if m.kind != "" || m.all {
			d.on(item, "%s: null goes with no modifier", clip(l.field.name))
		}
		return m.kind == "" && !m.all
	}
	t, err := m.newComparison(item.Value, item.Tag == "!!int" || item.Tag == "!!float")
	if err != nil {
		d.on(item, "%s: %v", clip(l.field.name), err)
		return false
	}
	l.tests = append(l.tests, t)
	return true
}

func (d *document) exists(l *leaf, m modifiers, value *yaml.Node) expr {
	var is bool
	if m.all || value.Kind != yaml.ScalarNode || value.Decode(&is) != nil {
		d.on(value, "%s|exists: want true or false", clip(l.field.name))
		return nil
	}
	l.exists = &is
	return l
}
