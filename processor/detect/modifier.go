package detect

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// modifiers are what follows a field's name: field|contains|cased.
type modifiers struct {
	kind   string // contains, startswith, endswith, re, cidr, exists, gt, gte, lt, lte; "" for equality
	all    bool
	cased  bool
	expand bool
	ref    bool   // the value is the name of another field
	flags  string // of re
}

var kinds = []string{"contains", "startswith", "endswith", "re", "cidr", "exists", "gt", "gte", "lt", "lte"}

// unsupported are Sigma's modifiers that no log of Auth0 has a use for.
var unsupported = []string{
	"windash", "base64", "base64offset", "utf16", "utf16le", "utf16be", "wide", "neq",
	"minute", "hour", "day", "week", "month", "year",
}

func parseModifiers(words []string) (modifiers, error) {
	var m modifiers
	for _, w := range words {
		if err := m.add(w); err != nil {
			return m, err
		}
	}
	return m, m.check()
}

func (m *modifiers) add(w string) error {
	switch {
	case slices.Contains(kinds, w) && m.kind == "":
		m.kind = w
	case w == "all" && !m.all:
		m.all = true
	case w == "cased" && !m.cased:
		m.cased = true
	case w == "expand" && !m.expand:
		m.expand = true
	case w == "fieldref" && !m.ref:
		m.ref = true
	case m.kind == "re" && (w == "i" || w == "m" || w == "s") && !strings.Contains(m.flags, w):
		m.flags += w
	case slices.Contains(unsupported, w):
		return fmt.Errorf("modifier %q: is not supported; there are %s (re with i, m, s), fieldref, expand, all, cased", clip(w), strings.Join(kinds, ", "))
	default:
		return fmt.Errorf("modifier %q: not understood here; there are %s (re with i, m, s), fieldref, expand, all, cased", clip(w), strings.Join(kinds, ", "))
	}
	return nil
}

func (m *modifiers) check() error {
	text := m.kind == "" || m.kind == "contains" || m.kind == "startswith" || m.kind == "endswith"
	switch {
	case m.cased && !text:
		return fmt.Errorf("modifier cased: means nothing beside %s", m.kind)
	case m.ref && !text:
		return fmt.Errorf("modifier fieldref: means nothing beside %s", m.kind)
	case m.ref && m.expand:
		return fmt.Errorf("modifier expand: means nothing beside fieldref")
	}
	return nil
}

// newComparison compiles one scalar. numeric says that YAML reads it as a number.
func (m modifiers) newComparison(text string, numeric bool, counters *Counters) (comparison, error) {
	switch m.kind {
	case "re":
		return newPattern(text, m.flags, counters)
	case "cidr":
		return newNetwork(text)
	case "gt", "gte", "lt", "lte":
		f, ok := parseNumber(text)
		if !ok {
			return nil, fmt.Errorf("%s %q: want a decimal number", m.kind, clip(text))
		}
		return order{m.kind, f}, nil
	case "":
		if !numeric {
			break
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("number %q: want a decimal number, or quotes around it", clip(text))
		}
		return newNumber(f), nil
	}
	return m.newText(text)
}
