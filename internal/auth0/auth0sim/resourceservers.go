package auth0sim

import (
	"net/http"
	"slices"
)

func resourceServerFields() fields {
	scope := fields{"value": textMember(1, 280), "description": textMember(0, 500)}.require("value")
	return fields{
		"name": textMember(1, 200).matching(`^[^<>]+$`), "identifier": textMember(1, 600), "scopes": listMember(0, 1000, objectMember(scope)).orNull(),
		"signing_alg": enumMember("HS256", "RS256", "RS512", "PS256"), "signing_secret": textMember(16, 0), "allow_offline_access": flagMember(),
		"allow_online_access": flagMember(), "allow_online_access_with_ephemeral_sessions": flagMember(),
		"token_lifetime": wholeMember(0, 2592000), "token_lifetime_for_web": wholeMember(0, 2592000),
		"token_dialect": enumMember("access_token", "access_token_authz", "rfc9068_profile", "rfc9068_profile_authz"),
		"skip_consent_for_verifiable_first_party_clients": flagMember(), "enforce_policies": flagMember(),
		"token_encryption": objectMember(nil).orNull(), "consent_policy": textMember(0, 0).orNull(), "authorization_details": listMember(0, 0, anyMember()).orNull(),
		"proof_of_possession": objectMember(nil).orNull(), "subject_type_authorization": objectMember(nil), "authorization_policy": objectMember(nil).orNull(),
		"verificationLocation": textMember(0, 0).orNull(), "options": objectMember(nil).orNull(), "client_id": textMember(1, 0),
	}
}

func resourceServerOperations() []operation {
	return []operation{
		{"GET", "/resource-servers", []string{"read:resource_servers"}, false, "Get resource servers", nil, listServers},
		{"POST", "/resource-servers", []string{"create:resource_servers"}, false, "Create a resource server", resourceServerFields().require("identifier"), createServer},
		{"GET", "/resource-servers/{id}", []string{"read:resource_servers"}, false, "Get a resource server", nil, showServer},
		{"PATCH", "/resource-servers/{id}", []string{"update:resource_servers"}, false, "Update a resource server", resourceServerFields().without("identifier"), updateServer},
		{"DELETE", "/resource-servers/{id}", []string{"delete:resource_servers"}, false, "Delete a resource server", nil, deleteServer},
	}
}

// scopeValues are the scopes that an API defines.
func scopeValues(server document) []string {
	values := make([]string, 0)
	for _, s := range server.documents("scopes") {
		values = append(values, s.text("value"))
	}
	return values
}

// server is the API that an id or an identifier names.
func (c *apiCall) server(id string) (document, error) {
	d := c.servers.get(id)
	if d == nil {
		d = c.servers.find(having("identifier", id))
	}
	if d == nil {
		return nil, notFound("inexistent_resource_server", "The resource server does not exist")
	}
	return d, nil
}

func listServers(c *apiCall) (reply, error) {
	wanted := c.query["identifiers"]
	docs := c.servers.all(func(d document) bool { return len(wanted) == 0 || slices.Contains(wanted, d.text("identifier")) })
	return c.listing("resource_servers", docs, true)
}

func showServer(c *apiCall) (reply, error) {
	d, err := c.server(c.params["id"])
	return reply{http.StatusOK, d}, err
}

func createServer(c *apiCall) (reply, error) {
	d := c.object().clone()
	if c.servers.find(having("identifier", d.text("identifier"))) != nil {
		return reply{}, conflict("resource_server_conflict", "A resource server with the same identifier already exists")
	}
	removeNulls(d)
	d.setDefaults(resourceServerDefaults())
	if d.text("signing_alg") == "HS256" {
		d.setDefaults(document{"signing_secret": c.id("", 32)})
	}
	d["id"] = hexString(c.rng, 24)
	hidePEM(d)
	c.servers.put(d.text("id"), d)
	return reply{http.StatusCreated, d}, nil
}

func resourceServerDefaults() document {
	return document{
		"allow_offline_access": false, "skip_consent_for_verifiable_first_party_clients": false, "signing_alg": "RS256",
		"token_lifetime": 86400, "token_lifetime_for_web": 7200,
	}
}

// hidePEM leaves the key out that tokens are to be encrypted with.
func hidePEM(server document) {
	delete(server.child("token_encryption").child("encryption_key"), "pem")
}

func updateServer(c *apiCall) (reply, error) {
	d, err := c.server(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	if d.flag("is_system") && (c.object()["name"] != nil || c.object()["scopes"] != nil) {
		return reply{}, badRequest("invalid_body", "The properties name and scopes of a system API cannot be changed")
	}
	after := d.clone()
	after.set(c.object())
	hidePEM(after)
	c.servers.put(d.text("id"), after)
	c.dropScopes(after)
	return reply{http.StatusOK, after}, nil
}

// dropScopes takes scopes that an API has no more from who had them.
func (s *store) dropScopes(server document) {
	known := scopeValues(server)
	gone := func(scope string) bool { return !slices.Contains(known, scope) }
	for _, grant := range s.grants.all(having("audience", server.text("identifier"))) {
		grant["scope"] = anyList(slices.DeleteFunc(grant.texts("scope"), gone))
	}
	for _, relation := range []string{relationUserPermission, relationRolePermission} {
		s.links[relation] = slices.DeleteFunc(s.links[relation], func(l link) bool {
			return l.data.text("resource_server_identifier") == server.text("identifier") && gone(l.data.text("permission_name"))
		})
	}
}

// deleteServer answers 204 whether the API was there or not.
func deleteServer(c *apiCall) (reply, error) {
	d, err := c.server(c.params["id"])
	if err != nil {
		return reply{http.StatusNoContent, nil}, nil
	}
	if d.flag("is_system") {
		return reply{}, badRequest("invalid_request", "System APIs cannot be deleted")
	}
	c.servers.remove(d.text("id"))
	c.dropScopes(document{"identifier": d["identifier"]})
	for _, grant := range c.grants.all(having("audience", d.text("identifier"))) {
		c.removeGrant(grant.text("id"))
	}
	return reply{http.StatusNoContent, nil}, nil
}
