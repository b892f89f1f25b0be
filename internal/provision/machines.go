package provision

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Machines are the wanted machine identities of a tenant, as machines.yaml has
// them. It holds no secret.
//
// One rule for all of it: what is left out is left as it is. An empty text takes
// away a description, an owner, a purpose or an expiry, an empty list all that
// there is, and null a member of metadata.
//
// A change of its form is a change of schemas/jsonschema/machines.json.
type Machines struct {
	Version      int          `yaml:"version"`
	Tenant       string       `yaml:"tenant,omitempty"` // its domain; another is refused
	Applications []WantedApp  `yaml:"applications"`
	Users        []WantedUser `yaml:"users"`
	Roles        []WantedRole `yaml:"roles,omitempty"`
}

// machinesVersion is that of the file's form.
const machinesVersion = 1

// WantedApp is a wanted M2M application. It is known by Key, which the tenant keeps
// in client_metadata, or by ClientID. Adopt is the client id of one that is there
// already and gets the key.
type WantedApp struct {
	Line int `yaml:"-"`

	Key         string        `yaml:"key"`
	ClientID    string        `yaml:"client_id,omitempty"`
	Adopt       string        `yaml:"adopt,omitempty"`
	Name        *string       `yaml:"name,omitempty"` // of one that is made by default the key
	Description *string       `yaml:"description,omitempty"`
	Owner       *string       `yaml:"owner,omitempty"`
	Purpose     *string       `yaml:"purpose,omitempty"`
	Expires     *string       `yaml:"expires,omitempty"`
	AuthMethod  *string       `yaml:"token_endpoint_auth_method,omitempty"`
	Grants      []WantedGrant `yaml:"grants,omitempty"` // all of those as itself; not those for users
	Expect      *WantedExpect `yaml:"expect,omitempty"`
}

// WantedGrant lets an application get tokens of an API.
type WantedGrant struct {
	Line int `yaml:"-"`

	Audience      string   `yaml:"audience"`
	Scopes        []string `yaml:"scopes,omitempty"`
	AllScopes     *bool    `yaml:"allow_all_scopes,omitempty"`
	OrgUsage      *string  `yaml:"organization_usage,omitempty"`
	AnyOrg        *bool    `yaml:"allow_any_organization,omitempty"`
	Organizations []string `yaml:"organizations,omitempty"` // by name or id
}

// allScopes is whether it is to be a grant of all scopes: one of a list is not, also
// where it does not say so.
func (g *WantedGrant) allScopes() *bool {
	if g.AllScopes == nil && g.Scopes != nil {
		return new(bool)
	}
	return g.AllScopes
}

// WantedScopes are permissions: some scopes of an API.
type WantedScopes struct {
	Line int `yaml:"-"`

	Audience string   `yaml:"audience"`
	Scopes   []string `yaml:"scopes"`
}

// WantedUser is a wanted programmatic user. It is known by Key, which the tenant
// keeps in app_metadata and of which the id is made, or by UserID. Adopt is the id
// of one that is there already and gets the key.
type WantedUser struct {
	Line int `yaml:"-"`

	Key          string         `yaml:"key"`
	UserID       string         `yaml:"user_id,omitempty"`
	Adopt        string         `yaml:"adopt,omitempty"`
	Connection   string         `yaml:"connection,omitempty"` // default Username-Password-Authentication
	Email        *string        `yaml:"email,omitempty"`
	Username     *string        `yaml:"username,omitempty"`
	Name         *string        `yaml:"name,omitempty"`
	Owner        *string        `yaml:"owner,omitempty"`
	Purpose      *string        `yaml:"purpose,omitempty"`
	Expires      *string        `yaml:"expires,omitempty"`
	Blocked      *bool          `yaml:"blocked,omitempty"`
	Roles        []string       `yaml:"roles,omitempty"`       // by name; all of them
	Permissions  []WantedScopes `yaml:"permissions,omitempty"` // all of its own
	AppMetadata  Metadata       `yaml:"app_metadata,omitempty"`
	UserMetadata Metadata       `yaml:"user_metadata,omitempty"`
	Expect       *WantedExpect  `yaml:"expect,omitempty"`
}

// Metadata are members of app_metadata or user_metadata: what JSON can say, numbers
// as json.Number.
type Metadata map[string]any

// MarshalYAML writes numbers exactly.
func (m Metadata) MarshalYAML() (any, error) { return plainNode(map[string]any(m)), nil }

// WantedRole is a wanted role. A tenant has one of a name, and nothing else to know
// it by: so apply deletes none.
type WantedRole struct {
	Line int `yaml:"-"`

	Name        string         `yaml:"name"`
	Description *string        `yaml:"description,omitempty"`
	Permissions []WantedScopes `yaml:"permissions,omitempty"` // all of them
}

