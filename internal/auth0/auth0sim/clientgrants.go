package auth0sim

import "net/http"

func clientGrantFields() fields {
	return fields{
		"client_id": textMember(1, 0), "audience": textMember(1, 600), "scope": listMember(0, 0, textMember(1, 280)).orNull(),
		"organization_usage": enumMember("deny", "allow", "require").orNull(), "allow_any_organization": flagMember().orNull(),
		"subject_type": enumMember("client", "user"), "authorization_details_types": listMember(0, 0, textMember(1, 0)),
		"allow_all_scopes": flagMember().orNull(), "default_for": enumMember("third_party_clients"),
	}
}

func clientGrantOperations() []operation {
	create := clientGrantFields().require("audience", "client_id")
	update := clientGrantFields().without("client_id", "audience", "subject_type", "default_for")
	return []operation{
		{"GET", "/client-grants", []string{"read:client_grants"}, false, "Get client grants", nil, listGrants},
		{"POST", "/client-grants", []string{"create:client_grants"}, false, "Create client grant", create, createGrant},
		{"GET", "/client-grants/{id}", []string{"read:client_grants"}, false, "Get a client grant", nil, showGrant},
		{"PATCH", "/client-grants/{id}", []string{"update:client_grants"}, false, "Update client grant", update, updateGrant},
		{"DELETE", "/client-grants/{id}", []string{"delete:client_grants"}, false, "Delete client grant", nil, deleteGrant},
		{"GET", "/client-grants/{id}/organizations", []string{"read:organization_client_grants"}, false, "Get the organizations of a client grant", nil, listGrantOrganizations},
	}
}

func (c *apiCall) grant(id string) (document, error) {
	if d := c.grants.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("inexistent_client_grant", "The grant does not exist.")
}

func listGrants(c *apiCall) (reply, error) {
	docs := c.grants.all(func(d document) bool {
		for _, name := range []string{"audience", "client_id", "subject_type"} {
			if want := c.query.Get(name); want != "" && d.text(name) != want {
				return false
			}
		}
		return !c.query.Has("allow_any_organization") || (c.query.Get("allow_any_organization") == "true") == d.flag("allow_any_organization")
	})
	return c.listing("client_grants", docs, true)
}

func showGrant(c *apiCall) (reply, error) {
	d, err := c.grant(c.params["id"])
	return reply{http.StatusOK, d}, err
}

func createGrant(c *apiCall) (reply, error) {
	d := c.object().clone()
	client, err := c.clientNamed(d.text("client_id"))
	if err != nil {
		return reply{}, err
	}
	if client.text("app_type") == "express_configuration" {
		return reply{}, badRequest("validation_error", "Client of type express_configuration cannot be used")
	}
	d.setDefaults(document{"subject_type": "client"})
	d.setDefaults(document{"scope": []any{}})
	removeNulls(d)
	if c.servers.find(having("identifier", d.text("audience"))) == nil { // a scope that it lacks is taken
		return reply{}, notFound("inexistent_resource_server", "The resource server does not exist")
	}
	twin := c.grants.find(func(g document) bool {
		return g.text("client_id") == d.text("client_id") && g.text("audience") == d.text("audience") && g.text("subject_type") == d.text("subject_type")
	})
	if twin != nil {
		return reply{}, conflict("client_grant_conflict", "A resource with the same id already exists.")
	}
	d["id"] = c.id("cgr_", 16)
	c.grants.put(d.text("id"), d)
	return reply{http.StatusCreated, d}, nil
}

func updateGrant(c *apiCall) (reply, error) {
	d, err := c.grant(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object())
	after.setDefaults(document{"scope": []any{}})
	c.grants.put(d.text("id"), after)
	return reply{http.StatusOK, after}, nil
}

// deleteGrant answers 204 whether the grant was there or not.
func deleteGrant(c *apiCall) (reply, error) {
	c.removeGrant(c.params["id"])
	return reply{http.StatusNoContent, nil}, nil
}

func (s *store) removeGrant(id string) {
	s.grants.remove(id)
	s.unlink(relationOrganizationAPI, "", id)
}

func listGrantOrganizations(c *apiCall) (reply, error) {
	if _, err := c.grant(c.params["id"]); err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linkedTo(relationOrganizationAPI, c.params["id"]) {
		docs = append(docs, c.organizations.get(l.from))
	}
	return c.listing("organizations", docs, true)
}
