package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// Condition narrows events by one field. Its text, the same in the API, on the
// command line and in what the documentation shows, is
//
//	seccft            that value
//	seccft,feccft     one of these
//	f*                * stands for any characters, or none
//	!seccft,sapi      none of these
//	\!a\,b\*c\\       a backslash takes what follows as it is
//
// A value is compared whole and with regard to case.
type Condition struct {
	Field  string
	Values []Pattern // at least one
	Not    bool
}

// Pattern is a value to compare with: literal parts, with any characters or none
// between one and the next. One part is that value itself.
type Pattern []string

// Exact is the one value that p matches, and false where it matches others too.
func (p Pattern) Exact() (string, bool) {
	if len(p) != 1 {
		return "", false
	}
	return p[0], true
}

// FilterFields are the fields that events can be narrowed by: the dimensions
// that they can be counted by.
func FilterFields() []string { return StatsDimensions }

// MaxFilterValues bounds the values of a condition: each costs a comparison per
// event.
const MaxFilterValues = 100

// ParseCondition reads the text of a condition on events. No text is no
// condition, and false.
func ParseCondition(field, text string) (Condition, bool, error) {
	if text != "" && !slices.Contains(FilterFields(), field) {
		return Condition{Field: field}, false, fmt.Errorf("filter %q: want one of %s", field, strings.Join(FilterFields(), ", "))
	}
	return ReadCondition(field, text)
}

// ReadCondition is ParseCondition for a field that events do not have.
func ReadCondition(field, text string) (Condition, bool, error) {
	if text == "" {
		return Condition{}, false, nil
	}
	c := Condition{Field: field}
	text, c.Not = strings.CutPrefix(text, "!")
	part, pattern := []byte{}, Pattern(nil)
	end := func() error {
		pattern = append(pattern, string(part))
		if len(pattern) == 1 && pattern[0] == "" {
			return fmt.Errorf("%s: a value is empty (a comma or ! within a value is written with a backslash before it)", field)
		}
		c.Values = append(c.Values, pattern)
		part, pattern = part[:0], nil
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ',':
			if err := end(); err != nil {
				return c, false, err
			}
		case '*':
			pattern = append(pattern, string(part))
			part = part[:0]
		case '\\':
			if i++; i == len(text) {
				return c, false, fmt.Errorf(`%s: a backslash ends it; write \\ for a backslash`, field)
			}
			part = append(part, text[i])
		default:
			part = append(part, text[i])
		}
	}
	if err := end(); err != nil {
		return c, false, err
	}
	if len(c.Values) > MaxFilterValues {
		return c, false, fmt.Errorf("%s: %d values, want %d at most", field, len(c.Values), MaxFilterValues)
	}
	return c, true, nil
}

// Only is the one value that c allows, and false where it allows others too.
func (c *Condition) Only() (string, bool) {
	if c.Not || len(c.Values) != 1 {
		return "", false
	}
	return c.Values[0].Exact()
}

// String is the text of c; ParseCondition reads it back.
func (c Condition) String() string {
	var b strings.Builder
	if c.Not {
		b.WriteByte('!')
	}
	for i, p := range c.Values {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, part := range p {
			if j > 0 {
				b.WriteByte('*')
			}
			b.WriteString(quoteFilter.Replace(part))
		}
	}
	return b.String()
}

var quoteFilter = strings.NewReplacer(`\`, `\\`, `,`, `\,`, `*`, `\*`, `!`, `\!`)

// QuoteFilter is the text of a condition that allows one value alone.
func QuoteFilter(value string) string { return quoteFilter.Replace(value) }
