package auth0sim

import "net/http"

// The SCIM configuration of a connection and its tokens are kept as extras.
const (
	extraSCIM       = "scim"
	extraSCIMTokens = "scim tokens"
)

func scimOperations() []operation {
	at := "/connections/{id}/scim-configuration"
	body := fields{"user_id_attribute": textMember(1, 0), "mapping": listMember(0, 0, anyMember())}
	token := fields{"scopes": listMember(0, 0, textMember(1, 0)), "token_lifetime": wholeMember(900, 0).orNull()}
	return []operation{
		{"GET", at, []string{"read:scim_config"}, false, "Get a connection's SCIM configuration", nil, showSCIM},
		{"POST", at, []string{"create:scim_config"}, false, "Create a SCIM configuration", body, createSCIM},
		{"PATCH", at, []string{"update:scim_config"}, false, "Patch a connection's SCIM configuration", body, updateSCIM},
		{"DELETE", at, []string{"delete:scim_config"}, false, "Delete a connection's SCIM configuration", nil, deleteSCIM},
		{"GET", at + "/default-mapping", []string{"read:scim_config"}, false, "Get a connection's default SCIM mapping", nil, showMapping},
		{"GET", at + "/tokens", []string{"read:scim_token"}, false, "Get a connection's SCIM tokens", nil, listSCIMTokens},
		{"POST", at + "/tokens", []string{"create:scim_token"}, false, "Create a SCIM token", token, createSCIMToken},
		{"DELETE", at + "/tokens/{token}", []string{"delete:scim_token"}, false, "Delete a SCIM token", nil, deleteSCIMToken},
	}
}

func scimMapping() []any {
	return []any{
		document{"scim": "userName", "auth0": "preferred_username"},
		document{"scim": "emails[primary eq true].value", "auth0": "email"},
		document{"scim": "externalId", "auth0": "app_metadata.external_id"},
		document{"scim": "active", "auth0": "blocked"},
	}
}

// scim is the configuration of the path's connection.
func (c *apiCall) scim() (document, error) {
	if d := c.extra(extraSCIM, c.params["id"]).get(extraSCIM); d != nil {
		return d, nil
	}
	return nil, notFound("", "Not Found")
}

func showSCIM(c *apiCall) (reply, error) {
	d, err := c.scim()
	return reply{http.StatusOK, d}, err
}

func createSCIM(c *apiCall) (reply, error) {
	connection, err := c.connection(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	d := c.object().clone()
	d.setDefaults(document{"mapping": scimMapping(), "user_id_attribute": "externalId"})
	d.set(document{
		"tenant_name": c.t.cfg.Name, "connection_id": connection["id"], "connection_name": connection["name"], "strategy": connection["strategy"],
		"created_at": c.date(), "updated_on": c.date(),
	})
	c.extra(extraSCIM, c.params["id"]).put(extraSCIM, d)
	return reply{http.StatusCreated, d}, nil
}

func updateSCIM(c *apiCall) (reply, error) {
	d, err := c.scim()
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object())
	after["updated_on"] = c.date()
	c.extra(extraSCIM, c.params["id"]).put(extraSCIM, after)
	return reply{http.StatusOK, after}, nil
}

func deleteSCIM(c *apiCall) (reply, error) {
	c.extra(extraSCIM, c.params["id"]).remove(extraSCIM)
	return reply{http.StatusNoContent, nil}, nil
}

func showMapping(c *apiCall) (reply, error) {
	if _, err := c.connection(c.params["id"]); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, document{"mapping": scimMapping()}}, nil
}

func listSCIMTokens(c *apiCall) (reply, error) {
	docs := c.extra(extraSCIMTokens, c.params["id"]).all(nil)
	for i, d := range docs {
		docs[i] = d.without("token")
	}
	return reply{http.StatusOK, docs}, nil
}

func createSCIMToken(c *apiCall) (reply, error) {
	if _, err := c.connection(c.params["id"]); err != nil {
		return reply{}, err
	}
	d := c.object().clone()
	d.set(document{"token_id": c.id("tok_", 16), "token": c.id("tok_", 48), "created_at": c.date()})
	removeNulls(d)
	c.extra(extraSCIMTokens, c.params["id"]).put(d.text("token_id"), d)
	return reply{http.StatusCreated, d}, nil
}

func deleteSCIMToken(c *apiCall) (reply, error) {
	c.extra(extraSCIMTokens, c.params["id"]).remove(c.params["token"])
	return reply{http.StatusNoContent, nil}, nil
}
