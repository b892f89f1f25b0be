package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newDead(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Logs that could not be read or stored: list, show, replay, discard",
		Long: `What cannot be read goes to DEAD, whole, with the reason. When its reason is done away with
(a later build, a longer retention, larger messages) a replay sends it the way of any log
again; what is of no use is discarded.`,
	}
	cmd.AddCommand(newDeadList(inv), newDeadShow(inv), newDeadReplay(inv), newDeadDiscard(inv))
	return cmd
}

// addDeadFilters adds the flags that select dead logs.
func addDeadFilters(cmd *cobra.Command, q *apiclient.DeadQuery) {
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&q.Reason, "reason", "", "with this code (json, size, log_id, time, framing, store) or these words in the reason")
	f.StringVar(&q.From, "from", "", "arrived since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "arrived before")
}

func newDeadList(inv *invocation) *cobra.Command {
	var (
		q   apiclient.DeadQuery
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead logs, those last that were given up first, without what they hold",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[schemas.DeadView]{
				what: "dead logs", path: apiclient.DeadPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.DeadView, string, error) {
					q.Limit, q.Cursor = limit, cursor
					return readDead(ctx, client, q)
				},
				page:   func(rows []schemas.DeadView, next string) any { return schemas.DeadPage{Dead: rows, Next: next} },
				header: []string{"ID", "ARRIVED", "TENANT", "SOURCE", "SIZE", "CODE", "REASON"},
				row: func(d *schemas.DeadView) []string {
					return []string{strconv.FormatUint(d.ID, 10), clock(d.IngestedAt), d.Tenant, d.Source, size(uint64(d.Size)), string(d.Code), d.Reason}
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	addDeadFilters(cmd, &q)
	f := cmd.Flags()
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

// readDead reads a page that has a row, or is the last: where little fits the
// API gives up looking before that.
func readDead(ctx context.Context, client *apiclient.Client, q apiclient.DeadQuery) ([]schemas.DeadView, string, error) {
	for {
		page, err := client.DeadLogs(ctx, q)
		if err != nil || len(page.Dead) > 0 || page.Next == "" {
			return page.Dead, page.Next, err
		}
		q.Cursor = page.Next
	}
}

func newDeadShow(inv *invocation) *cobra.Command {
	var raw, asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead log with what it holds, secrets perhaps among it",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := deadIDs(args)
			if err != nil {
				return err
			}
			if len(ids) != 1 {
				return fmt.Errorf("%w: dead show takes one id (see `m2mwatch dead list`)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			if raw {
				return client.WriteDeadLog(cmd.Context(), ids[0], inv.stdout)
			}
			d, err := client.DeadLog(cmd.Context(), ids[0])
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(d)
			}
			return writeDeadLog(inv.stdout, d)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "its bytes and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("raw", "json")
	return cmd
}

func writeDeadLog(out io.Writer, d schemas.DeadDetail) error {
	w := table(out)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("dead log", "%d", d.ID)
	row("tenant", "%s", orNone(d.Tenant))
	row("source", "%s", printable(d.Source))
	row("arrived", "%s", clock(d.IngestedAt))
	row("given up", "%s", clock(d.Time))
	row("reason", "%s", printable(d.Reason))
	row("code", "%s", orNone(string(d.Code)))
	if d.Replayed {
		row("replayed", "it was replayed, and could not be read again")
	}
	masked := ""
	if d.Masked {
		masked = ", secrets masked"
	}
	row("size", "%s%s", size(uint64(d.Size)), masked)
	if d.Pieces > 0 {
		row("pieces", "%d, a line each; a replay sends each by itself", d.Pieces)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text := string(d.Raw)
	switch d.Encoding {
	case schemas.DeadEncodingText:
		if err := json.Unmarshal(d.Raw, &text); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	case schemas.DeadEncodingBase64:
		text = "(not text: --raw writes its bytes)"
	case schemas.DeadEncodingOmitted:
		text = "(too large to be shown: --raw writes its bytes)"
	}
	_, err := fmt.Fprintf(out, "\n%s\n", legible(text))
	return err
}

// deadIDs reads ids of dead logs.
func deadIDs(args []string) ([]uint64, error) {
	ids := make([]uint64, 0, len(args))
	for _, arg := range args {
		id, err := strconv.ParseUint(arg, 10, 63)
		if err != nil || id == 0 {
			return nil, fmt.Errorf("%w: %q is no id of a dead log: want a number, as `m2mwatch dead list` shows it", errUsage, arg)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
