package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// rotation is what a run of apps rotate was asked.
type rotation struct {
	ofApp
	ask    asking
	secret newSecret
	key    keyFlags
	finish bool
	watch  rotationWatch
	asJSON bool
}

func newAppsRotate(inv *invocation) *cobra.Command {
	r := rotation{ofApp: ofApp{provisioning: provisioning{inv: inv}}, secret: newSecret{again: true}}
	cmd := &cobra.Command{
		Use:   "rotate CLIENT_ID",
		Short: "Give an application another secret, or another key without a gap",
		Long: `rotate tells first, by what the running instance has stored, when and from where the application
was last used; then it asks, and gives it another secret. The old one is refused at once. How to see
what still uses it is said at the end; --watch waits until nothing does.

An application that authenticates by a key (private_key_jwt) is rotated without a gap, in two steps:

  1. --new-key-file or --public-key-file has it accept another key beside the one that it has. Now
     the new key is to be deployed. apps show --keys tells how far it is.
  2. --finish has it accept the newest key alone, and deletes the other.

It can have two keys at most. Each step can be called again where it was cut short. With a key an
application that has a secret changes to keys: the secret is refused at once.`,
		Example: `  m2mwatch apps rotate 2vJ0oYqkYc0Yy3tQm1oXhYV5sJdVn4Rk --secret-file new.secret --watch
  m2mwatch apps rotate 2vJ0oYqkYc0Yy3tQm1oXhYV5sJdVn4Rk --new-key-file new.pem --key-expires 180d
  m2mwatch apps rotate 2vJ0oYqkYc0Yy3tQm1oXhYV5sJdVn4Rk --finish`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.check(); err != nil {
				return err
			}
			defer r.watch.close()
			switch {
			case r.finish:
				return r.finishKeys(cmd, args[0])
			case r.key.asked():
				return r.addKey(cmd, args[0])
			}
			return r.rotateSecret(cmd, args[0])
		},
	}
	r.flags(cmd, inv)
	r.ask.flags(cmd)
	r.secret.flags(cmd, "secret-file", "the new client secret")
	r.key.flags(cmd)
	cmd.Flags().BoolVar(&r.finish, "finish", false, "refuse the old key and delete it: the new one is deployed")
	r.watch.flags(cmd)
	cmd.Flags().BoolVar(&r.asJSON, "json", false, "JSON as the API answers it")
	cmd.MarkFlagsMutuallyExclusive("finish", "new-key-file")
	cmd.MarkFlagsMutuallyExclusive("finish", "public-key-file")
	return cmd
}

func (r *rotation) check() error {
	if (r.finish || r.key.asked()) && r.secret.file != "" {
		return fmt.Errorf("%w: --secret-file is for a secret, and this is about a key", errUsage)
	}
	return errors.Join(r.watch.check(), r.key.check())
}

// app reads the application when the scopes are there.
func (r *rotation) app(cmd *cobra.Command, id, when string) (*provision.Apps, provision.App, error) {
	api, err := r.begin(cmd, when)
	if err != nil {
		return nil, provision.App{}, err
	}
	apps := &provision.Apps{API: api}
	app, err := r.get(cmd, apps, id)
	return apps, app, err
}

// beforehand finds the instance where it is to be watched after the rotation, and
// tells what it knows.
func (r *rotation) beforehand(cmd *cobra.Command, id string) error {
	if r.watch.on {
		a, err := newActivity(cmd.Context(), r.inv, id)
		if err != nil {
			return fmt.Errorf("--watch: %w", err)
		}
		r.watch.activity = a
	}
	tellUsage(cmd.Context(), r.inv, id)
	return nil
}

func (r *rotation) rotateSecret(cmd *cobra.Command, id string) error {
	if err := r.ask.check(cmd, r.inv); err != nil {
		return err
	}
	if !r.ask.dryRun { // which makes no secret
		if err := errors.Join(r.secret.check(r.inv), r.secret.free()); err != nil {
			return err
		}
	}
	apps, app, err := r.app(cmd, id, provision.WhenSecret)
	if err != nil {
		return err
	}
	what := appText(&app)
	if app.HasKeys() {
		return fmt.Errorf("%s authenticates by keys: --new-key-file or --public-key-file gives it another", what)
	}
	if err := r.beforehand(cmd, app.ID); err != nil {
		return err
	}
	if yes, err := r.ask.agreed(r.inv, "give another secret to "+what, "Give another secret to "+what+", and refuse the old one at once?"); !yes {
		return err
	}
	if r.secret.file != "" && provision.IsReserved(r.secret.file) {
		fmt.Fprintf(r.inv.stderr, "%s was reserved by a run that was killed before it wrote the secret: what that made is nowhere, and this makes another\n", printable(r.secret.file))
	}
	if err := r.secret.reserve(); err != nil {
		return err
	}
	at := time.Now()
	if app, err = apps.Rotate(cmd.Context(), app.ID); err != nil {
		r.secret.forget()
		if errors.Is(err, provision.ErrMaybeDone) {
			err = fmt.Errorf("%w; nobody knows which secret is good now: rotate again", err)
		}
		return err
	}
	if err := printApp(r.inv, &r.secret, &app, r.asJSON); err != nil {
		return err
	}
	return r.watch.after(cmd.Context(), r.inv, app.ID, at)
}

