package auth0sim

import (
	"net/http"
	"slices"
)

func permissionFields() fields {
	one := fields{"resource_server_identifier": textMember(1, 0), "permission_name": textMember(1, 0)}.require("resource_server_identifier", "permission_name")
	return fields{"permissions": listMember(1, 0, objectMember(one))}.require("permissions")
}

func userPermissionOperations() []operation {
	return []operation{
		{"GET", "/users/{id}/permissions", []string{"read:users"}, false, "Get a user's permissions", nil, listUserPermissions},
		{"POST", "/users/{id}/permissions", []string{"update:users"}, false, "Assign permissions to a user", permissionFields(), addUserPermissions},
		{"DELETE", "/users/{id}/permissions", []string{"update:users"}, false, "Remove permissions from a user", permissionFields(), removeUserPermissions},
	}
}

// addPermissions gives a user or a role scopes of APIs. An API must exist; a
// scope that it does not have is passed over, as Auth0 does.
func (c *apiCall) addPermissions(relation, to string) error {
	for _, p := range c.object().documents("permissions") {
		if c.servers.find(having("identifier", p.text("resource_server_identifier"))) == nil {
			return notFound("inexistent_resource_server", "The resource server does not exist")
		}
	}
	for _, p := range c.object().documents("permissions") {
		server := c.servers.find(having("identifier", p.text("resource_server_identifier")))
		if slices.Contains(scopeValues(server), p.text("permission_name")) {
			c.link(relation, to, permissionKey(p), p)
		}
	}
	return nil
}

func (c *apiCall) removePermissions(relation, from string) {
	for _, p := range c.object().documents("permissions") {
		c.unlink(relation, from, permissionKey(p))
	}
}

func permissionKey(p document) string {
	return p.text("resource_server_identifier") + " " + p.text("permission_name")
}

// permissionsBy are those that somebody has by a relation, as they are told.
func (s *store) permissionsBy(relation, of string) []document {
	docs := make([]document, 0)
	for _, l := range s.linked(relation, of) {
		d := l.data.clone()
		server := s.servers.find(having("identifier", d.text("resource_server_identifier")))
		d["resource_server_name"] = server.text("name")
		for _, scope := range server.documents("scopes") {
			if scope.text("value") == d.text("permission_name") {
				d["description"] = scope.text("description")
			}
		}
		docs = append(docs, d)
	}
	return docs
}

// permissionsOf are those that a user has, directly and by roles, each once and
// with where it comes from.
func (s *store) permissionsOf(userID string) []document {
	var docs []document
	add := func(list []document, source document) {
		for _, d := range list {
			i := slices.IndexFunc(docs, func(known document) bool { return permissionKey(known) == permissionKey(d) })
			if i < 0 {
				d["sources"] = []any{source}
				docs = append(docs, d)
				continue
			}
			docs[i]["sources"] = append(docs[i]["sources"].([]any), source)
		}
	}
	add(s.permissionsBy(relationUserPermission, userID), document{"source_id": "", "source_name": "", "source_type": "DIRECT"})
	for _, l := range s.linked(relationUserRole, userID) {
		role := s.roles.get(l.to)
		add(s.permissionsBy(relationRolePermission, l.to), document{"source_id": l.to, "source_name": role.text("name"), "source_type": "ROLE"})
	}
	return docs
}

func listUserPermissions(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	return c.listing("permissions", c.permissionsOf(c.params["id"]), false)
}

func addUserPermissions(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, document{}}, c.addPermissions(relationUserPermission, c.params["id"])
}

func removeUserPermissions(c *apiCall) (reply, error) {
	if _, err := c.user(c.params["id"]); err != nil {
		return reply{}, err
	}
	c.removePermissions(relationUserPermission, c.params["id"])
	return reply{http.StatusNoContent, nil}, nil
}
