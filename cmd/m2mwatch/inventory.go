package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// syncPoll is the wait between two looks at how far a sync is.
const syncPoll = 300 * time.Millisecond

func newInventory(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inventory",
		Short: "What tenants have: applications, grants, APIs, roles, programmatic users, credentials, log streams",
		Long: `The running instance reads the inventory of each tenant that has a management section, every hour
and soon after its logs tell of a change. Secrets are never read.`,
		Args: noArgs,
	}
	cmd.AddCommand(newInventoryList(inv), newInventoryChanges(inv), newInventorySync(inv))
	return cmd
}

func newInventorySync(inv *invocation) *cobra.Command {
	var (
		tenant         string
		asJSON, noWait bool
	)
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Read a tenant's inventory now, and tell what is another than before",
		Long: `sync has the running instance compare what a tenant has with what is stored. What is there no more
is marked as deleted only where Auth0 says so of it. A kind that cannot be read whole is left as it
was; the others are stored all the same. The command only watches: interrupted, it leaves the sync
running.`,
		Example: "  m2mwatch inventory sync --tenant acme",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			if tenant == "" {
				return fmt.Errorf("%w: --tenant: of which tenant? It is one of tenants[].name of the running instance's configuration", errUsage)
			}
			if err := schemas.CheckTenant(tenant); err != nil {
				return fmt.Errorf("%w: --tenant: %w", errUsage, err)
			}
			sync, err := client.StartInventorySync(cmd.Context(), tenant)
			if err == nil && !noWait {
				sync, err = watchSync(cmd.Context(), inv, client, sync)
			}
			switch {
			case err != nil:
				return err
			case asJSON:
				err = inv.printJSON(sync)
			default:
				err = writeSync(inv, &sync)
			}
			if err == nil && sync.State == schemas.InventoryFailed {
				return fmt.Errorf("the inventory of %s was not read whole: %s", sync.Tenant, sync.Error)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "of this tenant")
	f.BoolVar(&noWait, "no-wait", false, "start it and return at once")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	_ = cmd.RegisterFlagCompletionFunc("tenant", inv.completions()["tenant"]) // an error would mean that there is no such flag
	return cmd
}

// watchSync shows how far a sync is until it is over.
func watchSync(ctx context.Context, inv *invocation, client *apiclient.Client, sync schemas.InventorySync) (schemas.InventorySync, error) {
	bar := newProgress(inv.stderr, "inventory")
	defer bar.done()
	for !sync.Over() {
		bar.show(int64(len(sync.Kinds)), int64(len(schemas.InventoryKinds())), readingNow(&sync))
		wait := syncPoll
		select {
		case <-ctx.Done():
			bar.done()
			return sync, fmt.Errorf("interrupted: sync %s goes on in the running instance", sync.ID)
		case <-time.After(wait):
		}
		next, err := client.InventorySync(ctx, sync.ID)
		switch retry, overloaded := retryAfter(err); {
		case err == nil:
			sync = next
		case ctx.Err() != nil: // told at the top of the loop
		case overloaded:
			select {
			case <-ctx.Done():
			case <-time.After(retry):
			}
		default:
			return sync, fmt.Errorf("watch sync %s, which goes on: %w", sync.ID, err)
		}
	}
	return sync, nil
}

func readingNow(s *schemas.InventorySync) string {
	kinds := schemas.InventoryKinds()
	if s.State == schemas.InventoryPending || len(s.Kinds) >= len(kinds) {
		return string(s.State)
	}
	return "reading " + string(kinds[len(s.Kinds)])
}

func writeSync(inv *invocation, s *schemas.InventorySync) error {
	if !s.Over() {
		fmt.Fprintf(inv.stdout, "sync %s is %s\n", s.ID, s.State)
		return nil
	}
	w := table(inv.stdout)
	writeRow(w, []string{"KIND", "ITEMS", "ADDED", "CHANGED", "DELETED", "READ"})
	for _, k := range s.Kinds {
		if !k.Whole {
			writeRow(w, []string{string(k.Kind), "-", "-", "-", "-", "no: " + k.Error})
			continue
		}
		writeRow(w, []string{string(k.Kind), strconv.Itoa(k.Items), strconv.Itoa(k.Added), strconv.Itoa(k.Changed), strconv.Itoa(k.Deleted), "whole"})
	}
	return w.Flush()
}

