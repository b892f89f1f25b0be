package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newSilences(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "silences", Short: "What is not to page anybody, until when"}
	cmd.AddCommand(newSilencesAdd(inv), newSilencesList(inv), newSilencesExpire(inv))
	return cmd
}

func newSilencesAdd(inv *invocation) *cobra.Command {
	var (
		r      schemas.SilenceRequest
		level  string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Silence the findings that all that is given fits; they are stored and shown, and page nobody",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.Level = schemas.Level(level)
			var errs []error
			if r.SilenceMatcher == (schemas.SilenceMatcher{}) {
				errs = append(errs, errors.New("say what: --tenant, --rule, --identity, --key, --level or --owner"))
			}
			if r.Ends == "" {
				errs = append(errs, errors.New("say until when: --for 8h, or --until a time; a year at most"))
			}
			if r.Reason == "" {
				errs = append(errs, errors.New("say why: --reason TEXT"))
			}
			if err := errors.Join(errs...); err != nil {
				return fmt.Errorf("%w: silences add: %w", errUsage, err)
			}
			r.By = cmp.Or(r.By, operatorName())
			client, err := inv.client()
			if err != nil {
				return err
			}
			s, err := client.AddSilence(cmd.Context(), r)
			if err != nil {
				return err
			}
			noteUnknownRule(cmd.Context(), inv, client, r.RuleID)
			if asJSON {
				return inv.printJSON(s)
			}
			_, err = fmt.Fprintf(inv.stdout, "silence %s: %s, until %s\nend it with: m2mwatch silences expire %s\n", s.ID, matcherText(&s), clock(s.EndsAt), s.ID)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.Tenant, "tenant", "", "findings of this tenant")
	f.StringVar(&r.RuleID, "rule", "", "of this rule, such as MI-02")
	f.StringVar(&r.Identity, "identity", "", "of this identity, such as app:CLIENT_ID")
	f.StringVar(&r.Key, "key", "", "of this key, what the rule groups by")
	f.StringVar(&level, "level", "", "of this level")
	f.StringVar(&r.Owner, "owner", "", "of identities of this owner, as the inventory has it")
	f.StringVar(&r.Starts, "starts", "", "from this time on: RFC 3339 or a date; now where it is left out")
	f.StringVar(&r.Ends, "for", "", "for how long: 90m, 8h, 7d, 2w")
	f.StringVar(&r.Ends, "until", "", "until this time: RFC 3339 or a date")
	f.StringVar(&r.Reason, "reason", "", "why")
	f.StringVar(&r.By, "by", "", "who answers for it; USER@HOST where it is left out")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("for", "until")
	return cmd
}

// noteUnknownRule says where a silence is of a rule that has found nothing: its id may
// be mistyped, and whoever relies on it is paged on.
func noteUnknownRule(ctx context.Context, inv *invocation, client *apiclient.Client, rule string) {
	if rule == "" {
		return
	}
	found, err := client.Findings(ctx, apiclient.FindingQuery{RuleID: rule, Limit: 1})
	if err == nil && len(found.Findings) == 0 {
		fmt.Fprintf(inv.stderr, "note: rule %s has found nothing yet; whether that is its id tells m2mwatch rules list\n", printable(rule))
	}
}

// matcherText says what a silence matches.
func matcherText(s *schemas.Silence) string {
	var parts []string
	for _, p := range [][2]string{
		{"tenant", s.Tenant}, {"rule", s.RuleID}, {"identity", s.Identity}, {"key", s.Key}, {"level", string(s.Level)}, {"owner", s.Owner},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+"="+printable(p[1]))
		}
	}
	return strings.Join(parts, " ")
}

func newSilencesList(inv *invocation) *cobra.Command {
	var (
		all, asJSON bool
		limit       int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List silences in force and to come, the one that ends last first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			page, err := client.Silences(cmd.Context(), all, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(page)
			}
			if len(page.Silences) == 0 {
				_, err := fmt.Fprintln(inv.stderr, "no silences")
				return err
			}
			w := table(inv.stdout)
			fmt.Fprintln(w, "ID\tFROM\tUNTIL\tBY\tWHAT\tWHY")
			for i := range page.Silences {
				s := &page.Silences[i]
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, clock(s.StartsAt), clock(s.EndsAt), printable(s.By), matcherText(s), printable(s.Reason))
			}
			return w.Flush()
		},
	}
	f := cmd.Flags()
	f.BoolVar(&all, "all", false, "those that have ended, too")
	f.IntVar(&limit, "limit", 100, "at most this many")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func newSilencesExpire(inv *invocation) *cobra.Command {
	var (
		by     string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "expire ID",
		Short: "End a silence now",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: silences expire takes one id (see `m2mwatch silences list`)", errUsage)
			}
			client, err := inv.client()
			if err != nil {
				return err
			}
			s, err := client.ExpireSilence(cmd.Context(), args[0], cmp.Or(by, operatorName()))
			if err != nil {
				return err
			}
			if asJSON {
				return inv.printJSON(s)
			}
			_, err = fmt.Fprintf(inv.stdout, "silence %s ended at %s\n", s.ID, clock(s.EndsAt))
			return err
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "who ends it; USER@HOST where it is left out")
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}
