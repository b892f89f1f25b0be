package auth0sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// query is a search in the part of Lucene's syntax that is used of Auth0's:
// field:value, field:"value", field:(a OR b), wildcards, ranges of texts,
// _exists_:field, NOT, AND, OR and parentheses.
type query func(document) bool

// parseQuery reads a search. An empty one finds everything.
func parseQuery(text string) (query, error) {
	p := &queryParser{words: queryWords(text)}
	if len(p.words) == 0 {
		return func(document) bool { return true }, nil
	}
	q, err := p.or("")
	if err != nil || len(p.words) > 0 {
		return nil, badRequest("invalid_query_string", "Failed to parse query %s", quote(text))
	}
	return q, nil
}

// queryWords splits a search into parentheses and words; quotes and brackets
// keep spaces together.
func queryWords(text string) []string {
	var words []string
	var word strings.Builder
	closing := rune(0)
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	for _, c := range text {
		switch {
		case closing != 0:
			word.WriteRune(c)
			if c == closing {
				closing = 0
			}
		case c == '(' || c == ')':
			flush()
			words = append(words, string(c))
		case c == ' ':
			flush()
		default:
			word.WriteRune(c)
			closing = map[rune]rune{'"': '"', '[': ']', '{': '}'}[c]
		}
	}
	flush()
	return words
}

type queryParser struct{ words []string }

func (p *queryParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *queryParser) takes(word string) bool {
	if len(p.words) == 0 || p.words[0] != word {
		return false
	}
	p.words = p.words[1:]
	return true
}

// or reads what is joined by OR; field is what values without one belong to.
func (p *queryParser) or(field string) (query, error) {
	left, err := p.and(field)
	for err == nil && p.takes("OR") {
		var right query
		before := left
		if right, err = p.and(field); err == nil {
			left = func(d document) bool { return before(d) || right(d) }
		}
	}
	return left, err
}

func (p *queryParser) and(field string) (query, error) {
	left, err := p.not(field)
	for err == nil && len(p.words) > 0 && p.words[0] != "OR" && p.words[0] != ")" {
		p.takes("AND")
		var right query
		before := left
		if right, err = p.not(field); err == nil {
			left = func(d document) bool { return before(d) && right(d) }
		}
	}
	return left, err
}

func (p *queryParser) not(field string) (query, error) {
	if p.takes("NOT") {
		q, err := p.not(field)
		return func(d document) bool { return !q(d) }, err
	}
	return p.term(field)
}

func (p *queryParser) term(field string) (query, error) {
	if p.takes("(") {
		q, err := p.or(field)
		if err == nil && !p.takes(")") {
			err = fmt.Errorf("a parenthesis is open")
		}
		return q, err
	}
	word := p.next()
	name, value, named := strings.Cut(word, ":")
	switch {
	case word == "" || word == ")":
		return nil, fmt.Errorf("a term is missing")
	case strings.HasPrefix(word, `"`) || !named:
		return matching(field, strings.Trim(word, `"`)), nil
	case name == "_exists_":
		return func(d document) bool { return len(d.valuesAt(value)) > 0 }, nil
	case value == "" && p.takes("("):
		q, err := p.or(name)
		if err == nil && !p.takes(")") {
			err = fmt.Errorf("a parenthesis is open")
		}
		return q, err
	}
	return matching(name, value), nil
}

// matching compares the values at a path, or any text where there is no path.
func matching(path, value string) query {
	if len(value) > 1 && (value[0] == '[' || value[0] == '{') {
		return inRange(path, value)
	}
	value = strings.ToLower(strings.Trim(value, `"`))
	return func(d document) bool {
		return slices.ContainsFunc(d.valuesAt(path), func(v string) bool { return like(strings.ToLower(v), value) })
	}
}

// inRange is a range of texts, as dates are.
func inRange(path, value string) query {
	low, high, _ := strings.Cut(value[1:len(value)-1], " TO ")
	inclusive := value[0] == '['
	return func(d document) bool {
		return slices.ContainsFunc(d.valuesAt(path), func(v string) bool {
			return (low == "*" || v > low || inclusive && v == low) && (high == "*" || v < high || inclusive && v <= high)
		})
	}
}

// like compares with a pattern in which * stands for anything.
func like(s, pattern string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return s == pattern
	}
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// valuesAt are the scalars at a dotted path, through lists; of an empty path
// all on the first level.
func (d document) valuesAt(path string) []string {
	if path == "" {
		var all []string
		for _, name := range d.names() {
			all = append(all, scalars(d[name], "")...)
		}
		return all
	}
	name, rest, _ := strings.Cut(path, ".")
	if v, ok := d[path]; ok {
		return scalars(v, "")
	}
	return scalars(d[name], rest)
}

func scalars(v any, rest string) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case document:
		if rest == "" {
			if len(v) == 0 {
				return nil
			}
			return []string{"{}"}
		}
		return v.valuesAt(rest)
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, scalars(item, rest)...)
		}
		return all
	case string:
		return []string{v}
	case json.Number:
		return []string{v.String()}
	}
	return []string{fmt.Sprint(v)}
}
