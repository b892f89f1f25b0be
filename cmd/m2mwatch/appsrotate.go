package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newAppsRotate(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		ask    asking
		secret newSecret
		watch  rotationWatch
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "rotate CLIENT_ID",
		Short: "Give an application another secret; the old one is refused from then on",
		Long: `rotate tells first, by what the running instance has stored, when and from where the application
was last used; then it asks, and gives it another secret. The old one is refused at once. How to see
what still uses it is said at the end; --watch waits until nothing does.`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(ask.check(cmd, inv), watch.check(), secret.check(inv), secret.free()); err != nil {
				return err
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			apps := provision.Apps{API: api}
			app, err := apps.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if watch.on { // before the old secret is gone
				a, err := newActivity(cmd.Context(), inv, app.ID)
				if err != nil {
					return fmt.Errorf("--watch: %w", err)
				}
				defer a.client.Close()
				watch.activity = a
			}
			tellUsage(cmd.Context(), inv, app.ID)
			what := printable(fmt.Sprintf("%s (%s)", app.Name, app.ID))
			if yes, err := ask.agreed(inv, "give another secret to "+what, "Give another secret to "+what+", and refuse the old one at once?"); !yes {
				return err
			}
			if err := secret.reserve(); err != nil {
				return err
			}
			at := time.Now()
			if app, err = apps.Rotate(cmd.Context(), app.ID); err != nil {
				secret.forget()
				if errors.Is(err, provision.ErrMaybeDone) {
					err = fmt.Errorf("%w; nobody knows which secret is good now: rotate again", err)
				}
				return err
			}
			if err := printApp(inv, &secret, &app, asJSON); err != nil {
				return err
			}
			return watch.after(cmd.Context(), inv, app.ID, at)
		},
	}
	p.flags(cmd, inv)
	ask.flags(cmd)
	secret.flags(cmd, "secret-file", "the new client secret")
	watch.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}
