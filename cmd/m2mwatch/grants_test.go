package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// simGrant is what the tests read of a client grant.
type simGrant struct {
	ID            string
	ClientID      string `json:"client_id"`
	Audience      string
	Scope         []string
	Organizations string `json:"organization_usage"`
	All           bool   `json:"allow_all_scopes"`
}

// grants are those of an application.
func (o *operator) grants(clientID string) []simGrant {
	o.t.Helper()
	var all []simGrant
	o.admin("GET", "client-grants?client_id="+clientID, nil, &all)
	return all
}

// client makes an application without a grant, and returns its id.
func (o *operator) newClient() string {
	o.t.Helper()
	var client struct {
		ID string `json:"client_id"`
	}
	o.admin("POST", "clients", map[string]any{"name": "c", "app_type": "non_interactive", "grant_types": []string{"client_credentials"}}, &client)
	return client.ID
}

// grant makes one by the command.
func (o *operator) grant(args ...string) simGrant {
	o.t.Helper()
	out, _ := o.must(append([]string{"grants", "create", "--json"}, args...)...)
	var g simGrant
	if err := json.Unmarshal([]byte(out), &g); err != nil {
		o.t.Fatalf("%v: %s", err, out)
	}
	return g
}

func TestAGrantIsMadeChangedAndTaken(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, client := o.api("read:orders", "write:orders", "read:ledger"), o.newClient()
	g := o.grant("--client", client, "--audience", api, "--scope", "read:orders", "--scope", "write:orders", "--scope", "read:orders", "--organizations", "allow")
	if all := o.grants(client); len(all) != 1 || strings.Join(all[0].Scope, " ") != "read:orders write:orders" || all[0].Organizations != "allow" {
		t.Fatalf("made %+v", all)
	}
	o.fails(exitError, "it is there already; grants update changes it", "grants", "create", "--client", client, "--audience", api, "--scope", "read:orders")
	list, _ := o.must("grants", "list", "--audience", api)
	if !strings.Contains(list, g.ID+"  "+client+"  "+api+"  client   allow          read:orders write:orders\n") || strings.Count(list, "\n") != 2 {
		t.Errorf("listed\n%s", list)
	}
	o.must("grants", "update", g.ID, "--add-scope", "read:ledger", "--remove-scope", "write:orders", "--organizations", "require")
	if after := o.grants(client)[0]; strings.Join(after.Scope, " ") != "read:orders read:ledger" || after.Organizations != "require" {
		t.Errorf("changed to %+v", after)
	}
	o.must("grants", "update", g.ID, "--scope", "write:orders")
	if after := o.grants(client)[0]; strings.Join(after.Scope, " ") != "write:orders" {
		t.Errorf("changed to %+v", after)
	}
	o.must("grants", "update", g.ID, "--all-scopes")
	if show, _ := o.must("grants", "show", g.ID, "--json-compact"); !strings.Contains(show, `"allow_all_scopes":true`) {
		t.Errorf("shown as %s", show)
	}
	o.fails(exitError, "want some scopes or all", "grants", "update", g.ID, "--all-scopes", "--scope", "read:orders")
	o.must("grants", "update", g.ID, "--scope", "read:orders")
	if after := o.grants(client)[0]; after.All || strings.Join(after.Scope, " ") != "read:orders" {
		t.Errorf("of all scopes it was changed to %+v", after)
	}

	t.Chdir(t.TempDir())
	o.fails(exitUsage, "nobody to ask", "grants", "delete", g.ID)
	if _, said := o.must("grants", "delete", g.ID, "--dry-run"); !strings.Contains(said, "would delete grant "+g.ID) || len(o.grants(client)) != 1 {
		t.Errorf("said %q", said)
	}
	path, said := o.must("grants", "delete", g.ID, "--force")
	if kept, err := os.ReadFile(strings.TrimSpace(path)); err != nil || !strings.Contains(string(kept), client) {
		t.Errorf("%v, kept %s", err, kept)
	}
	if !strings.Contains(said, "tokens that were issued stay good until ") || len(o.grants(client)) != 0 {
		t.Errorf("said %q", said)
	}
	o.fails(exitError, "The grant does not exist", "grants", "delete", g.ID, "--force")
}

