package auth0sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// fields says what an object may hold. What it does not name is refused.
type fields map[string]member

// member says what a member may be.
type member struct {
	kind     kindOfValue
	min, max int // length of a text or a list, value of a number; max 0: no bound
	pattern  *regexp.Regexp
	values   []string // where only these will do
	null     bool
	members  fields  // of an object; nil: anything
	item     *member // of a list; nil: anything
	required bool
}

type kindOfValue string

const (
	kindAny    kindOfValue = "any"
	kindText   kindOfValue = "string"
	kindFlag   kindOfValue = "boolean"
	kindNumber kindOfValue = "number"
	kindWhole  kindOfValue = "integer"
	kindObject kindOfValue = "object"
	kindList   kindOfValue = "array"
)

func textMember(least, most int) member  { return member{kind: kindText, min: least, max: most} }
func wholeMember(least, most int) member { return member{kind: kindWhole, min: least, max: most} }
func flagMember() member                 { return member{kind: kindFlag} }
func anyMember() member                  { return member{kind: kindAny} }
func enumMember(values ...string) member { return member{kind: kindText, values: values} }
func objectMember(members fields) member { return member{kind: kindObject, members: members} }
func listMember(least, most int, item member) member {
	return member{kind: kindList, min: least, max: most, item: &item}
}

// orNull allows null, too.
func (m member) orNull() member {
	m.null = true
	return m
}

func (m member) matching(pattern string) member {
	m.pattern = regexp.MustCompile(pattern)
	return m
}

// require returns the fields with some of them needed.
func (f fields) require(names ...string) fields {
	c := make(fields, len(f))
	for name, member := range f {
		member.required = slices.Contains(names, name)
		c[name] = member
	}
	return c
}

// and returns the fields with more.
func (f fields) and(more fields) fields {
	c := make(fields, len(f)+len(more))
	maps.Copy(c, f)
	maps.Copy(c, more)
	return c
}

// without returns the fields but for some.
func (f fields) without(names ...string) fields {
	c := make(fields, len(f))
	for name, member := range f {
		if !slices.Contains(names, name) {
			c[name] = member
		}
	}
	return c
}

// check tells what is wrong with an object, in the API's words; "" if nothing.
func (f fields) check(at string, d document) string {
	for _, name := range slices.Sorted(slices.Values(f.names())) {
		if _, ok := d[name]; !ok && f[name].required {
			return "'Missing required property: " + name + "'" + onProperty(at)
		}
	}
	for _, name := range d.names() {
		member, ok := f[name]
		if !ok {
			return "'Additional properties not allowed: " + name + "'" + onProperty(at)
		}
		where := name
		if at != "" {
			where = at + "." + name
		}
		if wrong := member.check(where, d[name]); wrong != "" {
			return wrong
		}
	}
	return ""
}

func onProperty(at string) string {
	if at == "" {
		return ""
	}
	return " on property " + at
}

func (f fields) names() []string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	return names
}

func (m member) check(at string, v any) string {
	if v == nil && m.null || m.kind == kindAny {
		return ""
	}
	if got := kindOf(v); got != m.kind && (m.kind != kindNumber || got != kindWhole) {
		return fmt.Sprintf("'Expected type %s but found type %s' on property %s", m.kind, got, at)
	}
	switch v := v.(type) {
	case string:
		return m.checkText(at, v)
	case json.Number:
		return m.checkNumber(at, v)
	case []any:
		return m.checkList(at, v)
	case document:
		if m.members != nil {
			return m.members.check(at, v)
		}
	}
	return ""
}

func kindOf(v any) kindOfValue {
	switch v := v.(type) {
	case string:
		return kindText
	case bool:
		return kindFlag
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return kindWhole
		}
		return kindNumber
	case []any:
		return kindList
	case document:
		return kindObject
	}
	return "null"
}

func (m member) checkText(at, s string) string {
	n := utf8.RuneCountInString(s)
	switch {
	case n < m.min:
		return fmt.Sprintf("'String is too short (%d chars), minimum %d' on property %s", n, m.min, at)
	case m.max > 0 && n > m.max:
		return fmt.Sprintf("'String is too long (%d chars), maximum %d' on property %s", n, m.max, at)
	case m.pattern != nil && !m.pattern.MatchString(s):
		return fmt.Sprintf("'String does not match pattern: %s' on property %s", m.pattern, at)
	case m.values != nil && !slices.Contains(m.values, s):
		return fmt.Sprintf("'No enum match for: %q' on property %s", s, at)
	}
	return ""
}

func (m member) checkNumber(at string, v json.Number) string {
	n, err := v.Float64()
	switch {
	case err != nil:
		return "'Expected type number' on property " + at
	case n < float64(m.min):
		return fmt.Sprintf("'Value %s is less than minimum %d' on property %s", v, m.min, at)
	case m.max > 0 && n > float64(m.max):
		return fmt.Sprintf("'Value %s is greater than maximum %d' on property %s", v, m.max, at)
	}
	return ""
}

func (m member) checkList(at string, list []any) string {
	switch {
	case len(list) < m.min:
		return fmt.Sprintf("'Array is too short (%d), minimum %d' on property %s", len(list), m.min, at)
	case m.max > 0 && len(list) > m.max:
		return fmt.Sprintf("'Array is too long (%d), maximum %d' on property %s", len(list), m.max, at)
	case m.item == nil:
		return ""
	}
	for i, v := range list {
		if wrong := m.item.check(fmt.Sprintf("%s[%d]", at, i), v); wrong != "" {
			return wrong
		}
	}
	return ""
}

// checkBody refuses a body that is not as the fields say.
func checkBody(f fields, body any) error {
	d, ok := body.(document)
	if !ok {
		return badRequest("invalid_body", "Payload validation error: 'Expected type object but found type %s'.", kindOf(body))
	}
	if wrong := f.check("", d); wrong != "" {
		return badRequest("invalid_body", "Payload validation error: %s.", strings.TrimSuffix(wrong, "."))
	}
	return nil
}
