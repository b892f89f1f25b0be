package auth0sim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

func clientFields() fields {
	urls := listMember(0, 0, textMember(0, 0))
	return fields{
		"name": textMember(1, 0).matching(`^[^<>]+$`), "description": textMember(0, 140), "logo_uri": textMember(0, 0),
		"callbacks": urls, "allowed_origins": urls, "web_origins": urls, "client_aliases": urls, "allowed_clients": urls, "allowed_logout_urls": urls,
		"oidc_logout": objectMember(nil), "oidc_backchannel_logout": objectMember(nil), "session_transfer": objectMember(nil).orNull(),
		"grant_types":                listMember(0, 0, textMember(1, 0)),
		"token_endpoint_auth_method": enumMember("none", "client_secret_post", "client_secret_basic").orNull(),
		"app_type": enumMember("native", "spa", "regular_web", "non_interactive", "resource_server", "express_configuration", "rms", "box", "cloudbees",
			"concur", "dropbox", "mscrm", "echosign", "egnyte", "newrelic", "office365", "salesforce", "sentry", "sharepoint", "slack", "springcm", "zendesk", "zoom", "sso_integration", "oag"),
		"is_first_party": flagMember(), "oidc_conformant": flagMember(), "is_token_endpoint_ip_header_trusted": flagMember(),
		"jwt_configuration": objectMember(nil).orNull(), "encryption_key": objectMember(nil).orNull(),
		"sso": flagMember(), "sso_disabled": flagMember(), "cross_origin_authentication": flagMember(), "cross_origin_auth": flagMember(), "cross_origin_loc": textMember(0, 0).orNull(),
		"custom_login_page_on": flagMember(), "custom_login_page": textMember(0, 0), "custom_login_page_preview": textMember(0, 0), "form_template": textMember(0, 0),
		"addons": objectMember(nil).orNull(), "client_metadata": objectMember(nil), "mobile": objectMember(nil).orNull(), "initiate_login_uri": textMember(0, 0),
		"native_social_login": objectMember(nil).orNull(), "fedcm_login": objectMember(nil).orNull(),
		"refresh_token": objectMember(nil).orNull(), "default_organization": objectMember(nil).orNull(),
		"organization_usage":             enumMember("deny", "allow", "require").orNull(),
		"organization_require_behavior":  enumMember("no_prompt", "pre_login_prompt", "post_login_prompt").orNull(),
		"organization_discovery_methods": listMember(1, 0, textMember(1, 0)).orNull(),
		"client_authentication_methods":  objectMember(nil).orNull(),
		"signed_request_object":          objectMember(nil).orNull(), "token_vault_privileged_access": objectMember(vaultFields()).orNull(),
		"require_pushed_authorization_requests": flagMember(), "require_proof_of_possession": flagMember(),
		"compliance_level": textMember(0, 0).orNull(), "skip_non_verifiable_callback_uri_confirmation_prompt": flagMember().orNull(),
		"token_exchange": objectMember(nil).orNull(), "par_request_expiry": wholeMember(10, 600).orNull(), "token_quota": objectMember(nil).orNull(),
		"resource_server_identifier": textMember(1, 600), "third_party_security_mode": enumMember("strict", "permissive"),
		"redirection_policy": enumMember("allow_always", "open_redirect_protection"), "express_configuration": objectMember(nil).orNull(),
		"my_organization_configuration": objectMember(nil).orNull(), "async_approval_notification_channels": listMember(1, 0, textMember(1, 0)).orNull(),
	}
}

// vaultFields are those of the access to a token vault.
func vaultFields() fields {
	grant := fields{"connection": textMember(1, 0), "scopes": listMember(0, 20, textMember(1, 0))}.require("connection", "scopes")
	address := textMember(2, 0).matching(`^[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*(/\d+)?$`)
	return fields{
		"credentials": listMember(0, credentialsMax, objectMember(nil)), "ip_allowlist": listMember(1, 10, address), "grants": listMember(0, 5, objectMember(grant)),
	}.require("credentials", "ip_allowlist", "grants")
}

func clientOperations() []operation {
	read := []string{"read:clients", "read:client_keys", "read:client_credentials", "read:client_summary"}
	update := []string{"update:clients", "update:client_keys", "update:client_credentials"}
	return []operation{
		{"GET", "/clients", read, false, "Get all clients", nil, listClients},
		{"POST", "/clients", []string{"create:clients"}, false, "Create a client", clientFields().require("name"), createClient},
		{"GET", "/clients/{id}", read, false, "Get a client", nil, showClient},
		{"PATCH", "/clients/{id}", update, false, "Update a client", clientFields().and(fields{"client_secret": textMember(1, 0)}), updateClient},
		{"DELETE", "/clients/{id}", []string{"delete:clients"}, false, "Delete a client", nil, deleteClient},
		{"POST", "/clients/{id}/rotate-secret", []string{"update:client_keys"}, false, "Rotate a client secret", nil, rotateSecret},
	}
}