func TestAScopeThatAnAPIDoesNotHaveIsNotGranted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, client := o.api("read:orders"), o.newClient()
	o.fails(exitError, "does not have erase:orders, fly; it has read:orders", "grants", "create", "--client", client, "--audience", api, "--scope", "erase:orders", "--scope", "read:orders", "--scope", "fly")
	o.fails(exitError, "API https://nowhere/: it is not there", "grants", "create", "--client", client, "--audience", "https://nowhere/", "--scope", "read:orders")
	o.fails(exitUsage, "want --scope", "grants", "create", "--client", client, "--audience", api)
	o.fails(exitUsage, "want --client", "grants", "create", "--audience", api, "--scope", "read:orders")
	o.fails(exitUsage, "want deny, allow or require", "grants", "create", "--client", client, "--audience", api, "--scope", "read:orders", "--organizations", "perhaps")
	o.fails(exitUsage, "want client or user", "grants", "create", "--client", client, "--audience", api, "--scope", "read:orders", "--subject-type", "robot")
	if n := len(o.grants(client)); n != 0 {
		t.Fatalf("%d grants were made", n)
	}
	all := o.grant("--client", client, "--audience", api, "--all-scopes", "--subject-type", "user", "--any-organization")
	if after := o.grants(client); len(after) != 1 || !after[0].All || len(after[0].Scope) != 0 {
		t.Errorf("made %+v", after)
	}
	o.fails(exitUsage, "want client or user", "grants", "list", "--subject-type", "robot")
	if list, _ := o.must("grants", "list", "--client", client, "--subject-type", "user"); !strings.Contains(list, "(all)") {
		t.Errorf("listed\n%s", list)
	}
	o.must("grants", "delete", all.ID, "--force", "--no-backup")
	g := o.grant("--client", client, "--audience", api, "--no-scopes")
	o.fails(exitError, "does not have erase:orders", "grants", "update", g.ID, "--add-scope", "erase:orders")
	o.fails(exitError, "does not have read:orders", "grants", "update", g.ID, "--remove-scope", "read:orders")
	o.fails(exitUsage, "nothing to change", "grants", "update", g.ID)
	if after := o.grants(client)[0]; len(after.Scope) != 0 {
		t.Errorf("changed to %+v", after)
	}
}

func TestM2MWatchKeepsItsOwnGrant(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	own := o.grants(o.client.ID)[0]
	o.fails(exitError, "by which m2mwatch calls the Management API", "grants", "delete", own.ID, "--dry-run")
	o.fails(exitError, "by which m2mwatch calls the Management API", "grants", "update", own.ID, "--remove-scope", own.Scope[0])
	o.must("grants", "update", own.ID, "--add-scope", own.Scope[0])
	o.must("grants", "update", own.ID, "--all-scopes")
	o.fails(exitError, "by which m2mwatch calls the Management API", "grants", "update", own.ID, "--all-scopes=false")
	o.fails(exitError, "by which m2mwatch calls the Management API", "grants", "update", own.ID, "--scope", own.Scope[0])
	o.must("grants", "delete", own.ID, "--force", "--no-backup")
	if n := len(o.grants(o.client.ID)); n != 0 {
		t.Errorf("%d grants are left", n)
	}
}

func TestALostAnswerMakesNoTwinOfAGrant(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":   {Method: "POST", Path: "/api/v2/client-grants", Drop: true},
		"not done":        {Method: "POST", Path: "/api/v2/client-grants", Status: http.StatusBadGateway},
		"change lost":     {Method: "PATCH", Path: "/api/v2/client-grants/", Drop: true},
		"change not done": {Method: "PATCH", Path: "/api/v2/client-grants/", Status: http.StatusServiceUnavailable},
		"deletion lost":   {Method: "DELETE", Path: "/api/v2/client-grants/", Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			api, client := o.api("read:orders", "write:orders"), o.newClient()
			o.tenant.Inject(fault)
			g := o.grant("--client", client, "--audience", api, "--scope", "read:orders")
			o.must("grants", "update", g.ID, "--add-scope", "write:orders")
			if all := o.grants(client); len(all) != 1 || len(all[0].Scope) != 2 {
				t.Errorf("there are %+v", all)
			}
			o.must("grants", "delete", g.ID, "--force", "--no-backup")
			if n := len(o.grants(client)); n != 0 {
				t.Errorf("%d grants are left", n)
			}
		})
	}
}
