package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// deadChange is one call of dead replay or dead discard.
type deadChange struct {
	inv    *invocation
	client *apiclient.Client
	verb   apiclient.DeadVerb
	word   string // replayed, discarded

	ids     []uint64 // or else all that q selects
	q       apiclient.DeadQuery
	all     bool
	through uint64 // the highest id that somebody was asked about; 0 where nobody was
	dryRun  bool
	asJSON  bool
}

func (c *deadChange) addFlags(cmd *cobra.Command) {
	addDeadFilters(cmd, &c.q)
	f := cmd.Flags()
	f.BoolVar(&c.all, "all", false, "all that are there now, or those that the other flags select")
	f.BoolVar(&c.dryRun, "dry-run", false, "do nothing: tell how many it would be")
	f.BoolVar(&c.asJSON, "json", false, "JSON: what was done, and what was kept")
}

// begin checks how the command was called, and finds the running instance.
func (c *deadChange) begin(cmd *cobra.Command, args []string) (err error) {
	if err := refuseEmpty(cmd); err != nil {
		return err
	}
	if c.ids, err = deadIDs(args); err != nil {
		return err
	}
	narrowed := c.q != apiclient.DeadQuery{}
	switch {
	case c.all && len(c.ids) > 0, narrowed && len(c.ids) > 0:
		return fmt.Errorf("%w: dead %s takes ids, or --all and filters, not both", errUsage, c.verb)
	case !c.all && len(c.ids) == 0:
		return fmt.Errorf("%w: dead %s takes ids (see `m2mwatch dead list`), or --all, which --tenant, --reason, --from and --to narrow", errUsage, c.verb)
	}
	// A span back from now would move while somebody is asked and while pages go
	// by, and take what nobody was asked about.
	now := time.Now()
	for _, end := range []*string{&c.q.From, &c.q.To} {
		if t, ok := query.ReadTime(*end, now); ok {
			*end = t.UTC().Format(time.RFC3339Nano)
		}
	}
	c.client, err = c.inv.client()
	return err
}

// refuseEmpty refuses a filter that says nothing, as a variable that was never set
// does: it would select everything.
func refuseEmpty(cmd *cobra.Command) error {
	for _, name := range []string{"tenant", "reason", "from", "to"} {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return fmt.Errorf("%w: --%s is empty", errUsage, name)
		}
	}
	return nil
}

