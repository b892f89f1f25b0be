package detect

import (
	"strconv"
	"strings"
	"unicode/utf8"
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
	// present is the value * alone: anything that is there.
	present struct{}
	// never is in the place of a value that is not known yet.
	never struct{}
)

func (t equal) holds(v string) bool { return sameText(v, t.text, t.cased) }

func (t prefix) holds(v string) bool {
	return len(v) >= len(t.text) && sameText(v[:len(t.text)], t.text, t.cased)
}

func (t suffix) holds(v string) bool {
	return len(v) >= len(t.text) && sameText(v[len(v)-len(t.text):], t.text, t.cased)
}

func (t contains) holds(v string) bool {
	if t.cased || t.text == "" {
		return strings.Contains(v, t.text)
	}
	return indexFold(v, t.text) >= 0
}

// indexFold finds text, which is ASCII, in v whatever its case. Only where the
// first letter is right is more looked at.
func indexFold(v, text string) int {
	lower, upper := text[0], text[0]
	switch {
	case 'a' <= lower && lower <= 'z':
		upper -= 'a' - 'A'
	case 'A' <= upper && upper <= 'Z':
		lower += 'a' - 'A'
	}
	for i := 0; i+len(text) <= len(v); i++ {
		if c := v[i]; (c == lower || c == upper) && strings.EqualFold(v[i:i+len(text)], text) {
			return i
		}
	}
	return -1
}

func (present) holds(string) bool { return true }
func (never) holds(string) bool   { return false }

func sameText(a, b string, cased bool) bool {
	return a == b || !cased && strings.EqualFold(a, b)
}

func (t equal) canonical() string    { return canonicalText("equal", t.text, t.cased) }
func (t prefix) canonical() string   { return canonicalText("startswith", t.text, t.cased) }
func (t suffix) canonical() string   { return canonicalText("endswith", t.text, t.cased) }
func (t contains) canonical() string { return canonicalText("contains", t.text, t.cased) }
func (present) canonical() string    { return "present" }
func (never) canonical() string      { return "never" }

func canonicalText(word, text string, cased bool) string {
	if cased {
		return word + " cased " + quoted(text)
	}
	return word + " " + quoted(strings.ToLower(text))
}

// quoted keeps what a rule says apart from the words around it.
func quoted(s string) string { return strconv.Quote(s) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
