package main

import (
	"bufio"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/deploy/runbook"
	"github.com/m2mwatch/m2mwatch/internal/config"
)

func TestEveryShippedRuleHasAPageOfTheRunbook(t *testing.T) {
	set, err := loadRules(&config.Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range set.Correlations() {
		if _, ok := runbook.Page(c.Code); !ok {
			t.Errorf("%s %q (%s:%d) has no page: write deploy/runbook/%s.md", c.Code, c.Title, c.File, c.Line, c.Code)
		}
	}
	if len(set.Correlations()) == 0 {
		t.Error("no rules are shipped")
	}
}

func TestPagesOfTheRunbookSayWhatTheyPromise(t *testing.T) {
	for _, code := range runbook.Codes() {
		page, _ := runbook.Page(code)
		for _, want := range []string{"# " + code + ": ", "\n## Check\n", "\n## Contain\n", "\n## False positives\n"} {
			if strings.Count(page, want) != 1 {
				t.Errorf("%s: want %q once", code, want)
			}
		}
	}
}

// What a page tells to type at night must be understood, flags and all.
func TestCommandsOfTheRunbookAreThoseOfTheProgram(t *testing.T) {
	commands := 0
	for _, code := range runbook.Codes() {
		page, _ := runbook.Page(code)
		for lines := bufio.NewScanner(strings.NewReader(page)); lines.Scan(); {
			line, _, _ := strings.Cut(lines.Text(), "   #")
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "m2mwatch" {
				continue
			}
			commands++
			cmd, rest, err := newRoot(&invocation{}).Find(words[1:])
			if err != nil || cmd.RunE == nil {
				t.Errorf("%s: %q is no command: %v", code, line, err)
				continue
			}
			for i := range rest {
				rest[i] = strings.Trim(rest[i], "'")
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", code, line, err)
				continue
			}
			if cmd.Args != nil {
				if err := cmd.Args(cmd, cmd.Flags().Args()); err != nil {
					t.Errorf("%s: %q: %v", code, line, err)
				}
			}
		}
	}
	if commands == 0 {
		t.Error("no page tells a command")
	}
}