// clientNamed is the client of the path.
func (c *apiCall) clientNamed(id string) (document, error) {
	if d := c.clients.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("inexistent_client", "The client does not exist")
}

// clientAnswer is a client as it is told to the caller: its secret where it has
// one at work, and only to those who may read it.
func (c *apiCall) clientAnswer(d document, reads bool) document {
	hidden := []string{}
	if d.child("client_authentication_methods") != nil {
		hidden = append(hidden, "client_secret")
	}
	if reads && !c.by.has("read:client_keys") && !c.by.has("read:client_credentials") {
		hidden = append(hidden, "client_authentication_methods")
	}
	switch {
	case reads && !c.by.has("read:client_keys"):
		hidden = append(hidden, "client_secret", "signing_keys", "encryption_key")
	case reads && d["client_secret"] != nil && len(hidden) == 0:
		c.secrets = append(c.secrets, "client_secret")
	}
	answer := d.without(hidden...)
	if summary := []string{"client_id", "name", "app_type", "tenant", "logo_uri", "is_first_party", "global"}; reads && !c.by.has("read:clients") &&
		!c.by.has("read:client_keys") && !c.by.has("read:client_credentials") {
		answer = answer.only(summary...)
	}
	return answer
}

func listClients(c *apiCall) (reply, error) {
	keep := func(d document) bool {
		q := c.query
		return (!q.Has("is_global") || (q.Get("is_global") == "true") == d.flag("global")) &&
			(!q.Has("is_first_party") || (q.Get("is_first_party") == "true") == d.flag("is_first_party")) &&
			(!q.Has("app_type") || slices.Contains(strings.Split(q.Get("app_type"), ","), d.text("app_type"))) &&
			c.clientMatches(d, q.Get("q"))
	}
	docs := c.clients.all(keep)
	for i, d := range docs {
		docs[i] = c.clientAnswer(d, true)
	}
	if len(c.secrets) > 0 {
		c.secrets = c.secrets[:1]
	}
	return c.listing("clients", docs, true)
}

// clientMatches knows the one search that the API documents of clients.
func (c *apiCall) clientMatches(d document, q string) bool {
	org, ok := strings.CutPrefix(q, "client_grant.organization_id:")
	if !ok {
		return true
	}
	return slices.ContainsFunc(c.linked(relationOrganizationAPI, org), func(l link) bool {
		return c.grants.get(l.to).text("client_id") == d.text("client_id")
	})
}

func showClient(c *apiCall) (reply, error) {
	d, err := c.clientNamed(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, c.fieldsOf(c.clientAnswer(d, true))}, nil
}

func createClient(c *apiCall) (reply, error) {
	d := c.object().clone()
	if err := checkClient(d); err != nil {
		return reply{}, err
	}
	if vault := d.child("token_vault_privileged_access"); vault != nil && len(vault.documents("grants")) == 0 {
		return reply{}, badRequest("invalid_body", "Payload validation error: 'Array is too short (0), minimum 1' on property token_vault_privileged_access.grants.")
	}
	id := c.id("", 32)
	d.set(document{"client_id": id, "client_secret": c.id("", 64), "tenant": c.t.cfg.Name, "global": false})
	d.setDefaults(defaultsOf(d.text("app_type")))
	d.setDefaults(clientDefaults())
	if logout := d.child("oidc_logout"); logout["backchannel_logout_urls"] != nil {
		d["oidc_backchannel_logout"] = logout.only("backchannel_logout_urls") // its older name
	}
	if d.child("jwt_configuration")["alg"] == nil {
		d.child("jwt_configuration").setDefaults(document{"lifetime_in_seconds": 36000})
	}
	d.child("jwt_configuration").setDefaults(document{"secret_encoded": false})
	d.child("refresh_token").setDefaults(refreshDefaults())
	d["signing_keys"] = []any{document{"cert": "-----BEGIN CERTIFICATE-----\n" + c.id("", 64) + "\n-----END CERTIFICATE-----\n"}}
	removeNulls(d)
	answer := d.clone() // the credentials are told whole this once
	for _, method := range credentialHolders(d) {
		made := make([]any, 0, credentialsMax)
		for _, asked := range method.documents("credentials") {
			credential, err := c.newCredential(id, asked)
			if err != nil {
				return reply{}, err
			}
			made = append(made, credential)
		}
		method["credentials"] = made
	}
	answer.set(d.only("client_authentication_methods", "signed_request_object", "token_vault_privileged_access").clone())
	for _, method := range credentialHolders(d) {
		method["credentials"] = c.onlyIDs(method.documents("credentials"))
	}
	c.clients.put(id, d)
	if server := c.servers.find(having("identifier", d.text("resource_server_identifier"))); server != nil {
		server["client_id"] = id
	}
	return reply{http.StatusCreated, c.clientAnswer(answer, false)}, nil
}

