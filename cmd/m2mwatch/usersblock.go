package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newUsersBlock(inv *invocation) *cobra.Command {
	return newUsersSwitch(inv, &cobra.Command{
		Use:   "block USER_ID…",
		Short: "Keep users from signing in, until unblock",
		Long:  "block keeps users from signing in. Tokens that were issued before stay good until they expire.",
	}, "blocked", (*provision.Users).Block)
}

func newUsersUnblock(inv *invocation) *cobra.Command {
	return newUsersSwitch(inv, &cobra.Command{
		Use:   "unblock USER_ID…",
		Short: "Let users sign in again, also from addresses that too many wrong passwords have locked out",
	}, "unblocked", (*provision.Users).Unblock)
}

// newUsersSwitch makes block and unblock.
func newUsersSwitch(inv *invocation, cmd *cobra.Command, done string, do func(*provision.Users, context.Context, string) (provision.User, error)) *cobra.Command {
	o := ofUser{provisioning: provisioning{inv: inv}}
	cmd.Args = someArgs(1, "user ids")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := o.begin(cmd)
		if err != nil {
			return err
		}
		users := &provision.Users{API: api}
		return each(cmd.Context(), args, func(id string) error {
			if _, err := o.get(cmd, users, id); err != nil {
				return err
			}
			user, err := do(users, cmd.Context(), id)
			if err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, printable(user.ID), done)
			return nil
		})
	}
	o.flags(cmd, inv)
	return cmd
}
