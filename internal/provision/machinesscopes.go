package provision

import "slices"

// What of a file and a plan needs scopes of its own.
const (
	WhenFileApplications       = "of applications"
	WhenFileUsers              = "of users"
	WhenFileUserRoles          = "of roles of users"
	WhenFileGrants             = "of grants"
	WhenFileGrantOrganizations = "of organizations"
	WhenFileRoles              = "of roles"
	WhenFilePermissions        = "of permissions"

	WhenFileMakesApps     = "that makes applications"
	WhenFileChangesApps   = "that changes applications"
	WhenFileChangesGrants = "that changes grants"
	WhenFileOpensGrants   = "that opens grants to organizations"
	WhenFileMakesUsers    = "that makes users"
	WhenFileChangesUsers  = "that changes users"
	WhenFileAssigns       = "that assigns roles"
	WhenFilePermits       = "that permits users"
	WhenFileMakesRoles    = "that makes roles"
	WhenFileChangesRoles  = "that changes roles"
	WhenFileDeletesApps   = "that deletes applications"
	WhenFileDeletesUsers  = "that deletes users"
	WhenFileBacksApps     = "that deletes applications, without --no-backup"
	WhenFileBacksUsers    = "that deletes users, without --no-backup"
)

// machinesNeeds are the scopes of the commands about machines.yaml. What is not of
// a file is not read.
func machinesNeeds(others []Need) []Need {
	needs := []Need{
		{"export", "", []string{"read:clients", "read:client_grants", "read:users", "read:roles", "read:role_members"}},
		{"export", "--organizations", []string{"read:organization_client_grants"}},
	}
	for _, command := range []string{"plan", "apply"} {
		needs = append(needs,
			Need{command, WhenFileApplications, []string{"read:clients", "read:client_grants"}},
			Need{command, WhenFileGrants, []string{"read:resource_servers"}},
			Need{command, WhenFileGrantOrganizations, []string{"read:organization_client_grants", "read:organizations"}},
			Need{command, WhenFileUsers, []string{"read:users"}},
			Need{command, WhenFileUserRoles, []string{"read:roles", "read:role_members"}},
			Need{command, WhenFileRoles, []string{"read:roles"}},
			Need{command, WhenFilePermissions, []string{"read:resource_servers"}},
		)
	}
	changes := func(when string, scopes ...string) Need { return Need{"apply", when, scopes} }
	return append(needs,
		changes(WhenFileMakesApps, "create:clients", "update:clients", "update:client_keys", "delete:clients"),
		changes(WhenFileChangesApps, "update:clients"),
		changes(WhenFileChangesGrants, "create:client_grants", "update:client_grants", "delete:client_grants"),
		changes(WhenFileOpensGrants, "create:organization_client_grants", "delete:organization_client_grants"),
		changes(WhenFileMakesUsers, "create:users"),
		changes(WhenFileChangesUsers, "update:users", "update:users_app_metadata"),
		changes(WhenFileAssigns, "update:users", "create:role_members", "delete:role_members"),
		changes(WhenFilePermits, "update:users"),
		changes(WhenFileMakesRoles, "create:roles"),
		changes(WhenFileChangesRoles, "update:roles"),
		changes(WhenFileDeletesApps, "delete:clients"),
		changes(WhenFileDeletesUsers, "delete:users"),
		changes(WhenFileBacksApps, scopesOf(others, "apps delete", WhenBackup, WhenOrganizations)...),
		changes(WhenFileBacksUsers, scopesOf(others, "users delete", WhenBackup)...),
	)
}

// Needs are what of a plan needs scopes to be done, for ScopesOf.
func (p *Plan) Needs(deletes, backups bool) []string {
	var when []string
	add := func(needed bool, what string) {
		if needed && !slices.Contains(when, what) {
			when = append(when, what)
		}
	}
	add(len(p.Leftovers) > 0, WhenFileDeletesApps)
	for _, c := range p.Changes {
		made, gone := c.Action == ActionCreate, c.Action == ActionDelete
		switch c.Kind {
		case KindApplication:
			add(made, WhenFileMakesApps)
			add(gone && deletes, WhenFileDeletesApps)
			add(gone && deletes && backups, WhenFileBacksApps)
			add(!made && c.body != nil, WhenFileChangesApps)
		case KindUser:
			add(made, WhenFileMakesUsers)
			add(gone && deletes, WhenFileDeletesUsers)
			add(gone && deletes && backups, WhenFileBacksUsers)
			add(!made && c.body != nil, WhenFileChangesUsers)
		default:
			add(made, WhenFileMakesRoles)
			add(!made && c.body != nil, WhenFileChangesRoles)
		}
		c.needs(add)
	}
	return when
}

// needs are those of what is not in its document.
func (c *Change) needs(add func(bool, string)) {
	if c.app != nil {
		add(len(c.app.grants) > 0, WhenFileChangesGrants)
		for _, g := range c.app.grants {
			add(len(g.open)+len(g.shut) > 0, WhenFileOpensGrants)
		}
	}
	if c.user != nil {
		add(len(c.user.addRoles)+len(c.user.dropRole) > 0, WhenFileAssigns)
		add(len(c.user.add)+len(c.user.remove) > 0, WhenFilePermits)
	}
	if c.role != nil {
		add(len(c.role.add)+len(c.role.remove) > 0, WhenFileChangesRoles)
	}
}

// Needs are what of the file has to be read at the tenant, for ScopesOf.
func (m *Machines) Needs() []string {
	var when []string
	add := func(needed bool, what string) {
		if needed && !slices.Contains(when, what) {
			when = append(when, what)
		}
	}
	add(m.Applications != nil, WhenFileApplications)
	add(m.Users != nil, WhenFileUsers)
	add(m.Roles != nil, WhenFileRoles)
	for i := range m.Applications {
		add(len(m.Applications[i].Grants) > 0, WhenFileGrants)
		for _, g := range m.Applications[i].Grants {
			add(g.Organizations != nil, WhenFileGrantOrganizations)
		}
	}
	for i := range m.Users {
		add(m.Users[i].Roles != nil, WhenFileUserRoles)
		add(len(m.Users[i].Permissions) > 0, WhenFilePermissions)
	}
	for i := range m.Roles {
		add(len(m.Roles[i].Permissions) > 0, WhenFilePermissions)
	}
	return when
}
