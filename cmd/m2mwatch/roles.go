package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newRoles(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "Roles of a tenant: create, list, show, update, delete, what they permit, who has them",
		Long: `A role permits its users scopes of APIs. A role is named by its id (rol_…) or by its name. Roles
are for users alone: an application gets its scopes by client grants.`,
		Args: noArgs,
	}
	permissions := &cobra.Command{Use: "permissions", Short: "What a role permits: add, remove", Args: noArgs}
	permissions.AddCommand(newRolesPermissionsAdd(inv), newRolesPermissionsRemove(inv))
	cmd.AddCommand(newRolesCreate(inv), newRolesList(inv), newRolesShow(inv), newRolesUpdate(inv), newRolesDelete(inv), permissions, newRolesAssign(inv), newRolesUnassign(inv))
	return cmd
}

func newRolesCreate(inv *invocation) *cobra.Command {
	var (
		p           = provisioning{inv: inv}
		description string
		permissions []string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a role, with what it permits",
		Example: `  m2mwatch roles create exporter --permission read:orders@https://api.example.com`,
		Args:    theArgs(1, "one name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := readPermissions(permissions)
			if err != nil {
				return err
			}
			var when []string
			if len(list) > 0 {
				when = append(when, provision.WhenPermission)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			role, err := (&provision.Roles{API: api}).Create(cmd.Context(), args[0], description, list)
			return errors.Join(printIf(inv, role.Raw, asJSON), err)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&description, "description", "", "what it is for")
	f.StringArrayVar(&permissions, "permission", nil, "what it permits, NAME@API; again for more")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

// printIf prints a document where there is one.
func printIf(inv *invocation, raw json.RawMessage, asJSON bool) error {
	if raw == nil {
		return nil
	}
	return printDocument(inv, raw, asJSON)
}

func newRolesList(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		filter string
		out    output
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List roles",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			roles, err := (&provision.Roles{API: api}).List(cmd.Context(), filter)
			if err != nil {
				return err
			}
			l := recordList{what: "roles", raw: []json.RawMessage{}, header: []string{"ROLE_ID", "NAME", "DESCRIPTION"}}
			for _, role := range roles {
				l.raw = append(l.raw, role.Raw)
				l.rows = append(l.rows, []string{role.ID, role.Name, role.Description})
			}
			return l.print(inv, out)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().StringVar(&filter, "name", "", "with this in their name")
	out.flags(cmd)
	return cmd
}

func newRolesShow(inv *invocation) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "show ROLE",
		Short: "Show a role and what it permits",
		Args:  theArgs(1, "one role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			roles := provision.Roles{API: api}
			role, err := roles.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			permissions, err := roles.Permissions(cmd.Context(), role.ID)
			if err != nil {
				return err
			}
			raw, err := with(role.Raw, "permissions", permissions)
			if err != nil {
				return err
			}
			return printDocument(inv, raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	cmd.Flags().BoolVar(&asJSON, "json", false, "JSON as the API answers it, with its permissions")
	return cmd
}

func newRolesUpdate(inv *invocation) *cobra.Command {
	var (
		p                 = provisioning{inv: inv}
		name, description string
		asJSON            bool
	)
	cmd := &cobra.Command{
		Use:   "update ROLE",
		Short: "Change the name or the description of a role",
		Args:  theArgs(1, "one role"),
		RunE: func(cmd *cobra.Command, args []string) error {
			changes := map[string]any{}
			for flag, value := range map[string]string{"name": name, "description": description} {
				if cmd.Flags().Changed(flag) {
					changes[flag] = value
				}
			}
			if len(changes) == 0 {
				return fmt.Errorf("%w: roles update: nothing to change", errUsage)
			}
			api, err := p.begin(cmd)
			if err != nil {
				return err
			}
			role, err := (&provision.Roles{API: api}).Update(cmd.Context(), args[0], changes)
			if err != nil {
				return err
			}
			return printDocument(inv, role.Raw, asJSON)
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "another name")
	f.StringVar(&description, "description", "", "another description")
	f.BoolVar(&asJSON, "json", false, "JSON as the API answers it")
	return cmd
}

func newRolesPermissionsAdd(inv *invocation) *cobra.Command {
	return newRolesPermissionsChange(inv, &cobra.Command{
		Use:     "add ROLE NAME…",
		Short:   "Have a role permit more; an unknown permission is an error",
		Example: `  m2mwatch roles permissions add exporter --api https://api.example.com read:orders read:ledger`,
	}, func(r *provision.Roles, cmd *cobra.Command, role string, list []provision.Permission) (provision.Role, error) {
		return r.AddPermissions(cmd.Context(), role, list)
	})
}

func newRolesPermissionsRemove(inv *invocation) *cobra.Command {
	return newRolesPermissionsChange(inv, &cobra.Command{
		Use:   "remove ROLE NAME…",
		Short: "Have a role permit less; a permission that it does not have is an error",
	}, func(r *provision.Roles, cmd *cobra.Command, role string, list []provision.Permission) (provision.Role, error) {
		return r.RemovePermissions(cmd.Context(), role, list)
	})
}

// newRolesPermissionsChange makes add and remove.
func newRolesPermissionsChange(inv *invocation, cmd *cobra.Command, change func(*provision.Roles, *cobra.Command, string, []provision.Permission) (provision.Role, error)) *cobra.Command {
	var (
		p      = provisioning{inv: inv}
		server string
	)
	cmd.Args = someArgs(2, "a role and names of permissions")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if server == "" {
			return fmt.Errorf("%w: want --api, the identifier of the API that the permissions are of", errUsage)
		}
		var list []provision.Permission
		for _, name := range args[1:] {
			list = append(list, provision.Permission{API: server, Name: name})
		}
		api, err := p.begin(cmd)
		if err != nil {
			return err
		}
		role, err := change(&provision.Roles{API: api}, cmd, args[0], list)
		if err != nil {
			return err
		}
		fmt.Fprintf(inv.stderr, "role %s (%s) is changed\n", printable(role.Name), printable(role.ID))
		return nil
	}
	p.flags(cmd, inv)
	cmd.Flags().StringVar(&server, "api", "", "the API's identifier")
	return cmd
}

func newRolesAssign(inv *invocation) *cobra.Command {
	return newRolesMembersChange(inv, &cobra.Command{
		Use:   "assign ROLE USER_ID…",
		Short: "Give users a role",
	}, "assigned to", func(r *provision.Roles, cmd *cobra.Command, role provision.Role, userID string) error {
		return r.Assign(cmd.Context(), role, userID)
	})
}

func newRolesUnassign(inv *invocation) *cobra.Command {
	return newRolesMembersChange(inv, &cobra.Command{
		Use:   "unassign ROLE USER_ID…",
		Short: "Take a role from users who have it; tokens that have its permissions stay good until they expire",
	}, "taken from", func(r *provision.Roles, cmd *cobra.Command, role provision.Role, userID string) error {
		return r.Unassign(cmd.Context(), role, userID)
	})
}

// newRolesMembersChange makes assign and unassign.
func newRolesMembersChange(inv *invocation, cmd *cobra.Command, done string, change func(*provision.Roles, *cobra.Command, provision.Role, string) error) *cobra.Command {
	o := ofUser{provisioning: provisioning{inv: inv}}
	cmd.Args = someArgs(2, "a role and user ids")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := o.begin(cmd)
		if err != nil {
			return err
		}
		roles := &provision.Roles{API: api}
		role, err := roles.Get(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		users := &provision.Users{API: api}
		return each(cmd.Context(), args[1:], func(id string) error {
			if _, err := o.get(cmd, users, id); err != nil {
				return err
			}
			if err := change(roles, cmd, role, id); err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, "role", printable(role.Name), done, printable(id))
			return nil
		})
	}
	o.flags(cmd, inv)
	return cmd
}
