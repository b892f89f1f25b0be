package main

import (
	"cmp"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// signsIn reports whether a user gets a token by the password in a file, from an
// application that may ask for one.
func (o *operator) signsIn(login, file string) bool {
	o.t.Helper()
	password, err := os.ReadFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	if o.door.ID == "" {
		o.admin("POST", "clients", map[string]any{"name": "door", "app_type": "non_interactive", "grant_types": []string{"http://auth0.com/oauth/grant-type/password-realm"}}, &o.door)
	}
	response, err := cmp.Or(o.http, http.DefaultClient).PostForm(o.base+"/oauth/token", url.Values{
		"grant_type": {"http://auth0.com/oauth/grant-type/password-realm"}, "realm": {"Username-Password-Authentication"},
		"username": {login}, "password": {strings.TrimSpace(string(password))}, "client_id": {o.door.ID}, "client_secret": {o.door.Secret},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func TestAUserGetsAnotherPassword(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	u := o.create("--email", "a@example.com")
	dir := t.TempDir()
	old, next := filepath.Join(dir, "old"), filepath.Join(dir, "next")
	writeFiles(t, map[string]string{old: u.Password})
	o.fails(exitUsage, "nobody to ask", "users", "password", u.ID, "--password-file", next)
	o.fails(exitUsage, "--password-file FILE, or --reveal-secrets", "users", "password", u.ID, "--force")
	o.fails(exitUsage, "want the --password-file", "users", "password", u.ID, "--force", "--resume")
	if _, said := o.must("users", "password", u.ID, "--dry-run", "--password-file", next); !strings.Contains(said, "would give another password to "+u.ID) {
		t.Errorf("said %q", said)
	}
	if _, err := os.Stat(next); err == nil || !o.signsIn(u.Email, old) {
		t.Error("a dry run changes something")
	}
	o.must("users", "password", u.ID, "--force", "--password-file", next)
	if o.signsIn(u.Email, old) || !o.signsIn(u.Email, next) {
		t.Error("it does not sign in by the new password alone")
	}
	o.fails(exitError, "say --resume", "users", "password", u.ID, "--force", "--password-file", next)
	o.must("users", "password", u.ID, "--force", "--password-file", next, "--resume")
	out, _ := o.must("users", "password", u.ID, "--force", "--reveal-secrets")
	if password := strings.TrimSpace(out); len(password) != 32 || strings.Contains(o.seen.String(), password) {
		t.Errorf("printed %q", out)
	}
	o.fails(exitError, "holds no password that m2mwatch has made", "users", "password", u.ID, "--force", "--password-file", o.file("mine"), "--resume")
	o.fails(exitError, "The user does not exist", "users", "password", "auth0|nobody", "--force", "--password-file", filepath.Join(dir, "p"))

	o.admin("POST", "connections", map[string]any{"name": "google", "strategy": "google-oauth2"}, nil)
	google := o.adminUser(map[string]any{"connection": "google", "email": "b@example.com"})
	o.fails(exitError, "not marked as programmatic", "users", "password", google.ID, "--force", "--password-file", filepath.Join(dir, "p"))
	o.fails(exitError, "has no password here", "users", "password", google.ID, "--any", "--force", "--password-file", filepath.Join(dir, "p"))
	o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Status: http.StatusBadRequest, Body: `{"statusCode":400,"message":"PasswordStrengthError: Password is too weak"}`})
	o.fails(exitError, "too weak", "users", "password", u.ID, "--force", "--password-file", filepath.Join(dir, "p"))
	if _, err := os.Stat(filepath.Join(dir, "p")); err == nil {
		t.Error("there is a password of nobody")
	}
}

// file makes a file of some content.
func (o *operator) file(content string) string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), "file")
	writeFiles(o.t, map[string]string{path: content})
	return path
}

func TestALostAnswerLeavesThePasswordThatIsInTheFile(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":  {Drop: true},
		"not done":       {Status: http.StatusServiceUnavailable},
		"not done twice": {Status: http.StatusBadGateway, Times: 2},
	} {
		for _, history := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				o := newProvisioner(t, allScopes()...)
				if history {
					o.rememberPasswords()
				}
				u := o.create("--email", "a@example.com")
				file := filepath.Join(t.TempDir(), "p")
				fault.Method, fault.Path = "PATCH", "/api/v2/users/"
				o.tenant.Inject(fault)
				o.must("users", "password", u.ID, "--force", "--password-file", file)
				if !o.signsIn(u.Email, file) {
					t.Error("it does not sign in")
				}
			})
		}
	}
}

// rememberPasswords has the database refuse a password that a user has had.
func (o *operator) rememberPasswords() {
	o.t.Helper()
	var connections []struct{ ID string }
	o.admin("GET", "connections?name=Username-Password-Authentication", nil, &connections)
	if status := o.admin("PATCH", "connections/"+connections[0].ID, map[string]any{"options": map[string]any{"password_history": map[string]any{"enable": true, "size": 5}}}, nil); status != http.StatusOK {
		o.t.Fatalf("remember passwords: status %d", status)
	}
}

func TestAPasswordWhoseAnswersAreAllLostIsSetAgain(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.rememberPasswords()
	u := o.create("--email", "a@example.com")
	file := filepath.Join(t.TempDir(), "p")
	o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/users/" + url.PathEscape(u.ID), Drop: true, Times: 1})
	o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/users/" + url.PathEscape(u.ID), Status: http.StatusServiceUnavailable, Times: 2})
	o.fails(exitError, "with --resume it is set again", "users", "password", u.ID, "--force", "--password-file", file)
	o.must("users", "password", u.ID, "--force", "--password-file", file, "--resume")
	if !o.signsIn(u.Email, file) {
		t.Error("it does not sign in")
	}
}

func TestAMakingIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := auth0sim.New(auth0sim.Config{Seed: 1, Machines: 2, People: 1})
		api := withoutNetwork(t, tenant)
		users, roles := provision.Users{API: api}, provision.Roles{API: api}
		if _, err := roles.Create(t.Context(), "exporter", "", nil); err != nil {
			t.Fatal(err)
		}
		n := provision.NewUser{Connection: "Username-Password-Authentication", Email: "a@example.com", Password: provision.NewPassword(), ID: "nightly", Roles: []string{"exporter"}}
		tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users/auth0%7Cnightly/roles", Status: http.StatusForbidden})
		if _, err := users.Create(t.Context(), n); err == nil || !strings.Contains(err.Error(), "not all that it should have") {
			t.Fatalf("got %v", err)
		}
		if _, err := users.Create(t.Context(), n); err == nil || !strings.Contains(err.Error(), "it is there already") {
			t.Errorf("got %v", err)
		}
		n.Resume = true
		if _, err := users.Create(t.Context(), n); err != nil {
			t.Error(err)
		}
		if has, err := users.Access(t.Context(), "auth0|nightly"); err != nil || len(has.Roles) != 1 {
			t.Errorf("it has %d roles, %v", len(has.Roles), err)
		}
		n.Email = "b@example.com"
		if _, err := users.Create(t.Context(), n); err == nil || !strings.Contains(err.Error(), "it is there already, with another email") {
			t.Errorf("got %v", err)
		}
	})
}
