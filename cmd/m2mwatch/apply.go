package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// applying is a run of apply.
type applying struct {
	provisioning
	file      machinesFile
	ask       asking
	keep      backups
	secrets   string
	deletes   bool
	asJSON    bool
	machines  *provision.Machines
	plan      *provision.Plan
	applier   provision.Applier
	printing  sync.Mutex // of what several goroutines print
	bar       *progress
	secretDir *provision.SecretsDir

	expecting *expecting
	madeIDs   map[string]string // of what was made, by kind and key; guarded by printing

	keptSecrets bool // of something that was made
}

func newApply(inv *invocation) *cobra.Command {
	a := &applying{provisioning: provisioning{inv: inv}}
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Make a tenant's machine identities as machines.yaml says",
		Long: `apply plans, prints the plan, asks, and makes it so. It may be interrupted or killed at any step and
run again: it goes on where it was, and nothing is there twice, also when two run at once. What is to
be deleted is deleted with --delete alone, each after a backup of it is on disk.

Passwords and client secrets of what it makes go to files in --secrets-dir, which nobody else can read.
A file called app-KEY.secret or user-KEY.password holds one that is in use; a .pending- one that an
apply which was cut short may have used: run it again, with the same folder, and it gets its name.`,
		Example: `  m2mwatch apply -f machines.yaml --secrets-dir secrets`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.ask.check(cmd, inv); err != nil {
				return err
			}
			return a.run(cmd)
		},
	}
	a.flags(cmd, inv)
	a.file.flags(cmd)
	a.ask.flags(cmd)
	a.keep.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&a.secrets, "secrets-dir", "", "the folder for passwords and client secrets of what is made; made where there is none")
	f.BoolVar(&a.deletes, "delete", false, "delete what apply has made or adopted and the file has no more")
	f.BoolVar(&a.asJSON, "json", false, "the plan as JSON")
	return cmd
}

func (a *applying) run(cmd *cobra.Command) (err error) {
	if a.machines, err = a.file.read(a.domain); err != nil {
		return err
	}
	if err := a.openSecrets(); err != nil {
		return err
	}
	if a.secretDir != nil {
		defer a.secretDir.Close()
	}
	api, err := a.begin(cmd, a.machines.Needs()...)
	if err != nil {
		return err
	}
	if a.plan, err = a.file.plan(cmd, a.inv, api, a.machines); err != nil {
		return fmt.Errorf("%s: %w", a.file.path, err)
	}
	a.expecting, err = newExpecting(cmd.Context(), a.inv, a.domain, a.plan)
	defer a.expecting.close()
	if err != nil { // before anything is made: half of a file would be worse than none
		return err
	}
	if a.asJSON {
		err = a.inv.printJSON(a.plan)
	} else {
		err = errors.Join(writePlan(a.inv.stdout, a.plan), a.expecting.write(a.inv.stdout))
	}
	fmt.Fprintln(a.inv.stderr, summary(a.plan, a.expecting))
	if err != nil {
		return err
	}
	return a.apply(cmd, api)
}

// changes counts them in words.
func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

// openSecrets opens the folder for secrets, but for a dry run, which would make it.
func (a *applying) openSecrets() (err error) {
	if a.secrets != "" && !a.ask.dryRun {
		a.secretDir, err = provision.OpenSecretsDir(a.secrets, a.domain)
	}
	return err
}

