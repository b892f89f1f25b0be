package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
)

// output says in what form a command prints what the API answers.
type output struct {
	json, csv bool
}

// flags adds the flags of o to a command.
func (o *output) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "JSON as the API answers it")
	cmd.Flags().BoolVar(&o.csv, "csv", false, "comma-separated values with a header, times in UTC")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
}

// printJSON prints what a command answers as JSON: --json-compact says how.
func (inv *invocation) printJSON(v any) error {
	if inv.compact {
		return writeJSONLine(inv.stdout, v)
	}
	return encodeJSON(inv.stdout, v, "  ")
}

// addCompact gives each command that has --json the same on one line.
func addCompact(inv *invocation, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		addCompact(inv, sub)
	}
	f := cmd.Flags()
	if f.Lookup("json") == nil {
		return
	}
	f.BoolFunc("json-compact", "JSON on one line", func(text string) error {
		compact, err := strconv.ParseBool(text)
		if err != nil || !compact {
			return err
		}
		inv.compact = true
		return f.Set("json", "true") // so that what excludes the one excludes the other
	})
}

// maxPage is the most rows that the API answers at once.
const maxPage = 1000

// listing is a listing of the API that a command prints.
type listing[Row any] struct {
	what   string // that there are none of
	path   string
	params url.Values
	limit  int
	cursor string // where to begin
	// read asks for a page.
	read func(ctx context.Context, client *apiclient.Client, limit int, cursor string) (rows []Row, next string, err error)
	// page is what the API would answer.
	page   func(rows []Row, next string) any
	header []string
	row    func(*Row) []string
}

// print prints up to the limit of rows, from page to page.
func (l *listing[Row]) print(ctx context.Context, inv *invocation, out output) error {
	if l.limit < 1 {
		return fmt.Errorf("%w: --limit: want 1 or more", errUsage)
	}
	client, err := inv.client()
	if err != nil {
		return err
	}
	if out.csv {
		return csvPages(ctx, inv, client, l.path, l.params, l.limit)
	}
	rows, next := []Row{}, l.cursor
	for len(rows) < l.limit {
		var some []Row
		if some, next, err = l.read(ctx, client, min(l.limit-len(rows), maxPage), next); err != nil {
			return err
		}
		if rows = append(rows, some...); next == "" || len(some) == 0 {
			break
		}
	}
	if out.json {
		return inv.printJSON(l.page(rows, next))
	}
	return l.table(inv, rows, next)
}

func (l *listing[Row]) table(inv *invocation, rows []Row, next string) error {
	if len(rows) == 0 {
		fmt.Fprintln(inv.stderr, "no", l.what)
		return nil
	}
	w := table(inv.stdout)
	writeRow(w, l.header)
	for i := range rows {
		writeRow(w, l.row(&rows[i]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if next != "" {
		fmt.Fprintf(inv.stderr, "more: --cursor %s\n", printable(next))
	}
	return nil
}

// withoutTenant leaves out the second column, which has the tenant, where one
// tenant alone is listed.
func withoutTenant(where filter, cells []string) []string {
	if where["tenant"] == "" {
		return cells
	}
	return slices.Delete(cells, 1, 2)
}

// csvPages prints up to limit rows as the API writes them, with one header.
func csvPages(ctx context.Context, inv *invocation, client *apiclient.Client, path string, params url.Values, limit int) error {
	header := true
	for left := limit; left > 0 && params != nil; {
		params.Set("limit", strconv.Itoa(min(left, maxPage)))
		page, next, err := client.CSV(ctx, path, params)
		if err != nil {
			return err
		}
		records, err := csv.NewReader(bytes.NewReader(page)).ReadAll()
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		left -= len(records) - 1
		if !header {
			_, page, _ = bytes.Cut(page, []byte("\n")) // names of columns have no line ends
		}
		header = false
		if _, err := inv.stdout.Write(page); err != nil {
			return err
		}
		params = next
	}
	return nil
}

// writeRow writes one row of a table: printable characters alone, so that no
// name moves the cursor of a terminal, and 48 of them at most in a cell.
func writeRow(w io.Writer, cells []string) {
	for i, cell := range cells {
		last := i == len(cells)-1
		if !last {
			cell = shorten(cell, 48)
		}
		cells[i] = printable(cell)
		if cells[i] == "" && !last {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
