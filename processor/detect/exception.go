package detect

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Exception takes findings of a rule away. It stands in a document of its own
// beside the rules, under the key exception.
type Exception struct {
	Rule   string    // what findings of the rule carry as rule_id
	Match  []string  // as it is written: field: value, value
	Owner  string    // who answers for it
	Reason string    // why it is right
	Review time.Time // the day on which somebody has to look at it again; it holds beyond that
	File   string
	Line   int

	tests []exceptionTest
}

// exceptionTest is one of the matchers, all of which must hold.
type exceptionTest struct {
	field string
	part  int // of the values of findings; -1 where field is no value
	tests []comparison
}

// maxRowValues is how many values a row tells: where it has so many there may be
// others.
const maxRowValues = 20

// Excepted is the exception that takes a finding away, nil where none does. One
// that speaks of what events say holds where it holds for all of them.
func (c *Correlation) Excepted(tenant string, row schemas.CorrelationRow) *Exception {
	for _, e := range c.exceptions {
		if !slices.ContainsFunc(e.tests, func(t exceptionTest) bool { return !t.holds(c, tenant, row) }) {
			return e
		}
	}
	return nil
}

// Exceptions are those of the rule.
func (c *Correlation) Exceptions() []*Exception { return c.exceptions }

func (t *exceptionTest) holds(c *Correlation, tenant string, row schemas.CorrelationRow) bool {
	holds := func(value string) bool {
		return slices.ContainsFunc(t.tests, func(one comparison) bool { return one.holds(value) })
	}
	switch {
	case t.field == "tenant":
		return holds(tenant)
	case t.field == "identity":
		return holds(c.IdentityID(row.Key))
	case t.field == "key":
		return holds(row.Key)
	case len(row.Values) == 0 || len(row.Values) >= maxRowValues:
		return false
	}
	return !slices.ContainsFunc(row.Values, func(v string) bool {
		parts := schemas.Parts(v)
		return t.part >= len(parts) || !holds(parts[t.part])
	})
}

// pendingException is one whose rule is not looked up yet.
type pendingException struct {
	Exception
	reporter
	rule   *yaml.Node
	fields []*yaml.Node // the keys of match, and their values
}

// exceptionKey is the key of a document that is an exception.
const exceptionKey = "exception"

// parseException reads one. All of it must be there: an exception that nobody
// answers for, or that nobody will look at again, is a hole.
func parseException(d *document) *pendingException {
	e := &pendingException{reporter: d.reporter}
	e.File, e.Line = d.file, d.node.Line
	x := d.child(exceptionKey)
	d.rest("a document with an exception")
	if x == nil {
		return e
	}
	e.rule = x.need("rule")
	x.scalar("rule", e.rule)
	e.Owner, e.Reason = x.needText("owner"), x.needText("reason")
	if n := x.need("review"); n != nil {
		var err error
		if e.Review, err = time.Parse(time.DateOnly, n.Value); err != nil {
			x.on(n, "review: want a day like 2027-03-31, on which somebody looks at the exception again")
		}
	}
	if n := x.need("match"); n != nil {
		m := newDocument(d.reporter, n, "match")
		if m != nil {
			for _, name := range m.order {
				e.fields = append(e.fields, m.keys[name], m.take(name))
			}
			if len(m.order) == 0 {
				x.on(n, "match: empty: it would take all findings of the rule away; disable the rule instead")
			}
		}
	}
	x.rest("exception")
	return e
}

// except gives the exceptions to the rules that they are for.
func (p *parser) except(all []Correlation) {
	for _, e := range p.exceptions {
		if e.rule == nil {
			continue
		}
		c := p.named(e.reporter, e.rule, all)
		if c == nil {
			continue
		}
		e.Rule = c.Code
		for i := 0; i+1 < len(e.fields); i += 2 {
			e.tests = append(e.tests, e.test(c, e.fields[i], e.fields[i+1]))
		}
		c.exceptions = append(c.exceptions, &e.Exception)
	}
}