// defaultsOf are what clients of some types have instead of the usual.
func defaultsOf(appType string) document {
	switch appType {
	case "resource_server":
		return document{"jwt_configuration": document{"alg": "RS256"}, "grant_types": []any{}, "oidc_conformant": true}
	case "express_configuration":
		return document{
			"jwt_configuration": document{"alg": "RS256"}, "grant_types": anyList([]string{"authorization_code", grantCredentials}), "oidc_conformant": true,
			"callbacks": []any{"https://system-admin.okta.com/admin/app/generic/oauth20redirect"}, "organization_usage": "require",
			"organization_require_behavior": "pre_login_prompt", "client_authentication_methods": document{"private_key_jwt": document{"credentials": []any{}}},
		}
	}
	return document{}
}

func clientDefaults() document {
	return document{
		"is_first_party": true, "is_token_endpoint_ip_header_trusted": false, "oidc_conformant": false, "sso_disabled": false,
		"cross_origin_authentication": false, "custom_login_page_on": true, "jwt_configuration": document{},
		"grant_types":   anyList([]string{"authorization_code", "implicit", "refresh_token", grantCredentials}),
		"refresh_token": document{"rotation_type": "non-rotating", "expiration_type": "non-expiring"},
	}
}

func refreshDefaults() document {
	return document{
		"leeway": 0, "token_lifetime": 2592000, "infinite_token_lifetime": true, "infinite_idle_token_lifetime": true, "idle_token_lifetime": 1296000,
	}
}

func removeNulls(d document) {
	for name, v := range d {
		if v == nil {
			delete(d, name)
		}
	}
}

// checkClient looks at what the fields cannot say.
func checkClient(d document) error {
	metadata := d.child("client_metadata")
	if len(metadata) > 10 {
		return badRequest("invalid_body", "Payload validation error: 'Too many properties defined (%d), maximum 10' on property client_metadata.", len(metadata))
	}
	for name, v := range metadata {
		s, ok := v.(string)
		if v != nil && !ok || len(s) > 255 || len(name) > 255 {
			return badRequest("invalid_body", "Payload validation error: 'String is too long (%d chars), maximum 255' on property client_metadata.%s.", len(s), name)
		}
	}
	connections := make(map[string]bool)
	for _, grant := range d.child("token_vault_privileged_access").documents("grants") {
		if connections[grant.text("connection")] {
			return badRequest("invalid_body", "Payload validation error: 'Array items are not unique' on property token_vault_privileged_access.grants.")
		}
		connections[grant.text("connection")] = true
	}
	if d["client_authentication_methods"] != nil && d["token_endpoint_auth_method"] != nil {
		return badRequest("invalid_body", "The properties client_authentication_methods and token_endpoint_auth_method are mutually exclusive.")
	}
	return nil
}

func updateClient(c *apiCall) (reply, error) {
	d, err := c.clientNamed(c.params["id"])
	if err == nil {
		err = cmp.Or(c.mayChange("client_secret", "update:client_keys"), c.mayChange("encryption_key", "update:client_keys"),
			c.mayChange("client_authentication_methods", "update:client_credentials"), checkClient(c.object()))
	}
	if err != nil {
		return reply{}, err
	}
	changes := c.object().clone()
	after := d.clone()
	for _, merged := range []string{"client_metadata", "jwt_configuration"} {
		if part := changes.child(merged); part != nil {
			after.mergeFirstLevel(merged, part)
			delete(changes, merged)
		}
	}
	after.set(changes)
	if err := c.checkLinked(after); err != nil {
		return reply{}, err
	}
	if after["client_authentication_methods"] != nil {
		delete(after, "token_endpoint_auth_method")
	}
	if len(after.child("client_metadata")) == 0 {
		delete(after, "client_metadata")
	}
	c.clients.put(d.text("client_id"), after)
	return reply{http.StatusOK, c.clientAnswer(after, true)}, nil
}

// mayChange asks for a scope where the body has a member.
func (c *apiCall) mayChange(name, scope string) error {
	if _, ok := c.object()[name]; !ok || c.by.has(scope) {
		return nil
	}
	return forbidden("insufficient_scope", "Insufficient scope, expected any of: %s", scope)
}

// deleteClient answers 204 whether the client was there or not.
func deleteClient(c *apiCall) (reply, error) {
	id := c.params["id"]
	if c.clients.remove(id) {
		for _, grant := range c.grants.all(having("client_id", id)) {
			c.removeGrant(grant.text("id"))
		}
		for _, credential := range c.credentials.all(having("client_id", id)) {
			c.credentials.remove(credential.text("id"))
		}
		c.unlink(relationConnectionClient, "", id)
	}
	return reply{http.StatusNoContent, nil}, nil
}

// rotateSecret gives a client a new secret; the old one is void at once.
func rotateSecret(c *apiCall) (reply, error) {
	d, err := c.clientNamed(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	if d.child("client_authentication_methods") != nil {
		return reply{}, badRequest("invalid_request", "The client secret cannot be rotated for a client that uses private_key_jwt")
	}
	d["client_secret"] = c.id("", 64)
	return reply{http.StatusOK, c.clientAnswer(d, false)}, nil
}
