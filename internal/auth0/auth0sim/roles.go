package auth0sim

import (
	"net/http"
	"strings"
)

func roleOperations() []operation {
	body := fields{"name": textMember(1, 0), "description": textMember(0, 0), "type": enumMember("tenant", "organization"), "owner_id": textMember(1, 0)}
	members := fields{"users": listMember(1, 0, textMember(1, 0))}.require("users")
	return []operation{
		{"GET", "/roles", []string{"read:roles"}, false, "Get roles", nil, listRoles},
		{"POST", "/roles", []string{"create:roles"}, false, "Create a role", body.require("name"), createRole},
		{"GET", "/roles/{id}", []string{"read:roles"}, false, "Get a role", nil, showRole},
		{"PATCH", "/roles/{id}", []string{"update:roles"}, false, "Update a role", body.without("type", "owner_id"), updateRole},
		{"DELETE", "/roles/{id}", []string{"delete:roles"}, false, "Delete a role", nil, deleteRole},
		{"GET", "/roles/{id}/permissions", []string{"read:roles"}, false, "Get a role's permissions", nil, listRolePermissions},
		{"POST", "/roles/{id}/permissions", []string{"update:roles"}, false, "Associate permissions with a role", permissionFields(), addRolePermissions},
		{"DELETE", "/roles/{id}/permissions", []string{"update:roles"}, false, "Remove permissions from a role", permissionFields(), removeRolePermissions},
		{"GET", "/roles/{id}/users", []string{"read:users", "read:roles", "read:role_members"}, true, "Get a role's users", nil, listRoleUsers},
		{"POST", "/roles/{id}/users", []string{"update:roles", "create:role_members"}, true, "Assign users to a role", members, addRoleUsers},
	}
}

func (c *apiCall) role(id string) (document, error) {
	if d := c.roles.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("", "The role does not exist.")
}

func listRoles(c *apiCall) (reply, error) {
	filter := strings.ToLower(c.query.Get("name_filter"))
	docs := c.roles.all(func(d document) bool {
		for _, name := range []string{"type", "owner_id"} {
			if want := c.query.Get(name); want != "" && d.text(name) != want {
				return false
			}
		}
		return strings.Contains(strings.ToLower(d.text("name")), filter)
	})
	return c.listing("roles", docs, false)
}

func createRole(c *apiCall) (reply, error) {
	d := c.object().clone()
	if c.roles.find(func(r document) bool {
		return r.text("name") == d.text("name") && r.text("owner_id") == d.text("owner_id")
	}) != nil {
		return reply{}, conflict("", "The role already exists")
	}
	d["id"] = c.id("rol_", 16)
	c.roles.put(d.text("id"), d)
	return reply{http.StatusOK, d}, nil
}

func showRole(c *apiCall) (reply, error) {
	d, err := c.role(c.params["id"])
	return reply{http.StatusOK, d}, err
}

func updateRole(c *apiCall) (reply, error) {
	d, err := c.role(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object())
	c.roles.put(d.text("id"), after)
	return reply{http.StatusOK, after}, nil
}

func deleteRole(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	c.roles.remove(c.params["id"])
	c.unlink(relationUserRole, "", c.params["id"])
	c.unlink(relationMemberRole, "", c.params["id"])
	c.unlink(relationRolePermission, c.params["id"], "")
	return reply{http.StatusOK, document{}}, nil
}

func listRolePermissions(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	return c.listing("permissions", c.permissionsBy(relationRolePermission, c.params["id"]), false)
}

func addRolePermissions(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, document{}}, c.addPermissions(relationRolePermission, c.params["id"])
}

func removeRolePermissions(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	c.removePermissions(relationRolePermission, c.params["id"])
	return reply{http.StatusNoContent, nil}, nil
}

func listRoleUsers(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linkedTo(relationUserRole, c.params["id"]) {
		docs = append(docs, memberOf(c.users.get(l.from)))
	}
	return c.listing("users", docs, true)
}

// memberOf is a user as lists of members tell of it.
func memberOf(user document) document { return user.only("user_id", "email", "picture", "name") }

func addRoleUsers(c *apiCall) (reply, error) {
	if _, err := c.role(c.params["id"]); err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("users") {
		if _, err := c.user(id); err != nil {
			return reply{}, err
		}
	}
	for _, id := range c.object().texts("users") {
		c.link(relationUserRole, id, c.params["id"], nil)
	}
	return reply{http.StatusOK, document{}}, nil
}
