package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// organization makes one with a member who has a role there.
func (o *operator) organization(name, user, role string) string {
	o.t.Helper()
	var made struct{ ID string }
	o.admin("POST", "organizations", map[string]any{"name": name}, &made)
	o.admin("POST", "organizations/"+made.ID+"/members", map[string]any{"members": []string{user}}, nil)
	o.admin("POST", "organizations/"+made.ID+"/members/"+url.PathEscape(user)+"/roles", map[string]any{"roles": []string{role}}, nil)
	return made.ID
}

func TestABackupOfOneTenantIsRestoredInAnother(t *testing.T) {
	from := newProvisioner(t, allScopes()...)
	api, exporter, loader := from.api("read:orders", "write:orders"), from.role("exporter"), from.role("loader")
	from.admin("POST", "connections", map[string]any{"name": "google", "strategy": "google-oauth2"}, nil)
	google := from.adminUser(map[string]any{"connection": "google", "email": "p@example.com"})
	u := from.create("--email", "a@example.com", "--name", "Nightly", "--owner", "data-team", "--app-metadata", `{"n": 12345678901234567890, "o": {"x": [1, null]}}`, "--user-metadata", `{"a": "b"}`,
		"--role", exporter, "--role", loader, "--permission", "read:orders@"+api, "--permission", "write:orders@"+api)
	from.must("users", "block", u.ID)
	organization := from.organization("kept", u.ID, exporter)
	from.admin("POST", "users/"+url.PathEscape(u.ID)+"/identities", map[string]any{"provider": "google-oauth2", "user_id": google.ID}, nil)
	var was map[string]any
	from.admin("GET", "users/"+url.PathEscape(u.ID), nil, &was)
	key := filepath.Join(t.TempDir(), "key")
	path, _ := from.deleted(u.ID, key)

	to := newOperatorOf(t, auth0sim.Config{Name: "other", Seed: 2}, "terraform-ci")
	to.become(allScopes()...)
	to.api("read:orders") // as there, with a scope less
	other := to.role("exporter")
	file := filepath.Join(t.TempDir(), "p")
	_, said := to.must("users", "restore", path, "--backup-identity", key, "--password-file", file)
	for _, want := range []string{
		"the backup is of " + strings.TrimPrefix(from.base, "http://") + ", and is restored in " + strings.TrimPrefix(to.base, "http://"),
		"not restored: the linked identity google-oauth2|",
		"not restored: role exporter (" + exporter + "): it is gone; there is another one of that name, " + other,
		"not restored: role loader (" + loader + "): it is gone\n",
		"not restored: permission write:orders: the API " + api + " does not have it",
		"not restored: its membership of organization kept (" + organization + "): it is gone",
		"not restored: the password",
		"not restored: multi-factor enrolments",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	if n := strings.Count(said, "not restored: "); n != 8 {
		t.Errorf("%d things are told as lost, want 8:\n%s", n, said)
	}
	var is map[string]any
	to.admin("GET", "users/"+url.PathEscape(u.ID), nil, &is)
	for _, changed := range []string{"created_at", "updated_at", "identities"} {
		delete(was, changed)
		delete(is, changed)
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("it was (-) and is (+):\n%s", diff)
	}
	shown, _ := to.must("users", "show", u.ID, "--access", "--json")
	if !strings.Contains(shown, `"permission_name": "read:orders"`) || strings.Contains(shown, "exporter") || !strings.Contains(shown, "12345678901234567890") {
		t.Errorf("it is\n%s", shown)
	}
	to.must("users", "unblock", u.ID)
	if !to.signsIn(u.Email, file) {
		t.Error("it does not sign in by its new password")
	}
}

func TestNothingIsRestoredWithoutTheConnection(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.admin("POST", "connections", map[string]any{"name": "legacy", "strategy": "auth0"}, nil)
	u := o.create("--email", "a@example.com", "--connection", "legacy")
	key := filepath.Join(t.TempDir(), "key")
	path, _ := o.deleted(u.ID, key)
	to := newOperatorOf(t, auth0sim.Config{Seed: 2}, "terraform-ci")
	to.become(allScopes()...)
	file := filepath.Join(t.TempDir(), "p")
	to.fails(exitError, "The connection does not exist", "users", "restore", path, "--backup-identity", key, "--password-file", file)
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a password of nobody")
	}
}

