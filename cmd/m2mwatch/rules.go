package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// newRules are the commands about rule files. They ask no running instance.
func newRules(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "The rules: those that are shipped, and those of rules.dirs",
		Long: `rules reads the shipped rules and the folders of rules.dirs and --dir, with what
rules.placeholders fills, as a start would. It needs no running instance.`,
	}
	cmd.AddCommand(newRulesList(inv), newRulesShow(inv), newRulesLint(inv), newRulesTest(inv), newRulesBacktest(inv), newRulesTune(inv), newRulesEnable(inv), newRulesDisable(inv), newRulesRunbook(inv))
	return cmd
}

// ruleFlags are those of all commands about rules.
type ruleFlags struct {
	dirs   []string
	asJSON bool
}

func (f *ruleFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.dirs, "dir", nil, "a folder of rules beside those of rules.dirs; once for each")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "as JSON")
}

// load reads the rules as a start with these folders would.
func (f *ruleFlags) load(inv *invocation) (*config.Config, *detect.Set, error) {
	cfg, err := config.Load((&serverFlags{}).origin(inv))
	if err != nil {
		return nil, nil, err
	}
	cfg.Rules.Dirs = append(cfg.Rules.Dirs, f.dirs...)
	set, err := loadRules(cfg, nil)
	return cfg, set, err
}

