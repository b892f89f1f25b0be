package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Server is what is read of an API, which Auth0 calls a resource server; Raw is all
// of it, as it was answered, but for the secret that signs its tokens.
type Server struct {
	Raw json.RawMessage `json:"-"`

	ID         string  `json:"id"`
	Identifier string  `json:"identifier"` // the audience of its tokens
	Name       string  `json:"name"`
	Scopes     []Scope `json:"scopes"`
	Lifetime   int64   `json:"token_lifetime"` // seconds
	Algorithm  string  `json:"signing_alg"`
	Policies   bool    `json:"enforce_policies"`
	Dialect    string  `json:"token_dialect"`
	System     bool    `json:"is_system"` // Auth0's own
}

// Scope is what an API lets one do.
type Scope struct {
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
}

// Permissions reports whether a token says what its user may do by roles.
func (s *Server) Permissions() bool { return s.Policies && strings.HasSuffix(s.Dialect, "_authz") }

// scopeNames are those of its scopes.
func (s *Server) scopeNames() []string {
	names := []string{}
	for _, scope := range s.Scopes {
		names = append(names, scope.Value)
	}
	return names
}

func readServer(raw json.RawMessage) (Server, error) {
	var s Server
	var members map[string]any
	if err := errors.Join(json.Unmarshal(raw, &s), readExactly(raw, &members)); err != nil {
		return s, fmt.Errorf("read the API: %w", err)
	}
	if members["signing_secret"] != nil {
		members["signing_secret"] = hidden
	}
	var err error
	s.Raw, err = json.Marshal(members)
	return s, err
}

// Servers makes, changes and takes away APIs. One is named by its id or its
// identifier, which is unique in a tenant and never changes.
type Servers struct{ API API }