func TestAMakingThatWasKilledIsResumed(t *testing.T) {
	const users, roles = "/api/v2/users", "/api/v2/users/auth0%7C"
	for _, c := range []struct {
		name  string
		at    killAt
		flags []string
	}{
		{"between file and POST", killAt{method: "POST", path: users}, nil},
		{"between POST and answer", killAt{method: "POST", path: users, served: true}, nil},
		{"between POST and answer, with an id", killAt{method: "POST", path: users, served: true}, []string{"--user-id", "nightly"}},
		{"before its role", killAt{method: "POST", path: roles}, []string{"--user-id", "nightly"}},
		{"after its role", killAt{method: "POST", path: roles, served: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.role("exporter")
			file := filepath.Join(t.TempDir(), "p")
			args := append([]string{"users", "create", "--email", "a@example.com", "--role", "exporter", "--password-file", file}, c.flags...)
			o.killed(c.at, args...)
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("the password that may be in use: %v", err)
			}
			o.fails(exitError, "say --resume", args...)
			o.must(append(args, "--resume")...)
			if o.found("a@example.com") != 1 || !o.signsIn("a@example.com", file) {
				t.Errorf("it is there %d times, or does not sign in", o.found("a@example.com"))
			}
			var people []simUser
			o.admin("GET", "users-by-email?email=a@example.com", nil, &people)
			if shown, _ := o.must("users", "show", people[0].ID, "--access"); !strings.Contains(shown, "exporter") {
				t.Errorf("it has no role:\n%s", shown)
			}
		})
	}
}

func TestADeletionThatWasKilledLosesNothing(t *testing.T) {
	for _, served := range []bool{false, true} {
		o := newProvisioner(t, allScopes()...)
		u := o.create("--email", "a@example.com", "--owner", "data-team")
		dir, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
		args := []string{"users", "delete", u.ID, "--force", "--backup-dir", dir, "--backup-identity", key}
		o.killed(killAt{method: "DELETE", path: "/api/v2/users/", served: served}, args...)
		kept, err := filepath.Glob(filepath.Join(dir, "user-*.age"))
		if _, there := o.user(u.ID); there == served || err != nil || len(kept) != 1 {
			t.Fatalf("it is there: %v; backups %q, %v", there, kept, err)
		}
		if served {
			o.fails(exitError, "The user does not exist", args...)
		} else {
			o.must(args...)
		}
		if _, there := o.user(u.ID); there {
			t.Error("it is still there")
		}
		o.must("users", "restore", kept[0], "--backup-identity", key, "--password-file", filepath.Join(t.TempDir(), "p"))
		if is, there := o.user(u.ID); !there || is.AppMetadata["owner"] != "data-team" {
			t.Errorf("it is %+v", is)
		}
	}
}

func TestARestoreThatWasKilledIsResumed(t *testing.T) {
	for name, at := range map[string]killAt{
		"between file and POST":   {method: "POST", path: "/api/v2/users"},
		"between POST and answer": {method: "POST", path: "/api/v2/users", served: true},
		"before its role":         {method: "POST", path: "/api/v2/users/auth0%7C"},
		"before its membership":   {method: "POST", path: "/api/v2/organizations/"},
		"before its role there":   {method: "POST", path: "/api/v2/organizations/", skip: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			exporter := o.role("exporter")
			u := o.create("--email", "a@example.com", "--role", exporter)
			organization := o.organization("kept", u.ID, exporter)
			key := filepath.Join(t.TempDir(), "key")
			path, _ := o.deleted(u.ID, key)
			file := filepath.Join(t.TempDir(), "p")
			args := []string{"users", "restore", path, "--backup-identity", key, "--password-file", file}
			o.killed(at, args...)
			o.must(append(args, "--resume")...)
			if !o.signsIn("a@example.com", file) {
				t.Error("it does not sign in")
			}
			if shown, _ := o.must("users", "show", u.ID, "--access"); !strings.Contains(shown, "exporter") {
				t.Errorf("it has no role:\n%s", shown)
			}
			var there []struct{ ID string }
			if o.admin("GET", "organizations/"+organization+"/members/"+url.PathEscape(u.ID)+"/roles", nil, &there) != http.StatusOK || len(there) != 1 || there[0].ID != exporter {
				t.Errorf("its roles there are %+v", there)
			}
		})
	}
}

func TestAPasswordWhoseChangeWasKilledIsSetAgain(t *testing.T) {
	for _, served := range []bool{false, true} {
		o := newProvisioner(t, allScopes()...)
		u := o.create("--email", "a@example.com")
		file := filepath.Join(t.TempDir(), "p")
		args := []string{"users", "password", u.ID, "--force", "--password-file", file}
		o.killed(killAt{method: "PATCH", path: "/api/v2/users/", served: served}, args...)
		if o.signsIn("a@example.com", file) != served {
			t.Errorf("it signs in by the new password: %v", !served)
		}
		o.must(append(args, "--resume")...)
		if !o.signsIn("a@example.com", file) {
			t.Error("it does not sign in")
		}
	}
}