func newDeadReplay(inv *invocation) *cobra.Command {
	c := &deadChange{inv: inv, verb: apiclient.DeadVerbReplay, word: "replayed"}
	cmd := &cobra.Command{
		Use:   "replay [ID…]",
		Short: "Send dead logs the way of any log again",
		Long: `replay publishes dead logs again, with the source and the time of arrival that they had, and
takes them out of DEAD when that is on disk. A log is stored once, however often it is replayed.
What still cannot be read goes to DEAD again, as a new log with an id of its own: --all does
not take it up once more.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.begin(cmd, args); err != nil {
				return err
			}
			return c.run(cmd.Context())
		},
	}
	c.addFlags(cmd)
	return cmd
}

func newDeadDiscard(inv *invocation) *cobra.Command {
	c := &deadChange{inv: inv, verb: apiclient.DeadVerbDiscard, word: "discarded"}
	var force, noInput bool
	cmd := &cobra.Command{
		Use:   "discard [ID…]",
		Short: "Take dead logs out of DEAD for good",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.begin(cmd, args); err != nil {
				return err
			}
			if !force && !c.dryRun {
				if noInput || !isTerminal(inv.stdin) {
					return fmt.Errorf("%w: dead discard is for good and there is nobody to ask: say --force, or --dry-run to see how many it would be", errUsage)
				}
				if some, err := c.confirm(cmd.Context()); err != nil || !some {
					return err
				}
			}
			return c.run(cmd.Context())
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "do not ask")
	cmd.Flags().BoolVar(&noInput, "no-input", false, "never ask: without --force, refuse")
	return cmd
}

// confirm asks whether to go on, about as many as it would be, and those alone.
// It reports false where there are none.
func (c *deadChange) confirm(ctx context.Context) (some bool, err error) {
	n := uint64(len(c.ids))
	if c.all {
		would, err := c.sweep(ctx, true)
		if err != nil {
			return false, err
		}
		n, c.through = would.Done, would.Through
	}
	if n == 0 {
		fmt.Fprintln(c.inv.stderr, "no dead logs")
		return false, nil
	}
	fmt.Fprintf(c.inv.stderr, "Discard %d dead logs for good? [y/N] ", n)
	answer, _ := bufio.NewReader(c.inv.stdin).ReadString('\n') // no answer is none
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	return false, errors.New("nothing was discarded")
}

func (c *deadChange) run(ctx context.Context) error {
	do := c.each
	if c.all {
		do = c.sweep
	}
	change, err := do(ctx, c.dryRun)
	if err != nil && change.Done+change.Kept == 0 {
		return err
	}
	if c.asJSON {
		return errors.Join(c.inv.printJSON(change), err)
	}
	fmt.Fprintln(c.inv.stdout, c.text(&change))
	return err
}

func (c *deadChange) text(change *schemas.DeadChange) string {
	text := fmt.Sprintf("%d %s", change.Done, c.word)
	if change.DryRun {
		text = fmt.Sprintf("%d would be %s", change.Done, c.word)
	}
	if change.Kept > 0 {
		text += fmt.Sprintf("; %d stay in DEAD, the first of them since %s", change.Kept, printable(change.Reason))
	}
	return text
}

// each does it to every id, and tells at the end of those that it could not be
// done to.
func (c *deadChange) each(ctx context.Context, dryRun bool) (total schemas.DeadChange, err error) {
	total.DryRun = dryRun
	var errs []error
	for _, id := range c.ids {
		change, err := c.client.ChangeDeadLog(ctx, c.verb, id, dryRun)
		if err != nil {
			errs = append(errs, err)
			if !ofOneLog(err) {
				break
			}
		}
		total.Done += change.Done
		total.Through = max(total.Through, change.Through)
	}
	return total, errors.Join(errs...)
}

// ofOneLog reports whether it may be otherwise with the next log.
func ofOneLog(err error) bool {
	var problem *apiclient.Error
	return errors.As(err, &problem) && (problem.Status == http.StatusNotFound || problem.Code == "not_replayable")
}

// sweep does it to all that fits, part after part.
func (c *deadChange) sweep(ctx context.Context, dryRun bool) (total schemas.DeadChange, err error) {
	total.DryRun = dryRun
	bar := newProgress(c.inv.stderr, "dead "+string(c.verb))
	defer bar.done()
	q, all := c.q, uint64(0)
	for {
		part, err := c.client.ChangeDead(ctx, c.verb, q, c.through, dryRun)
		if wait, full := logsFull(err); full {
			bar.show(int64(all-min(all, total.Left)), int64(all), fmt.Sprintf("%d %s; LOGS is full, waiting until it has been stored", total.Done, c.word))
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(wait):
				continue
			}
		}
		if err != nil && total.Done > 0 && !dryRun {
			err = fmt.Errorf("%s after %d (run it again: they are not in DEAD any more): %w", c.verb, total.Done, err)
		}
		if err != nil {
			return total, err
		}
		total.Done, total.Kept, total.Left, total.Through = total.Done+part.Done, total.Kept+part.Kept, part.Left, part.Through
		if total.Reason == "" {
			total.Reason = part.Reason
		}
		if q.Cursor = part.Next; q.Cursor == "" {
			total.Left = 0
			return total, nil
		}
		if all == 0 {
			all = part.Done + part.Kept + part.Left
		}
		bar.show(int64(all-min(all, part.Left)), int64(all), c.text(&total))
	}
}

// logsFull says how long to wait where what is replayed has no room.
func logsFull(err error) (time.Duration, bool) {
	var problem *apiclient.Error
	if !errors.As(err, &problem) || problem.Code != "broker_full" {
		return 0, false
	}
	return retryAfter(err)
}
