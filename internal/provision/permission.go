package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Permission is a scope of an API that a user or a role has.
type Permission struct {
	API  string `json:"resource_server_identifier"`
	Name string `json:"permission_name"`
}

// String is how ParsePermission reads it.
func (p Permission) String() string { return p.Name + "@" + p.API }

// ParsePermission reads NAME@API: read:orders@https://api.example.com.
func ParsePermission(text string) (Permission, error) {
	name, api, ok := strings.Cut(text, "@")
	if !ok || name == "" || api == "" {
		return Permission{}, fmt.Errorf("permission %q: want NAME@API, like read:orders@https://api.example.com", text)
	}
	return Permission{API: api, Name: name}, nil
}

// checkPermissions looks whether the APIs have all of these: Auth0 passes over
// those that they lack.
func checkPermissions(ctx context.Context, api API, permissions []Permission) error {
	missing, err := unknownPermissions(ctx, api, permissions)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range missing {
		errs = append(errs, errors.New(m))
	}
	return errors.Join(errs...)
}

// unknownPermissions tells of each permission that there is not, why.
func unknownPermissions(ctx context.Context, api API, permissions []Permission) ([]string, error) {
	scopes := make(map[string][]string) // by API; nil where there is no such API
	var unknown []string
	for _, p := range permissions {
		if _, known := scopes[p.API]; !known {
			list, err := scopesOfAPI(ctx, api, p.API)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
			scopes[p.API] = list
		}
		switch list := scopes[p.API]; {
		case list == nil:
			unknown = append(unknown, fmt.Sprintf("permission %s: there is no API %s", p.Name, p.API))
		case !slices.Contains(list, p.Name):
			unknown = append(unknown, fmt.Sprintf("permission %s: the API %s does not have it; it has %s", p.Name, p.API, strings.Join(list, ", ")))
		}
	}
	return unknown, nil
}

// scopesOfAPI are the scopes that an API defines, not nil where there is the API.
func scopesOfAPI(ctx context.Context, api API, identifier string) ([]string, error) {
	raw, err := api.Get(ctx, []string{"resource-servers", identifier}, nil)
	if err != nil {
		return nil, err
	}
	var server struct {
		Scopes []struct {
			Value string `json:"value"`
		} `json:"scopes"`
	}
	if err := json.Unmarshal(raw, &server); err != nil {
		return nil, fmt.Errorf("read API %s: %w", identifier, err)
	}
	scopes := []string{}
	for _, s := range server.Scopes {
		scopes = append(scopes, s.Value)
	}
	return scopes, nil
}

// holdings are the permissions that a user or a role has, as they are answered.
type holding struct {
	Permission
	Sources []struct {
		Type string `json:"source_type"`
	} `json:"sources"`
}

// direct reports whether it is held by itself: a role's always is, a user's where
// not by a role alone.
func (h *holding) direct() bool {
	if len(h.Sources) == 0 {
		return true
	}
	for _, s := range h.Sources {
		if s.Type == "DIRECT" {
			return true
		}
	}
	return false
}

// directPermissions are those that a user or a role (path) has by itself, raw and
// read.
func directPermissions(ctx context.Context, api API, path []string) (raws []json.RawMessage, permissions []Permission, err error) {
	all, err := collect(ctx, api, path, "permissions", nil)
	if err != nil {
		return nil, nil, err
	}
	raws = []json.RawMessage{}
	for _, raw := range all {
		var h holding
		if err := json.Unmarshal(raw, &h); err != nil {
			return nil, nil, fmt.Errorf("read permissions: %w", err)
		}
		if h.direct() {
			raws, permissions = append(raws, raw), append(permissions, h.Permission)
		}
	}
	return raws, permissions, nil
}

// addPermissions gives a user or a role (path) permissions, and looks after it.
func addPermissions(ctx context.Context, api API, path []string, permissions []Permission) error {
	return settle(func() error {
		_, err := api.Post(ctx, path, map[string]any{"permissions": permissions})
		return err
	}, func() ([]string, error) { return permissionsWhere(ctx, api, path, permissions, false) })
}

// permissionsWhere names those that are held, or those that are not.
func permissionsWhere(ctx context.Context, api API, path []string, permissions []Permission, held bool) ([]string, error) {
	_, has, err := directPermissions(ctx, api, path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range permissions {
		if slices.Contains(has, p) == held {
			names = append(names, "permission "+p.String())
		}
	}
	return names, nil
}