// ruleView is a rule as the commands tell it.
type ruleView struct {
	Rule    string   `json:"rule"` // what findings carry as rule_id, or the id of a base rule
	Name    string   `json:"name,omitempty"`
	Title   string   `json:"title"`
	Level   string   `json:"level,omitempty"`
	State   string   `json:"state"` // finds, base, disabled, set aside, needs configuration
	Types   []string `json:"types,omitempty"`
	Uses    []string `json:"uses,omitempty"` // names of the base rules of a correlation
	Tests   int      `json:"tests"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Reasons []string `json:"reasons,omitempty"` // why it is not evaluated

	Exceptions []exceptionView `json:"exceptions,omitempty"`

	id string
}

// The states of a rule.
const (
	ruleFinds    = "finds"
	ruleBase     = "base" // for others: finds nothing alone
	ruleSetAside = "set aside"
	ruleDisabled = "disabled"
	ruleUnfilled = "needs configuration"
)

// ruleViews are all rules of a set, in the order of their files.
func ruleViews(set *detect.Set) []ruleView {
	views := []ruleView{}
	for _, c := range set.Correlations() {
		views = append(views, viewOfRule(&c))
	}
	for _, d := range set.Disabled() {
		v := viewOfRule(&d.Correlation)
		v.State, v.Reasons = ruleDisabled, []string{detect.Problem{File: d.ByFile, Line: d.ByLine, Text: cmp.Or(d.Reason, "disabled")}.String()}
		views = append(views, v)
	}
	for _, r := range set.Rules() {
		if !r.Finds {
			views = append(views, ruleView{Rule: r.ID, Name: r.Name, Title: r.Title, Level: string(r.Level), State: ruleBase, Types: r.Types, File: r.File, Line: r.Line, id: r.ID})
		}
	}
	for _, a := range set.Asides() {
		v := ruleView{Rule: a.ID, Name: a.Name, Title: a.Title, Level: string(a.Level), State: ruleSetAside, File: a.File, Line: a.Line, id: a.ID}
		if len(a.Placeholders) == len(a.Reasons) {
			v.State = ruleUnfilled
		}
		for _, r := range a.Reasons {
			v.Reasons = append(v.Reasons, r.String())
		}
		views = append(views, v)
	}
	slices.SortStableFunc(views, func(a, b ruleView) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return views
}

func newRulesList(inv *invocation) *cobra.Command {
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the rules, with what each is for: finds, base, disabled, set aside, needs configuration",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, set, err := flags.load(inv)
			if err != nil {
				return err
			}
			views := ruleViews(set)
			if flags.asJSON {
				return inv.printJSON(views)
			}
			w := table(inv.stdout)
			writeRow(w, []string{"RULE", "LEVEL", "STATE", "TITLE", "FILE"})
			for _, v := range views {
				writeRow(w, []string{v.Rule, v.Level, v.stateText(), v.Title, fmt.Sprintf("%s:%d", v.File, v.Line)})
			}
			return w.Flush()
		},
	}
	flags.add(cmd)
	return cmd
}

func newRulesShow(inv *invocation) *cobra.Command {
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "show RULE",
		Short: "Show one rule: where it stands, what it selects, why it is not evaluated",
		Args:  theArgs(1, "a rule, by its code, id or name"),
		RunE: func(_ *cobra.Command, args []string) error {
			_, set, err := flags.load(inv)
			if err != nil {
				return err
			}
			v, err := findRule(ruleViews(set), args[0])
			if err != nil {
				return err
			}
			if flags.asJSON {
				return inv.printJSON(v)
			}
			w := table(inv.stdout)
			for _, row := range [][]string{
				{"rule", v.Rule},
				{"name", v.Name},
				{"title", v.Title},
				{"level", v.Level},
				{"state", v.State},
				{"types", strings.Join(v.Types, ", ")},
				{"uses", strings.Join(v.Uses, ", ")},
				{"tests", fmt.Sprint(v.Tests)},
				{"file", fmt.Sprintf("%s:%d", v.File, v.Line)},
				{"runbook", runbookOf(v.Rule)},
			} {
				if row[1] != "" {
					writeRow(w, row)
				}
			}
			for _, reason := range v.Reasons {
				writeRow(w, []string{"reason", reason})
			}
			for i := range v.Exceptions {
				writeRow(w, []string{"exception", v.Exceptions[i].String()})
			}
			return w.Flush()
		},
	}
	flags.add(cmd)
	return cmd
}

// findRule finds one by code, id or name. A name may be that of several, in
// files of their own.
func findRule(views []ruleView, asked string) (*ruleView, error) {
	var found []*ruleView
	for i := range views {
		v := &views[i]
		if strings.EqualFold(v.Rule, asked) || strings.EqualFold(v.id, asked) {
			return v, nil
		}
		if v.Name == asked {
			found = append(found, v)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no rule %q (see m2mwatch rules list)", asked)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d rules have the name %q: give the id of one", len(found), asked)
}

// lintReport is what lint answers in JSON.
type lintReport struct {
	OK       bool         `json:"ok"`
	Rules    int          `json:"rules"`
	Problems []ruleRemark `json:"problems"`
}

// ruleRemark is one thing about a rule file.
type ruleRemark struct {
	Kind string `json:"kind"` // error, set aside, note, warning
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

func remarks(kind string, problems detect.Problems) []ruleRemark {
	var list []ruleRemark
	for _, p := range problems {
		list = append(list, ruleRemark{kind, p.File, p.Line, p.Text})
	}
	return list
}

func (r *ruleRemark) String() string {
	return detect.Problem{File: r.File, Line: r.Line, Text: r.Kind + ": " + r.Text}.String()
}

func newRulesLint(inv *invocation) *cobra.Command {
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Check the rule files, and say file and line of everything that is wrong or odd",
		Long: `lint reads the rule files as a start would and prints, by file and line, what is not understood
(error: such a start is refused), which rules are not evaluated and why (set aside), what
is odd (note), and which exceptions are to be looked at again (warning). It exits with 1 where there is an error.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, set, err := flags.load(inv)
			report := lintReport{OK: err == nil, Problems: []ruleRemark{}}
			var problems detect.Problems
			switch {
			case errors.As(err, &problems):
				report.Problems = append(report.Problems, remarks("error", problems)...)
			case err != nil:
				return err
			default:
				report.Rules = len(ruleViews(set))
				for _, a := range set.Asides() {
					report.Problems = append(report.Problems, remarks("set aside", a.Reasons)...)
				}
				report.Problems = append(report.Problems, remarks("note", set.Notes())...)
				report.Problems = append(report.Problems, remarks("warning", overdue(set, time.Now()))...)
			}
			if err := printLint(inv, report, flags.asJSON); err != nil {
				return err
			}
			if !report.OK {
				return fmt.Errorf("%d problems in the rules", len(problems))
			}
			return nil
		},
	}
	flags.add(cmd)
	return cmd
}

