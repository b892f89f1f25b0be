package detect

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Selection is what the rule selects, as SQL. What reads the raw log, or is
// compared in a way that the store does not know, makes it inexact: then it is
// wide enough to hold all that the rule selects.
func (r *Rule) Selection() schemas.Selection {
	w := sqlWriter{params: map[string]any{}}
	where, exact := w.expr(r.selection)
	if r.Types != nil {
		where = "lower(type) IN " + w.param("Array(String)", r.Types) + " AND " + where
		w.column("type")
	}
	key, keyExact := w.joined(r.key, maxKey)
	value, valueExact := w.joined(r.value, maxPart)
	if len(r.value) == 1 {
		value, valueExact = w.joined(r.value, maxValue)
	}
	s := schemas.Selection{Selector: r.Selector, Where: where, Exact: exact && keyExact && valueExact, Params: w.params}
	if s.Exact {
		s.Key, s.Value = key, value
		for i := range r.key {
			part, _ := w.first(&r.key[i])
			s.Where += fmt.Sprintf(" AND %s != '' AND length(%s) <= %d", part, part, maxKey)
		}
	}
	for f := range r.fields() {
		w.reads(f)
	}
	slices.Sort(w.columns)
	s.Columns, s.Raw = slices.Compact(w.columns), w.raw
	return s
}

// sqlWriter writes expressions over the columns of events. Each value of a rule
// is a parameter.
type sqlWriter struct {
	params  map[string]any
	columns []string
	raw     bool
}

func (w *sqlWriter) param(kind string, value any) string {
	name := fmt.Sprintf("s%d", len(w.params))
	w.params[name] = value
	return "{" + name + ":" + kind + "}"
}

func (w *sqlWriter) text(value string) string { return w.param("String", value) }

func (w *sqlWriter) column(names ...string) { w.columns = append(w.columns, names...) }

// sqlFields are the fields whose expression is not the column of their name,
// with the columns that they read.
var sqlFields = map[string]struct {
	sql     string
	columns []string
}{
	"target_client":  {"if(startsWith(target, 'app:'), substring(target, 5), '')", []string{"target"}},
	"target_user":    {"if(startsWith(target, 'user:'), substring(target, 6), '')", []string{"target"}},
	"sdk":            {"sdk_name", []string{"sdk_name"}},
	"quota_entity":   {"quota_entity_id", []string{"quota_entity_id"}},
	entityKey.name:   {entitySQL, []string{"identity", "outcome", "method"}},
	"scope":          {"scopes", []string{"scopes"}},
	wholeTenant.name: {"tenant", nil},
	"ten_minutes":    {"formatDateTime(toStartOfInterval(time, INTERVAL 10 MINUTE), '%Y-%m-%dT%H:%i:%SZ', 'UTC')", []string{"time"}},
	"late_seconds":   {"if(source = 'stream', intDiv(greatest(toUnixTimestamp64Milli(ingested_at) - toUnixTimestamp64Milli(time), 0), 1000), 0)", []string{"source", "ingested_at", "time"}},
	"source":         {"CAST(source, 'String')", []string{"source"}},
	"runtime":        {"", []string{"sdk_name", "user_agent"}}, // trims and folds letters as Go does: matched again
}

// entitySQL is entityOf.
const entitySQL = `if(identity = '' OR (outcome = 'failure' AND method = '' AND identity = concat('app:', client_id)), concat('tenant:', tenant), CAST(identity, 'String'))`

// field is the expression of a field that is a column.
// It is "" where the store has none that is as exact.
func (w *sqlWriter) field(f *field) string {
	if s, ok := sqlFields[f.name]; ok {
		return s.sql
	}
	return f.name
}

// reads notes what matching reads of a field.
func (w *sqlWriter) reads(f *field) {
	s, special := sqlFields[f.name]
	switch {
	case f.path != nil:
		w.raw = true
	case special:
		w.column(s.columns...)
	case f.name != "":
		w.column(f.name)
	}
}

// first is state.first; false where the store does not know the field.
func (w *sqlWriter) first(f *field) (string, bool) {
	switch {
	case f.column != nil && w.field(f) == "":
		return "", false
	case f.column != nil:
		return w.field(f), true
	case f.number != nil:
		return "if(" + w.field(f) + " = 0, '', toString(" + w.field(f) + "))", true
	case f.list != nil:
		return w.field(f) + "[1]", true
	}
	return "", false
}

