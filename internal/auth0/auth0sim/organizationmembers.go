package auth0sim

import (
	"net/http"
	"strings"
)

func organizationMemberOperations() []operation {
	members := fields{"members": listMember(1, 0, textMember(1, 0))}.require("members")
	roles := fields{"roles": listMember(1, 50, textMember(1, 0))}.require("roles")
	list, ofMember := "/organizations/{id}/members", "/organizations/{id}/members/{user}/roles"
	return []operation{
		{"GET", list, []string{"read:organization_members"}, false, "Get members of an organization", nil, listMembers},
		{"POST", list, []string{"create:organization_members"}, false, "Add members to an organization", members, addMembers},
		{"DELETE", list, []string{"delete:organization_members"}, false, "Remove members from an organization", members, removeMembers},
		{"GET", ofMember, []string{"read:organization_member_roles"}, false, "Get the roles of an organization member", nil, listMemberRoles},
		{"POST", ofMember, []string{"create:organization_member_roles"}, false, "Assign roles to an organization member", roles, addMemberRoles},
		{"DELETE", ofMember, []string{"delete:organization_member_roles"}, false, "Remove roles from an organization member", roles, removeMemberRoles},
	}
}

// memberKey is how links name a user as a member of an organization.
func memberKey(organization, user string) string { return organization + " " + user }

func (c *apiCall) memberRoles(organization, user string) []document {
	docs := make([]document, 0)
	for _, l := range c.linked(relationMemberRole, memberKey(organization, user)) {
		docs = append(docs, c.roles.get(l.to))
	}
	return docs
}

func listMembers(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linked(relationOrganizationUser, d.text("id")) {
		member := memberOf(c.users.get(l.to))
		if strings.Contains(c.query.Get("fields"), "roles") {
			roles := make([]any, 0)
			for _, role := range c.memberRoles(d.text("id"), l.to) {
				roles = append(roles, role.only("id", "name"))
			}
			member["roles"] = roles
		}
		docs = append(docs, member)
	}
	return c.listing("members", docs, true)
}

func addMembers(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("members") {
		if _, err := c.user(id); err != nil {
			return reply{}, err
		}
	}
	for _, id := range c.object().texts("members") {
		c.link(relationOrganizationUser, d.text("id"), id, nil)
	}
	return reply{http.StatusNoContent, nil}, nil
}

func removeMembers(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("members") {
		c.unlink(relationOrganizationUser, d.text("id"), id)
		c.unlink(relationMemberRole, memberKey(d.text("id"), id), "")
	}
	return reply{http.StatusNoContent, nil}, nil
}

func listMemberRoles(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	return c.listing("roles", c.memberRoles(d.text("id"), c.params["user"]), false)
}

// addMemberRoles takes roles of somebody who is no member yet, too.
func addMemberRoles(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("roles") {
		if _, err := c.role(id); err != nil {
			return reply{}, err
		}
	}
	for _, id := range c.object().texts("roles") {
		c.link(relationMemberRole, memberKey(d.text("id"), c.params["user"]), id, nil)
	}
	return reply{http.StatusNoContent, nil}, nil
}

func removeMemberRoles(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	for _, id := range c.object().texts("roles") {
		c.unlink(relationMemberRole, memberKey(d.text("id"), c.params["user"]), id)
	}
	return reply{http.StatusNoContent, nil}, nil
}
