package main

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func newRulesTune(inv *invocation) *cobra.Command {
	var (
		ask    schemas.BacktestRequest
		except []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "tune RULE",
		Short: "Show whom a rule finds something of in 30 days, and what is left with an exception",
		Long: `tune runs a rule over the stored events of 30 days, as backtest does, and prints the identities
with the most findings. With --except it runs the rule with that exception, too, and prints the
findings a day before and after. An exception that is right then goes into a file beside the
rules, with an owner, a reason and a day of review.`,
		Args: theArgs(1, "a rule, or the path of a rule file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			rule, err := backtestRule(args[0])
			if err != nil {
				return err
			}
			ask.BacktestRule = rule
			if len(except) > 0 {
				ask.Against, ask.Except = &rule, strings.Join(except, "\n")
			}
			job, err := runBacktest(cmd.Context(), inv, ask)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(job)
			}
			return printTuned(inv, &job)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.Tenant, "tenant", "", "of this tenant alone")
	f.StringVar(&ask.From, "from", "", "events since: RFC 3339, a date, or 24h, 7d ago (default: 30 days before the end)")
	f.StringVar(&ask.To, "to", "", "events before (default: now)")
	f.StringArrayVar(&except, "except", nil, "field=value of an exception: tenant, identity, key or what the rule's matches say; given twice both must hold")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// printTuned prints who is loud before the exception, and what is left with it.
func printTuned(inv *invocation, job *schemas.Backtest) error {
	days := job.To.Sub(job.From).Hours() / 24
	line := func(what string, r *schemas.BacktestResult) {
		fmt.Fprintf(inv.stdout, "%-7s %d findings in %s days, %s a day\n", what+":", r.Findings, rounded(days), rounded(float64(r.Findings)/days))
	}
	before, after := job.Result, (*schemas.BacktestResult)(nil)
	if job.Other != nil {
		before, after = job.Other, job.Result
	}
	line("before", before)
	header := []string{"TENANT", "IDENTITY", "FINDINGS", "EVENTS"}
	left := map[[2]string]uint64{}
	if after != nil {
		line("after", after)
		header = append(header, "LEFT")
		for _, i := range after.Identities {
			left[[2]string{i.Tenant, i.Key}] = i.Findings
		}
	}
	w := table(inv.stdout)
	writeRow(w, header)
	for _, i := range before.Identities {
		row := []string{i.Tenant, cmp.Or(i.Identity, i.Key), fmt.Sprint(i.Findings), fmt.Sprint(i.Events)}
		if after != nil {
			row = append(row, leftOf(left, after.Identities, i))
		}
		writeRow(w, row)
	}
	return w.Flush()
}

// leftOf is what an identity has left. Only those with the most are told: what is
// not there has no more than the last of a list that is full.
func leftOf(left map[[2]string]uint64, told []schemas.BacktestIdentity, i schemas.BacktestIdentity) string {
	n, ok := left[[2]string{i.Tenant, i.Key}]
	if !ok && len(told) == schemas.MaxBacktestIdentities {
		return fmt.Sprintf("%d or less", min(i.Findings, told[len(told)-1].Findings))
	}
	return fmt.Sprint(n)
}

// rounded has two digits behind the point, at most.
func rounded(f float64) string { return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64) }
