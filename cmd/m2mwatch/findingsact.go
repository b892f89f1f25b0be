package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// newFindingsAct is findings ack, resolve, reopen and note.
func newFindingsAct(inv *invocation, act schemas.Act, short string) *cobra.Command {
	var (
		r      = schemas.FindingActRequest{Act: act}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   string(act) + " ID",
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return fmt.Errorf("%w: findings %s takes one id (see `m2mwatch findings list`)", errUsage, act)
			case act == schemas.ActNote && r.Reason == "":
				return fmt.Errorf("%w: findings note needs its words: --reason TEXT", errUsage)
			}
			r.By = cmp.Or(r.By, operatorName())
			client, err := inv.client()
			if err != nil {
				return err
			}
			done, err := client.Act(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(done)
			}
			_, err = fmt.Fprintf(inv.stdout, "%s of finding %s is recorded; the processor carries it out within seconds\n", act, printable(args[0]))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Reason, "reason", "", "why, for those who look at it later")
	f.StringVar(&r.By, "by", "", "who does it; USER@HOST where it is left out")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// happened is a line of a finding's history.
type happened struct {
	at   time.Time
	text string
}

// historyOf is what became of a finding and what people did, in the order of time. A
// change that an act made is told by the act, and an act of time's own by the change.
func historyOf(f schemas.FindingDetail) []happened {
	var all []happened
	for _, c := range f.History {
		if c.Reason == schemas.ReasonAct {
			continue
		}
		text := changeText(c)
		if c.Paging != "" && c.State == schemas.StateOpen {
			text += "; " + pagingText(c.Paging, c.PagingReason)
		}
		all = append(all, happened{c.At, text})
	}
	for _, a := range f.Acts {
		if a.Act == schemas.ActQuiet {
			continue
		}
		text := fmt.Sprintf("%s by %s", a.Act, a.Who)
		if a.Reason != "" {
			text += ": " + a.Reason
		}
		all = append(all, happened{a.At, text})
	}
	slices.SortStableFunc(all, func(a, b happened) int { return a.at.Compare(b.at) })
	return all
}