// MarkKey is the member of client_metadata and of app_metadata by which an
// application or a user of machines.yaml is known.
const MarkKey = "m2mwatch_key"

// ownMark begins the names of members of metadata that are m2mwatch's own.
const ownMark = "m2mwatch_"

const defaultConnection = "Username-Password-Authentication"

// maxMachines bounds a file.
const maxMachines = 32 << 20

// ReadMachines reads machines.yaml. The error has every problem, with its line.
func ReadMachines(text []byte) (*Machines, error) {
	if len(text) > maxMachines {
		return nil, fmt.Errorf("it is longer than %d MiB", maxMachines>>20)
	}
	m := &Machines{}
	parsed, err := readYAML(text, m)
	if !parsed {
		return nil, err
	}
	return m, errors.Join(err, m.Validate())
}

// Validate returns every problem at once.
func (m *Machines) Validate() error {
	v := &machinesCheck{seen: map[string]int{}}
	if m.Version != machinesVersion {
		v.wrong(1, "version: want %d", machinesVersion)
	}
	if m.Applications == nil && m.Users == nil && m.Roles == nil {
		v.wrong(1, "want applications, users or roles")
	}
	for i := range m.Applications {
		v.app(&m.Applications[i])
	}
	for i := range m.Users {
		v.user(&m.Users[i])
	}
	for i := range m.Roles {
		v.role(&m.Roles[i])
	}
	return errors.Join(v.problems...)
}

// machinesCheck collects what is wrong with a file.
type machinesCheck struct {
	problems []error
	seen     map[string]int // the line of what must be there once
}

func (v *machinesCheck) wrong(line int, format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("line %d: "+format, append([]any{line}, args...)...))
}

// once wants that nothing else has this of its kind.
func (v *machinesCheck) once(line int, kind, value string) {
	if value == "" {
		return
	}
	if first, twice := v.seen[kind+" "+value]; twice {
		v.wrong(line, "%s %s is there already, in line %d", kind, value, first)
		return
	}
	v.seen[kind+" "+value] = line
}

// keyForm is that of a key, which is part of the names of files.
var keyForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

func (v *machinesCheck) key(line int, kind, key string) {
	if !keyForm.MatchString(key) {
		v.wrong(line, "%s: key %q: want 1 to 64 letters, digits, dots, hyphens and underscores", kind, key)
		return
	}
	v.once(line, kind+" with the key", key)
}

// marks are what applications and users have alike; most is the length in bytes
// that fits, 0 for any.
func (v *machinesCheck) marks(line int, owner, purpose, expires *string, most int) {
	for name, text := range map[string]*string{MarkOwner: owner, MarkPurpose: purpose} {
		if text != nil && most > 0 && len(*text) > most {
			v.wrong(line, "%s: it is longer than %d bytes", name, most)
		}
	}
	if expires != nil && *expires != "" && !validExpiry(*expires) {
		v.wrong(line, "expires: %q: want a date (2027-06-30) or RFC 3339", *expires)
	}
}

func validExpiry(text string) bool {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if _, err := time.Parse(layout, text); err == nil {
			return true
		}
	}
	return false
}

// The ways in which an application proves who it is.
const (
	authPost       = "client_secret_post"
	authBasic      = "client_secret_basic"
	authPrivateKey = "private_key_jwt"
)

// maxClientMetadata is the length of a member of client_metadata, maxClientMembers
// how many there are. Source: the Management API's OpenAPI document.
const (
	maxClientMetadata = 255
	maxClientMembers  = 10
	maxDescription    = 140
)

func (v *machinesCheck) app(w *WantedApp) {
	v.key(w.Line, "application", w.Key)
	if w.ClientID != "" && w.Adopt != "" {
		v.wrong(w.Line, "want client_id or adopt, not both")
	}
	v.once(w.Line, "application", w.ClientID+w.Adopt)
	v.marks(w.Line, w.Owner, w.Purpose, w.Expires, maxClientMetadata)
	if w.Name != nil && (*w.Name == "" || strings.ContainsAny(*w.Name, "<>")) {
		v.wrong(w.Line, "name: want a text without < and >")
	}
	if w.Description != nil && len([]rune(*w.Description)) > maxDescription {
		v.wrong(w.Line, "description: it is longer than %d characters", maxDescription)
	}
	if methods := []string{authPost, authBasic, authPrivateKey}; w.AuthMethod != nil && !slices.Contains(methods, *w.AuthMethod) {
		v.wrong(w.Line, "token_endpoint_auth_method: want one of %s", strings.Join(methods, ", "))
	}
	audiences := map[string]bool{}
	for i := range w.Grants {
		g := &w.Grants[i]
		if audiences[g.Audience] {
			v.wrong(g.Line, "there is a grant of %s already", g.Audience)
		}
		audiences[g.Audience] = true
		v.grant(g)
	}
	v.expect(w.Expect)
}

