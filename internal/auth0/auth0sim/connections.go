package auth0sim

import (
	"net/http"
	"slices"
)

func connectionFields() fields {
	active := objectMember(fields{"active": flagMember(), "cross_app_access": flagMember()})
	return fields{
		"name": textMember(1, 128).matching(`^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$`), "display_name": textMember(0, 128), "strategy": textMember(1, 0),
		"options": objectMember(nil).orNull(), "enabled_clients": listMember(0, 0, textMember(1, 0)).orNull(), "is_domain_connection": flagMember(),
		"show_as_button": flagMember(), "realms": listMember(0, 0, textMember(1, 0)), "metadata": objectMember(nil),
		"authentication": active, "connected_accounts": active, "cross_app_access_requesting_app": active,
	}
}

func connectionOperations() []operation {
	read, update := []string{"read:connections"}, []string{"update:connections"}
	return []operation{
		{"GET", "/connections", read, false, "Get all connections", nil, listConnections},
		{"POST", "/connections", []string{"create:connections"}, false, "Create a connection", connectionFields().require("name", "strategy"), createConnection},
		{"GET", "/connections/{id}", read, false, "Get a connection", nil, showConnection},
		{"PATCH", "/connections/{id}", update, false, "Update a connection", connectionFields().without("name", "strategy"), updateConnection},
		{"DELETE", "/connections/{id}", []string{"delete:connections"}, false, "Delete a connection", nil, deleteConnection},
		{"GET", "/connections/{id}/clients", read, false, "Get the enabled clients of a connection", nil, listConnectionClients},
		{"PATCH", "/connections/{id}/clients", update, false, "Update the enabled clients of a connection", nil, updateConnectionClients},
		{"GET", "/clients/{id}/connections", []string{"read:connections", "read:clients", "read:client_summary"}, false, "Get a client's enabled connections", nil, listClientConnections},
	}
}

func (c *apiCall) connection(id string) (document, error) {
	if d := c.connections.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("inexistent_connection", "The connection does not exist")
}

// connectionAnswer is a connection with the clients that may use it.
func (c *apiCall) connectionAnswer(d document) document {
	enabled := make([]any, 0)
	for _, l := range c.linked(relationConnectionClient, d.text("id")) {
		enabled = append(enabled, l.to)
	}
	answer := d.clone()
	answer["enabled_clients"] = enabled
	return answer
}

func listConnections(c *apiCall) (reply, error) {
	q := c.query
	docs := c.connections.all(func(d document) bool {
		return (!q.Has("name") || d.text("name") == q.Get("name")) && (len(q["strategy"]) == 0 || slices.Contains(q["strategy"], d.text("strategy")))
	})
	for i, d := range docs {
		docs[i] = c.connectionAnswer(d)
	}
	return c.listing("connections", docs, true)
}

func showConnection(c *apiCall) (reply, error) {
	d, err := c.connection(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, c.fieldsOf(c.connectionAnswer(d))}, nil
}

func createConnection(c *apiCall) (reply, error) {
	d := c.object().clone()
	strategy, given := d.text("strategy"), d.child("options")
	if c.connections.find(having("name", d.text("name"))) != nil {
		return reply{}, conflict("", "A connection with the same name already exists")
	}
	if err := checkAttributes(given); err != nil {
		return reply{}, err
	}
	id := c.id("con_", 16)
	if given == nil {
		given = document{}
	}
	fillPasswordOptions(given)
	fillAttributes(given)
	d["options"] = given.and(optionDefaults(strategy, given))
	if given.text("signingCert") != "" && strategy == "pingfederate" {
		delete(given, "signingCert") // told as cert
	}
	d.set(document{"id": id})
	d.setDefaults(document{"is_domain_connection": false, "realms": []any{d["name"]}})
	if enterprise(strategy) {
		d.setDefaults(document{"provisioning_ticket_url": c.t.issuer() + "p/" + strategy + "/" + c.id("", 32), "show_as_button": false})
	}
	if federated(strategy) || strategy == "waad" {
		d.setDefaults(document{"display_name": d["name"], "show_as_button": false})
	}
	if federated(strategy) || strategy == "auth0" || strategy == "line" {
		d.setDefaults(document{"authentication": document{"active": true}, "connected_accounts": document{"active": false}})
	}
	c.enable(id, d.texts("enabled_clients"))
	delete(d, "enabled_clients")
	c.connections.put(id, keptConnection(d))
	return reply{http.StatusCreated, c.connectionAnswer(d)}, nil
}

