package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newRulesBacktest(inv *invocation) *cobra.Command {
	var (
		ask           schemas.BacktestRequest
		against, rule string
		asJSON        bool
	)
	cmd := &cobra.Command{
		Use:   "backtest RULE",
		Short: "Run a rule over stored events, and tell what it would have found",
		Long: `backtest has the running instance run a rule over its stored events. RULE is the code, id or
name of a rule that is loaded there, or the path of a rule file with all documents that the rule
needs. It prints findings by day, the identities with the most, and some of them with their
events; with --against also the difference to another version of the rule. Nothing that it finds
is stored or alerted, and the same events give the same answer.

What a rule selects by columns of events alone is selected by the store; where it reads the raw
log, the records that may be selected are read back.`,
		Args: theArgs(1, "a rule, or the path of a rule file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if ask.BacktestRule, err = backtestRule(args[0]); err != nil {
				return err
			}
			if ask.Text != "" {
				ask.Rule = rule
			}
			if against != "" {
				other, err := backtestRule(against)
				if err != nil {
					return err
				}
				ask.Against = &other
			}
			job, err := runBacktest(cmd.Context(), inv, ask)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(job)
			}
			return printBacktest(inv, &job)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.Tenant, "tenant", "", "of this tenant alone")
	f.StringVar(&ask.From, "from", "", "events since: RFC 3339, a date, or 24h, 7d ago (default: 30 days before the end)")
	f.StringVar(&ask.To, "to", "", "events before (default: now)")
	f.StringVar(&against, "against", "", "another version of the rule, a file or a loaded rule, to tell the difference to")
	f.StringVar(&rule, "rule", "", "which rule of the file, by code, id or name, where several find something")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// backtestRule is a rule of a file where there is one of that name, else one that
// is loaded.
func backtestRule(arg string) (schemas.BacktestRule, error) {
	ext := filepath.Ext(arg)
	named := ext == ".yml" || ext == ".yaml" || strings.ContainsRune(arg, filepath.Separator)
	text, err := os.ReadFile(arg)
	switch {
	case err == nil && len(text) == 0:
		return schemas.BacktestRule{}, fmt.Errorf("rule file %s: is empty", arg)
	case err == nil:
		return schemas.BacktestRule{File: filepath.ToSlash(arg), Text: string(text)}, nil
	case named || !errors.Is(err, fs.ErrNotExist):
		return schemas.BacktestRule{}, fmt.Errorf("read the rule file: %w", err)
	}
	return schemas.BacktestRule{Rule: arg}, nil
}

// runBacktest starts a job and shows how far it is until it is over.
func runBacktest(ctx context.Context, inv *invocation, ask schemas.BacktestRequest) (schemas.Backtest, error) {
	client, err := inv.client()
	if err != nil {
		return schemas.Backtest{}, err
	}
	job, err := client.StartBacktest(ctx, ask)
	if err != nil {
		return job, err
	}
	job, err = watchBacktest(ctx, inv, client, job)
	switch {
	case err != nil:
	case job.State == schemas.BacktestFailed:
		err = fmt.Errorf("backtest: %s", printable(job.Error))
	case job.State == schemas.BacktestCanceled:
		err = fmt.Errorf("backtest %s was canceled", job.ID)
	}
	return job, err
}

func watchBacktest(ctx context.Context, inv *invocation, client *apiclient.Client, job schemas.Backtest) (schemas.Backtest, error) {
	bar := newProgress(inv.stderr, "backtest")
	defer bar.done()
	for !job.Over() {
		text := fmt.Sprintf("%s, %d of about %d events matched", job.State, job.Done, job.Total)
		if job.Total > 0 && job.Done >= job.Total {
			text = "correlating"
		}
		bar.show(int64(job.Done), int64(job.Total), text)
		select {
		case <-ctx.Done():
			bar.done()
			return job, cancelBacktest(client, job.ID)
		case <-time.After(reprocessPoll):
		}
		next, err := client.Backtest(ctx, job.ID)
		switch wait, overloaded := retryAfter(err); {
		case err == nil:
			job = next
		case ctx.Err() != nil: // told at the top of the loop
		case overloaded:
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		default:
			return job, fmt.Errorf("watch backtest %s: %w", job.ID, err)
		}
	}
	return job, nil
}

// cancelBacktest ends the job of a command that was interrupted.
func cancelBacktest(client *apiclient.Client, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), journalLimit)
	defer cancel()
	if _, err := client.CancelBacktest(ctx, id); err != nil {
		return fmt.Errorf("interrupted: backtest %s goes on in the running instance (DELETE /v1/backtests/%s cancels it): %w", id, id, err)
	}
	return fmt.Errorf("interrupted: backtest %s is canceled", id)
}

func printBacktest(inv *invocation, job *schemas.Backtest) error {
	const minute = "2006-01-02 15:04"
	r := job.Result
	fmt.Fprintf(inv.stdout, "%s, %s: %d findings of %d events, %s to %s UTC\n", printable(r.RuleID), printable(r.Title),
		r.Findings, r.Events, job.From.Format(minute), job.To.Format(minute))
	if r.LeftOut > 0 {
		fmt.Fprintf(inv.stdout, "%d keys were left out: they have more matches than one query may read (clickhouse.memory)\n", r.LeftOut)
	}
	w := table(inv.stdout)
	if len(r.Days) > 0 {
		writeRow(w, []string{"DAY", "FINDINGS"})
		for _, d := range r.Days {
			writeRow(w, []string{d.Day, fmt.Sprint(d.Findings)})
		}
		writeRow(w, []string{""})
		writeRow(w, []string{"TENANT", "IDENTITY", "FINDINGS", "EVENTS"})
		for _, i := range r.Identities {
			writeRow(w, []string{i.Tenant, cmp.Or(i.Identity, i.Key), fmt.Sprint(i.Findings), fmt.Sprint(i.Events)})
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	printBacktestFindings(inv, "SAMPLES", r.Samples)
	if d := job.Diff; d != nil {
		fmt.Fprintf(inv.stdout, "\nagainst %s: %d findings more, %d less, %d changed, %d the same\n",
			printable(cmp.Or(job.Against.File, job.Against.Rule)), d.Added, d.Gone, d.Changed, d.Same)
		printBacktestFindings(inv, "MORE", d.AddedBy)
		printBacktestFindings(inv, "LESS", d.GoneBy)
	}
	return nil
}

func printBacktestFindings(inv *invocation, title string, findings []schemas.BacktestFinding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(inv.stdout, "\n%s\n", title)
	for i := range findings {
		f := &findings[i]
		fmt.Fprintf(inv.stdout, "%s  %s  %s  %s  %d events\n", f.Last.Format(time.RFC3339), f.Level, f.Tenant, printable(cmp.Or(f.Identity, f.Key)), f.Count)
		if f.Summary != "" {
			fmt.Fprintf(inv.stdout, "    %s\n", printable(f.Summary))
		}
		fmt.Fprintf(inv.stdout, "    %s\n", printable(strings.Join(f.LogIDs, " ")))
	}
}