func (v *machinesCheck) grant(g *WantedGrant) {
	v.scopes(g.Line, g.Audience, g.Scopes)
	if deref(g.AllScopes) && g.Scopes != nil {
		v.wrong(g.Line, "want scopes or allow_all_scopes, not both")
	}
	usages := []string{"deny", "allow", "require"}
	if g.OrgUsage != nil && !slices.Contains(usages, *g.OrgUsage) {
		v.wrong(g.Line, "organization_usage: want one of %s", strings.Join(usages, ", "))
	}
	if len(g.Organizations) > 0 && (g.OrgUsage == nil || *g.OrgUsage == "deny") {
		v.wrong(g.Line, "organizations: they need organization_usage to be allow or require")
	}
	v.distinct(g.Line, "organizations", g.Organizations)
}

func (v *machinesCheck) scopes(line int, audience string, scopes []string) {
	if audience == "" {
		v.wrong(line, "audience: it is missing: the identifier of an API")
	}
	v.distinct(line, "scopes", scopes)
}

// distinct wants texts that are not empty, each once.
func (v *machinesCheck) distinct(line int, what string, texts []string) {
	for i, text := range texts {
		if text == "" {
			v.wrong(line, "%s: one is empty", what)
		} else if slices.Contains(texts[:i], text) {
			v.wrong(line, "%s: %s is there twice", what, text)
		}
	}
}

func (v *machinesCheck) permissions(list []WantedScopes) {
	for i := range list {
		p := &list[i]
		v.scopes(p.Line, p.Audience, p.Scopes)
		if p.Scopes == nil {
			v.wrong(p.Line, "scopes: they are missing")
		}
		if slices.ContainsFunc(list[:i], func(other WantedScopes) bool { return other.Audience == p.Audience }) {
			v.wrong(p.Line, "there are permissions of %s already", p.Audience)
		}
	}
}

func (v *machinesCheck) user(w *WantedUser) {
	v.key(w.Line, "user", w.Key)
	if w.UserID != "" && w.Adopt != "" {
		v.wrong(w.Line, "want user_id or adopt, not both")
	}
	v.once(w.Line, "user", w.UserID+w.Adopt)
	v.marks(w.Line, w.Owner, w.Purpose, w.Expires, 0)
	if w.UserID+w.Adopt == "" && w.Email == nil && w.Username == nil {
		v.wrong(w.Line, "want an email address or a user name")
	}
	if w.Email != nil {
		if !strings.Contains(strings.Trim(*w.Email, "@"), "@") || strings.ContainsAny(*w.Email, " \t\r\n") {
			v.wrong(w.Line, "email: %q is no address", *w.Email)
		}
		v.once(w.Line, "user of "+w.connection()+" with the email", strings.ToLower(*w.Email))
	}
	if w.Username != nil {
		if *w.Username == "" {
			v.wrong(w.Line, "username: it is empty")
		}
		v.once(w.Line, "user of "+w.connection()+" with the name", *w.Username)
	}
	if w.Name != nil && *w.Name == "" {
		v.wrong(w.Line, "name: it is empty")
	}
	v.expect(w.Expect)
	v.distinct(w.Line, "roles", w.Roles)
	v.permissions(w.Permissions)
	v.metadata(w.Line, "app_metadata", w.AppMetadata, append(markNames(), MarkProgrammatic))
	v.metadata(w.Line, "user_metadata", w.UserMetadata, nil)
}

func markNames() []string { return []string{MarkOwner, MarkPurpose, MarkExpires} }

// metadata refuses names that Auth0 refuses (Auth0, "Metadata field names and data
// types"), and those that have a key of their own.
func (v *machinesCheck) metadata(line int, what string, members map[string]any, reserved []string) {
	for _, name := range sortedNames(members) {
		switch {
		case badMember(name):
			v.wrong(line, "%s: %q: a name has no dot and no $", what, name)
		case slices.Contains(reserved, name) || strings.HasPrefix(name, ownMark):
			v.wrong(line, "%s: %s is not given here", what, name)
		}
	}
}

func badMember(name string) bool { return name == "" || strings.ContainsAny(name, ".$") }

func (v *machinesCheck) role(w *WantedRole) {
	if w.Name == "" {
		v.wrong(w.Line, "role: name: it is missing")
	}
	v.once(w.Line, "role", w.Name)
	v.permissions(w.Permissions)
}

// connection is where the user's password is, or will be.
func (w *WantedUser) connection() string {
	if w.Connection == "" {
		return defaultConnection
	}
	return w.Connection
}

// permissionsOf are the permissions of a list, one by one.
func permissionsOf(list []WantedScopes) []Permission {
	permissions := []Permission{}
	for _, p := range list {
		for _, scope := range p.Scopes {
			permissions = append(permissions, Permission{API: p.Audience, Name: scope})
		}
	}
	return permissions
}