// keptConnection is a connection without what is told once where it was given
// as null.
func keptConnection(d document) document {
	kept := d.clone()
	for _, name := range []string{"authorizationURL", "tokenURL"} {
		if kept.child("options")[name] == nil {
			delete(kept.child("options"), name)
		}
	}
	return kept
}

// enable lets exactly these clients use a connection.
func (c *apiCall) enable(id string, clients []string) {
	c.unlink(relationConnectionClient, id, "")
	for _, client := range clients {
		c.link(relationConnectionClient, id, client, nil)
	}
}

func updateConnection(c *apiCall) (reply, error) {
	d, err := c.connection(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	changes := c.object().clone()
	if options := changes.child("options"); options != nil { // replaces what was there
		if err := checkAttributes(options); err != nil {
			return reply{}, err
		}
		fillPasswordOptions(options)
		fillAttributes(options)
		options.and(updateDefaults(d.text("strategy"), options))
	}
	if _, ok := changes["enabled_clients"]; ok {
		c.enable(d.text("id"), changes.texts("enabled_clients"))
	}
	after := d.clone()
	after.set(changes.without("enabled_clients"))
	after.setDefaults(document{"options": document{}})
	c.connections.put(d.text("id"), keptConnection(after))
	return reply{http.StatusOK, c.connectionAnswer(after)}, nil
}

// deleteConnection deletes its users with it. Where there was none it answers
// 204.
func deleteConnection(c *apiCall) (reply, error) {
	d := c.connections.get(c.params["id"])
	if d == nil {
		return reply{http.StatusNoContent, nil}, nil
	}
	for _, user := range c.users.all(func(u document) bool { return connectionOf(u) == d.text("name") }) {
		c.removeUser(user.text("user_id"))
	}
	c.connections.remove(d.text("id"))
	c.unlink(relationConnectionClient, d.text("id"), "")
	c.unlink(relationOrganizationConn, "", d.text("id"))
	return reply{http.StatusAccepted, document{"deleted_at": c.date()}}, nil
}

func listConnectionClients(c *apiCall) (reply, error) {
	d, err := c.connection(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linked(relationConnectionClient, d.text("id")) {
		docs = append(docs, document{"client_id": l.to})
	}
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	return c.checkpointed("clients", docs, p)
}

func updateConnectionClients(c *apiCall) (reply, error) {
	d, err := c.connection(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	body, err := readJSON(c.raw)
	list, ok := body.([]any)
	if err != nil || !ok {
		return reply{}, badRequest("invalid_body", "Payload validation error: 'Expected type array but found type %s'.", kindOf(body))
	}
	for _, v := range list {
		change, ok := v.(document)
		switch {
		case !ok:
			return reply{}, badRequest("invalid_body", "Payload validation error: 'Expected type object but found type %s'.", kindOf(v))
		case change.flag("status"):
			c.link(relationConnectionClient, d.text("id"), change.text("client_id"), nil)
		default:
			c.unlink(relationConnectionClient, d.text("id"), change.text("client_id"))
		}
	}
	return reply{http.StatusNoContent, nil}, nil
}

func listClientConnections(c *apiCall) (reply, error) {
	if _, err := c.clientNamed(c.params["id"]); err != nil {
		return reply{}, err
	}
	docs := make([]document, 0)
	for _, l := range c.linkedTo(relationConnectionClient, c.params["id"]) {
		docs = append(docs, c.connectionAnswer(c.connections.get(l.from)).without("enabled_clients"))
	}
	p, err := readPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	return c.checkpointed("connections", docs, p)
}