// named looks up a rule that finds something, by code, id or name. One that is
// set aside is none, and no problem: what is beside it waits for it.
func (p *parser) named(r reporter, n *yaml.Node, all []Correlation) *Correlation {
	var found *Correlation
	for i := range all {
		c := &all[i]
		switch {
		case strings.EqualFold(c.Code, n.Value), strings.EqualFold(c.ID, n.Value):
			return c
		case c.Name != "" && c.Name == n.Value && found != nil:
			r.on(n, "rule %s: several rules have that name: give the id of one", clip(n.Value))
			return nil
		case c.Name != "" && c.Name == n.Value:
			found = c
		}
	}
	aside := slices.ContainsFunc(p.asides(), func(a Aside) bool {
		return strings.EqualFold(a.ID, n.Value) || a.Name != "" && a.Name == n.Value
	})
	if found == nil && !aside {
		r.on(n, "rule %s: there is no such rule that finds something", clip(n.Value))
	}
	return found
}

// test compiles one matcher. Texts may have wildcards; addresses and networks
// are matched by networks.
func (e *pendingException) test(c *Correlation, key, value *yaml.Node) exceptionTest {
	t := exceptionTest{field: key.Value, part: -1}
	if !slices.Contains([]string{"tenant", "identity", "key"}, key.Value) {
		shown := c.shown()
		if t.part = shown.part(key.Value) - 1; t.part < 0 {
			e.on(key, "match: findings of rule %s do not tell %s: want tenant, identity, key%s", c.Code, clip(key.Value), orFields(shown))
		}
	}
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	var texts []string
	for _, item := range items {
		if item.Kind != yaml.ScalarNode || item.Value == "" {
			e.on(item, "%s: want a value, or a list of them", clip(key.Value))
			continue
		}
		one, err := exceptionValue(key.Value, item.Value)
		if err != nil {
			e.on(item, "%s: %v", clip(key.Value), err)
			continue
		}
		texts = append(texts, item.Value)
		t.tests = append(t.tests, one)
	}
	e.Match = append(e.Match, key.Value+": "+strings.Join(texts, ", "))
	return t
}

// shown are the fields that the values of a finding have parts of. Where the kind
// does not say otherwise they are networks, or else all that a match tells.
func (c *Correlation) shown() fields {
	if k, says := c.kind.(interface{ shows(*Correlation) fields }); says {
		return k.shows(c)
	}
	if i := c.Main.value.part(networkValue.name); i > 0 {
		return c.Main.value[i-1 : i]
	}
	return c.Main.value
}

func orFields(fs fields) string {
	var b strings.Builder
	for i := range fs {
		b.WriteString(", " + fs[i].name)
	}
	return b.String()
}

// addressFields hold addresses or networks.
var addressFields = []string{"network", "ip", "client_ip"}

func exceptionValue(field, text string) (comparison, error) {
	if slices.Contains(addressFields, field) {
		if _, err := netip.ParsePrefix(text); err == nil || !strings.ContainsAny(text, "*?") {
			return newNetwork(text)
		}
	}
	return modifiers{}.newText(text)
}

// OnTrial is the rule with one more exception, of lines of field=value,value. It
// is the rule itself where there are none.
func (c *Correlation) OnTrial(lines string) (*Correlation, error) {
	if strings.TrimSpace(lines) == "" {
		return c, nil
	}
	var problems Problems
	e := &pendingException{reporter: reporter{problems: &problems}}
	for line := range strings.Lines(lines) {
		name, values, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			return nil, fmt.Errorf("%q: want field=value, or field=value,value", clip(strings.TrimSpace(line)))
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for v := range strings.SplitSeq(values, ",") {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: strings.TrimSpace(v)})
		}
		e.tests = append(e.tests, e.test(c, &yaml.Node{Value: strings.TrimSpace(name)}, list))
	}
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Text)
	}
	on := *c
	on.exceptions = append(slices.Clone(c.exceptions), &e.Exception)
	return &on, nil
}

// Exceptions are all exceptions of the set, of disabled rules too, by file and
// line.
func (s *Set) Exceptions() []Exception {
	var all []Exception
	for i := range s.correlations {
		for _, e := range s.correlations[i].exceptions {
			all = append(all, *e)
		}
	}
	for i := range s.disabled {
		for _, e := range s.disabled[i].exceptions {
			all = append(all, *e)
		}
	}
	slices.SortStableFunc(all, func(a, b Exception) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return all
}
