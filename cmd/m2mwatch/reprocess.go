package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// reprocessPoll is the wait between two looks at how far a job is.
const reprocessPoll = 300 * time.Millisecond

func newReprocess(inv *invocation) *cobra.Command {
	var (
		ask            schemas.ReprocessRequest
		asJSON, noWait bool
	)
	cmd := &cobra.Command{
		Use:   "reprocess",
		Short: "Normalize stored records again, after a change of normalizer, event types or rules",
		Long: `reprocess has the running instance normalize a tenant's stored records again, and classify and
match them, by the build, the event types and the rules that it runs with now. Records that
become another event are replaced; what is counted and found of them follows. The pipeline goes
on meanwhile. The command only watches: interrupted, it leaves the job running, and called again
with the same words while that is so, it watches the same job.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := schemas.CheckTenant(ask.Tenant); err != nil {
				return fmt.Errorf("%w: --tenant: %w", errUsage, err)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			job, err := client.StartReprocess(cmd.Context(), ask)
			if err != nil {
				return err
			}
			if !noWait {
				if job, err = watchReprocess(cmd.Context(), inv, client, job); err != nil {
					return err
				}
			}
			if asJSON {
				err = inv.printJSON(job)
			} else {
				fmt.Fprintln(inv.stdout, reprocessText(&job))
			}
			if err == nil && job.State == schemas.ReprocessCanceled {
				return fmt.Errorf("job %s was canceled", job.ID)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&ask.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&ask.From, "from", "", "records since: RFC 3339, a date, or 24h, 7d ago (default: all)")
	f.StringVar(&ask.To, "to", "", "records before (default: now)")
	f.BoolVar(&ask.DryRun, "dry-run", false, "write nothing: tell how many records would be read and how many would change")
	f.BoolVar(&noWait, "no-wait", false, "start the job, or look at it, and return at once")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.AddCommand(newReprocessCancel(inv))
	return cmd
}

func newReprocessCancel(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID",
		Short: "End a job before its next records; what it has done stays",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: reprocess cancel takes one id (`m2mwatch reprocess --no-wait` and GET /v1/reprocess tell it)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			job, err := client.CancelReprocess(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if job.Over() {
				return fmt.Errorf("job %s is %s already", job.ID, job.State)
			}
			fmt.Fprintf(inv.stdout, "job %s ends before its next records\n", job.ID)
			return nil
		},
	}
}

// watchReprocess shows how far a job is until it is over.
func watchReprocess(ctx context.Context, inv *invocation, client *apiclient.Client, job schemas.Reprocess) (schemas.Reprocess, error) {
	bar := newProgress(inv.stderr, "reprocess")
	defer bar.done()
	for !job.Over() {
		bar.show(int64(job.Done), int64(job.Total), fmt.Sprintf("%s, %d of about %d records, %d changed", job.State, job.Done, job.Total, job.Changed))
		select {
		case <-ctx.Done():
			bar.done()
			return job, fmt.Errorf("interrupted: job %s goes on in the running instance; call the same again to watch it", job.ID)
		case <-time.After(reprocessPoll):
		}
		next, err := client.Reprocess(ctx, job.ID)
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
			return job, fmt.Errorf("watch job %s, which goes on (call the same again): %w", job.ID, err)
		}
	}
	return job, nil
}

// reprocessText is what a person wants to know of a job.
func reprocessText(job *schemas.Reprocess) string {
	changed := "changed"
	if job.DryRun {
		changed = "would change"
	}
	text := fmt.Sprintf("%d records read, %d %s, %d of them to another client_id or time", job.Done, job.Changed, changed, job.Moved)
	if job.Errors > 0 {
		text += fmt.Sprintf("; %d could not be normalized again and are as they were: %s", job.Errors, printable(job.Error))
	}
	if !job.Over() {
		text = fmt.Sprintf("job %s is %s: %s of about %d", job.ID, job.State, text, job.Total)
	}
	return text
}
