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
func machinesNeeds() []Need {
	needs := []Need{
		{"export", "", []string{"read:clients", "read:client_grants", "read:users", "read:roles", "read:role_members"}},
		{"export", "--organizations", []string{"read:organization_client_grants"}},
	}
	for _, command := range []string{"plan"} {
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
	return needs
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
