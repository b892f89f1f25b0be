package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// simServer is what the tests read of an API.
type simServer struct {
	ID, Identifier, Name string
	Scopes               []struct{ Value, Description string }
	Lifetime             int    `json:"token_lifetime"`
	Policies             bool   `json:"enforce_policies"`
	Dialect              string `json:"token_dialect"`
}

// server reads an API by its identifier, and says whether it is there.
func (o *operator) server(identifier string) (s simServer, there bool) {
	o.t.Helper()
	status := o.admin("GET", "resource-servers/"+url.PathEscape(identifier), nil, &s)
	return s, status == http.StatusOK
}

func TestAnAPIIsMadeChangedAndDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	const id = "https://api.example.com/orders"
	o.must("apis", "create", id, "--name", "orders", "--scope", "read:orders=see orders", "--scope", "write:orders", "--token-lifetime", "1h", "--permissions-in-tokens")
	s, _ := o.server(id)
	if s.Name != "orders" || s.Lifetime != 3600 || !s.Policies || s.Dialect != "access_token_authz" || len(s.Scopes) != 2 || s.Scopes[0].Description != "see orders" {
		t.Errorf("made %+v", s)
	}
	o.fails(exitError, "it is there already", "apis", "create", id)
	if list, _ := o.must("apis", "list"); !strings.Contains(list, id+"                1h0m0s    in tokens    2       orders\n") {
		t.Errorf("listed\n%s", list)
	}
	o.must("apis", "update", id, "--add-scope", "read:ledger", "--add-scope", "write:orders=change them", "--token-lifetime", "2h", "--permissions-in-tokens=false")
	s, _ = o.server(id)
	if s.Lifetime != 7200 || s.Policies || s.Dialect != "access_token" || len(s.Scopes) != 3 || s.Scopes[2].Description != "change them" || s.Name != "orders" {
		t.Errorf("changed to %+v", s)
	}

	client, role := o.newClient(), o.role("reader")
	o.grant("--client", client, "--audience", id, "--scope", "read:orders", "--scope", "read:ledger")
	o.must("roles", "permissions", "add", role, "--api", id, "read:orders")
	o.fails(exitUsage, "nobody to ask", "apis", "update", id, "--remove-scope", "read:ledger")
	_, said := o.must("apis", "update", s.ID, "--remove-scope", "read:ledger", "--dry-run")
	if !strings.Contains(said, "to application "+client) || strings.Contains(said, "reader") {
		t.Errorf("said\n%s", said)
	}
	o.must("apis", "update", s.ID, "--remove-scope", "read:ledger", "--force")
	if s, _ := o.server(id); len(s.Scopes) != 2 {
		t.Errorf("changed to %+v", s)
	}
	o.fails(exitError, "does not have fly; it has read:orders, write:orders", "apis", "update", id, "--remove-scope", "fly", "--force")

	t.Chdir(t.TempDir())
	if _, said := o.must("apis", "delete", id, "--dry-run"); !strings.Contains(said, "which 1 grants and 1 roles use") || !strings.Contains(said, "role reader ("+role+"): read:orders") {
		t.Errorf("said\n%s", said)
	}
	path, said := o.must("apis", "delete", id, "--force")
	kept, err := os.ReadFile(strings.TrimSpace(path))
	if err != nil || !strings.Contains(string(kept), client) || !strings.Contains(string(kept), role) {
		t.Errorf("%v, kept\n%s", err, kept)
	}
	if _, there := o.server(id); there || !strings.Contains(said, "tokens that were issued stay good until ") {
		t.Errorf("there: %v, said %q", there, said)
	}
	o.fails(exitError, "API "+id+": ", "apis", "delete", id, "--force", "--no-backup")
}

func TestAuth0sOwnAPIStaysAsItIs(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	id := "https://" + o.tenant.Domain() + "/api/v2/"
	before, there := o.server(id)
	o.fails(exitError, "Auth0's own", "apis", "delete", id, "--force")
	o.fails(exitError, "Auth0's own", "apis", "update", id, "--token-lifetime", "1h")
	if after, _ := o.server(id); !there || after.Lifetime != before.Lifetime {
		t.Errorf("changed from %+v to %+v", before, after)
	}
}

func TestWhatMakesNoSenseOfAnAPIIsRefused(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	const id = "https://api.example.com/x"
	for want, args := range map[string][]string{
		"want an address or a name":  {"create", "two words"},
		"the name without spaces":    {"create", id, "--scope", "read orders"},
		"is named twice":             {"create", id, "--scope", "a", "--scope", "a=b"},
		"want whole seconds":         {"create", id, "--token-lifetime", "1500ms"},
		"from 1s to 720h0m0s":        {"create", id, "--token-lifetime", "721h"},
		"nothing to change":          {"update", id},
		"takes one identifier":       {"create"},
		"argument of apis show is e": {"show", ""},
	} {
		o.fails(exitUsage, want, append([]string{"apis"}, args...)...)
	}
	if _, there := o.server(id); there {
		t.Error("it was made")
	}
}

func TestTheSecretOfAnAPIIsNotPrinted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.admin("POST", "resource-servers", map[string]any{"identifier": "hs", "signing_alg": "HS256", "signing_secret": "open-sesame-open-sesame"}, nil)
	show, _ := o.must("apis", "show", "hs", "--json")
	list, _ := o.must("apis", "list", "--json")
	if strings.Contains(show+list, "open-sesame") || !strings.Contains(show, `"signing_secret": "***"`) {
		t.Errorf("printed\n%s", show)
	}
	t.Chdir(t.TempDir())
	path, _ := o.must("apis", "delete", "hs", "--force")
	if kept, err := os.ReadFile(strings.TrimSpace(path)); err != nil || strings.Contains(string(kept), "open-sesame") {
		t.Errorf("%v, kept\n%s", err, kept)
	}
}

func TestALostAnswerMakesNoTwinOfAnAPI(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":   {Method: "POST", Path: "/api/v2/resource-servers", Drop: true},
		"not done":        {Method: "POST", Path: "/api/v2/resource-servers", Status: http.StatusBadGateway},
		"change lost":     {Method: "PATCH", Path: "/api/v2/resource-servers/", Drop: true},
		"change not done": {Method: "PATCH", Path: "/api/v2/resource-servers/", Status: http.StatusServiceUnavailable},
		"deletion lost":   {Method: "DELETE", Path: "/api/v2/resource-servers/", Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.tenant.Inject(fault)
			out, _ := o.must("apis", "create", "orders", "--scope", "read:orders", "--json")
			var made simServer
			if err := json.Unmarshal([]byte(out), &made); err != nil {
				t.Fatal(err)
			}
			o.must("apis", "update", made.ID, "--add-scope", "write:orders")
			if s, _ := o.server("orders"); s.ID != made.ID || len(s.Scopes) != 2 {
				t.Errorf("it is %+v", s)
			}
			o.must("apis", "delete", "orders", "--force", "--no-backup")
			if _, there := o.server("orders"); there {
				t.Error("it is still there")
			}
		})
	}
}
