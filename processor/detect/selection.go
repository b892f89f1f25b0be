package detect

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

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
	d.noteCase(key, f)
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
	if e, is := t.(equal); is && !strings.HasPrefix(e.text, schemas.CustomPrefix) && !knows(d.set.catalogue, e.text) {
		d.note(n, "type %s: is not in the catalogue of event types", clip(e.text))
	}
}

func (d *document) addReference(l *leaf, m modifiers, item *yaml.Node) bool {
	f, err := parseField(item.Value)
	if err != nil {
		d.on(item, "%s: %v", clip(l.field.name), err)
		return false
	}
	d.noteCase(item, f)
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