// addKey asks only where something stops: a key beside another stops nothing.
func (r *rotation) addKey(cmd *cobra.Command, id string) error {
	if r.watch.on {
		return fmt.Errorf("%w: --watch goes with --finish: until then the old key is accepted", errUsage)
	}
	apps, app, err := r.app(cmd, id, provision.WhenKey)
	if err != nil {
		return err
	}
	what := appText(&app)
	switch {
	case !app.HasKeys():
		if err := r.ask.check(cmd, r.inv); err != nil {
			return err
		}
		tellUsage(cmd.Context(), r.inv, app.ID)
		if yes, err := r.ask.agreed(r.inv, "have "+what+" authenticate by a key", "Have "+what+" authenticate by a key, and refuse its secret at once?"); !yes {
			return err
		}
	case r.ask.dryRun:
		fmt.Fprintf(r.inv.stderr, "would have %s accept another key, beside %d that it has\n", what, len(app.Accepts()))
		return nil
	}
	key, _, err := r.key.key(r.inv)
	if err != nil {
		return err
	}
	list, err := apps.AddKey(cmd.Context(), app.ID, key)
	if err != nil {
		return fmt.Errorf("%w (the same command goes on where it was cut short)", err)
	}
	if app.HasKeys() {
		tellKeys(r.inv, app.ID, list)
	}
	return printKeys(r.inv, list, r.asJSON)
}

func (r *rotation) finishKeys(cmd *cobra.Command, id string) error {
	if err := r.ask.check(cmd, r.inv); err != nil {
		return err
	}
	apps, app, err := r.app(cmd, id, provision.WhenFinish)
	if err != nil {
		return err
	}
	list, err := apps.Credentials(cmd.Context(), app.ID)
	if err != nil {
		return err
	}
	stays, old, err := provision.Finishing(list, time.Now())
	if err != nil {
		return fmt.Errorf("application %s: %w", app.ID, err)
	}
	if err := r.beforehand(cmd, app.ID); err != nil {
		return err
	}
	what := appText(&app)
	for i := range old {
		fmt.Fprintln(r.inv.stderr, "goes: ", printable(old[i].String()))
	}
	fmt.Fprintln(r.inv.stderr, "stays:", printable(stays.String()))
	if yes, err := r.ask.agreed(r.inv, "refuse and delete the old key of "+what, "Refuse and delete the other key of "+what+"? The one that stays has to be deployed everywhere."); !yes {
		return err
	}
	at := time.Now()
	if list, err = apps.FinishKeys(cmd.Context(), app.ID); err != nil {
		return fmt.Errorf("%w (the same command goes on where it was cut short)", err)
	}
	if err := printKeys(r.inv, list, r.asJSON); err != nil {
		return err
	}
	return r.watch.after(cmd.Context(), r.inv, app.ID, at)
}

// tellKeys says how far a rotation of keys is, and what is next.
func tellKeys(inv *invocation, id string, list []provision.Credential) {
	accepted := 0
	for i := range list {
		if list[i].Accepted {
			accepted++
		}
	}
	stays, old, err := provision.Finishing(list, time.Now())
	switch {
	case errors.Is(err, provision.ErrNothingToFinish):
	case err != nil:
		fmt.Fprintln(inv.stderr, "a rotation was cut short:", printable(err.Error()))
	case slices.ContainsFunc(old, func(c provision.Credential) bool { return c.Accepted && c.Created > stays.Created }):
		fmt.Fprintf(inv.stderr, "the newest key has expired. m2mwatch apps rotate %s --finish deletes it, and the older one stays\n", printable(id))
	case accepted > 1:
		fmt.Fprintf(inv.stderr, "both keys are accepted, and there can be no third. Deploy the new one, then: m2mwatch apps rotate %s --finish\n", printable(id))
	case len(old) > 0:
		fmt.Fprintf(inv.stderr, "the old key is refused and not deleted yet: m2mwatch apps rotate %s --finish\n", printable(id))
	}
}

func printKeys(inv *invocation, list []provision.Credential, asJSON bool) error {
	if asJSON {
		return inv.printJSON(list)
	}
	w := table(inv.stdout)
	writeRow(w, []string{"KEY", "NAME", "KID", "ALG", "CREATED", "EXPIRES", "ACCEPTED"})
	for i := range list {
		c, accepted := &list[i], "no"
		if c.Accepted {
			accepted = "yes"
		}
		writeRow(w, []string{c.ID, c.Name, c.KeyID, c.Alg, c.Created, c.Expires, accepted})
	}
	return w.Flush()
}
