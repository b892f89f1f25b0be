package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeLimit is how long a shell waits for the running instance.
const completeLimit = 2 * time.Second

// completions complete the values of filters: of what the program knows, and of
// what the running instance has seen in the last 30 days.
func (inv *invocation) completions() map[string]completion {
	var types []string
	for _, t := range schemas.EventTypes().All() {
		types = append(types, t.Code+"\t"+t.Title)
	}
	words := func(all ...string) completion { return of(func(context.Context, string) []string { return all }) }
	return map[string]completion{
		"type":             words(types...),
		"outcome":          words("success", "failure", "info", "limit", "unknown"),
		"identity_kind":    words("machine", "human", "unknown"),
		"source":           words("stream", "pull", "import", "repair", "custom"),
		"user_agent_class": words("sdk", "infrastructure", "curl", "postman", "library", "browser", "other", "unknown"),
		"tenant":           of(inv.seen("tenant")),
		"cause":            of(inv.seen("cause")),
		"client_id":        of(inv.seen("client_id")),
		"audience":         of(inv.seen("audience")),
		"network":          of(inv.seen("network")),
		"identity":         of(inv.identities),
	}
}

// of completes the last of the values that commas separate, behind a ! as well.
func of(values func(ctx context.Context, prefix string) []string) completion {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before, last := "", typed
		if i := strings.LastIndexAny(typed, ",!"); i >= 0 {
			before, last = typed[:i+1], typed[i+1:]
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeLimit)
		defer cancel()
		var fitting []string
		for _, value := range values(ctx, last) {
			if strings.HasPrefix(value, last) && harmless(value) {
				fitting = append(fitting, before+value)
			}
		}
		return fitting, cobra.ShellCompDirectiveNoFileComp
	}
}

// harmless tells whether a shell that puts a value on its line, and a terminal that
// shows it, take it as it is. Ids and names are what somebody sent.
func harmless(value string) bool {
	value, description, _ := strings.Cut(value, "\t")
	return printable(value) == value && printable(description) == description && !strings.ContainsAny(value, "`$;&<>()'\"{}[]~")
}

// seen are the values of a dimension. A shell is told nothing of an error: it has
// no place for one.
func (inv *invocation) seen(dimension string) func(context.Context, string) []string {
	return func(ctx context.Context, prefix string) []string {
		client, err := inv.client()
		if err != nil {
			return nil
		}
		where := map[string]string{}
		if prefix != "" && dimension != "tenant" {
			where[dimension] = schemas.QuoteFilter(prefix) + "*"
		}
		page, err := client.Stats(ctx, apiclient.StatsQuery{By: []string{dimension}, Where: where, From: "30d", Limit: 100})
		if err != nil {
			return nil
		}
		var values []string
		for _, row := range page.Rows {
			if row.Values[0] != "" {
				values = append(values, schemas.QuoteFilter(row.Values[0]))
			}
		}
		return values
	}
}

func (inv *invocation) identities(ctx context.Context, prefix string) []string {
	client, err := inv.client()
	if err != nil {
		return nil
	}
	where := map[string]string{}
	if prefix != "" {
		where["identity"] = schemas.QuoteFilter(prefix) + "*"
	}
	page, err := client.Identities(ctx, apiclient.IdentityQuery{Where: where, From: "30d", Limit: 100})
	if err != nil {
		return nil
	}
	var ids []string
	for _, i := range page.Identities {
		text := schemas.QuoteFilter(i.ID)
		if i.Name != "" {
			text += "\t" + i.Name
		}
		ids = append(ids, text)
	}
	return ids
}
