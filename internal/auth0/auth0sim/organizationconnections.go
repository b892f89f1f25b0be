package auth0sim

import "net/http"

func organizationConnectionOperations() []operation {
	body := fields{"connection_id": textMember(1, 0), "assign_membership_on_login": flagMember(), "is_signup_enabled": flagMember(), "show_as_button": flagMember()}
	list := "/organizations/{id}/enabled_connections"
	return []operation{
		{"GET", list, []string{"read:organization_connections"}, false, "Get connections of an organization", nil, listOrganizationConnections},
		{"POST", list, []string{"create:organization_connections"}, false, "Add a connection to an organization", body.require("connection_id"), addOrganizationConnection},
		{"GET", list + "/{connection}", []string{"read:organization_connections"}, false, "Get a connection of an organization", nil, showOrganizationConnection},
		{"PATCH", list + "/{connection}", []string{"update:organization_connections"}, false, "Update a connection of an organization", body.without("connection_id"), updateOrganizationConnection},
		{"DELETE", list + "/{connection}", []string{"delete:organization_connections"}, false, "Remove a connection from an organization", nil, removeOrganizationConnection},
	}
}

// enableConnection lets the members of an organization sign in by a connection.
func (c *apiCall) enableConnection(organization string, asked document) document {
	d := asked.clone()
	d.setDefaults(document{"show_as_button": true, "assign_membership_on_login": false})
	connection := c.connections.get(d.text("connection_id"))
	d["connection"] = connection.only("name", "strategy")
	c.link(relationOrganizationConn, organization, d.text("connection_id"), d)
	return d
}

// organizationConnection is the one of the path.
func (c *apiCall) organizationConnection() (document, error) {
	d, err := c.organization()
	if err != nil {
		return nil, err
	}
	for _, l := range c.linked(relationOrganizationConn, d.text("id")) {
		if l.to == c.params["connection"] {
			return l.data, nil
		}
	}
	return nil, notFound("", "No connection found by that id")
}

func listOrganizationConnections(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linked(relationOrganizationConn, d.text("id")) {
		docs = append(docs, l.data)
	}
	return c.listing("enabled_connections", docs, false)
}

// checkSignup refuses sign-up where it would not make members.
func (c *apiCall) checkSignup(d document, connection string) error {
	if d.flag("is_signup_enabled") && (!d.flag("assign_membership_on_login") || c.connections.get(connection).text("strategy") != "auth0") {
		return badRequest("invalid_body", "Only database connections with assign_membership_on_login = true support is_signup_enabled = true.")
	}
	return nil
}

func addOrganizationConnection(c *apiCall) (reply, error) {
	d, err := c.organization()
	if err != nil {
		return reply{}, err
	}
	id := c.object().text("connection_id")
	if _, err := c.connection(id); err != nil {
		return reply{}, err
	}
	if err := c.checkSignup(c.object(), id); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, c.enableConnection(d.text("id"), c.object())}, nil
}

func showOrganizationConnection(c *apiCall) (reply, error) {
	d, err := c.organizationConnection()
	return reply{http.StatusOK, d}, err
}

func updateOrganizationConnection(c *apiCall) (reply, error) {
	d, err := c.organizationConnection()
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object())
	if err := c.checkSignup(after, c.params["connection"]); err != nil {
		return reply{}, err
	}
	c.link(relationOrganizationConn, c.params["id"], c.params["connection"], after)
	return reply{http.StatusOK, after}, nil
}

func removeOrganizationConnection(c *apiCall) (reply, error) {
	if _, err := c.organization(); err != nil {
		return reply{}, err
	}
	c.unlink(relationOrganizationConn, c.params["id"], c.params["connection"])
	return reply{http.StatusNoContent, nil}, nil
}