// joined is state.joined; of a key, whose parts are not too long, it is state.key.
func (w *sqlWriter) joined(fs fields, most int) (string, bool) {
	parts, exact := make([]string, len(fs)), true
	for i := range fs {
		part, is := w.first(&fs[i])
		exact = exact && is
		parts[i] = fmt.Sprintf("substring(%s, 1, %d)", part, most)
		if len(fs) > 1 {
			parts[i] = "replaceAll(" + parts[i] + `, '\x1f', ' ')`
		}
	}
	switch len(fs) {
	case 0:
		return "''", true
	case 1:
		return parts[0], exact
	}
	return "concat(" + strings.Join(parts, `, '\x1f', `) + ")", exact
}

// Conditions that say nothing, and nothing at all.
const (
	sqlTrue  = "1"
	sqlFalse = "0"
)

// expr writes an expression, and tells whether it holds for no more than it
// should.
func (w *sqlWriter) expr(e expr) (sql string, exact bool) {
	switch e := e.(type) {
	case allOf:
		return w.group(e, " AND ", sqlTrue)
	case anyOf:
		return w.group(e, " OR ", sqlFalse)
	case not:
		if sql, exact = w.expr(e.expr); exact {
			return "NOT " + sql, true
		}
	case *leaf:
		return w.leaf(e)
	}
	return sqlTrue, false
}

func (w *sqlWriter) group(parts []expr, word, none string) (string, bool) {
	if len(parts) == 0 {
		return none, true
	}
	all, exact := make([]string, len(parts)), true
	for i, p := range parts {
		var is bool
		all[i], is = w.expr(p)
		exact = exact && is
	}
	return "(" + strings.Join(all, word) + ")", exact
}

func (w *sqlWriter) leaf(l *leaf) (string, bool) {
	switch {
	case l.field.path != nil, w.field(&l.field) == "":
		return sqlTrue, false
	case l.refs != nil:
		return w.references(l)
	}
	value := w.field(&l.field)
	there := value + " != ''"
	switch {
	case l.field.number != nil:
		there = value + " != 0"
	case l.field.list != nil:
		there = "notEmpty(" + value + ")"
	}
	if l.exists != nil {
		if *l.exists {
			return "(" + there + ")", true
		}
		return "(NOT " + there + ")", true
	}
	tests, exact := w.tests(l, value)
	if l.null {
		return "(NOT " + there + " OR " + tests + ")", exact
	}
	return "(" + there + " AND " + tests + ")", exact
}

// tests is what a value, one that is there, has to hold.
func (w *sqlWriter) tests(l *leaf, value string) (string, bool) {
	word, exact := " OR ", true
	if l.all {
		word = " AND "
	}
	if len(l.tests) == 0 {
		return map[bool]string{true: sqlTrue, false: sqlFalse}[l.all], true
	}
	all := make([]string, len(l.tests))
	for i, t := range l.tests {
		var is bool
		switch {
		case l.field.number != nil:
			all[i], is = w.numberTest(t, value)
		case l.field.list != nil:
			all[i], is = w.test(t, "x")
			all[i] = "arrayExists(x -> " + all[i] + ", " + value + ")"
		default:
			all[i], is = w.test(t, value)
		}
		exact = exact && is
	}
	return "(" + strings.Join(all, word) + ")", exact
}

// numberTest is test of a column of numbers, which others see as text.
func (w *sqlWriter) numberTest(t comparison, column string) (string, bool) {
	switch t := t.(type) {
	case number:
		return "toFloat64(" + column + ") = " + w.param("Float64", t.value), true
	case order:
		word := map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[t.word]
		return "toFloat64(" + column + ") " + word + " " + w.param("Float64", t.value), true
	}
	return w.test(t, "toString("+column+")")
}

// test is comparison.holds.
func (w *sqlWriter) test(t comparison, v string) (string, bool) {
	switch t := t.(type) {
	case equal:
		return w.equal(t, v)
	case prefix:
		return "startsWith(" + cased(v, t.cased) + ", " + w.text(lowered(t.text, t.cased)) + ")", true
	case suffix:
		return "endsWith(" + cased(v, t.cased) + ", " + w.text(lowered(t.text, t.cased)) + ")", true
	case contains:
		return "position(" + cased(v, t.cased) + ", " + w.text(lowered(t.text, t.cased)) + ") > 0", true
	case present:
		return sqlTrue, true
	case never:
		return sqlFalse, true
	case pattern:
		if !t.forStore() {
			return sqlTrue, false
		}
		// Its dot is no line break, as Go has it and the store has not.
		return "match(" + v + ", " + w.text("(?-s)"+t.String()) + ")", true
	case network:
		return w.network(t.Prefix, "CAST("+v+", 'String')"), true
	}
	return sqlTrue, false
}

