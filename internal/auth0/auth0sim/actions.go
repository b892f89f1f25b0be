package auth0sim

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func actionFields() fields {
	trigger := fields{"id": textMember(1, 0), "version": textMember(1, 0), "status": textMember(0, 0), "runtimes": listMember(0, 0, anyMember()), "default_runtime": textMember(0, 0), "compatible_triggers": listMember(0, 0, anyMember()), "binding_policy": textMember(0, 0)}
	dependency := fields{"name": textMember(1, 0), "version": textMember(1, 0), "registry_url": textMember(0, 0)}
	secret := fields{"name": textMember(1, 0), "value": textMember(0, 0)}
	return fields{
		"name": textMember(1, 0).matching(`^[A-Za-z0-9][A-Za-z0-9 _-]*$`), "supported_triggers": listMember(1, 0, objectMember(trigger.require("id"))),
		"code": textMember(0, 0), "dependencies": listMember(0, 0, objectMember(dependency)), "runtime": textMember(0, 0), "secrets": listMember(0, 0, objectMember(secret)),
		"modules": listMember(0, 0, anyMember()), "deploy": flagMember(),
	}
}

func actionOperations() []operation {
	list, one, bindings := "/actions/actions", "/actions/actions/{id}", "/actions/triggers/{trigger}/bindings"
	ref := fields{"type": enumMember("binding_id", "action_id", "action_name"), "value": textMember(1, 0)}.require("type", "value")
	binding := fields{"ref": objectMember(ref), "display_name": textMember(1, 0), "secrets": listMember(0, 0, anyMember())}.require("ref")
	read, update := []string{"read:actions"}, []string{"update:actions"}
	return []operation{
		{"GET", list, read, false, "Get actions", nil, listActions},
		{"POST", list, []string{"create:actions"}, false, "Create an action", actionFields().require("name", "supported_triggers"), createAction},
		{"GET", one, read, false, "Get an action", nil, showAction},
		{"PATCH", one, update, false, "Update an action", actionFields().without("deploy"), updateAction},
		{"DELETE", one, []string{"delete:actions"}, false, "Delete an action", nil, deleteAction},
		{"POST", one + "/deploy", []string{"create:actions"}, false, "Deploy an action", nil, deployAction},
		{"GET", "/actions/triggers", read, false, "Get triggers", nil, listTriggers},
		{"GET", bindings, read, false, "Get trigger bindings", nil, listBindings},
		{"PATCH", bindings, update, false, "Update trigger bindings", fields{"bindings": listMember(0, 0, objectMember(binding))}, updateBindings},
	}
}

// triggers are those of machines and of people.
func triggers() []string { return []string{"post-login", "credentials-exchange"} }

