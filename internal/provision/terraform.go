package provision

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Terraform writes what a plan creates and changes as resources of the provider
// auth0/auth0, whole, as the file wants them; what is there already is imported.
// Deletions, what else is taken away, and grants that are left alone are told in
// comments. Passwords are variables, which it declares.
//
// Source: the documentation of the provider's resources auth0_client,
// auth0_client_credentials, auth0_client_grant, auth0_organization_client_grant,
// auth0_user, auth0_user_roles, auth0_user_permissions, auth0_role and
// auth0_role_permissions, version 1.
func (p *Plan) Terraform(w io.Writer) error {
	t := &terraform{names: map[string]string{}, taken: map[string]bool{}, roles: map[string]string{}}
	for _, c := range p.Changes {
		if c.Kind == KindRole {
			t.roles[c.Key] = t.name(KindRole, c.Key)
		}
	}
	for _, r := range p.roles {
		t.roleIDs = append(t.roleIDs, r.Role)
	}
	for _, h := range p.Held {
		t.line("# application %s (%s) is disabled since %s: its grants are left as they are.", h.Key, hclText(h.ID), h.Since)
		t.line("")
	}
	for _, c := range p.Changes {
		t.takes(c)
		switch {
		case c.Action == ActionDelete:
			t.line("# %s %s (%s) is to be deleted: take its resources out.", c.Kind, c.Key, hclText(c.ID))
			t.line("")
		case c.Kind == KindRole:
			t.role(p.file, c)
		case c.Kind == KindApplication:
			t.app(c)
		default:
			t.user(c)
		}
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

// takes tells what a change takes away that has no resource any more.
func (t *terraform) takes(c *Change) {
	if c.Action != ActionChange {
		return
	}
	for _, f := range c.Fields {
		switch {
		case len(f.Remove) > 0:
			t.line("# %s %s: %s: takes away %s", c.Kind, c.Key, f.Name, hclList(f.Remove))
		case f.From != nil && f.To == nil && len(f.Add) == 0:
			t.line("# %s %s: %s is taken away", c.Kind, c.Key, f.Name)
		}
	}
}

type terraform struct {
	b       strings.Builder
	names   map[string]string // of resources, by kind and key
	taken   map[string]bool
	roles   map[string]string // resources of roles, by name
	roleIDs []Role            // that there are
}

func (t *terraform) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

// name is that of the resources of an identity: letters, digits and underscores.
func (t *terraform) name(kind, key string) string {
	if name := t.names[kind+" "+key]; name != "" {
		return name
	}
	base := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(key))
	base = strings.TrimRight(base, "_")
	if base == "" || base[0] >= '0' && base[0] <= '9' {
		base = "_" + base
	}
	name := base
	for n := 2; t.taken[kind+" "+name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	t.taken[kind+" "+name], t.names[kind+" "+key] = true, name
	return name
}

// hclText is a text in quotes, in which nothing is a template.
func hclText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case (r == '$' || r == '%') && strings.HasPrefix(text[i+1:], "{"):
			b.WriteRune(r)
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func hclList(texts []string) string {
	quoted := make([]string, 0, len(texts))
	for _, text := range texts {
		quoted = append(quoted, hclText(text))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// attributes writes those that are there, as terraform fmt does: with their signs of
// equality in a column, but for those of several lines.
func (t *terraform) attributes(pairs ...[2]string) {
	wide := 0
	for _, pair := range pairs {
		if pair[1] != "" && !strings.Contains(pair[1], "\n") {
			wide = max(wide, len(pair[0]))
		}
	}
	for _, pair := range pairs {
		switch {
		case pair[1] == "":
		case strings.Contains(pair[1], "\n"):
			t.line("  %s = %s", pair[0], pair[1])
		default:
			t.line("  %-*s = %s", wide, pair[0], pair[1])
		}
	}
}

// resource writes one of attributes alone, and imports it by id, unless that is "".
func (t *terraform) resource(kind, name, id string, pairs ...[2]string) {
	if id != "" {
		t.line("import {\n  to = %s.%s\n  id = %s\n}\n", kind, name, hclText(id))
	}
	t.line("resource %q %q {", kind, name)
	t.attributes(pairs...)
	t.line("}\n")
}

// maybe is an attribute of a text that may be left out.
func maybe(text *string) string {
	if text == nil || *text == "" {
		return ""
	}
	return hclText(*text)
}

func maybeFlag(flag *bool) string {
	if flag == nil {
		return ""
	}
	return fmt.Sprint(*flag)
}

// permissions writes a resource of all permissions of a role or a user.
func (t *terraform) permissions(kind, name, owner, reference string, list []WantedScopes) {
	if len(permissionsOf(list)) == 0 {
		return // the provider wants one at least
	}
	t.line("resource %q %q {", kind, name)
	t.line("  %s = %s", owner, reference)
	for _, p := range permissionsOf(list) {
		t.line("\n  permissions {")
		t.line("    name                       = %s", hclText(p.Name))
		t.line("    resource_server_identifier = %s", hclText(p.API))
		t.line("  }")
	}
	t.line("}\n")
}

func (t *terraform) role(file *Machines, c *Change) {
	i := slices.IndexFunc(file.Roles, func(w WantedRole) bool { return w.Name == c.Key })
	w := &file.Roles[i]
	name := t.name(KindRole, c.Key)
	t.resource("auth0_role", name, c.ID, [2]string{"name", hclText(w.Name)}, [2]string{"description", maybe(w.Description)})
	t.permissions("auth0_role_permissions", name, "role_id", "auth0_role."+name+".id", w.Permissions)
}

// withoutSecrets leaves out what sounds like a secret, and says so.
func (t *terraform) withoutSecrets(what string, members map[string]any) map[string]any {
	kept := map[string]any{}
	for _, name := range sortedNames(members) {
		if soundsSecret(name) || holdsSecret(members[name]) {
			t.line("# %s.%s is left out: it sounds like a secret.", what, hclText(name))
			continue
		}
		kept[name] = members[name]
	}
	return kept
}

// hclMap is a map of those members that are there.
func hclMap(members map[string]any) string {
	var names []string
	wide := 0
	for _, name := range sortedNames(members) {
		if text, ok := members[name].(string); ok && text != "" {
			names, wide = append(names, name), max(wide, len([]rune(hclText(name))))
		}
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, name := range names {
		fmt.Fprintf(&b, "    %-*s = %s\n", wide, hclText(name), hclText(fmt.Sprint(members[name])))
	}
	b.WriteString("  }")
	return b.String()
}

func (t *terraform) app(c *Change) {
	w, is := c.app.want, c.app.is
	if is == nil {
		is = &appState{App: App{GrantTypes: []string{"client_credentials"}, Type: "non_interactive"}}
	}
	metadata := map[string]any{MarkKey: w.Key}
	maps.Copy(metadata, t.withoutSecrets("client_metadata", is.Metadata))
	for name, text := range map[string]*string{MarkOwner: w.Owner, MarkPurpose: w.Purpose, MarkExpires: w.Expires} {
		if text != nil {
			metadata[name] = *text
		}
	}
	if w.ClientID != "" && is.Mark(MarkKey) == "" {
		delete(metadata, MarkKey)
	}
	description := w.Description
	if description == nil {
		description = &is.Description
	}
	name := t.name(KindApplication, c.Key)
	t.resource("auth0_client", name, c.ID,
		[2]string{"name", hclText(c.Name)}, [2]string{"description", maybe(description)}, [2]string{"app_type", maybe(&is.Type)},
		[2]string{"grant_types", hclList(is.GrantTypes)}, [2]string{"client_metadata", hclMap(metadata)})
	id := "auth0_client." + name + ".id"
	if w.AuthMethod != nil && *w.AuthMethod != authPrivateKey {
		t.resource("auth0_client_credentials", name, "", [2]string{"client_id", id}, [2]string{"authentication_method", hclText(*w.AuthMethod)})
	}
	for i := range w.Grants {
		t.grant(c, &w.Grants[i], id)
	}
}

func (t *terraform) grant(c *Change, g *WantedGrant, client string) {
	name := t.name("grant", c.Key+"_"+strings.TrimPrefix(g.Audience, "https://"))
	id, has := "", &grantState{}
	if is := c.app.is; is != nil {
		if n := slices.IndexFunc(is.Grants, func(s grantState) bool { return s.Audience == g.Audience }); n >= 0 {
			id, has = is.Grants[n].ID, &is.Grants[n]
		}
	}
	scopes := g.Scopes
	if scopes == nil {
		scopes = has.Scopes
	}
	list := hclList(scopes)
	if deref(g.AllScopes) {
		list = ""
	}
	all := g.AllScopes
	if has.AllScopes {
		all = g.allScopes()
	}
	t.resource("auth0_client_grant", name, id,
		[2]string{"client_id", client}, [2]string{"audience", hclText(g.Audience)}, [2]string{"scopes", list},
		[2]string{"allow_all_scopes", maybeFlag(all)}, [2]string{"organization_usage", maybe(g.OrgUsage)},
		[2]string{"allow_any_organization", maybeFlag(g.AnyOrg)})
	for _, change := range c.app.grants {
		if change.audience != g.Audience {
			continue
		}
		for _, o := range change.open {
			t.resource("auth0_organization_client_grant", t.name("organization grant", name+"_"+o.Name), "",
				[2]string{"organization_id", hclText(o.ID)}, [2]string{"grant_id", "auth0_client_grant." + name + ".id"})
		}
	}
}

// hclJSON is an object as the provider takes metadata: JSON in a text.
func hclJSON(members map[string]any) string {
	kept := map[string]any{}
	for name, value := range members {
		if value != nil {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return ""
	}
	text, err := json.Marshal(kept)
	if err != nil {
		panic(err) // never: it is of JSON's own types
	}
	return hclText(string(text))
}

func (t *terraform) user(c *Change) {
	w, is := c.user.want, c.user.is
	if is == nil {
		is = &userState{Members: map[string]any{}}
	}
	app, user := map[string]any{MarkProgrammatic: true, MarkKey: w.Key}, map[string]any{}
	for _, part := range []struct {
		name       string
		into, from map[string]any
	}{
		{"app_metadata", app, is.metadata("app_metadata")},
		{"app_metadata", app, w.AppMetadata},
		{"user_metadata", user, is.metadata("user_metadata")},
		{"user_metadata", user, w.UserMetadata},
	} {
		maps.Copy(part.into, t.withoutSecrets(part.name, part.from))
	}
	for name, text := range map[string]*string{MarkOwner: w.Owner, MarkPurpose: w.Purpose, MarkExpires: w.Expires} {
		if text != nil {
			app[name] = orNil(*text)
		}
	}
	if w.UserID != "" && is.Mark(MarkKey) == "" {
		delete(app, MarkKey)
	}
	name := t.name(KindUser, c.Key)
	id, password := "", ""
	if c.ID == "" {
		id, password = hclText(strings.TrimPrefix(idOfKey(w.Key), databaseProvider+"|")), "var.password_of_"+name
		t.line("variable \"password_of_%s\" {\n  type      = string\n  sensitive = true\n}\n", name)
	}
	connection := w.connection()
	if is.ID != "" {
		connection = is.Connection()
	}
	t.resource("auth0_user", name, c.ID,
		[2]string{"connection_name", hclText(connection)}, [2]string{"user_id", id}, [2]string{"email", maybe(either(w.Email, is.Email))},
		[2]string{"username", maybe(either(w.Username, is.Username))}, [2]string{"name", maybe(w.Name)}, [2]string{"password", password},
		[2]string{"verify_email", unless(c.ID != "", "false")}, [2]string{"blocked", maybeFlag(w.Blocked)},
		[2]string{"app_metadata", hclJSON(app)}, [2]string{"user_metadata", hclJSON(user)})
	if len(w.Roles) > 0 {
		t.resource("auth0_user_roles", name, "", [2]string{"user_id", "auth0_user." + name + ".id"}, [2]string{"roles", t.roleList(w.Roles)})
	}
	t.permissions("auth0_user_permissions", name, "user_id", "auth0_user."+name+".id", w.Permissions)
}

func either(want *string, is string) *string {
	if want != nil {
		return want
	}
	return &is
}

func unless(not bool, text string) string {
	if not {
		return ""
	}
	return text
}

// roleList names roles by their resources, where the plan has some, or by id.
func (t *terraform) roleList(names []string) string {
	var list []string
	for _, role := range slices.Sorted(slices.Values(names)) {
		if resource, ok := t.roles[role]; ok {
			list = append(list, "auth0_role."+resource+".id")
			continue
		}
		for _, r := range t.roleIDs {
			if r.Name == role {
				list = append(list, hclText(r.ID)+" /* "+strings.ReplaceAll(role, "*/", "* /")+" */")
			}
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}
