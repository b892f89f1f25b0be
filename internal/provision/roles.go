package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// Roles makes, changes and takes away roles, what they permit and who has them.
// A role is named by its id or by its name, which is unique in a tenant.
type Roles struct{ API API }

// List reads those that have the filter in their name, or all.
func (r *Roles) List(ctx context.Context, filter string) ([]Role, error) {
	query := url.Values{}
	if filter != "" {
		query.Set("name_filter", filter)
	}
	var roles []Role
	for raw, err := range r.API.List(ctx, []string{"roles"}, "roles", query) {
		if err != nil {
			return nil, err
		}
		role, err := readRole(raw)
		if err != nil {
			return nil, err
		}
		roles = append(roles, role)
	}
	return roles, nil
}

// Get reads one, by id or name.
func (r *Roles) Get(ctx context.Context, idOrName string) (Role, error) {
	return findRole(ctx, r.API, idOrName)
}

// Permissions are those that a role has, raw.
func (r *Roles) Permissions(ctx context.Context, id string) ([]json.RawMessage, error) {
	return collect(ctx, r.API, []string{"roles", id, "permissions"}, "permissions", nil)
}

// Create makes a role with permissions, which are looked for before. Where the
// error comes after that, the role is returned beside it. After a lost answer the
// role of that name is it: it was not there before.
func (r *Roles) Create(ctx context.Context, name, description string, permissions []Permission) (Role, error) {
	if err := checkPermissions(ctx, r.API, permissions); err != nil {
		return Role{}, err
	}
	switch is, err := roleNamed(ctx, r.API, name); {
	case err == nil:
		return Role{}, fmt.Errorf("role %s (%s): %w", name, is.ID, ErrConflict)
	case !errors.Is(err, ErrNotFound):
		return Role{}, err
	}
	body := map[string]any{"name": name}
	if description != "" {
		body["description"] = description
	}
	raw, err := create(ctx, r.API, []string{"roles"}, body, func() (json.RawMessage, error) {
		role, err := roleNamed(ctx, r.API, name)
		return role.Raw, err
	})
	if err != nil {
		return Role{}, err
	}
	role, err := readRole(raw)
	if err == nil && len(permissions) > 0 {
		if err = addPermissions(ctx, r.API, []string{"roles", role.ID, "permissions"}, permissions); err != nil {
			err = fmt.Errorf("role %s is made, but not all that it should permit: %w", role.ID, err)
		}
	}
	return role, err
}

// Update changes the name or the description of a role.
func (r *Roles) Update(ctx context.Context, idOrName string, changes map[string]any) (Role, error) {
	role, err := r.Get(ctx, idOrName)
	if err != nil {
		return role, err
	}
	err = settle(func() error {
		_, err := r.API.Patch(ctx, []string{"roles", role.ID}, changes)
		return err
	}, func() ([]string, error) {
		raw, err := r.API.Get(ctx, []string{"roles", role.ID}, nil)
		if err != nil {
			return nil, err
		}
		if role, err = readRole(raw); err != nil {
			return nil, err
		}
		return differences(raw, changes)
	})
	if err != nil {
		return role, fmt.Errorf("update role %s: %w", role.ID, err)
	}
	return role, nil
}

// Delete deletes the role of an id, and looks whether it is gone. Who had it has
// lost what it permitted. See Backup for what it was.
func (r *Roles) Delete(ctx context.Context, id string) error {
	return remove(ctx, r.API, "role "+id, []string{"roles", id})
}

// AddPermissions has a role permit more. An unknown permission is an error, and
// nothing is added then.
func (r *Roles) AddPermissions(ctx context.Context, idOrName string, permissions []Permission) (Role, error) {
	role, err := r.Get(ctx, idOrName)
	if err != nil {
		return role, err
	}
	if err := checkPermissions(ctx, r.API, permissions); err != nil {
		return role, err
	}
	return role, addPermissions(ctx, r.API, []string{"roles", role.ID, "permissions"}, permissions)
}

// RemovePermissions has a role permit less. One that it does not have is an
// error, since it may be a slip, and nothing is removed then.
func (r *Roles) RemovePermissions(ctx context.Context, idOrName string, permissions []Permission) (Role, error) {
	role, err := r.Get(ctx, idOrName)
	if err != nil {
		return role, err
	}
	path := []string{"roles", role.ID, "permissions"}
	absent, err := permissionsWhere(ctx, r.API, path, permissions, false)
	if err != nil {
		return role, err
	}
	var errs []error
	for _, name := range absent {
		errs = append(errs, fmt.Errorf("role %s does not have %s", role.Name, name))
	}
	if errs != nil {
		return role, errors.Join(errs...)
	}
	return role, settle(func() error {
		return r.API.Delete(ctx, path, map[string]any{"permissions": permissions})
	}, func() ([]string, error) { return permissionsWhere(ctx, r.API, path, permissions, true) })
}

// Assign gives a user a role, and looks whether the user has it.
func (r *Roles) Assign(ctx context.Context, role Role, userID string) error {
	if err := assignRoles(ctx, r.API, userID, []Role{role}); err != nil {
		return fmt.Errorf("assign role %s to user %s: %w", role.Name, userID, err)
	}
	return nil
}

// Unassign takes a role from a user, and looks whether it is taken. One that the
// user does not have is an error, since it may be a slip.
func (r *Roles) Unassign(ctx context.Context, role Role, userID string) error {
	path := []string{"users", userID, "roles"}
	holds := func() ([]string, error) { return rolesWhere(ctx, r.API, path, []Role{role}, true) }
	held, err := holds()
	if err == nil && len(held) == 0 {
		return fmt.Errorf("user %s does not have role %s", userID, role.Name)
	}
	if err == nil {
		err = settle(func() error {
			return r.API.Delete(ctx, path, map[string]any{"roles": idsOf([]Role{role})})
		}, holds)
	}
	if err != nil {
		return fmt.Errorf("take role %s from user %s: %w", role.Name, userID, err)
	}
	return nil
}
