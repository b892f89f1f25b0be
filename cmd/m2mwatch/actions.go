package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	actions "github.com/m2mwatch/m2mwatch/deploy/auth0"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newActions(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "Auth0 Actions that tell m2mwatch what the log does not: list, deploy, remove",
		Long: `An Action is code that Auth0 runs in each exchange of client credentials (credentials-exchange) or
each login (post-login). Those of m2mwatch send a custom event; they are deployed by this command
and by nothing else. They try once, for 300 ms at most, and swallow every error: an m2mwatch that is
down neither delays an exchange for longer nor fails it.`,
		Args: noArgs,
	}
	cmd.AddCommand(newActionsList(inv), newActionsDeploy(inv), newActionsRemove(inv))
	return cmd
}

// actionOf is the code for a trigger.
func actionOf(trigger string) (code string, err error) {
	var names []string
	for _, a := range actions.All() {
		if a.Trigger == trigger {
			return a.Code, nil
		}
		names = append(names, a.Trigger)
	}
	return "", fmt.Errorf("%w: trigger %q: want %s", errUsage, trigger, strings.Join(names, " or "))
}

func newActionsList(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		out output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the Actions of the two triggers, and which of them are m2mwatch's",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			l := recordList{what: "Actions", raw: []json.RawMessage{}, header: []string{"ACTION_ID", "TRIGGER", "STATUS", "VERSION", "RUNS", "M2MWATCH", "NAME"}}
			a := provision.Actions{API: api}
			for _, template := range actions.All() {
				all, err := a.List(cmd.Context(), template.Trigger)
				if err != nil {
					return err
				}
				bindings, err := a.Bindings(cmd.Context(), template.Trigger)
				if err != nil {
					return err
				}
				for i := range all {
					l.raw = append(l.raw, all[i].Raw)
					l.rows = append(l.rows, actionRow(&all[i], template, bindings))
				}
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	out.flags(cmd)
	return cmd
}

func actionRow(a *provision.Action, template actions.Action, bindings []provision.Binding) []string {
	version, runs, ours := "", "no", ""
	if a.Deployed.Number > 0 {
		version = fmt.Sprint(a.Deployed.Number)
	}
	if at := slices.IndexFunc(bindings, func(b provision.Binding) bool { return b.Action.ID == a.ID }); at >= 0 {
		runs = fmt.Sprintf("%d of %d", at+1, len(bindings))
	}
	switch {
	case a.Runs(template.Code):
		ours = "this build's"
	case a.Ours():
		ours = "another"
	}
	return []string{a.ID, template.Trigger, a.Status, version, runs, ours, a.Name}
}

func newActionsDeploy(inv *invocation) *cobra.Command {
	var (
		p                      = provisioning{inv: inv}
		ask                    asking
		tenant, endpoint, file string
		wait                   time.Duration
	)
	cmd := &cobra.Command{
		Use:   "deploy TRIGGER…",
		Short: "Have Auth0 tell of each credentials-exchange, or each post-login, by a custom event",
		Long: `deploy makes the Action of a trigger, or brings the one that it has made up to date, deploys it, and
has the trigger run it after what it runs already. The secret is one of the tenant's custom_secrets,
or of its log stream's where it has none; it is kept as a secret of the Action, not in its code. Where
it was cut short, run it again.`,
		Example: `  m2mwatch actions deploy credentials-exchange --tenant acme --endpoint https://m2mwatch.example.com --from-secret-file acme-custom.secret`,
		Args:    someArgs(1, "credentials-exchange, post-login or both"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			url, secret, err := actionSecrets(tenant, endpoint, file)
			for _, trigger := range args {
				_, unknown := actionOf(trigger)
				err = errors.Join(err, unknown)
			}
			if err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			if yes, err := ask.agreed(inv, "have Auth0 run m2mwatch's code at each "+strings.Join(args, " and "), "Have Auth0 run m2mwatch's code at each "+strings.Join(args, " and ")+"? Each waits for it, up to 300 ms"); !yes {
				return err
			}
			if wait > 0 {
				if err := awaitSecret(cmd.Context(), inv, url, secret, wait); err != nil {
					return err
				}
			}
			return each(cmd.Context(), args, func(trigger string) error {
				return deployAction(cmd, inv, &provision.Actions{API: api}, trigger, url, secret)
			})
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&tenant, "tenant", "", "the tenant's name in m2mwatch.yaml")
	f.StringVar(&endpoint, "endpoint", "", "where the webhook is: https://your-host")
	f.StringVar(&file, "from-secret-file", "", "a file with a secret for custom events that the instance knows")
	f.DurationVar(&wait, "wait", time.Minute, "for how long to wait at most until the webhook knows the secret; 0 not to look")
	return cmd
}

// actionSecrets are what the code asks for.
func actionSecrets(tenant, endpoint, file string) (url, secret string, err error) {
	if err := schemas.CheckTenant(tenant); err != nil {
		return "", "", fmt.Errorf("%w: --tenant: %w", errUsage, err)
	}
	if file == "" {
		return "", "", fmt.Errorf("%w: want --from-secret-file, with one of the tenant's custom_secrets", errUsage)
	}
	if url, err = payloadURL(endpoint, tenant, takesCustom); err != nil {
		return "", "", err
	}
	secret, err = existingSecret(file)
	return url, secret, err
}

// existingSecret reads --from-secret-file.
func existingSecret(file string) (string, error) {
	secret, err := readSecret(file)
	if secret = strings.TrimSpace(secret); err == nil && secret == "" {
		err = fmt.Errorf("--from-secret-file %s: it is empty", file)
	}
	return secret, err
}

func deployAction(cmd *cobra.Command, inv *invocation, a *provision.Actions, trigger, url, secret string) error {
	code, err := actionOf(trigger)
	if err != nil {
		return err
	}
	bar := newProgress(inv.stderr, trigger)
	const steps = 5
	done := int64(0)
	action, err := a.Deploy(cmd.Context(), provision.NewAction{
		Trigger: trigger, Code: code, Secrets: map[string]string{"M2MWATCH_URL": url, "M2MWATCH_SECRET": secret},
	}, func(step string) {
		bar.show(done, steps, step)
		done++
	})
	bar.done()
	if err != nil {
		return fmt.Errorf("%s: %w", trigger, err)
	}
	fmt.Fprintf(inv.stderr, "%s runs %s (%s, version %d)\n", trigger, printable(action.Name), printable(action.ID), action.Deployed.Number)
	return nil
}

func newActionsRemove(inv *invocation) *cobra.Command {
	var (
		p   = provisioning{inv: inv}
		ask asking
	)
	cmd := &cobra.Command{
		Use:   "remove TRIGGER…",
		Short: "Have a trigger run m2mwatch's Action no more, and delete it; others stay",
		Args:  someArgs(1, "credentials-exchange, post-login or both"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			for _, trigger := range args {
				if _, err := actionOf(trigger); err != nil {
					return err
				}
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			a := provision.Actions{API: api}
			return each(cmd.Context(), args, func(trigger string) error {
				action, err := a.Find(cmd.Context(), trigger)
				if err != nil {
					return err
				}
				what := printable(fmt.Sprintf("%s (%s) from %s", action.Name, action.ID, trigger))
				if yes, err := ask.agreed(inv, "remove "+what, "Remove "+what+"?"); !yes {
					return err
				}
				if err := a.Remove(cmd.Context(), action); err != nil {
					return err
				}
				fmt.Fprintln(inv.stderr, what, "is removed")
				return nil
			})
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	return cmd
}
