package detect

import (
	"fmt"
	"regexp"
	"strings"
)

// condition is a parser for "selection and not (a or 1 of b*)". Its grammar:
//
//	or   = and { "or" and }
//	and  = not { "and" not }
//	not  = { "not" } term
//	term = name | "(" or ")" | ("1" | "any" | "all") "of" (name with * | "them")
type condition struct {
	order      []string // names, as in the file
	selections map[string]expr
	used       map[string]bool

	tokens []string
	depth  int
}

var (
	conditionToken = regexp.MustCompile(`\s*([()]|[A-Za-z0-9_*-]+|\S)`)
	selectionName  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// maxConditionDepth bounds the parser's recursion.
const maxConditionDepth = 50

func newCondition() *condition {
	return &condition{selections: map[string]expr{}, used: map[string]bool{}}
}

func (c *condition) add(name string, e expr) {
	c.order = append(c.order, name)
	c.selections[name] = e
}

func (c *condition) parse(text string) (expr, error) {
	c.tokens, c.depth = nil, 0
	for _, m := range conditionToken.FindAllStringSubmatch(text, -1) {
		c.tokens = append(c.tokens, m[1])
	}
	e, err := c.or()
	if err == nil && len(c.tokens) > 0 {
		err = fmt.Errorf("condition: %q is not understood", clip(c.tokens[0]))
	}
	return e, err
}

func (c *condition) next() string {
	if len(c.tokens) == 0 {
		return ""
	}
	t := c.tokens[0]
	c.tokens = c.tokens[1:]
	return t
}

// accept takes the next token if it is this word.
func (c *condition) accept(word string) bool {
	if len(c.tokens) == 0 || !strings.EqualFold(c.tokens[0], word) {
		return false
	}
	c.next()
	return true
}

func (c *condition) or() (expr, error) {
	var parts anyOf
	for {
		e, err := c.and()
		if err != nil {
			return nil, err
		}
		parts = append(parts, e)
		if !c.accept("or") {
			return single(parts), nil
		}
	}
}

func (c *condition) and() (expr, error) {
	var parts allOf
	for {
		e, err := c.not()
		if err != nil {
			return nil, err
		}
		parts = append(parts, e)
		if !c.accept("and") {
			return single(parts), nil
		}
	}
}

func (c *condition) not() (expr, error) {
	negated := false
	for c.accept("not") {
		negated = !negated
	}
	e, err := c.term()
	if err == nil && negated {
		e = not{e}
	}
	return e, err
}

func (c *condition) term() (expr, error) {
	if c.accept("(") {
		if c.depth++; c.depth > maxConditionDepth {
			return nil, fmt.Errorf("condition: more than %d parentheses inside one another", maxConditionDepth)
		}
		e, err := c.or()
		c.depth--
		if err == nil && !c.accept(")") {
			err = fmt.Errorf("condition: a parenthesis is not closed")
		}
		return e, err
	}
	name := c.next()
	if c.accept("of") {
		return c.of(name)
	}
	e, ok := c.selections[name]
	if !ok {
		return nil, fmt.Errorf("condition: want the name of a selection, found %q; there are and, or, not, 1 of, all of and parentheses", clip(name))
	}
	c.used[name] = true
	return e, nil
}

// of reads what follows "1 of": a name with *, or "them", which are all whose
// name does not begin with an underscore.
func (c *condition) of(quantity string) (expr, error) {
	which := c.next()
	if which == "" {
		return nil, fmt.Errorf("condition: %s of what? want them, or a name with *", clip(quantity))
	}
	var parts []expr
	for _, name := range c.order {
		if !named(name, which) {
			continue
		}
		c.used[name] = true
		parts = append(parts, c.selections[name])
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("condition: %s of %s: no selection has such a name", clip(quantity), clip(which))
	}
	switch strings.ToLower(quantity) {
	case "1", "any":
		return single(anyOf(parts)), nil
	case "all":
		return single(allOf(parts)), nil
	}
	return nil, fmt.Errorf("condition: %s of %s: want 1 of, any of or all of", clip(quantity), clip(which))
}

// named reports whether a selection's name is one of them, or fits a name in
// which * stands for anything.
func named(name, which string) bool {
	if strings.EqualFold(which, "them") {
		return !strings.HasPrefix(name, "_")
	}
	before, rest, wild := strings.Cut(which, "*")
	if !wild {
		return name == which
	}
	if !strings.HasPrefix(name, before) {
		return false
	}
	name = name[len(before):]
	parts := strings.Split(rest, "*")
	for _, p := range parts[:len(parts)-1] {
		_, after, found := strings.Cut(name, p)
		if !found {
			return false
		}
		name = after
	}
	return strings.HasSuffix(name, parts[len(parts)-1])
}

// single spares a group of one.
func single[G interface {
	~[]expr
	expr
}](g G) expr {
	if len(g) == 1 {
		return g[0]
	}
	return g
}