func newInventoryList(inv *invocation) *cobra.Command {
	var (
		q   apiclient.InventoryQuery
		out output
	)
	kinds := make([]string, 0, 7)
	for _, kind := range schemas.InventoryKinds() {
		kinds = append(kinds, string(kind))
	}
	cmd := &cobra.Command{
		Use:       "list [" + strings.Join(kinds, "|") + "]",
		Short:     "List what tenants have, by id",
		Example:   "  m2mwatch inventory list clients --owner billing\n  m2mwatch inventory list credentials --json",
		ValidArgs: kinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Kind = schemas.InventoryClients
			if len(args) > 0 {
				q.Kind = schemas.InventoryKind(args[0])
			}
			if _, known := schemas.ParseInventoryKind(string(q.Kind)); !known || len(args) > 1 {
				return fmt.Errorf("%w: inventory list takes one of %s, got %q", errUsage, strings.Join(kinds, ", "), args)
			}
			l := listing[schemas.InventoryItem]{
				what: string(q.Kind), path: apiclient.InventoryPath + string(q.Kind), params: q.Values(), limit: q.Limit, cursor: q.Cursor,
				read: func(ctx context.Context, client *apiclient.Client, limit int, cursor string) ([]schemas.InventoryItem, string, error) {
					q.Limit, q.Cursor = limit, cursor
					page, err := client.Inventory(ctx, q)
					return page.Items, page.Next, err
				},
				page: func(rows []schemas.InventoryItem, next string) any {
					return schemas.InventoryPage{Items: rows, Next: next}
				},
				header: withoutTenant(filter{"tenant": q.Tenant}, append([]string{"ID", "TENANT", "NAME"}, inventoryColumns(q.Kind)...)),
				row: func(i *schemas.InventoryItem) []string {
					return withoutTenant(filter{"tenant": q.Tenant}, append([]string{i.ID, i.Tenant, i.Name + deletedMark(i)}, inventoryCells(i)...))
				},
			}
			return l.print(cmd.Context(), inv, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Tenant, "tenant", "", "of this tenant")
	f.StringVar(&q.Identity, "identity", "", "of this identity, such as app:CLIENT_ID")
	f.StringVar(&q.Name, "name", "", "with these names: a value, several with commas, * for any characters, ! for none of these")
	f.StringVar(&q.Owner, "owner", "", "of these owners, in the words of --name")
	f.BoolVar(&q.Deleted, "deleted", false, "also what was deleted")
	f.IntVar(&q.Limit, "limit", 100, "at most this many")
	f.StringVar(&q.Cursor, "cursor", "", "continue a listing")
	out.flags(cmd)
	return cmd
}

// writeIdentityInventory tells what the inventory has of an identity.
func writeIdentityInventory(row func(cells ...string), i *schemas.IdentityInventory) {
	if i == nil {
		return
	}
	for _, cells := range [][2]string{
		{"type", i.Type},
		{"owner", i.Owner},
		{"purpose", i.Purpose},
		{"expires", i.Expires},
		{"connection", i.Connection},
		{"auth", i.AuthMethod},
		{"created", day(i.Created)},
		{"secret rotated", day(i.SecretRotated)},
		{"last success", i.LastSuccess},
	} {
		if cells[1] != "" {
			row(cells[0], cells[1])
		}
	}
	switch {
	case !i.Deleted.IsZero():
		row("deleted", clock(i.Deleted))
	case i.Disabled && i.Connection != "":
		row("disabled", "it is blocked")
	case i.Disabled:
		row("disabled", "it has no grants")
	}
	for _, g := range i.Grants {
		scopes := strings.Join(g.Scopes, " ")
		if g.AllScopes {
			scopes = "all scopes"
		}
		row("grant", fmt.Sprintf("%s  %s  tokens last %s", g.Audience, scopes, time.Duration(g.TokenLifetime)*time.Second))
	}
	for _, c := range i.Credentials {
		row("credential", fmt.Sprintf("%s  %s  made %s, expires %s", c.KeyID, c.Type, cmp.Or(day(c.Created), "-"), cmp.Or(c.Expires, "never")))
	}
}

func deletedMark(i *schemas.InventoryItem) string {
	if !i.Gone() {
		return ""
	}
	return " (deleted " + clock(i.Deleted) + ")"
}

// inventoryColumns are what a person wants to know of a kind, beside names.
func inventoryColumns(kind schemas.InventoryKind) []string {
	switch kind {
	case schemas.InventoryClients:
		return []string{"TYPE", "OWNER", "PURPOSE", "EXPIRES", "AUTH", "CREATED"}
	case schemas.InventoryGrants:
		return []string{"CLIENT", "SCOPES"}
	case schemas.InventoryAPIs:
		return []string{"AUDIENCE", "TOKENS LAST", "SCOPES"}
	case schemas.InventoryRoles:
		return []string{"PERMISSIONS"}
	case schemas.InventoryUsers:
		return []string{"OWNER", "PURPOSE", "EXPIRES", "CONNECTION", "CREATED"}
	case schemas.InventoryCredentials:
		return []string{"CLIENT", "TYPE", "KID", "CREATED", "EXPIRES"}
	}
	return []string{"TYPE", "STATUS", "ENDPOINT", "FILTERS"}
}

func inventoryCells(i *schemas.InventoryItem) []string {
	m := &i.Members
	switch i.Kind {
	case schemas.InventoryClients:
		return []string{i.Type, i.Owner, i.Purpose, i.Expires, m.AuthMethod, day(i.Created)}
	case schemas.InventoryGrants:
		scopes := strings.Join(m.Scopes, " ")
		if m.AllScopes {
			scopes = "all of the API's"
		}
		return []string{m.ClientID, scopes}
	case schemas.InventoryAPIs:
		return []string{m.Audience, (time.Duration(m.TokenLifetime) * time.Second).String(), strconv.Itoa(len(m.Scopes))}
	case schemas.InventoryRoles:
		return []string{strings.Join(m.Permissions, ", ")}
	case schemas.InventoryUsers:
		return []string{i.Owner, i.Purpose, i.Expires, m.Connection, day(i.Created)}
	case schemas.InventoryCredentials:
		return []string{m.ClientID, i.Type, m.KeyID, day(i.Created), i.Expires}
	}
	return []string{i.Type, m.Status, m.Endpoint, strings.Join(m.Filters, " ")}
}

// day is the day of a time in the reader's zone, or nothing.
func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateOnly)
}
