package auth0sim

import "net/http"

func userRoleOperations() []operation {
	body := fields{"roles": listMember(1, 50, textMember(1, 0))}.require("roles")
	return []operation{
		{"GET", "/users/{id}/roles", []string{"read:users", "read:roles", "read:role_members"}, true, "Get a user's roles", nil, listUserRoles},
		{"POST", "/users/{id}/roles", []string{"update:users", "create:role_members"}, true, "Assign roles to a user", body, assignRoles},
		{"DELETE", "/users/{id}/roles", []string{"update:users", "delete:role_members"}, true, "Remove roles from a user", body, removeRoles},
	}
}

func listUserRoles(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linked(relationUserRole, c.params["id"]) {
		docs = append(docs, c.roles.get(l.to))
	}
	return c.listing("roles", docs, false)
}

func assignRoles(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("roles") {
		if _, err := c.role(id); err != nil {
			return reply{}, err
		}
	}
	for _, id := range c.object().texts("roles") {
		c.link(relationUserRole, c.params["id"], id, nil)
	}
	return reply{http.StatusNoContent, nil}, nil
}

func removeRoles(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("roles") {
		c.unlink(relationUserRole, c.params["id"], id)
	}
	return reply{http.StatusNoContent, nil}, nil
}
