package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Role is what is read of a role; Raw is all of it, as it was answered.
type Role struct {
	Raw json.RawMessage `json:"-"`

	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

func readRole(raw json.RawMessage) (Role, error) {
	r := Role{Raw: raw}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("read the role: %w", err)
	}
	return r, nil
}

// rolePrefix begins the id of every role.
const rolePrefix = "rol_"

// findRole is the role of that id or of exactly that name.
func findRole(ctx context.Context, api API, idOrName string) (Role, error) {
	if strings.HasPrefix(idOrName, rolePrefix) {
		raw, err := api.Get(ctx, []string{"roles", idOrName}, nil)
		if err == nil {
			return readRole(raw)
		}
		if !errors.Is(err, ErrNotFound) {
			return Role{}, err
		}
	}
	return roleNamed(ctx, api, idOrName)
}

// roleNamed looks through the roles that have the name in theirs, as the filter
// of the API does.
func roleNamed(ctx context.Context, api API, name string) (Role, error) {
	for raw, err := range api.List(ctx, []string{"roles"}, "roles", url.Values{"name_filter": {name}}) {
		if err != nil {
			return Role{}, err
		}
		role, err := readRole(raw)
		if err != nil {
			return Role{}, err
		}
		if role.Name == name {
			return role, nil
		}
	}
	return Role{}, fmt.Errorf("role %s: %w", name, ErrNotFound)
}

// findRoles finds all of them, or tells of each that is not there.
func findRoles(ctx context.Context, api API, idsOrNames []string) ([]Role, error) {
	var (
		roles []Role
		errs  []error
	)
	for _, name := range idsOrNames {
		role, err := findRole(ctx, api, name)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !slices.ContainsFunc(roles, func(r Role) bool { return r.ID == role.ID }) {
			roles = append(roles, role)
		}
	}
	return roles, errors.Join(errs...)
}

// rolesPerCall is how many roles one call assigns or takes away.
const rolesPerCall = 50

// assignRoles gives a user roles, and looks whether it has them.
func assignRoles(ctx context.Context, api API, userID string, roles []Role) error {
	return addRoles(ctx, api, []string{"users", userID, "roles"}, roles)
}

// addRoles gives a user or a member (path) roles, and looks after it.
func addRoles(ctx context.Context, api API, path []string, roles []Role) error {
	for some := range slices.Chunk(roles, rolesPerCall) {
		err := settle(func() error {
			_, err := api.Post(ctx, path, map[string]any{"roles": idsOf(some)})
			return err
		}, func() ([]string, error) { return rolesWhere(ctx, api, path, some, false) })
		if err != nil {
			return err
		}
	}
	return nil
}

func idsOf(roles []Role) []string {
	ids := make([]string, 0, len(roles))
	for _, r := range roles {
		ids = append(ids, r.ID)
	}
	return ids
}

// rolesWhere names those of the roles that a user or a member (path) has, or those
// that it has not.
func rolesWhere(ctx context.Context, api API, path []string, roles []Role, held bool) ([]string, error) {
	raws, err := collect(ctx, api, path, "roles", nil)
	if err != nil {
		return nil, err
	}
	has, err := decode[Role](raws)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, role := range roles {
		if slices.ContainsFunc(has, func(r Role) bool { return r.ID == role.ID }) == held {
			names = append(names, "role "+role.Name)
		}
	}
	return names, nil
}
