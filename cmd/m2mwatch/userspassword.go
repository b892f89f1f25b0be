package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// userPassword is a password of ours for a user, and where it goes.
type userPassword struct {
	newSecret
	resume bool
	value  string
	taken  bool // it is in the file, of a run that was cut short
}

func (u *userPassword) flags(cmd *cobra.Command, what string) {
	u.newSecret.flags(cmd, "password-file", what)
	cmd.Flags().BoolVar(&u.resume, "resume", false, "go on where a run was cut short: take the password that it left in --password-file")
}

// check wants a place for the password, and makes it, or takes the one of a run
// that was cut short. Nothing is written yet.
func (u *userPassword) check(inv *invocation) error {
	if u.resume && u.file == "" {
		return fmt.Errorf("%w: --resume: want the --password-file of the run that was cut short", errUsage)
	}
	if err := u.newSecret.check(inv); err != nil {
		return err
	}
	u.value = provision.NewPassword()
	if !u.resume {
		return nil
	}
	left, err := provision.LeftPassword(u.file)
	if left != "" {
		u.value, u.taken = left, true
	}
	return err
}

// keep writes it before it is in use.
func (u *userPassword) keep() error {
	if u.taken {
		return nil
	}
	err := u.newSecret.keep(u.value)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: if a run was cut short that wrote it, say --resume", err)
	}
	return err
}

// forget removes the file of a password that was never in use. One of another run
// stays: what became of it is not known here.
func (u *userPassword) forget() {
	if !u.taken {
		u.newSecret.forget()
	}
}

func newUsersPassword(inv *invocation) *cobra.Command {
	var (
		o      = ofUser{provisioning: provisioning{inv: inv}}
		ask    asking
		secret userPassword
	)
	cmd := &cobra.Command{
		Use:   "password USER_ID",
		Short: "Give a user another, generated password; the old one is refused from then on",
		Long: `password gives a user of a database connection a generated password. It is in its file before
Auth0 is told. If no answer comes, or the run is cut short, nobody knows which password is good: with
--resume the one in the file is set again, which does no harm. Tokens that were issued stay good
until they expire.`,
		Example: `  m2mwatch users password 'auth0|nightly' --password-file nightly.password --force`,
		Args:    theArgs(1, "one user id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := ask.check(cmd, inv); err != nil {
				return err
			}
			if !ask.dryRun {
				if err := secret.check(inv); err != nil {
					return err
				}
			}
			api, err := o.begin(cmd)
			if err != nil {
				return err
			}
			users := &provision.Users{API: api}
			user, err := o.get(cmd, users, args[0])
			if err == nil {
				err = user.HasPassword()
			}
			if err != nil {
				return err
			}
			what := printable(fmt.Sprintf("%s (%s)", user.ID, user.Login()))
			if yes, err := ask.agreed(inv, "give another password to "+what, "Give another password to "+what+", and refuse the old one at once?"); !yes {
				return err
			}
			if err := secret.keep(); err != nil {
				return err
			}
			if err := users.SetPassword(cmd.Context(), user.ID, secret.value, secret.taken); err != nil {
				if !errors.Is(err, provision.ErrMaybeDone) {
					secret.forget()
					return err
				}
				return errors.Join(fmt.Errorf("%w; nobody knows which password is good now: with --resume it is set again", err), secret.print(inv))
			}
			fmt.Fprintln(inv.stderr, what, "has another password")
			return secret.print(inv)
		},
	}
	o.flags(cmd, inv)
	ask.flags(cmd)
	secret.flags(cmd, "the new password")
	return cmd
}

// print prints the password where it is in no file.
func (u *userPassword) print(inv *invocation) error {
	if !u.printed() {
		return nil
	}
	fmt.Fprintln(inv.stderr, "the password is not shown again")
	_, err := fmt.Fprintln(inv.stdout, u.value)
	return err
}
