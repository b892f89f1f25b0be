package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// roles counts those of a name.
func (o *operator) roles(name string) (n int) {
	o.t.Helper()
	var roles []struct{ Name string }
	o.admin("GET", "roles?name_filter="+name, nil, &roles)
	return len(roles)
}

func TestARoleIsMadeChangedAndDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders", "write:orders")
	out, _ := o.must("roles", "create", "exporter", "--description", "exports", "--permission", "read:orders@"+api, "--json")
	var role struct{ ID, Description string }
	if err := json.Unmarshal([]byte(out), &role); err != nil || !strings.HasPrefix(role.ID, "rol_") || role.Description != "exports" {
		t.Fatalf("%v, printed\n%s", err, out)
	}
	o.fails(exitError, role.ID+"): it is there already", "roles", "create", "exporter")
	if text, _ := o.must("roles", "show", "exporter"); !strings.Contains(text, "read:orders") || strings.Contains(text, "write:orders") {
		t.Errorf("shown as\n%s", text)
	}
	o.must("roles", "update", "exporter", "--name", "loader", "--description", "")
	if text, _ := o.must("roles", "list", "--csv"); text != "role_id,name,description\n"+role.ID+",loader,\n" {
		t.Errorf("listed as\n%s", text)
	}
	o.fails(exitUsage, "nobody to ask", "roles", "delete", "loader")
	if _, said := o.must("roles", "delete", "loader", "--dry-run"); !strings.Contains(said, "which 0 users have") || o.roles("loader") != 1 {
		t.Errorf("said %q", said)
	}
	o.must("roles", "delete", "loader", "--force", "--no-backup")
	o.fails(exitError, "it is not there", "roles", "delete", role.ID, "--force")
	if n := o.roles("loader"); n != 0 {
		t.Error("it is still there")
	}
}

func TestWhatARolePermitsIsLookedAt(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, id := o.api("read:orders", "write:orders"), o.role("exporter")
	permits := func() string {
		text, _ := o.must("roles", "show", id)
		return text
	}
	o.must("roles", "permissions", "add", "exporter", "--api", api, "read:orders", "write:orders")
	if text := permits(); !strings.Contains(text, "read:orders") || !strings.Contains(text, "write:orders") {
		t.Errorf("it permits\n%s", text)
	}
	o.fails(exitError, "does not have it", "roles", "permissions", "add", id, "--api", api, "erase:orders")
	o.fails(exitError, "there is no API", "roles", "permissions", "add", id, "--api", "https://nowhere/", "read:orders")
	o.fails(exitUsage, "want --api", "roles", "permissions", "add", id, "read:orders")
	o.must("roles", "permissions", "remove", id, "--api", api, "write:orders")
	if text := permits(); !strings.Contains(text, "read:orders") || strings.Contains(text, "write:orders") {
		t.Errorf("it permits\n%s", text)
	}
	o.fails(exitError, "does not have permission write:orders", "roles", "permissions", "remove", id, "--api", api, "write:orders", "read:orders")
	if text := permits(); !strings.Contains(text, "read:orders") {
		t.Errorf("it permits\n%s", text)
	}
}

func TestARoleIsAssignedAndTaken(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.role("exporter")
	u := o.create("--email", "l@example.com")
	has := func() bool {
		text, _ := o.must("users", "show", u.ID, "--access")
		return strings.Contains(text, "exporter")
	}
	o.must("roles", "assign", "exporter", u.ID)
	if !has() {
		t.Error("it has not the role")
	}
	o.fails(exitError, "The user does not exist", "roles", "assign", "exporter", "auth0|nobody", u.ID)
	o.must("roles", "unassign", "exporter", u.ID)
	if has() {
		t.Error("it still has the role")
	}
	o.fails(exitError, "does not have role exporter", "roles", "unassign", "exporter", u.ID)
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users/auth0%7C", Drop: true})
	o.must("roles", "assign", "exporter", u.ID)
	o.tenant.Inject(auth0sim.Fault{Method: "DELETE", Path: "/api/v2/users/auth0%7C", Drop: true})
	o.must("roles", "unassign", "exporter", u.ID)
	if has() {
		t.Error("it still has the role")
	}
	o.fails(exitError, "role nothing: it is not there", "roles", "assign", "nothing", u.ID)
}