func printLint(inv *invocation, report lintReport, asJSON bool) error {
	if asJSON {
		return inv.printJSON(report)
	}
	for i := range report.Problems {
		fmt.Fprintln(inv.stdout, legible(report.Problems[i].String()))
	}
	if report.OK {
		fmt.Fprintf(inv.stderr, "%d rules are understood\n", report.Rules)
	}
	return nil
}

func newRulesTest(inv *invocation) *cobra.Command {
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "test [RULE…]",
		Short: "Run the tests that rules carry (x-tests), in a store of their own that goes afterwards",
		Long: `test runs the x-tests of the rules, all or those that are named: their logs are normalized,
matched, stored and correlated as any others are, in a store that is removed afterwards. It
prints how many findings each test has and should have, and exits with 1 where they differ.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, set, err := flags.load(inv)
			if err != nil {
				return err
			}
			chosen, err := chosenRules(set, args)
			if err != nil {
				return err
			}
			for i := range chosen {
				if len(chosen[i].Tests) == 0 {
					fmt.Fprintf(inv.stderr, "rule %s has no x-tests: nothing says that it finds what it should\n", printable(chosen[i].Code))
				}
			}
			results, err := runRuleTests(cmd.Context(), inv, cfg, set, chosen)
			if err != nil {
				return err
			}
			return printRuleTests(inv, results, flags.asJSON)
		},
	}
	flags.add(cmd)
	return cmd
}

// chosenRules are the rules that find something, all or those asked for.
func chosenRules(set *detect.Set, asked []string) ([]detect.Correlation, error) {
	all := set.Correlations()
	if len(asked) == 0 {
		return all, nil
	}
	views := ruleViews(set)
	var chosen []detect.Correlation
	for _, name := range asked {
		v, err := findRule(views, name)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(all, func(c detect.Correlation) bool { return c.Code == v.Rule })
		if i < 0 {
			return nil, fmt.Errorf("rule %s is %s: it finds nothing to be tested", v.Rule, v.State)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func runRuleTests(ctx context.Context, inv *invocation, cfg *config.Config, set *detect.Set, rules []detect.Correlation) (results []processor.RuleTestResult, err error) {
	s, err := openScratch(ctx, inv)
	defer func() { err = errors.Join(err, s.Close()) }()
	if err != nil {
		return nil, err
	}
	tests := processor.RuleTests{
		Store: clickhouse.NewWriter(s.server.writeDB), Findings: clickhouse.NewFindingStore(s.server.writeDB),
		Rules: set, Catalogue: cfg.Catalogue(), At: time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour),
	}
	bar := newProgress(inv.stderr, "rules")
	for i := range rules {
		bar.show(int64(i), int64(len(rules)), rules[i].Code)
		some, err := tests.Run(ctx, &rules[i])
		if err != nil {
			return nil, err
		}
		results = append(results, some...)
	}
	bar.done()
	return results, nil
}

func printRuleTests(inv *invocation, results []processor.RuleTestResult, asJSON bool) error {
	failed := 0
	for _, r := range results {
		if !r.Passed() {
			failed++
		}
	}
	if asJSON {
		if results == nil {
			results = []processor.RuleTestResult{}
		}
		if err := inv.printJSON(results); err != nil {
			return err
		}
	} else {
		w := table(inv.stdout)
		writeRow(w, []string{"RESULT", "RULE", "TEST", "FINDINGS", "WANT", "FILE"})
		for _, r := range results {
			word := "pass"
			if !r.Passed() {
				word = "FAIL"
			}
			writeRow(w, []string{word, r.Rule, r.Test, fmt.Sprint(r.Got), fmt.Sprint(r.Want), fmt.Sprintf("%s:%d", r.File, r.Line)})
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d tests failed", failed, len(results))
	}
	return nil
}
