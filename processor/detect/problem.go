package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
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

// reporter collects the problems of one file.
type reporter struct {
	file     string
	problems *Problems
}

func (r reporter) at(line int, format string, args ...any) {
	*r.problems = append(*r.problems, Problem{File: r.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

func (r reporter) on(n *yaml.Node, format string, args ...any) { r.at(n.Line, format, args...) }

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return p
}
