package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/deploy/runbook"
)

func newRulesRunbook(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "runbook RULE",
		Short: "Print what to do about a finding of a shipped rule: check, contain, false positives",
		Args:  theArgs(1, "a shipped rule, by its code, such as MI-02"),
		RunE: func(_ *cobra.Command, args []string) error {
			page, ok := runbook.Page(args[0])
			if !ok {
				return fmt.Errorf("there is no page about %q: there are %s", args[0], strings.Join(runbook.Codes(), ", "))
			}
			fmt.Fprint(inv.stdout, page)
			return nil
		},
	}
}

// runbookOf is the command that prints the page of a rule, "" where there is none.
func runbookOf(code string) string {
	if _, ok := runbook.Page(code); !ok {
		return ""
	}
	return "m2mwatch rules runbook " + code
}
