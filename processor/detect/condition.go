package detect

import (
	"fmt"
	"regexp"
	"strings"
)

// condition is a parser for "selection and not (a or b)". Its grammar:
//
//	or   = and { "or" and }
//	and  = not { "and" not }
//	not  = { "not" } term
//	term = name | "(" or ")"
type condition struct {
	tokens     []string
	selections map[string]expr
	used       map[string]bool
	depth      int
}

var (
	conditionToken = regexp.MustCompile(`\s*([()]|[A-Za-z0-9_*-]+|\S)`)
	selectionName  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// maxConditionDepth bounds the parser's recursion.
const maxConditionDepth = 50

func parseCondition(text string, selections map[string]expr) (expr, map[string]bool, error) {
	c := condition{selections: selections, used: map[string]bool{}}
	for _, m := range conditionToken.FindAllStringSubmatch(text, -1) {
		c.tokens = append(c.tokens, m[1])
	}
	e, err := c.or()
	if err == nil && len(c.tokens) > 0 {
		err = fmt.Errorf("condition: %q is not understood", clip(c.tokens[0]))
	}
	if err != nil {
		return nil, nil, err
	}
	return e, c.used, nil
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
	e, ok := c.selections[name]
	if !ok {
		return nil, fmt.Errorf("condition: want the name of a selection, found %q; there are and, or, not and parentheses", clip(name))
	}
	c.used[name] = true
	return e, nil
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