// cased and lowered fold the case of ASCII alone: see modifiers.simple.
func cased(v string, is bool) string {
	if is {
		return v
	}
	return "lower(" + v + ")"
}

func lowered(text string, is bool) string {
	if is {
		return text
	}
	return strings.ToLower(text)
}

// equal is strings.EqualFold. Two letters of ASCII have a third form beside
// theirs, the long s and the sign of Kelvin.
func (w *sqlWriter) equal(t equal, v string) (string, bool) {
	switch {
	case t.cased:
		return v + " = " + w.text(t.text), true
	case !isASCII(t.text):
		return sqlTrue, false
	case strings.ContainsAny(t.text, "kKsS"):
		v = "replaceAll(replaceAll(" + v + ", '\u017f', 's'), '\u212a', 'k')"
	}
	return "lower(" + v + ") = " + w.text(strings.ToLower(t.text)), true
}

// The forms of addresses and networks that netip reads, without zones, which
// maybeAddress leaves out.
const (
	octet    = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	octets   = `(` + octet + `\.){3}` + octet
	formIPv4 = `^` + octets + `(/(3[0-2]|[12]?[0-9]))?$`
)

// formIPv6 is written out, for each number of groups before the two colons: the
// store reads more than netip does.
func formIPv6() string {
	const group = `[0-9a-fA-F]{1,4}`
	forms := []string{`(` + group + `:){7}` + group, `(` + group + `:){6}` + octets}
	for before := range 8 {
		head := `::`
		if before > 0 {
			head = fmt.Sprintf(`%s(:%s){%d}::`, group, group, before-1)
		}
		switch {
		case before == 7:
			forms = append(forms, head)
		case before > 5:
			forms = append(forms, fmt.Sprintf(`%s(%s(:%s){0,%d})?`, head, group, group, 6-before))
		default:
			forms = append(forms, fmt.Sprintf(`%s((%s(:%s){0,%d})?|(%s:){0,%d}%s)`, head, group, group, 6-before, group, 5-before, octets))
		}
	}
	return `^(` + strings.Join(forms, `|`) + `)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$`
}

// network is network.holds. The store has IPv4 addresses within IPv6's.
func (w *sqlWriter) network(p netip.Prefix, v string) string {
	first, last := netip.AddrFrom16(p.Addr().As16()), lastOf(p)
	within := fmt.Sprintf("toIPv6OrNull(splitByChar('/', %s)[1]) BETWEEN toIPv6(%s) AND toIPv6(%s)", v, w.text(first.String()), w.text(last.String()))
	alone := "position(" + v + ", '/') = 0"
	narrower := fmt.Sprintf("toUInt8OrZero(splitByChar('/', %s)[2]) >= %d", v, p.Bits())
	ipv6 := "match(" + v + ", " + w.text(formIPv6()) + ")"
	if p.Addr().Is4() {
		ipv4 := "match(" + v + ", " + w.text(formIPv4) + ")"
		return fmt.Sprintf("ifNull(%s AND ((%s AND (%s OR %s)) OR (%s AND %s)), 0)", within, ipv4, alone, narrower, ipv6, alone)
	}
	mapped := "startsWith(IPv6NumToString(toIPv6OrDefault(" + v + ")), '::ffff:')"
	return fmt.Sprintf("ifNull(%s AND %s AND if(%s, NOT %s, %s), 0)", within, ipv6, alone, mapped, narrower)
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom16(b)
}

// references is leaf.evalReferences. Without regard to case only what is not
// there can be told.
func (w *sqlWriter) references(l *leaf) (string, bool) {
	all, exact := make([]string, len(l.refs)), true
	for i := range l.refs {
		var is bool
		all[i], is = w.reference(&l.field, &l.refs[i])
		exact = exact && is
	}
	word := " OR "
	if l.all {
		word = " AND "
	}
	return "(" + strings.Join(all, word) + ")", exact
}

func (w *sqlWriter) reference(f *field, r *reference) (string, bool) {
	if f.column == nil || r.field.column == nil {
		return sqlTrue, false
	}
	v, other := w.field(f), w.field(&r.field)
	if v == "" || other == "" {
		return sqlTrue, false
	}
	there := "(" + v + " != '' AND " + other + " != ''"
	if !r.cased {
		return there + ")", false
	}
	agrees := map[string]string{
		"":           v + " = " + other,
		"contains":   "position(" + v + ", " + other + ") > 0",
		"startswith": "startsWith(" + v + ", " + other + ")",
		"endswith":   "endsWith(" + v + ", " + other + ")",
	}[r.how]
	return there + " AND " + agrees + ")", true
}
