package detect

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// pattern is a regular expression of Go's engine, whose time is linear.
type pattern struct{ *regexp.Regexp }

func (t pattern) holds(v string) bool { return t.MatchString(v) }
func (t pattern) canonical() string   { return "re " + quoted(t.String()) }

// forStore reports whether the store's engine, RE2, surely takes the expression,
// too. It lacks the long names of classes that Go has, and it refuses what becomes
// too large, in which letters of other scripts weigh most: Go's own measure is far
// below that.
func (t pattern) forStore() bool {
	const most = 2000 // instructions, and ranges of letters
	parsed, err := syntax.Parse(t.String(), syntax.Perl)
	if err != nil || strings.Contains(strings.ToLower(t.String()), `\p`) {
		return false
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > most {
		return false
	}
	ranges := 0
	for i := range program.Inst {
		ranges += len(program.Inst[i].Rune) / 2
	}
	return ranges <= most
}

// Counters count what look-around could not tell. They may be shared by many
// sets, of which one replaces another.
type Counters struct {
	timedOut atomic.Uint64
	skipped  atomic.Uint64
	cut      atomic.Uint64
}

// TimedOut is how many values an expression with look-around was given up for.
func (c *Counters) TimedOut() uint64 { return c.timedOut.Load() }

// Skipped is how many values were not tried after too many time-outs.
func (c *Counters) Skipped() uint64 { return c.skipped.Load() }

// Cut is how many values were longer than what is looked at.
func (c *Counters) Cut() uint64 { return c.cut.Load() }

// An expression with look-around backtracks, for exponential time where it is
// written badly and the value is made for it. So its time is bounded for one
// value, by MatchTimeout, which the library's clock rounds up by a tenth of a
// second, and for many: whoever sends such values again and again must not
// stall a flush of 25,000 events for more than a few seconds.
const (
	lookTimeout  = 50 * time.Millisecond
	maxLook      = 256 << 10 // bytes of a value that are looked at
	lookCredit   = 5         // time-outs in a row
	lookRecovers = 2000      // values after which one more is allowed
)

// lookAround is a regular expression that Go's engine does not have. What it
// cannot tell in time does not match, and is counted.
type lookAround struct {
	re       *regexp2.Regexp
	source   string
	counters *Counters
	budget   *budget
}

// budget is what an expression may still spend, in values.
type budget struct{ owed atomic.Int64 }

// take reports whether one more value may be tried.
func (b *budget) take() bool {
	if owed := b.owed.Load(); owed > 0 {
		b.owed.Add(-1)
		return owed <= (lookCredit-1)*lookRecovers
	}
	return true
}

func (b *budget) timedOut() { b.owed.Add(lookRecovers) }

func (t lookAround) holds(v string) bool {
	if !t.budget.take() {
		t.counters.skipped.Add(1)
		return false
	}
	if len(v) > maxLook {
		t.counters.cut.Add(1)
		v = v[:maxLook]
	}
	ok, err := t.re.MatchString(v)
	if err != nil { // the time is up, or the stack is full
		t.budget.timedOut()
		t.counters.timedOut.Add(1)
	}
	return ok
}

func (t lookAround) canonical() string { return "re " + quoted(t.source) }

// newPattern compiles a regular expression: with Go's engine, or else with one
// that has look-around.
func newPattern(text, flags string, counters *Counters) (comparison, error) {
	if flags != "" {
		text = "(?" + flags + ")" + text
	}
	re, err := regexp.Compile(text)
	if err == nil {
		return pattern{re}, nil
	}
	back, backErr := regexp2.Compile(text, regexp2.None)
	if backErr != nil {
		return nil, fmt.Errorf("regular expression: %w; nor with look-around: %w", err, firstLine(backErr))
	}
	back.MatchTimeout = lookTimeout
	return lookAround{back, text, counters, &budget{}}, nil
}

func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

// newText compiles a value with or without wildcards, * for any text and ? for
// one character.
func (m modifiers) newText(text string) (comparison, error) {
	parts := globOf(text)
	if m.kind == "contains" || m.kind == "endswith" {
		parts = append([]globPart{{kind: '*'}}, parts...)
	}
	if m.kind == "contains" || m.kind == "startswith" {
		parts = append(parts, globPart{kind: '*'})
	}
	parts = merged(parts)
	if t := m.simple(parts); t != nil {
		return t, nil
	}
	return m.newGlob(text)
}

// simple is the comparison of parts that need no engine, or nil.
func (m modifiers) simple(parts []globPart) comparison {
	var literal string
	for _, p := range parts {
		switch {
		case p.kind == '?' || p.kind == 0 && literal != "":
			return nil
		case p.kind == 0:
			literal = p.text
		}
	}
	stars := len(parts)
	if literal != "" {
		stars--
	}
	if stars > 0 && !m.cased && !isASCII(literal) {
		return nil // folding changes lengths
	}
	switch {
	case stars == 0:
		return equal{literal, m.cased}
	case literal == "":
		return present{}
	case stars == 2:
		return contains{literal, m.cased}
	case parts[0].kind == '*':
		return suffix{literal, m.cased}
	}
	return prefix{literal, m.cased}
}

// newGlob compiles a value with wildcards to a regular expression.
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
	for _, p := range globOf(text) {
		b.WriteString(map[byte]string{'*': ".*", '?': ".", 0: regexp.QuoteMeta(p.text)}[p.kind])
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

// globPart is literal text (kind 0) or a wildcard.
type globPart struct {
	text string
	kind byte
}

// globOf is the parts of a Sigma value. A backslash before *, ? or another
// backslash takes its meaning away; before anything else it is itself.
func globOf(text string) []globPart {
	var parts []globPart
	for len(text) > 0 {
		n, p := 1, globPart{text: text[:1]}
		switch {
		case text[0] == '*' || text[0] == '?':
			p = globPart{kind: text[0]}
		case text[0] == '\\' && len(text) > 1 && strings.IndexByte(`*?\`, text[1]) >= 0:
			n, p.text = 2, text[1:2]
		default:
			if n = strings.IndexAny(text[1:], `\*?`) + 1; n == 0 {
				n = len(text)
			}
			p.text = text[:n]
		}
		parts = append(parts, p)
		text = text[n:]
	}
	return parts
}

// merged joins literal neighbours, and stars that follow one another.
func merged(parts []globPart) []globPart {
	var out []globPart
	for _, p := range parts {
		last := len(out) - 1
		switch {
		case last >= 0 && p.kind == '*' && out[last].kind == '*':
		case last >= 0 && p.kind == 0 && out[last].kind == 0:
			out[last].text += p.text
		default:
			out = append(out, p)
		}
	}
	return out
}

// escapeGlob takes the meaning of wildcards away.
func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(text)
}