// apply asks, and does what was planned.
func (a *applying) apply(cmd *cobra.Command, api provision.API) error {
	a.applier = provision.Applier{API: api, Secrets: a.secretDir, Delete: a.deletes}
	if n := a.plan.Count(provision.ActionDelete); n > 0 && !a.deletes {
		fmt.Fprintf(a.inv.stderr, "%d are not deleted: say --delete\n", n)
	}
	atTenant := a.applier.Todo(a.plan) + len(a.plan.Leftovers)
	todo := atTenant + a.expecting.count()
	if a.ask.dryRun {
		return nil
	}
	if todo == 0 {
		return a.applier.Recover(cmd.Context(), a.plan)
	}
	if err := a.check(cmd); err != nil {
		return err
	}
	question := fmt.Sprintf("Make %s at %s?", changes(todo), printable(a.domain))
	if err := a.ask.confirm(a.inv, question); err != nil {
		return err
	}
	if atTenant == 0 {
		if err := a.applier.Recover(cmd.Context(), a.plan); err != nil {
			return err
		}
		return a.declare(cmd, todo)
	}
	a.bar = newProgress(a.inv.stderr, "apply")
	a.applier.OnDo = func(what string, done, total int) { a.bar.show(int64(done), int64(total), printable(what)) }
	a.applier.OnMade = a.made
	err := a.applier.Apply(cmd.Context(), a.plan)
	a.bar.done()
	if err != nil {
		return fmt.Errorf("not all of it is done; apply goes on where it was: %w", err)
	}
	if a.keptSecrets {
		fmt.Fprintf(a.inv.stderr, "secrets of what was made are in %s\n", printable(a.secrets))
	}
	return a.declare(cmd, todo)
}

// declare declares what is to be expected of what there is now, the last of all changes.
func (a *applying) declare(cmd *cobra.Command, done int) error {
	made := func(kind, key string) string {
		a.printing.Lock()
		defer a.printing.Unlock()
		return a.madeIDs[kind+" "+key]
	}
	if err := a.expecting.declare(cmd.Context(), made); err != nil {
		return err
	}
	fmt.Fprintf(a.inv.stderr, "%s made\n", changes(done))
	return nil
}

// check looks for all that would end it halfway: a place for secrets, a backup's
// key, scopes.
func (a *applying) check(cmd *cobra.Command) error {
	if err := a.applier.Check(a.plan); err != nil {
		if a.secretDir == nil {
			err = fmt.Errorf("%w: %w --secrets-dir DIR", errUsage, err)
		}
		return err
	}
	if a.plan.Disarms(a.clientID) {
		return fmt.Errorf("the plan takes from m2mwatch what it works by (m2mwatch grants update --force takes scopes): %w", notItself(&a.provisioning, a.clientID))
	}
	if a.deletes && a.plan.Count(provision.ActionDelete) > 0 {
		if err := a.openVault(); err != nil {
			return err
		}
	}
	api, err := a.begin(cmd, append(a.machines.Needs(), a.plan.Needs(a.deletes, !a.keep.none)...)...)
	a.applier.API = api
	return err
}

// openVault has each that is deleted kept before.
func (a *applying) openVault() error {
	vault, err := a.keep.vault(a.inv, false)
	if err != nil || vault == nil {
		return err
	}
	save := func(name string, at time.Time, backup any) error {
		path := vault.Path(name, at)
		if err := vault.Save(path, backup); err != nil {
			return err
		}
		a.printing.Lock()
		defer a.printing.Unlock()
		out := a.inv.stdout
		if a.asJSON {
			out = a.inv.stderr // what follows a JSON document breaks it
		}
		_, err := fmt.Fprintln(out, path)
		return err
	}
	a.applier.KeepApp = func(b *provision.AppBackup) error {
		b.Tenant, b.At = a.domain, time.Now().UTC()
		app, err := b.Subject()
		if err != nil {
			return err
		}
		return save("app-"+app.ID, b.At, b)
	}
	a.applier.KeepUser = func(b *provision.UserBackup) error {
		b.Tenant, b.At = a.domain, time.Now().UTC()
		user, err := b.Subject()
		if err != nil {
			return err
		}
		return save("user-"+user.ID, b.At, b)
	}
	return nil
}

// made tells of what is there now.
func (a *applying) made(kind, key, id string) {
	a.bar.done()
	a.printing.Lock()
	if a.madeIDs == nil {
		a.madeIDs = map[string]string{}
	}
	a.madeIDs[kind+" "+key] = id
	a.printing.Unlock()
	a.keptSecrets = a.keptSecrets || kind != provision.KindRole
	fmt.Fprintf(a.inv.stderr, "made %s %s (%s)\n", kind, printable(key), printable(id))
}