// uuid makes an id as Actions have.
func (s *store) uuid() string {
	h := hexString(s.rng, 32)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (c *apiCall) action(id string) (document, error) {
	if d := c.actions.get(id); d != nil {
		return d, nil
	}
	return nil, notFound("", "That action does not exist.")
}

// actionAnswer is an Action without the values of its secrets.
func actionAnswer(d document) document {
	answer := d.clone()
	delete(answer, "polls")
	for _, secret := range answer.documents("secrets") {
		delete(secret, "value")
	}
	return answer
}

// actionPaging reads the paging of Actions and bindings. Their answers always have
// totals, and the API documents no parameter that asks for them.
func actionPaging(q url.Values) (paging, error) {
	if q.Has("include_totals") {
		return paging{}, badRequest("invalid_query_string", "Query validation error: 'Additional properties not allowed: include_totals'.")
	}
	return readPaging(q)
}

// building makes an Action one that has changed and has to be built.
func (c *apiCall) building(d document) {
	d.set(document{"updated_at": c.date(), "all_changes_deployed": false, "status": "pending", "polls": c.t.cfg.ActionPolls})
	if c.t.cfg.ActionPolls <= 0 {
		d["status"] = "built"
	}
}

// look counts a look at an Action, by which it gets built.
func look(d document) {
	if left := d.whole("polls", 0) - 1; left > 0 {
		d.set(document{"polls": left, "status": "building"})
	} else {
		d.set(document{"polls": 0, "status": "built"})
	}
}

func listActions(c *apiCall) (reply, error) {
	p, err := actionPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	q := c.query
	docs := c.actions.all(func(d document) bool {
		trigger := q.Get("triggerId")
		return (trigger == "" || slices.ContainsFunc(d.documents("supported_triggers"), having("id", trigger))) &&
			(!q.Has("actionName") || d.text("name") == q.Get("actionName")) && (q.Get("deployed") != "true" || d["deployed_version"] != nil)
	})
	page := slicePage(docs, p.page*p.perPage, p.perPage)
	for i, d := range page {
		page[i] = actionAnswer(d)
	}
	return reply{http.StatusOK, document{"actions": page, "total": len(docs), "page": p.page, "per_page": p.perPage}}, nil
}

func createAction(c *apiCall) (reply, error) {
	d := c.object().without("deploy").clone()
	if c.actions.find(having("name", d.text("name"))) != nil {
		return reply{}, conflict("", "An action with this name already exists")
	}
	for _, trigger := range d.documents("supported_triggers") {
		if !slices.Contains(triggers(), trigger.text("id")) {
			return reply{}, badRequest("invalid_body", "The trigger %s does not exist", trigger.text("id"))
		}
		trigger.setDefaults(document{"version": currentVersion(trigger.text("id"))})
	}
	at := c.date()
	d.set(document{"id": c.uuid(), "created_at": at})
	c.building(d)
	d.setDefaults(document{"code": "", "dependencies": []any{}, "runtime": "node22", "secrets": []any{}, "installed_integration_id": nil})
	c.stampSecrets(d)
	c.actions.put(d.text("id"), d)
	if c.object().flag("deploy") {
		c.deploy(d)
	}
	return reply{http.StatusCreated, actionAnswer(d)}, nil
}

// stampSecrets dates secrets that have just been given.
func (c *apiCall) stampSecrets(d document) {
	for _, secret := range d.documents("secrets") {
		secret.setDefaults(document{"updated_at": c.date()})
	}
}

func showAction(c *apiCall) (reply, error) {
	d, err := c.action(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	answer := actionAnswer(d)
	look(d)
	return reply{http.StatusOK, answer}, nil
}

func updateAction(c *apiCall) (reply, error) {
	d, err := c.action(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	after := d.clone()
	after.set(c.object().clone())
	c.building(after)
	c.stampSecrets(after)
	c.actions.put(d.text("id"), after)
	return reply{http.StatusOK, actionAnswer(after)}, nil
}

func deleteAction(c *apiCall) (reply, error) {
	d, err := c.action(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	bound := func(b document) bool { return b.child("action").text("id") == d.text("id") }
	for _, trigger := range triggers() {
		if slices.ContainsFunc(c.bindings[trigger], bound) && c.query.Get("force") != "true" {
			return reply{}, conflict("", "The action is bound to the trigger %s", trigger)
		}
		c.bindings[trigger] = slices.DeleteFunc(c.bindings[trigger], bound)
	}
	c.actions.remove(d.text("id"))
	return reply{http.StatusNoContent, nil}, nil
}

// deploy makes a version of an Action the one at work.
func (c *apiCall) deploy(d document) document {
	at := c.date()
	version := d.only("code", "dependencies", "runtime", "supported_triggers")
	version.set(document{
		"id": c.uuid(), "number": d.child("deployed_version").whole("number", 0) + 1, "status": "built", "deployed": true,
		"created_at": at, "updated_at": at, "built_at": at, "action": d.only("id", "name"),
	})
	d.set(document{"deployed_version": version.without("action"), "all_changes_deployed": true})
	return version
}

func deployAction(c *apiCall) (reply, error) {
	d, err := c.action(c.params["id"])
	if err != nil {
		return reply{}, err
	}
	if d.text("status") != "built" {
		return reply{}, badRequest("", "A draft must be in the 'built' state before it can be deployed.")
	}
	after := d.clone()
	version := c.deploy(after)
	c.actions.put(d.text("id"), after)
	return reply{http.StatusOK, version}, nil
}

// triggerVersions are the versions of a trigger that there are, the current one
// last.
func triggerVersions(trigger string) []string {
	if trigger == "post-login" {
		return []string{"v2", "v3"}
	}
	return []string{"v1", "v2"}
}

func currentVersion(trigger string) string {
	versions := triggerVersions(trigger)
	return versions[len(versions)-1]
}

func listTriggers(*apiCall) (reply, error) {
	list := make([]any, 0)
	for _, id := range triggers() {
		for _, version := range triggerVersions(id) {
			status, runtime := "DEPRECATED", "node18"
			if version == currentVersion(id) {
				status, runtime = "CURRENT", "node22"
			}
			list = append(list, document{"id": id, "version": version, "status": status, "runtimes": []any{runtime}, "default_runtime": runtime, "compatible_triggers": []any{}})
		}
	}
	return reply{http.StatusOK, document{"triggers": list}}, nil
}

func listBindings(c *apiCall) (reply, error) {
	p, err := actionPaging(c.query)
	if err != nil {
		return reply{}, err
	}
	list := c.bindings[c.params["trigger"]]
	page := slicePage(list, p.page*p.perPage, p.perPage)
	return reply{http.StatusOK, document{"bindings": anyList(page), "total": len(list), "page": p.page, "per_page": p.perPage}}, nil
}

// updateBindings replaces what a trigger runs, in this order. Only what is
// deployed can be bound.
func updateBindings(c *apiCall) (reply, error) {
	trigger, at := c.params["trigger"], c.date()
	if !slices.Contains(triggers(), trigger) {
		return reply{}, notFound("not_found", "The trigger does not exist.")
	}
	list := make([]document, 0)
	for _, asked := range c.object().documents("bindings") {
		d, known := c.bindable(trigger, asked.child("ref"))
		if d == nil || d["deployed_version"] == nil {
			return reply{}, badRequest("invalid_body", "The action %s is not deployed", asked.child("ref").text("value"))
		}
		binding := known.clone()
		if binding == nil {
			binding = document{"id": c.uuid(), "trigger_id": trigger, "created_at": at}
		}
		binding.set(document{"display_name": cmp.Or(asked.text("display_name"), d.text("name")), "updated_at": at, "action": actionAnswer(d).only("id", "name", "supported_triggers", "created_at", "updated_at")})
		list = append(list, binding)
	}
	c.bindings[trigger] = list
	return reply{http.StatusOK, document{"bindings": anyList(list)}}, nil
}

// bindable is the Action that a reference names, and its binding if it has one.
func (c *apiCall) bindable(trigger string, ref document) (action, binding document) {
	value := ref.text("value")
	for _, b := range c.bindings[trigger] {
		bound := c.actions.get(b.child("action").text("id"))
		if b.text("id") == value || bound.text("id") == value || bound.text("name") == value {
			return bound, b
		}
	}
	if d := c.actions.get(value); d != nil {
		return d, nil
	}
	return c.actions.find(having("name", value)), nil
}
