package provision

import "slices"

// Need is what a command needs of a token for the Management API.
type Need struct {
	Command string   `json:"command"`
	When    string   `json:"when,omitempty"` // the flag that asks for more; "" for always
	Scopes  []string `json:"scopes"`
}

// The flags that need scopes of their own.
const (
	WhenRole        = "--role"
	WhenPermission  = "--permission"
	WhenAccess      = "--access"
	WhenAppMetadata = "app_metadata"
	WhenRoles       = "of roles"
	WhenPermissions = "of permissions"

	WhenOrganizations     = "of organizations"
	WhenOrganizationRoles = "of roles in organizations"

	WhenUpdate = "--update"
	WhenBackup = "without --no-backup"

	WhenLifetimes = "for lifetimes of tokens"
	WhenMark      = "to mark it as disabled"
	WhenMarked    = "of one that is marked as disabled"

	WhenGrants      = "of grants"
	WhenConnections = "of connections"
	WhenTwin        = "of a twin, by two at once"
	WhenSecret      = "of a secret"
	WhenKey         = "of a key"
	WhenFinish      = "--finish"
	WhenKeys        = "--keys"

	WhenRemoved = "--remove-scope"
	WhenUse     = "unless --force --no-backup"
)

// Needs are the scopes of each command, the least that will do: a table, a line for
// each need, and so as long as there are commands.
//
// Source: security of each operation in the Management API's OpenAPI document;
// for the roles of a user all of those named, for others any.
func Needs() []Need {
	always := func(command string, scopes ...string) Need { return Need{command, "", append([]string{}, scopes...)} }
	needs := []Need{
		always("backfill", "read:logs"),
		always("assess", "read:logs", "read:clients", "read:client_grants"),
		{"assess", WhenLifetimes, []string{"read:resource_servers"}},
		always("users create", "create:users", "read:users"),
		{"users create", WhenRole, []string{"update:users", "read:roles", "create:role_members", "read:role_members"}},
		{"users create", WhenPermission, []string{"update:users", "read:resource_servers"}},
		always("users import", "create:users", "read:users", "read:connections"),
		{"users import", WhenRoles, []string{"update:users", "read:roles", "create:role_members", "read:role_members"}},
		{"users import", WhenPermissions, []string{"update:users", "read:resource_servers"}},
		{"users import", WhenUpdate, []string{"update:users", "update:users_app_metadata"}},
		always("users list", "read:users"),
		always("users show", "read:users"),
		{"users show", WhenAccess, []string{"read:roles", "read:role_members"}},
		always("users update", "read:users", "update:users"),
		{"users update", WhenAppMetadata, []string{"update:users_app_metadata"}},
		always("users block", "read:users", "update:users"),
		always("users unblock", "read:users", "update:users"),
		always("users password", "read:users", "update:users"),
		always("users delete", "read:users", "delete:users"),
		{"users delete", WhenBackup, []string{"read:roles", "read:role_members", "read:organizations", "read:organization_member_roles"}},
		always("users restore", "create:users", "read:users"),
		{"users restore", WhenRoles, []string{"update:users", "read:roles", "create:role_members", "read:role_members"}},
		{"users restore", WhenPermissions, []string{"update:users", "read:resource_servers"}},
		{"users restore", WhenOrganizations, []string{"read:organizations", "create:organization_members"}},
		{"users restore", WhenOrganizationRoles, []string{"read:roles", "read:organization_member_roles", "create:organization_member_roles"}},
		always("roles create", "create:roles", "read:roles"),
		{"roles create", WhenPermission, []string{"update:roles", "read:resource_servers"}},
		always("roles list", "read:roles"),
		always("roles show", "read:roles"),
		always("roles update", "read:roles", "update:roles"),
		always("roles delete", "read:roles", "delete:roles"),
		{"roles delete", WhenBackup, []string{"read:users", "read:role_members"}},
		always("roles permissions add", "read:roles", "update:roles", "read:resource_servers"),
		always("roles permissions remove", "read:roles", "update:roles"),
		always("roles assign", "read:users", "update:users", "read:roles", "create:role_members", "read:role_members"),
		always("roles unassign", "read:users", "update:users", "read:roles", "delete:role_members", "read:role_members"),
		always("apps create", "create:clients", "read:clients", "create:client_grants", "read:client_grants", "read:resource_servers"),
		always("apps list", "read:clients"),
		always("apps show", "read:clients", "read:client_grants"),
		{"apps show", WhenKeys, []string{"read:client_credentials"}},
		always("apps update", "read:clients", "update:clients"),
		always("apps disable", "read:clients", "read:client_grants", "delete:client_grants"),
		{"apps disable", WhenLifetimes, []string{"read:resource_servers"}},
		{"apps disable", WhenMark, []string{"update:clients"}},
		{"apps disable", WhenOrganizations, []string{"read:organization_client_grants"}},
		always("apps enable", "read:clients", "read:client_grants", "create:client_grants"),
		{"apps enable", WhenMarked, []string{"update:clients"}},
		{"apps enable", WhenOrganizations, []string{"create:organization_client_grants", "read:organization_client_grants"}},
		always("apps rotate", "read:clients"),
		{"apps rotate", WhenSecret, []string{"update:client_keys"}},
		{"apps rotate", WhenKey, []string{"create:client_credentials", "read:client_credentials", "update:client_credentials"}},
		{"apps rotate", WhenFinish, []string{"read:client_credentials", "update:client_credentials", "delete:client_credentials"}},
		always("apps usage"), // it asks the running instance
		always("apps delete", "read:clients", "delete:clients"),
		{"apps delete", WhenBackup, []string{"read:client_grants", "read:client_credentials"}},
		{"apps delete", WhenOrganizations, []string{"read:organization_client_grants"}},
		always("apps restore", "create:clients", "read:clients"),
		{"apps restore", WhenGrants, []string{"create:client_grants", "read:client_grants"}},
		{"apps restore", WhenOrganizations, []string{"create:organization_client_grants", "read:organization_client_grants"}},
		{"apps restore", WhenConnections, []string{"update:connections"}},
		{"apps restore", WhenTwin, []string{"delete:clients"}},
		always("apis list", "read:resource_servers"),
		always("apis show", "read:resource_servers"),
		always("apis create", "create:resource_servers", "read:resource_servers"),
		always("apis update", "read:resource_servers", "update:resource_servers"),
		{"apis update", WhenRemoved, []string{"read:client_grants", "read:roles"}},
		always("apis delete", "read:resource_servers", "delete:resource_servers"),
		{"apis delete", WhenUse, []string{"read:client_grants", "read:roles"}},
		always("grants list", "read:client_grants"),
		always("grants show", "read:client_grants"),
		always("grants create", "create:client_grants", "read:client_grants", "read:resource_servers"),
		always("grants update", "read:client_grants", "update:client_grants", "read:resource_servers"),
		always("grants delete", "read:client_grants", "delete:client_grants", "read:resource_servers"),
		always("actions list", "read:actions"),
		always("actions deploy", "create:actions", "read:actions", "update:actions"),
		always("actions remove", "read:actions", "update:actions", "delete:actions"),
		always("streams create", "create:log_streams", "read:log_streams"),
		always("streams list", "read:log_streams"),
		always("streams show", "read:log_streams"),
		always("streams pause", "read:log_streams", "update:log_streams"),
		always("streams resume", "read:log_streams", "update:log_streams"),
		always("streams update", "read:log_streams", "update:log_streams"),
		always("streams delete", "read:log_streams", "delete:log_streams"),
	}
	return append(needs, machinesNeeds(needs)...)
}

// ScopesOf are the scopes that a command needs, with what it needs when.
func ScopesOf(command string, when ...string) []string { return scopesOf(Needs(), command, when...) }

func scopesOf(needs []Need, command string, when ...string) []string {
	var scopes []string
	for _, n := range needs {
		if n.Command != command || n.When != "" && !slices.Contains(when, n.When) {
			continue
		}
		for _, scope := range n.Scopes {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	return scopes
}

// Missing are those needed that a token does not have.
func Missing(has, needed []string) []string {
	return slices.DeleteFunc(slices.Clone(needed), func(scope string) bool { return slices.Contains(has, scope) })
}
