package detect

import (
	"cmp"
	"slices"
	"strconv"

	exprlang "github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// levelIf gives a finding another level, where its condition holds.
type levelIf struct {
	condition *vm.Program
	level     schemas.Level
}

// levelEnv is what the condition of a level may speak of.
type levelEnv struct {
	Count    uint64         `expr:"count"`    // events of the finding
	Minutes  float64        `expr:"minutes"`  // from the first of them to the last
	Values   []string       `expr:"values"`   // distinct values of them, 20 at most
	Fact     map[string]any `expr:"fact"`     // what the kind tells, numbers as numbers
	Evidence []string       `expr:"evidence"` // names of the rules of the evidence that was found
	Key      string         `expr:"key"`
}

// levels reads x-level: a list of {if: condition, level: word}, in the language
// of github.com/expr-lang/expr.
func (d *document) levels() []levelIf {
	n := d.take("x-level")
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		d.on(n, "x-level: want a list of if and level, found %s", kindName(n))
		return nil
	}
	var list []levelIf
	for _, item := range n.Content {
		l := newDocument(d.reporter, item, "x-level")
		if l == nil {
			continue
		}
		list = append(list, l.levelIf())
		l.rest("x-level")
	}
	return list
}

func (d *document) levelIf() (l levelIf) {
	if n := d.need("if"); n != nil {
		program, err := exprlang.Compile(d.scalar("if", n), exprlang.Env(levelEnv{}), exprlang.AsBool())
		if err != nil {
			d.on(n, "if: %v", err)
		}
		l.condition = program
	}
	if n := d.need("level"); n != nil {
		l.level = schemas.Level(d.scalar("level", n))
		if !l.level.Valid() {
			d.on(n, "level: want informational, low, medium, high or critical")
		}
	}
	return l
}

// MayBe reports whether findings of c can be of this level or a more urgent one.
func (c *Correlation) MayBe(level schemas.Level) bool {
	return c.Level.AtLeast(level) || slices.ContainsFunc(c.levels, func(l levelIf) bool { return l.level.AtLeast(level) })
}

// LevelOf is the level of a finding: that of the first condition of x-level that
// holds, else the rule's. A condition that speaks of a fact which the finding
// does not have does not hold.
func (c *Correlation) LevelOf(row schemas.CorrelationRow, found []Found) schemas.Level {
	if len(c.levels) == 0 {
		return c.Level
	}
	env := levelEnv{
		Count: row.Count, Minutes: float64(row.Last-row.First) / 60_000, Values: row.Values,
		Fact: map[string]any{}, Key: row.Key,
	}
	for name, text := range row.Facts {
		env.Fact[name] = text
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			env.Fact[name] = n
		}
	}
	for _, f := range found {
		r := c.Evidence[f.Evidence].Rule
		env.Evidence = append(env.Evidence, cmp.Or(r.Name, r.ID))
	}
	slices.Sort(env.Evidence)
	for _, l := range c.levels {
		if holds, err := exprlang.Run(l.condition, env); err == nil && holds == true {
			return l.level
		}
	}
	return c.Level
}