func TestALostAnswerMakesNoTwinOfARole(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":    {Method: "POST", Path: "/api/v2/roles", Drop: true},
		"not done":         {Method: "POST", Path: "/api/v2/roles", Status: http.StatusBadGateway},
		"permissions lost": {Method: "POST", Path: "/api/v2/roles/rol_", Drop: true},
		"change lost":      {Method: "PATCH", Path: "/api/v2/roles/rol_", Drop: true},
		"change not done":  {Method: "PATCH", Path: "/api/v2/roles/rol_", Status: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			api := o.api("read:orders")
			o.tenant.Inject(fault)
			o.must("roles", "create", "exporter", "--permission", "read:orders@"+api)
			o.must("roles", "update", "exporter", "--description", "d")
			if n := o.roles("exporter"); n != 1 {
				t.Errorf("%d roles were made", n)
			}
			if text, _ := o.must("roles", "show", "exporter"); !strings.Contains(text, "read:orders") || !strings.Contains(text, "description") {
				t.Errorf("shown as\n%s", text)
			}
		})
	}
}

func TestARoleCommandNamesTheScopesThatItLacks(t *testing.T) {
	o := newProvisioner(t, "read:roles")
	o.must("roles", "list")
	o.fails(exitError, "roles create needs: create:roles\n", "roles", "create", "x")
	o.fails(exitError, "roles permissions add needs: update:roles read:resource_servers\n", "roles", "permissions", "add", "x", "--api", "a", "b")
	o.fails(exitError, "roles delete needs: delete:roles\n", "roles", "delete", "x", "--force", "--no-backup")
	o.fails(exitError, "roles delete needs: delete:roles read:users read:role_members\n", "roles", "delete", "x", "--force")
}

func TestAPersonGetsAndLosesNoRoleByChance(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.role("exporter")
	var people []simUser
	o.admin("GET", "users", nil, &people)
	id := people[0].ID
	o.fails(exitError, "not marked as programmatic", "roles", "assign", "exporter", id)
	if text, _ := o.must("users", "show", id, "--access"); strings.Contains(text, "exporter") {
		t.Error("a person has the role")
	}
	o.must("roles", "assign", "exporter", id, "--any")
	o.fails(exitError, "not marked as programmatic", "roles", "unassign", "exporter", id)
	if text, _ := o.must("users", "show", id, "--access"); !strings.Contains(text, "exporter") {
		t.Error("a person has lost the role")
	}
	o.must("roles", "unassign", "exporter", id, "--any")
}

func TestWhatADeletedRoleWasIsKept(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, id := o.api("read:orders"), o.role("exporter")
	o.must("roles", "permissions", "add", id, "--api", api, "read:orders")
	for i := range 101 { // more than one answer holds
		var u simUser
		o.admin("POST", "users", map[string]any{"connection": "Username-Password-Authentication", "email": fmt.Sprintf("m%d@example.com", i), "password": "Aa1-aaaaaaaa"}, &u)
		o.admin("POST", "users/"+url.PathEscape(u.ID)+"/roles", map[string]any{"roles": []string{id}}, nil)
	}
	notADir := filepath.Join(t.TempDir(), "file")
	writeFiles(t, map[string]string{notADir: ""})
	o.fails(exitError, "is not deleted", "roles", "delete", id, "--force", "--backup-dir", notADir)
	if o.roles("exporter") != 1 {
		t.Fatal("it is deleted without a backup")
	}
	dir := filepath.Join(t.TempDir(), "kept")
	if _, said := o.must("roles", "delete", id, "--dry-run", "--backup-dir", dir); !strings.Contains(said, "which 101 users have") {
		t.Errorf("said %q", said)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run makes a folder")
	}
	out, _ := o.must("roles", "delete", id, "--force", "--backup-dir", dir)
	text, err := os.ReadFile(strings.TrimSpace(out))
	var kept struct {
		Role        struct{ Name string }
		Permissions []struct {
			Name string `json:"permission_name"`
		}
		Members []struct {
			ID string `json:"user_id"`
		}
	}
	if err := errors.Join(err, json.Unmarshal(text, &kept)); err != nil {
		t.Fatal(err)
	}
	if kept.Role.Name != "exporter" || len(kept.Permissions) != 1 || kept.Permissions[0].Name != "read:orders" || len(kept.Members) != 101 || kept.Members[100].ID == "" {
		t.Errorf("kept as\n%s", text)
	}
	if o.roles("exporter") != 0 {
		t.Error("it is still there")
	}
}
