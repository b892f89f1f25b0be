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
	known := func(all []suggestion) completion {
		return values(func(context.Context, string) []suggestion { return all })
	}
	words := func(words ...string) completion {
		var all []suggestion
		for _, word := range words {
			all = append(all, suggestion{value: word})
		}
		return known(all)
	}
	var types []suggestion
	for _, t := range schemas.EventTypes().All() {
		types = append(types, suggestion{t.Code, t.Title})
	}
	return map[string]completion{
		"type":             known(types),
		"outcome":          words("success", "failure", "info", "limit", "unknown"),
		"identity_kind":    words("machine", "human", "unknown"),
		"source":           words("stream", "pull", "import", "repair", "custom"),
		"user_agent_class": words("sdk", "infrastructure", "curl", "postman", "library", "browser", "other", "unknown"),
		"tenant":           name(inv.seen("tenant")),
		"cause":            values(inv.seen("cause")),
		"client_id":        values(inv.seen("client_id")),
		"audience":         values(inv.seen("audience")),
		"network":          values(inv.seen("network")),
		"identity":         values(inv.identities),
	}
}

// suggestion is a value that a flag or an argument may have, and what a shell
// that tells of it shows beside it.
type suggestion struct{ value, text string }

// suggest finds values that begin with a prefix; others are passed over.
type suggest = func(ctx context.Context, prefix string) []suggestion

// values completes the last value of a condition, see schemas.ParseCondition.
// What is typed of it stays as it is typed, since a shell drops what begins
// otherwise: of what comes behind it, commas and the like are quoted.
func values(find suggest) completion {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		whole, prefix, ok := lastValue(typed)
		if !ok {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, find, prefix, typed, func(rest string) string { return whole + schemas.QuoteFilter(rest) })
	}
}

// name completes what is a value itself and no condition.
func name(find suggest) completion {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return complete(cmd, find, typed, typed, func(rest string) string { return typed + rest })
	}
}

// argument completes the first argument and no other.
func argument(complete completion) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}

// complete offers what find has for a prefix, each as text writes what follows
// the prefix.
func complete(cmd *cobra.Command, find suggest, prefix, typed string, text func(rest string) string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeLimit)
	defer cancel()
	var fitting []string
	for _, s := range find(ctx, prefix) {
		rest, fits := strings.CutPrefix(s.value, prefix)
		if value := text(rest); fits && strings.HasPrefix(value, typed) && harmless(value) {
			if s.text != "" && printable(s.text) == s.text {
				value += "\t" + s.text
			}
			fitting = append(fitting, value)
		}
	}
	return fitting, cobra.ShellCompDirectiveNoFileComp
}

// lastValue is what the last value of a condition says as far as it is typed,
// and the text up to there: a backslash at the end says nothing yet. A pattern
// says no value, and false.
func lastValue(typed string) (whole, value string, ok bool) {
	text, _ := strings.CutPrefix(typed, "!")
	part, pattern := []byte{}, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case ',':
			part, pattern = part[:0], false
		case '*':
			pattern = true
		case '\\':
			if i++; i == len(text) {
				return strings.TrimSuffix(typed, `\`), string(part), !pattern
			}
			part = append(part, text[i])
		default:
			part = append(part, text[i])
		}
	}
	return typed, string(part), !pattern
}

// harmless tells whether a shell that puts a value on its line, and a terminal that
// shows it, take it as it is. Ids and names are what somebody sent.
func harmless(value string) bool {
	return printable(value) == value && !strings.ContainsAny(value, "`$;&<>()'\"{}[]~")
}

// seen are the values of a dimension. A shell is told nothing of an error: it has
// no place for one.
func (inv *invocation) seen(dimension string) suggest {
	return func(ctx context.Context, prefix string) []suggestion {
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
		var all []suggestion
		for _, row := range page.Rows {
			if row.Values[0] != "" {
				all = append(all, suggestion{value: row.Values[0]})
			}
		}
		return all
	}
}

func (inv *invocation) identities(ctx context.Context, prefix string) []suggestion {
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
	var all []suggestion
	for _, i := range page.Identities {
		all = append(all, suggestion{i.ID, i.Name})
	}
	return all
}
