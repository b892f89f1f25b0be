package detect

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Disabled is a rule that somebody has switched off: it stands in a document of
// its own beside the rules, under the key disabled. What it selects is still
// matched, so that it knows its past when it is switched on again.
type Disabled struct {
	Correlation
	Reason string // why, "" where nobody said
	ByFile string // where it is switched off
	ByLine int
}

// DisabledKey is the key of the list of rules that are switched off.
const DisabledKey = "disabled"

// pendingDisabled is one whose rule is not looked up yet.
type pendingDisabled struct {
	reporter
	rule   *yaml.Node
	reason string
}

// parseDisabled reads a list of rules, each by code, id or name, or as a mapping
// of rule and reason.
func parseDisabled(d *document) (list []pendingDisabled) {
	n := d.take(DisabledKey)
	d.rest("a document with rules that are disabled")
	if n.Kind != yaml.SequenceNode {
		d.on(n, "disabled: want a list of rules, found %s", kindName(n))
		return nil
	}
	for _, item := range n.Content {
		if item.Kind == yaml.ScalarNode {
			list = append(list, pendingDisabled{reporter: d.reporter, rule: item})
			continue
		}
		x := newDocument(d.reporter, item, "disabled")
		if x == nil {
			continue
		}
		one := pendingDisabled{reporter: d.reporter, rule: x.need("rule")}
		x.scalar("rule", one.rule)
		if r := x.take("reason"); r != nil {
			one.reason = x.scalar("reason", r)
		}
		x.rest("disabled")
		if one.rule != nil {
			list = append(list, one)
		}
	}
	return list
}

// disable takes the rules that are switched off out of those that find.
func (p *parser) disable(all []Correlation) (on []Correlation, off []Disabled) {
	byCode := map[string]Disabled{}
	for _, d := range p.disabled {
		if c := p.named(d.reporter, d.rule, all); c != nil {
			byCode[c.Code] = Disabled{*c, d.reason, d.file, d.rule.Line}
		}
	}
	for _, c := range all {
		if d, is := byCode[c.Code]; is {
			off = append(off, d)
		} else {
			on = append(on, c)
		}
	}
	slices.SortFunc(off, func(a, b Disabled) int { return cmp.Compare(a.Code, b.Code) })
	return on, off
}

// Disabled are the rules that are switched off, by code.
func (s *Set) Disabled() []Disabled { return slices.Clone(s.disabled) }
