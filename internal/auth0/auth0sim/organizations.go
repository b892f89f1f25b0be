package auth0sim

import "net/http"

func organizationFields() fields {
	enabled := fields{"connection_id": textMember(1, 0), "assign_membership_on_login": flagMember(), "is_signup_enabled": flagMember(), "show_as_button": flagMember(), "is_enabled": flagMember()}
	return fields{
		"name": textMember(1, 50).matching(`^[a-z0-9][a-z0-9_-]*$`), "display_name": textMember(1, 255), "branding": objectMember(nil), "metadata": objectMember(nil),
		"enabled_connections": listMember(0, 0, objectMember(enabled.require("connection_id"))), "token_quota": objectMember(nil).orNull(),
		"third_party_client_access": enumMember("allow", "block"), "is_app_entitlement_active": flagMember(),
	}
}

func organizationOperations() []operation {
	read := []string{"read:organizations", "read:organizations_summary"}
	return []operation{
		{"GET", "/organizations", read, false, "Get organizations", nil, listOrganizations},
		{"POST", "/organizations", []string{"create:organizations"}, false, "Create organization", organizationFields().require("name"), createOrganization},
		{"GET", "/organizations/name/{name}", read, false, "Get organization by name", nil, showOrganization},
		{"GET", "/organizations/{id}", read, false, "Get organization", nil, showOrganization},
		{"PATCH", "/organizations/{id}", []string{"update:organizations"}, false, "Update organization", organizationFields().without("enabled_connections"), updateOrganization},
		{"DELETE", "/organizations/{id}", []string{"delete:organizations"}, false, "Delete organization", nil, deleteOrganization},
	}
}

// organization is the one of the path.
func (c *apiCall) organization() (document, error) {
	d := c.organizations.get(c.params["id"])
	if name, ok := c.params["name"]; ok {
		d = c.organizations.find(having("name", name))
	}
	if d == nil {
		return nil, notFound("", "No organization found by that id or name")
	}
	return d, nil
}

func listOrganizations(c *apiCall) (reply, error) {
	return c.listing("organizations", c.organizations.all(nil), true)
}

func showOrganization(c *apiCall) (reply, error) {
	d, err := c.organization()
	return reply{http.StatusOK, d}, err
}

func createOrganization(c *apiCall) (reply, error) {
	d := c.object().clone()
	if c.organizations.find(having("name", d.text("name"))) != nil {
		return reply{}, conflict("organization_conflict", "An organization with this name already exists")
	}
	removeNulls(d)
	id := c.id("org_", 16)
	enabled := d.documents("enabled_connections")
	answered := make([]any, 0, len(enabled))
	for _, e := range enabled {
		if _, err := c.connection(e.text("connection_id")); err != nil {
			return reply{}, err
		}
	}
	for _, e := range enabled {
		answered = append(answered, c.enableConnection(id, e))
	}
	delete(d, "enabled_connections")
	d["id"] = id
	d.setDefaults(document{"third_party_client_access": "block", "is_app_entitlement_active": false})
	c.organizations.put(id, d)
	answer := d.clone()
	if len(enabled) > 0 {
		answer["enabled_connections"] = answered
	}
	return reply{http.StatusCreated, answer}, nil
}

func updateOrganization(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	changes := c.object().clone()
	if part := changes.child("metadata"); part != nil {
		after.mergeFirstLevel("metadata", part)
		delete(changes, "metadata")
	}
	after.set(changes)
	c.organizations.put(d.text("id"), after)
	return reply{http.StatusOK, after}, nil
}

func deleteOrganization(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	id := d.text("id")
	c.organizations.remove(id)
	for _, l := range c.linked(relationOrganizationUser, id) {
		c.unlink(relationMemberRole, memberKey(id, l.to), "")
	}
	for _, relation := range []string{relationOrganizationUser, relationOrganizationAPI, relationOrganizationConn} {
		c.unlink(relation, id, "")
	}
	return reply{http.StatusNoContent, nil}, nil
}
