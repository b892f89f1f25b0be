package detect

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// comparison is one value of a field, compiled. Text is compared without regard to
// case, as Sigma does, unless the field has the modifier cased.
type comparison interface {
	holds(value string) bool
	canonical() string
}

type (
	equal struct {
		text  string
		cased bool
	}
	prefix struct {
		text  string
		cased bool
	}
	suffix struct {
		text  string
		cased bool
	}
	contains struct {
		text  string
		cased bool
	}
	number  struct{ value float64 }
	pattern struct{ *regexp.Regexp }
)

func (t equal) holds(v string) bool { return sameText(v, t.text, t.cased) }

func (t prefix) holds(v string) bool {
	return len(v) >= len(t.text) && sameText(v[:len(t.text)], t.text, t.cased)
}

func (t suffix) holds(v string) bool {
	return len(v) >= len(t.text) && sameText(v[len(v)-len(t.text):], t.text, t.cased)
}

func (t contains) holds(v string) bool {
	if t.cased {
		return strings.Contains(v, t.text)
	}
	for i := 0; i+len(t.text) <= len(v); i++ {
		if strings.EqualFold(v[i:i+len(t.text)], t.text) {
			return true
		}
	}
	return false
}

func (t number) holds(v string) bool {
	f, err := strconv.ParseFloat(v, 64)
	return err == nil && f == t.value
}

func (t pattern) holds(v string) bool { return t.MatchString(v) }

func sameText(a, b string, cased bool) bool {
	return a == b || !cased && strings.EqualFold(a, b)
}

func (t equal) canonical() string    { return canonicalText("equal", t.text, t.cased) }
func (t prefix) canonical() string   { return canonicalText("startswith", t.text, t.cased) }
func (t suffix) canonical() string   { return canonicalText("endswith", t.text, t.cased) }
func (t contains) canonical() string { return canonicalText("contains", t.text, t.cased) }
func (t number) canonical() string   { return "number " + strconv.FormatFloat(t.value, 'g', -1, 64) }
func (t pattern) canonical() string  { return "re " + quoted(t.String()) }

func canonicalText(word, text string, cased bool) string {
	if cased {
		return word + " cased " + quoted(text)
	}
	return word + " " + quoted(strings.ToLower(text))
}

// quoted keeps what a rule says apart from the words around it.
func quoted(s string) string { return strconv.Quote(s) }

// modifiers are what follows a field's name: field|contains|cased.
type modifiers struct {
	kind  string // contains, startswith, endswith, re, exists; "" for equality
	all   bool
	cased bool
	flags string // of re
}

func parseModifiers(words []string) (modifiers, error) {
	var m modifiers
	for _, w := range words {
		switch {
		case (w == "contains" || w == "startswith" || w == "endswith" || w == "re" || w == "exists") && m.kind == "":
			m.kind = w
		case w == "all" && !m.all:
			m.all = true
		case w == "cased" && !m.cased:
			m.cased = true
		case m.kind == "re" && (w == "i" || w == "m" || w == "s") && !strings.Contains(m.flags, w):
			m.flags += w
		default:
			return m, fmt.Errorf("modifier %q: not understood here; there are contains, startswith, endswith, re (with i, m, s), exists, all, cased", clip(w))
		}
	}
	if m.cased && (m.kind == "re" || m.kind == "exists") {
		return m, fmt.Errorf("modifier cased: means nothing beside %s", m.kind)
	}
	return m, nil
}

var placeholder = regexp.MustCompile(`\{[A-Za-z][\w -]*\}`)

// newComparison compiles one scalar. numeric says that YAML reads it as a number.
func (m modifiers) newComparison(text string, numeric bool) (comparison, error) {
	if m.kind == "re" {
		return m.newPattern(text)
	}
	if name := placeholder.FindString(text); name != "" {
		return nil, fmt.Errorf("needs configuration: %s is a placeholder to fill", name)
	}
	if numeric && m.kind == "" {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("number %q: want a decimal number, or quotes around it", clip(text))
		}
		return number{f}, nil
	}
	literal, wild := unescape(text)
	if wild || m.kind != "" && !m.cased && !isASCII(literal) {
		return m.newGlob(text)
	}
	switch m.kind {
	case "contains":
		return contains{literal, m.cased}, nil
	case "startswith":
		return prefix{literal, m.cased}, nil
	case "endswith":
		return suffix{literal, m.cased}, nil
	}
	return equal{literal, m.cased}, nil
}

func (m modifiers) newPattern(text string) (comparison, error) {
	if m.flags != "" {
		text = "(?" + m.flags + ")" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("regular expression: %w", err)
	}
	return pattern{re}, nil
}

// newGlob compiles a value with wildcards, * for any text and ? for one
// character, to a regular expression.
func (m modifiers) newGlob(text string) (comparison, error) {
	var b strings.Builder
	b.WriteString("(?s")
	if !m.cased {
		b.WriteByte('i')
	}
	b.WriteByte(')')
	if m.kind == "" || m.kind == "startswith" {
		b.WriteByte('^')
	}
	for part, kind := range globParts(text) {
		b.WriteString(map[byte]string{'*': ".*", '?': ".", 0: regexp.QuoteMeta(part)}[kind])
	}
	if m.kind == "" || m.kind == "endswith" {
		b.WriteByte('$')
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil, fmt.Errorf("value %q: %w", clip(text), err)
	}
	return pattern{re}, nil
}

// globParts yields the parts of a Sigma value: literal text (kind 0) and the
// wildcards. A backslash before *, ? or another backslash takes its meaning
// away; before anything else it is itself.
func globParts(text string) func(yield func(part string, kind byte) bool) {
	return func(yield func(string, byte) bool) {
		for len(text) > 0 {
			n, part, kind := 1, text[:1], byte(0)
			switch {
			case text[0] == '*' || text[0] == '?':
				kind = text[0]
			case text[0] == '\\' && len(text) > 1 && strings.IndexByte(`*?\`, text[1]) >= 0:
				n, part = 2, text[1:2]
			default:
				if n = strings.IndexAny(text[1:], `\*?`) + 1; n == 0 {
					n = len(text)
				}
				part = text[:n]
			}
			if !yield(part, kind) {
				return
			}
			text = text[n:]
		}
	}
}

// unescape returns the literal text of a value, and whether it has wildcards.
func unescape(text string) (literal string, wild bool) {
	var b strings.Builder
	for part, kind := range globParts(text) {
		if kind != 0 {
			return "", true
		}
		b.WriteString(part)
	}
	return b.String(), false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
