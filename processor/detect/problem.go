package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Problem is one thing in a rule file that is not understood.
type Problem struct {
	File string
	Line int // 0 where the problem is the whole file's
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems is the error of Parse: everything that is not understood, at once,
// by file and line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Aside is a rule that is understood and not evaluated as it stands.
type Aside struct {
	ID, Name, Title string
	Level           schemas.Level // none of a correlation
	File            string
	Line            int
	Reasons         Problems // each with its line
	Placeholders    []string // what wants configuration, sorted; none where that is not the reason
}

// reporter collects what is to be said of one file. Of one document it also
// knows why the rule is set aside.
type reporter struct {
	file     string
	problems *Problems
	set      *source
	why      *Aside // of the document that is read; nil between documents
}

func (r reporter) at(line int, format string, args ...any) {
	*r.problems = append(*r.problems, Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (r reporter) on(n *yaml.Node, format string, args ...any) { r.at(n.Line, format, args...) }

// aside tells why a rule cannot be evaluated as it is written. Among the shipped
// rules that is a problem.
func (r reporter) aside(n *yaml.Node, format string, args ...any) {
	if r.set.strict {
		r.on(n, format, args...)
		return
	}
	r.why.Reasons = append(r.why.Reasons, Problem{File: r.file, Line: n.Line, Text: fmt.Sprintf(format, args...)})
}

// needs tells of a placeholder that nothing is configured for.
func (r reporter) needs(n *yaml.Node, field, name string) {
	r.aside(n, "%s: needs configuration: {%s} is a placeholder to fill (rules.placeholders)", clip(field), name)
	if !slices.Contains(r.why.Placeholders, name) {
		r.why.Placeholders = append(r.why.Placeholders, name)
		slices.Sort(r.why.Placeholders)
	}
}

// note tells what is odd and harms nothing. Among the shipped rules that is a
// problem.
func (r reporter) note(n *yaml.Node, format string, args ...any) {
	if r.set.strict {
		r.on(n, format, args...)
		return
	}
	r.set.notes = append(r.set.notes, Problem{File: r.file, Line: n.Line, Text: fmt.Sprintf(format, args...)})
}

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return p
}
