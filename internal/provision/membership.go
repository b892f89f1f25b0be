package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// membership is a user's of an organization.
type membership struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	roles []Role // that it has there
}

// organizations reads those that a user is a member of, and its roles in each by
// the organization's id.
func (u *Users) organizations(ctx context.Context, id string) (raws []json.RawMessage, roles map[string][]json.RawMessage, err error) {
	if raws, err = collect(ctx, u.API, []string{"users", id, "organizations"}, "organizations", nil); err != nil {
		return nil, nil, err
	}
	list, err := decode[membership](raws)
	if err != nil {
		return nil, nil, err
	}
	roles = make(map[string][]json.RawMessage, len(list))
	for _, m := range list {
		if roles[m.ID], err = collect(ctx, u.API, memberRoles(m.ID, id), "roles", nil); err != nil {
			return nil, nil, err
		}
	}
	return raws, roles, nil
}

// memberRoles is the path of a member's roles.
func memberRoles(organization, user string) []string {
	return []string{"organizations", organization, "members", user, "roles"}
}

// membershipsStillThere tells which of a user's memberships can be given again.
func (u *Users) membershipsStillThere(ctx context.Context, b *UserBackup) (there []membership, lost []string, err error) {
	list, err := decode[membership](b.Organizations)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range list {
		what := fmt.Sprintf("organization %s (%s)", m.Name, m.ID)
		_, err := u.API.Get(ctx, []string{"organizations", m.ID}, nil)
		if errors.Is(err, ErrNotFound) {
			lost = append(lost, "its membership of "+what+": it is gone")
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if b.OrganizationRoles == nil {
			lost = append(lost, "its roles in "+what+": the backup is from before they were kept")
		}
		var gone []string
		if m.roles, gone, err = rolesStillThere(ctx, u.API, b.OrganizationRoles[m.ID]); err != nil {
			return nil, nil, err
		}
		for _, role := range gone {
			lost = append(lost, "in "+what+", "+role)
		}
		there = append(there, m)
	}
	return there, lost, nil
}

// joinAll makes a user a member of all of them, although one fails.
func (u *Users) joinAll(ctx context.Context, id string, list []membership) error {
	var errs []error
	for _, m := range list {
		if err := u.join(ctx, id, m); err != nil {
			errs = append(errs, fmt.Errorf("user %s is back, but not in organization %s (%s) as it was: %w", id, m.Name, m.ID, err))
		}
	}
	return errors.Join(errs...)
}

// join makes a user a member with roles, and looks whether it is one.
func (u *Users) join(ctx context.Context, id string, m membership) error {
	err := settle(func() error {
		_, err := u.API.Post(ctx, []string{"organizations", m.ID, "members"}, map[string]any{"members": []string{id}})
		return err
	}, func() ([]string, error) {
		raws, err := collect(ctx, u.API, []string{"users", id, "organizations"}, "organizations", nil)
		if err != nil {
			return nil, err
		}
		list, err := decode[membership](raws)
		if err == nil && !slices.ContainsFunc(list, func(is membership) bool { return is.ID == m.ID }) {
			return []string{"membership"}, nil
		}
		return nil, err
	})
	if err != nil {
		return err
	}
	return addRoles(ctx, u.API, memberRoles(m.ID, id), m.roles)
}