// List reads all of them.
func (s *Servers) List(ctx context.Context) ([]Server, error) {
	servers := []Server{}
	for raw, err := range s.API.List(ctx, []string{"resource-servers"}, "resource_servers", nil) {
		if err != nil {
			return nil, err
		}
		server, err := readServer(raw)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// Get reads one.
func (s *Servers) Get(ctx context.Context, idOrIdentifier string) (Server, error) {
	raw, err := s.API.Get(ctx, []string{"resource-servers", idOrIdentifier}, nil)
	if err != nil {
		return Server{}, fmt.Errorf("API %s: %w", idOrIdentifier, err)
	}
	return readServer(raw)
}

// NewServer says what API to make.
type NewServer struct {
	Identifier, Name string
	Scopes           []Scope
	Lifetime         time.Duration // of its tokens, in whole seconds; 0 for what Auth0 takes
	Permissions      bool          // see Server.Permissions
}

func (n *NewServer) body() map[string]any {
	body := map[string]any{"identifier": n.Identifier, "scopes": scopeList(n.Scopes)}
	if n.Name != "" {
		body["name"] = n.Name
	}
	if n.Lifetime > 0 {
		body["token_lifetime"] = seconds(n.Lifetime)
	}
	if n.Permissions {
		body["enforce_policies"], body["token_dialect"] = true, "access_token_authz"
	}
	return body
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func scopeList(scopes []Scope) []any {
	all := []any{}
	for _, s := range scopes {
		all = append(all, s)
	}
	return all
}

// Create makes an API, and looks whether it is as it should be. One of that
// identifier is an error. Where the error comes after it was made, the API is
// returned beside it.
func (s *Servers) Create(ctx context.Context, n NewServer) (Server, error) {
	switch is, err := s.Get(ctx, n.Identifier); {
	case err == nil:
		return Server{}, fmt.Errorf("API %s (%s): %w", n.Identifier, is.ID, ErrConflict)
	case !errors.Is(err, ErrNotFound):
		return Server{}, err
	}
	body := n.body()
	raw, err := create(ctx, s.API, []string{"resource-servers"}, body, func() (json.RawMessage, error) {
		is, err := s.Get(ctx, n.Identifier)
		return is.Raw, err
	})
	if err != nil {
		return Server{}, err
	}
	made, err := readServer(raw)
	if err != nil {
		return made, err
	}
	is, err := s.Get(ctx, made.ID)
	if err != nil {
		return made, fmt.Errorf("API %s is made, and cannot be looked at: %w", made.ID, err)
	}
	different, err := is.differs(body)
	if err == nil && len(different) > 0 {
		err = fmt.Errorf("API %s is made, and not as it was asked for: %s", is.ID, strings.Join(different, ", "))
	}
	return is, err
}

// differs names what of an API is not as body has it. Scopes have no order.
func (s *Server) differs(body map[string]any) ([]string, error) {
	rest := map[string]any{}
	for name, value := range body {
		if name != "scopes" {
			rest[name] = value
		}
	}
	different, err := differences(s.Raw, rest)
	if wanted, asked := body["scopes"].([]any); asked {
		var names []string
		for _, scope := range wanted {
			names = append(names, scope.(Scope).Value)
		}
		if !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(s.scopeNames()))) {
			different = append(different, "scopes")
		}
	}
	return different, err
}

// ServerChange says what of an API to change; what is nil, 0 or "" stays.
type ServerChange struct {
	Name        string
	Add         []Scope // with another description where it is there
	Remove      []string
	Lifetime    time.Duration
	Permissions *bool
}

// body is the change of an API that is as it is.
func (c *ServerChange) body(is Server) map[string]any {
	changes := map[string]any{}
	if c.Name != "" {
		changes["name"] = c.Name
	}
	if c.Lifetime > 0 {
		changes["token_lifetime"] = seconds(c.Lifetime)
	}
	if c.Permissions != nil {
		changes["enforce_policies"] = *c.Permissions
		changes["token_dialect"] = dialect(is.Dialect, *c.Permissions)
	}
	if len(c.Add)+len(c.Remove) > 0 {
		scopes := slices.DeleteFunc(slices.Clone(is.Scopes), func(s Scope) bool {
			return slices.Contains(c.Remove, s.Value) || slices.ContainsFunc(c.Add, func(a Scope) bool { return a.Value == s.Value })
		})
		changes["scopes"] = scopeList(append(scopes, c.Add...))
	}
	return changes
}

// dialect is the one that a token is to have, of the family that it is of.
func dialect(is string, permissions bool) string {
	family := strings.TrimSuffix(is, "_authz")
	if family == "" {
		family = "access_token"
	}
	if permissions {
		return family + "_authz"
	}
	return family
}

// errSystem refuses what would break the Management API for all who use it.
func errSystem(s *Server) error {
	return fmt.Errorf("API %s is Auth0's own: it cannot be changed", s.Identifier)
}

// Changeable refuses Auth0's own, and a scope to be removed that an API does not
// have: it may be a slip.
func (s *Server) Changeable(c ServerChange) error {
	if s.System {
		return errSystem(s)
	}
	var absent []string
	for _, name := range c.Remove {
		if !slices.Contains(s.scopeNames(), name) {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("the API %s does not have %s; it has %s", s.Identifier, strings.Join(absent, ", "), strings.Join(s.scopeNames(), ", "))
	}
	return nil
}

// Update changes an API, and looks whether it is so. A scope that is removed is
// taken from the grants, roles and users that had it.
func (s *Servers) Update(ctx context.Context, id string, c ServerChange) (Server, error) {
	is, err := s.Get(ctx, id)
	if err == nil {
		err = is.Changeable(c)
	}
	if err != nil {
		return is, err
	}
	changes := c.body(is)
	err = settle(func() error {
		_, err := s.API.Patch(ctx, []string{"resource-servers", is.ID}, changes)
		return err
	}, func() (left []string, err error) {
		if is, err = s.Get(ctx, is.ID); err != nil {
			return nil, err
		}
		return is.differs(changes)
	})
	if err != nil {
		return is, fmt.Errorf("update API %s: %w", id, err)
	}
	return is, nil
}

// Use is who uses an API.
type Use struct {
	Grants []Grant
	Roles  []RoleUse
}

// RoleUse is what a role permits of an API.
type RoleUse struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// Used finds the grants of an API, and the roles that permit some of it: of these
// scopes, or of any. It asks once for each role; looked hears how many are done.
// Permissions that users have by themselves are not looked for: there may be
// millions of users.
func (s *Servers) Used(ctx context.Context, server Server, scopes []string, looked func(done, total int)) (Use, error) {
	var u Use
	grants, err := (&Grants{s.API}).List(ctx, GrantQuery{Audience: server.Identifier})
	if err != nil {
		return u, err
	}
	concerns := func(name string) bool { return len(scopes) == 0 || slices.Contains(scopes, name) }
	for _, g := range grants {
		if len(scopes) == 0 || g.AllScopes || slices.ContainsFunc(g.Scopes, concerns) {
			u.Grants = append(u.Grants, g)
		}
	}
	roles, err := (&Roles{s.API}).List(ctx, "")
	if err != nil {
		return u, err
	}
	for i, role := range roles {
		looked(i, len(roles))
		_, permissions, err := directPermissions(ctx, s.API, []string{"roles", role.ID, "permissions"})
		if err != nil {
			return u, err
		}
		use := RoleUse{ID: role.ID, Name: role.Name}
		for _, p := range permissions {
			if p.API == server.Identifier && concerns(p.Name) {
				use.Permissions = append(use.Permissions, p.Name)
			}
		}
		if len(use.Permissions) > 0 {
			u.Roles = append(u.Roles, use)
		}
	}
	return u, nil
}

const serverBackupFormat = "m2mwatch API backup 1"

// ServerBackup is what an API was, without the secret that signs its tokens, and
// who used it: grants and permissions go with it.
type ServerBackup struct {
	Format string            `json:"format"`
	Tenant string            `json:"tenant"`
	At     time.Time         `json:"at"`
	Server json.RawMessage   `json:"resource_server"`
	Grants []json.RawMessage `json:"client_grants"`
	Roles  []RoleUse         `json:"roles"`
}

// Backup is what an API is now, and who uses it. Tenant and At are the caller's.
func (s *Server) Backup(u Use) ServerBackup {
	b := ServerBackup{Format: serverBackupFormat, Server: s.Raw, Grants: []json.RawMessage{}, Roles: slices.Clone(u.Roles)}
	for _, g := range u.Grants {
		b.Grants = append(b.Grants, g.Raw)
	}
	return b
}

// Delete deletes an API, with the grants and permissions of it, and looks whether it
// is gone. Auth0's own is never deleted.
func (s *Servers) Delete(ctx context.Context, server Server) error {
	if server.System {
		return errSystem(&server)
	}
	return remove(ctx, s.API, "API "+server.Identifier, []string{"resource-servers", server.ID})
}
