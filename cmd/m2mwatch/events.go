package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newEvents(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "What happened: list, show one, follow", Args: noArgs}
	cmd.AddCommand(newEventsList(inv), newEventsShow(inv), newEventsTail(inv))
	return cmd
}

func newEventsList(inv *invocation) *cobra.Command {
	var (
		where = filter{}
		q     = apiclient.EventQuery{Where: where}
		out   output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, newest first",
		Long:  "list shows events, the newest first.\n\n" + filterHelp,
		Example: `  m2mwatch events list --outcome failure --from 24h
  m2mwatch events list --type 'f*' --client-id '!terraform' --network '192.0.2.*' --csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := listing[schemas.EventView]{
				what: "events", path: apiclient.EventsPath, params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.EventView, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.Events(ctx, q)
					return page.Events, page.Next, err
				},
				page:   func(rows []schemas.EventView, next string) any { return schemas.EventPage{Events: rows, Next: next} },
				header: withoutTenant(where, []string{"TIME", "TENANT", "TYPE", "OUTCOME", "IDENTITY", "NAME", "NETWORK", "WHAT", "LOG_ID"}),
				row:    func(e *schemas.EventView) []string { return withoutTenant(where, eventRow(e)) },
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	where.flags(inv, cmd, schemas.FilterFields()...)
	f := cmd.Flags()
	f.StringVar(&q.Text, "text", "", "any text of it has this, whatever its case")
	f.StringVar(&q.From, "from", "", "since: RFC 3339, a date, or 24h, 7d ago")
	f.StringVar(&q.To, "to", "", "before")
	f.IntVar(&q.Limit, "limit", 50, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

// eventRow shows what a person looks for first. Names and descriptions are what
// somebody sent.
func eventRow(e *schemas.EventView) []string {
	name := e.ClientName
	if strings.HasPrefix(e.Identity.ID, schemas.UserID("")) && e.UserName != "" {
		name = e.UserName
	}
	what := e.Description
	if e.Cause != "" {
		what = string(e.Cause)
	}
	if e.Method != "" {
		what = e.Method + " " + e.Path
	}
	return []string{clock(e.Time), e.Tenant, e.Type, string(e.Outcome), e.Identity.ID, name, e.Network, what, e.LogID}
}

func newEventsShow(inv *invocation) *cobra.Command {
	var (
		tenant string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show LOG_ID",
		Short: "Show one event with the record that it was made of",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: events show takes one log_id (see `m2mwatch events list`)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			if tenant, err = tenantOr(cmd.Context(), client, tenant); err != nil {
				return err
			}
			e, err := client.Event(cmd.Context(), tenant, args[0])
			switch {
			case err != nil:
				return err
			case asJSON:
				return inv.printJSON(e)
			}
			return writeEvent(inv.stdout, &e)
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "of this tenant; not needed where there is one alone")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// tenantOr is the tenant that was named, or else the one that there is.
func tenantOr(ctx context.Context, client *apiclient.Client, tenant string) (string, error) {
	if tenant != "" {
		return tenant, nil
	}
	page, err := client.Stats(ctx, apiclient.StatsQuery{By: []string{"tenant"}})
	if err != nil {
		return "", err
	}
	switch len(page.Rows) {
	case 0:
		return "", fmt.Errorf("nothing is stored yet")
	case 1:
		return page.Rows[0].Values[0], nil
	}
	var names []string
	for _, row := range page.Rows {
		names = append(names, row.Values[0])
	}
	return "", fmt.Errorf("%w: --tenant: want one of %s", errUsage, strings.Join(names, ", "))
}

// writeEvent prints every member that has a value, in the API's order and by its
// names, and then the record.
func writeEvent(out io.Writer, e *schemas.EventDetail) error {
	raw := e.Raw
	b, err := json.Marshal(e.EventView)
	if err != nil {
		return err
	}
	w := table(out)
	if err := writeMembers(w, "", b); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%s\n", legible(string(raw)))
	return err
}

// writeMembers writes a line for each member of an object that has a value.
func writeMembers(w io.Writer, prefix string, object []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(object)))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		switch text := string(value); {
		case text[0] == '{':
			if err := writeMembers(w, prefix+name.(string)+".", value); err != nil {
				return err
			}
		case slices.Contains([]string{`""`, "null", "[]", "0", "false"}, text):
		case text[0] == '"':
			var s string
			if err := json.Unmarshal(value, &s); err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%s\n", printable(prefix+name.(string)), printable(s))
		case text[0] == '[':
			var all []string
			if json.Unmarshal(value, &all) == nil {
				text = strings.Join(all, " ")
			}
			fmt.Fprintf(w, "%s\t%s\n", printable(prefix+name.(string)), printable(text))
		default:
			fmt.Fprintf(w, "%s\t%s\n", printable(prefix+name.(string)), text)
		}
	}
	return nil
}

func newEventsTail(inv *invocation) *cobra.Command {
	var (
		where  = filter{}
		q      = apiclient.EventQuery{Where: where}
		since  string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow events as they are stored",
		Long: `tail prints events as they are stored, a late one too, until it is interrupted. With --json it
prints one JSON object a line. Where the instance is away it waits until it is back, and goes on
where it was.

` + filterHelp,
		Example: "  m2mwatch events tail --identity-kind machine --outcome failure",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			show := tailLine(inv.stdout, where)
			if asJSON {
				show = func(v schemas.EventView) error { return writeJSONLine(inv.stdout, v) }
			}
			return client.Follow(cmd.Context(), q, since, show, func(err error) {
				fmt.Fprintf(inv.stderr, "m2mwatch: %s; trying again\n", legible(err.Error()))
			})
		},
	}
	where.flags(inv, cmd, schemas.FilterFields()...)
	f := cmd.Flags()
	f.StringVar(&q.Text, "text", "", "any text of it has this, whatever its case")
	f.StringVar(&since, "since", "", "begin with what was stored since: RFC 3339, or how long ago, such as 10m (default: now)")
	f.BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// tailLine prints an event at once: a table whose columns keep the width that
// they have needed so far.
func tailLine(out io.Writer, where filter) func(schemas.EventView) error {
	widths := map[int]int{}
	return func(e schemas.EventView) error {
		var line strings.Builder
		cells := withoutTenant(where, eventRow(&e))
		for i, cell := range cells {
			last := i == len(cells)-1
			if cell = printable(cell); !last {
				cell = shorten(cell, 48)
			}
			if cell == "" && !last {
				cell = "-"
			}
			n := len([]rune(cell))
			widths[i] = max(widths[i], n)
			line.WriteString(cell)
			if !last {
				line.WriteString(strings.Repeat(" ", widths[i]-n+2))
			}
		}
		_, err := fmt.Fprintln(out, line.String())
		return err
	}
}
