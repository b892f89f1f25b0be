package provision

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// SchemaURL is where the JSON schema of machines.yaml is, for editors.
const SchemaURL = "https://raw.githubusercontent.com/m2mwatch/m2mwatch/main/schemas/jsonschema/machines.json"

// ExportQuery says what to export.
type ExportQuery struct {
	Tenant        string // its domain
	AllRoles      bool   // those that no exported user has, too
	Organizations bool   // with the organizations that grants are open to
	Parallel      int    // how many calls are made at once; default 4
	OnRead        OnProgress
}

// Export reads the machine identities of a tenant in the form of machines.yaml. To
// plan what it returns proposes nothing. What has a key of the file keeps it, the
// rest is named by its id: that marks nothing, so nothing of it is ever proposed to be
// deleted. notes tell of what is left out, and of what
// is not to be adopted.
//
// It takes a call for a hundred applications, grants, users or members of a role,
// and one for each role and each user, for permissions.
func Export(ctx context.Context, api API, q ExportQuery) (m *Machines, notes []string, err error) {
	e := &exporter{stateReader: &stateReader{api, q.Parallel, q.OnRead}, query: q}
	m = &Machines{Version: machinesVersion, Tenant: q.Tenant, Applications: []WantedApp{}, Users: []WantedUser{}}
	if err := e.applications(ctx, m); err != nil {
		return nil, nil, err
	}
	roles, err := e.roles(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := e.users(ctx, m, roles); err != nil {
		return nil, nil, err
	}
	return m, e.notes, e.exportRoles(ctx, m, roles)
}

type exporter struct {
	*stateReader
	query ExportQuery
	notes []string
}

func (e *exporter) note(format string, args ...any) {
	e.notes = append(e.notes, "left out: "+fmt.Sprintf(format, args...))
}

func (e *exporter) applications(ctx context.Context, m *Machines) error {
	apps, err := e.apps(ctx)
	if err == nil {
		err = e.grants(ctx, apps)
	}
	if err != nil {
		return err
	}
	apps = slices.DeleteFunc(apps, func(a *appState) bool {
		if a.open() {
			e.note("application %s (%s): an apply was not through with it", a.Name, a.ID)
		}
		return a.open()
	})
	keys := newKeys()
	for _, a := range apps {
		keys.take(a.key())
	}
	for _, a := range apps {
		if e.query.Organizations {
			if err := e.openGrants(ctx, a); err != nil {
				return err
			}
		}
		w := e.app(a)
		if w.Key = a.key(); w.Key == "" {
			w.Key, w.ClientID = keys.name(a.Name), a.ID
		}
		if !a.Machine() {
			e.notes = append(e.notes, fmt.Sprintf("application %s (%s) is not a machine's alone (app_type %s, grant_types %q): do not adopt it, people may sign in through it", a.Name, a.ID, cmp.Or(a.Type, "none"), a.GrantTypes))
		}
		m.Applications = append(m.Applications, w)
	}
	slices.SortFunc(m.Applications, func(a, b WantedApp) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

// openGrants reads the organizations of the grants that may have some.
func (e *exporter) openGrants(ctx context.Context, a *appState) error {
	for i := range a.Grants {
		if g := &a.Grants[i]; g.OrgUsage == "allow" || g.OrgUsage == "require" {
			if err := e.organizations(ctx, g); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *exporter) app(a *appState) WantedApp {
	what := fmt.Sprintf("application %s (%s)", a.Name, a.ID)
	w := WantedApp{
		Name: &a.Name, Description: notEmpty(a.Description), Owner: notEmpty(a.Mark(MarkOwner)), Purpose: notEmpty(a.Mark(MarkPurpose)),
		Expires: e.expiry(what, a.Mark(MarkExpires)), Grants: []WantedGrant{},
	}
	if slices.Contains([]string{authPost, authBasic, authPrivateKey}, a.AuthMethod) {
		w.AuthMethod = &a.AuthMethod
	}
	for i := range a.Grants {
		g := &a.Grants[i]
		grant := WantedGrant{Audience: g.Audience, Scopes: g.Scopes, OrgUsage: notEmpty(g.OrgUsage), AllScopes: notFalse(g.AllScopes), AnyOrg: notFalse(g.AnyOrg)}
		if g.AllScopes {
			grant.Scopes = nil
		}
		for _, o := range g.Organizations {
			grant.Organizations = append(grant.Organizations, o.Name)
		}
		w.Grants = append(w.Grants, grant)
	}
	return w
}

func notEmpty(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func notFalse(flag bool) *bool {
	if !flag {
		return nil
	}
	return &flag
}

// expiry leaves out what the file could not say.
func (e *exporter) expiry(what, text string) *string {
	if text != "" && !validExpiry(text) {
		e.note("%s: expires: %q is no date", what, text)
		return nil
	}
	return notEmpty(text)
}

func (e *exporter) users(ctx context.Context, m *Machines, roles []*roleState) error {
	users, err := e.programmaticUsers(ctx)
	if err != nil {
		return err
	}
	if err := e.userRoles(ctx, users, roles); err != nil {
		return err
	}
	if err := e.userPermissions(ctx, users); err != nil {
		return err
	}
	keys := newKeys()
	for _, u := range users {
		keys.take(u.key())
	}
	for _, u := range users {
		w := e.user(u)
		if w.Key = u.key(); w.Key == "" {
			w.Key, w.UserID = keys.name(u.Login()), u.ID
		}
		m.Users = append(m.Users, w)
	}
	slices.SortFunc(m.Users, func(a, b WantedUser) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

func (e *exporter) user(u *userState) WantedUser {
	what := "user " + u.ID
	w := WantedUser{
		Connection: u.Connection(), Email: notEmpty(u.Email), Username: notEmpty(u.Username),
		Owner: notEmpty(u.Mark(MarkOwner)), Purpose: notEmpty(u.Mark(MarkPurpose)), Expires: e.expiry(what, u.Mark(MarkExpires)), Blocked: notFalse(u.Blocked),
		Permissions:  groupPermissions(u.Permissions),
		AppMetadata:  e.members(what, "app_metadata", u.metadata("app_metadata"), append(markNames(), MarkProgrammatic)),
		UserMetadata: e.members(what, "user_metadata", u.metadata("user_metadata"), nil),
	}
	if u.Name != u.Email && u.Name != u.Username {
		w.Name = notEmpty(u.Name) // else Auth0 has made it of them
	}
	if len(u.Roles) > 0 {
		w.Roles = u.Roles
	}
	return w
}

// groupPermissions is the opposite of permissionsOf.
func groupPermissions(list []Permission) []WantedScopes {
	var groups []WantedScopes
	for _, p := range list { // sorted by API
		if n := len(groups); n == 0 || groups[n-1].Audience != p.API {
			groups = append(groups, WantedScopes{Audience: p.API})
		}
		last := &groups[len(groups)-1]
		last.Scopes = append(last.Scopes, p.Name)
	}
	return groups
}

// members are those of metadata that the file can hold. One whose name says that it
// is a secret is not among them: the file is for many eyes.
func (e *exporter) members(what, metadata string, members map[string]any, reserved []string) map[string]any {
	kept := map[string]any{}
	for _, name := range sortedNames(members) {
		switch {
		case slices.Contains(reserved, name) || strings.HasPrefix(name, ownMark) || members[name] == nil:
		case badMember(name):
			e.note("%s: %s: %q has a dot or a $ in its name", what, metadata, name)
		case soundsSecret(name) || holdsSecret(members[name]):
			e.note("%s: %s: %s sounds like a secret", what, metadata, name)
		default:
			kept[name] = members[name]
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// soundsSecret goes by parts of names under which secrets are kept.
func soundsSecret(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
	return slices.ContainsFunc([]string{"secret", "password", "passwd", "token", "apikey", "privatekey", "credential"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

// holdsSecret looks at the names within a value.
func holdsSecret(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			if soundsSecret(name) || holdsSecret(v) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, holdsSecret)
	}
	return false
}

func (e *exporter) exportRoles(ctx context.Context, m *Machines, roles []*roleState) error {
	used := map[string]bool{}
	for i := range m.Users {
		for _, name := range m.Users[i].Roles {
			used[name] = true
		}
	}
	roles = slices.DeleteFunc(roles, func(r *roleState) bool { return !e.query.AllRoles && !used[r.Name] })
	if err := e.rolePermissions(ctx, roles); err != nil {
		return err
	}
	for _, r := range roles {
		m.Roles = append(m.Roles, WantedRole{Name: r.Name, Description: notEmpty(r.Description), Permissions: groupPermissions(r.Permissions)})
	}
	return nil
}

// keys makes a key of each name, none of them twice.
type keys map[string]bool

func newKeys() keys { return keys{} }

func (k keys) take(key string) { k[key] = true }

// name is a key that nothing has yet.
func (k keys) name(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	base := strings.Trim(b.String(), "-.")
	base = cmp.Or(base[:min(len(base), 56)], "machine")
	for n, key := 1, base; ; key = fmt.Sprintf("%s-%d", base, n) {
		if !k[key] {
			k.take(key)
			return key
		}
		n++
	}
}

// YAML writes what Export has read, as ReadMachines reads it.
func (m *Machines) YAML() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# yaml-language-server: $schema=%s\n", SchemaURL)
	w := yaml.NewEncoder(&b)
	w.SetIndent(2)
	if err := w.Encode(m); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), w.Close()
}
