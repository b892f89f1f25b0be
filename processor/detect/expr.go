package detect

import (
	"iter"
	"slices"
	"strings"
)

// expr is a compiled condition.
type expr interface {
	eval(*state) bool
	// canonical is the same for expressions that differ only in the order of
	// their parts.
	canonical() string
	// types are the event types that the expression can hold for, sorted, in
	// lower case; bounded is false where that cannot be told.
	types() (types []string, bounded bool)
	// parts are the expressions directly inside.
	parts() []expr
}

type (
	allOf []expr
	anyOf []expr
	not   struct{ expr }
)

func (a allOf) eval(st *state) bool {
	for _, e := range a {
		if !e.eval(st) {
			return false
		}
	}
	return true
}

func (a anyOf) eval(st *state) bool {
	for _, e := range a {
		if e.eval(st) {
			return true
		}
	}
	return false
}

func (n not) eval(st *state) bool { return !n.expr.eval(st) }

func (a allOf) canonical() string { return joined("and", flat[allOf](a)) }
func (a anyOf) canonical() string { return joined("or", flat[anyOf](a)) }
func (n not) canonical() string   { return "not(" + n.expr.canonical() + ")" }

// flat replaces groups of one by their part, and inner groups of the same kind
// by their parts.
func flat[G interface {
	~[]expr
	expr
}](g G) []expr {
	var parts []expr
	for _, e := range g {
		e = unwrapped(e)
		if inner, ok := e.(G); ok {
			parts = append(parts, flat(inner)...)
		} else {
			parts = append(parts, e)
		}
	}
	return parts
}

func unwrapped(e expr) expr {
	for {
		_, negated := e.(not)
		parts := e.parts()
		if negated || len(parts) != 1 {
			return e
		}
		e = parts[0]
	}
}

func joined(word string, parts []expr) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.canonical()
	}
	slices.Sort(texts)
	if texts = slices.Compact(texts); len(texts) == 1 {
		return texts[0]
	}
	return word + "(" + strings.Join(texts, ",") + ")"
}

func (a allOf) types() (types []string, bounded bool) {
	for _, e := range a {
		t, ok := e.types()
		switch {
		case !ok:
		case !bounded:
			types, bounded = t, true
		default:
			types = slices.DeleteFunc(slices.Clone(types), func(s string) bool { return !slices.Contains(t, s) })
		}
	}
	return types, bounded
}

func (a anyOf) types() (types []string, bounded bool) {
	for _, e := range a {
		t, ok := e.types()
		if !ok {
			return nil, false
		}
		types = append(types, t...)
	}
	slices.Sort(types)
	return slices.Compact(types), true
}

// A negation says what the type is not; the codes are not a closed list.
func (n not) types() ([]string, bool) { return nil, false }

func (a allOf) parts() []expr { return a }
func (a anyOf) parts() []expr { return a }
func (n not) parts() []expr   { return []expr{n.expr} }

// leaf is one field of a selection with its values.
type leaf struct {
	field field
	tests []comparison
	refs  []reference // compared with other fields
	all   bool        // every test must hold, not any
	// where the field is absent
	null   bool // null is among the values
	exists *bool
}

// reference compares a field with another of the same event.
type reference struct {
	field field
	how   string // contains, startswith, endswith, or "" for equality
	cased bool
}

func (l *leaf) eval(st *state) bool {
	if l.refs != nil {
		return l.evalReferences(st)
	}
	values := st.values(&l.field)
	if l.exists != nil {
		return *l.exists == (len(values) > 0)
	}
	if len(values) == 0 {
		return l.null
	}
	if !l.all {
		return slices.ContainsFunc(values, l.anyHolds)
	}
	for _, t := range l.tests {
		if !slices.ContainsFunc(values, t.holds) {
			return false
		}
	}
	return true
}

// evalReferences holds where some value of the field agrees with some of the
// other; an absent one agrees with nothing.
func (l *leaf) evalReferences(st *state) bool {
	for i := range l.refs {
		if r := &l.refs[i]; l.refers(st, r) != l.all {
			return !l.all
		}
	}
	return l.all
}

func (l *leaf) refers(st *state, r *reference) bool {
	values := st.values(&l.field)
	if len(values) == 1 { // it may lie in what the next call overwrites
		st.kept[0] = values[0]
		values = st.kept[:]
	}
	for _, other := range st.values(&r.field) {
		for _, v := range values {
			if r.agrees(v, other) {
				return true
			}
		}
	}
	return false
}

func (r *reference) agrees(v, other string) bool {
	switch {
	case r.how == "":
		return sameText(v, other, r.cased)
	case len(other) > len(v):
		return false
	case r.how == "startswith":
		return sameText(v[:len(other)], other, r.cased)
	case r.how == "endswith":
		return sameText(v[len(v)-len(other):], other, r.cased)
	case other == "" || r.cased || !isASCII(other):
		return strings.Contains(v, other)
	}
	return indexFold(v, other) >= 0
}

func (r *reference) canonical() string { return canonicalText("field "+r.how, r.field.name, r.cased) }

func (l *leaf) anyHolds(value string) bool {
	for _, t := range l.tests {
		if t.holds(value) {
			return true
		}
	}
	return false
}

func (l *leaf) canonical() string {
	var texts []string
	for _, t := range l.tests {
		texts = append(texts, t.canonical())
	}
	for i := range l.refs {
		texts = append(texts, l.refs[i].canonical())
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	if l.null {
		texts = append(texts, "null")
	}
	if l.exists != nil {
		texts = append(texts, map[bool]string{true: "exists", false: "absent"}[*l.exists])
	}
	word := "any"
	if l.all {
		word = "all"
	}
	return quoted(l.field.name) + " " + word + "[" + strings.Join(texts, ",") + "]"
}

func (l *leaf) types() (types []string, bounded bool) {
	if l.field.name != "type" || l.all || l.refs != nil || l.exists != nil {
		return nil, false
	}
	if l.null {
		types = append(types, "")
	}
	for _, t := range l.tests {
		equal, ok := t.(equal)
		if !ok {
			return nil, false
		}
		types = append(types, strings.ToLower(equal.text))
	}
	slices.Sort(types)
	return slices.Compact(types), true
}

func (l *leaf) parts() []expr { return nil }

// leaves yields the leaves of e.
func leaves(e expr) iter.Seq[*leaf] {
	return func(yield func(*leaf) bool) { eachLeaf(e, yield) }
}

func eachLeaf(e expr, yield func(*leaf) bool) bool {
	if l, ok := e.(*leaf); ok {
		return yield(l)
	}
	for _, p := range e.parts() {
		if !eachLeaf(p, yield) {
			return false
		}
	}
	return true
}
