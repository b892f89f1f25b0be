package main

import (
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// A deletion whose answers are all lost may have been done all the same: what is
// there then tells.
func TestADeletionWithoutAnAnswerIsLookedAt(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault auth0sim.Fault
		want  string // "" where it is deleted
		there bool
	}{
		{"done", auth0sim.Fault{Drop: true}, "", false},
		{"not done", auth0sim.Fault{Status: http.StatusServiceUnavailable}, "is still there: ", true},
		{"refused", auth0sim.Fault{Status: http.StatusForbidden}, "is still there: ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tenant := auth0sim.New(auth0sim.Config{Seed: 1, Machines: 2, People: 1})
				api := withoutNetwork(t, tenant)
				users, roles := provision.Users{API: api}, provision.Roles{API: api}
				u, err := users.Create(t.Context(), provision.NewUser{Connection: "Username-Password-Authentication", Email: "a@example.com", Password: provision.NewPassword()})
				if err != nil {
					t.Fatal(err)
				}
				r, err := roles.Create(t.Context(), "exporter", "", nil)
				if err != nil {
					t.Fatal(err)
				}
				c.fault.Method, c.fault.Times = "DELETE", -1
				tenant.Inject(c.fault)
				for _, d := range []struct {
					delete error
					what   string
					look   func() error
				}{
					{users.Delete(t.Context(), u.ID, nil), "user " + u.ID, func() error { _, err := users.Get(t.Context(), u.ID); return err }},
					{roles.Delete(t.Context(), r.ID), "role " + r.ID, func() error { _, err := roles.Get(t.Context(), r.ID); return err }},
				} {
					if c.want == "" != (d.delete == nil) || d.delete != nil && !strings.Contains(d.delete.Error(), d.what+" "+c.want) {
						t.Errorf("got %v, want %q", d.delete, c.want)
					}
					if gone := errors.Is(d.look(), provision.ErrNotFound); gone == c.there {
						t.Errorf("%s is gone: %v", d.what, gone)
					}
				}
			})
		})
	}
}

func TestADeletionThatCannotBeLookedAtSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tenant := auth0sim.New(auth0sim.Config{Seed: 1, Machines: 2, People: 1})
		users := provision.Users{API: withoutNetwork(t, tenant)}
		u, err := users.Create(t.Context(), provision.NewUser{Connection: "Username-Password-Authentication", Email: "a@example.com", Password: provision.NewPassword()})
		if err != nil {
			t.Fatal(err)
		}
		tenant.Inject(auth0sim.Fault{Path: "/api/v2/users/", Drop: true, Times: -1})
		if err := users.Delete(t.Context(), u.ID, nil); err == nil || !strings.Contains(err.Error(), "may be gone or not") {
			t.Errorf("got %v", err)
		}
	})
}

// adminUser makes a user as an administrator does.
func (o *operator) adminUser(body map[string]any) simUser {
	o.t.Helper()
	var u simUser
	if status := o.admin("POST", "users", body, &u); status != http.StatusCreated {
		o.t.Fatalf("make a user: status %d", status)
	}
	return u
}

// deleted deletes a user, and returns the path of its backup and what was said.
func (o *operator) deleted(id, key string, flags ...string) (path, said string) {
	o.t.Helper()
	out, said := o.must(append([]string{"users", "delete", id, "--force", "--backup-dir", o.t.TempDir(), "--backup-identity", key}, flags...)...)
	return strings.TrimSpace(out), said
}

func TestUsersOfEachKindOfDatabaseComeBack(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	key := filepath.Join(t.TempDir(), "key")
	const connection, password = "Username-Password-Authentication", "Aa1-aaaaaaaa"
	for name, body := range map[string]map[string]any{
		"of a custom database": {"user_id": "legacy|123", "email": "a@example.com"},
		"with a phone alone":   {"phone_number": "+4312345"},
		"with a user name":     {"username": "nightly"},
	} {
		t.Run(name, func(t *testing.T) {
			o.t = t
			body["connection"], body["password"], body["app_metadata"] = connection, password, map[string]any{"programmatic": true}
			was := o.adminUser(body)
			path, said := o.deleted(was.ID, key)
			if strings.Contains(said, "nothing could restore") {
				t.Errorf("said %q", said)
			}
			o.must("users", "restore", path, "--backup-identity", key, "--password-file", filepath.Join(t.TempDir(), "p"))
			var is map[string]any
			o.admin("GET", "users/"+url.PathEscape(was.ID), nil, &is)
			for _, member := range []string{"email", "phone_number", "username"} {
				if is[member] != body[member] {
					t.Errorf("its %s is %v, was %v", member, is[member], body[member])
				}
			}
		})
	}
	o.t = t
	o.create("--phone-number", "+4312346")
	o.fails(exitUsage, "the part behind auth0|", "users", "create", "--email", "b@example.com", "--user-id", "auth0|b", "--reveal-secrets")
}

func TestWhatCannotBeRestoredIsSaidBeforeItIsDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	key := filepath.Join(t.TempDir(), "key")
	o.admin("POST", "connections", map[string]any{"name": "google", "strategy": "google-oauth2"}, nil)
	google := o.adminUser(map[string]any{"connection": "google", "email": "a@example.com"})
	other := o.adminUser(map[string]any{"connection": "google", "email": "b@example.com"})
	const why = "it comes back when it signs in there"
	if _, said := o.must("users", "delete", google.ID, "--any", "--dry-run", "--backup-identity", key); !strings.Contains(said, why) || strings.Index(said, why) > strings.Index(said, "would delete") {
		t.Errorf("said %q", said)
	}
	if _, said := o.must("users", "delete", google.ID, "--any", "--dry-run", "--no-backup"); strings.Contains(said, why) {
		t.Errorf("said %q", said)
	}
	path, said := o.deleted(google.ID, key, "--any")
	if !strings.Contains(said, why) {
		t.Errorf("said %q", said)
	}
	o.fails(exitError, why, "users", "restore", path, "--backup-identity", key, "--reveal-secrets")

	u := o.create("--email", "c@example.com")
	o.admin("POST", "users/"+url.PathEscape(u.ID)+"/identities", map[string]any{"provider": "google-oauth2", "user_id": other.ID}, nil)
	if _, said := o.deleted(u.ID, key); !strings.Contains(said, "would not bring back the linked identity google-oauth2|") {
		t.Errorf("said %q", said)
	}
}

func TestMembershipsComeBack(t *testing.T) {
	for _, fault := range []auth0sim.Fault{
		{},
		{Method: "POST", Path: "/api/v2/organizations/", Drop: true},
		{Method: "POST", Path: "/api/v2/organizations/", Status: http.StatusServiceUnavailable, Skip: 1},
	} {
		o := newProvisioner(t, allScopes()...)
		organization := func(name string) string {
			var made struct{ ID string }
			o.admin("POST", "organizations", map[string]any{"name": name}, &made)
			return made.ID
		}
		kept, gone, exporter, old := organization("kept"), organization("gone"), o.role("exporter"), o.role("old")
		u := o.create("--email", "a@example.com")
		for _, org := range []string{kept, gone} {
			o.admin("POST", "organizations/"+org+"/members", map[string]any{"members": []string{u.ID}}, nil)
			o.admin("POST", "organizations/"+org+"/members/"+url.PathEscape(u.ID)+"/roles", map[string]any{"roles": []string{exporter, old}}, nil)
		}
		key := filepath.Join(t.TempDir(), "key")
		path, _ := o.deleted(u.ID, key)
		o.admin("DELETE", "organizations/"+gone, nil, nil)
		o.admin("DELETE", "roles/"+old, nil, nil)
		other := o.role("old")
		if fault.Method != "" {
			o.tenant.Inject(fault)
		}
		_, said := o.must("users", "restore", path, "--backup-identity", key, "--password-file", filepath.Join(t.TempDir(), "p"))
		for _, want := range []string{
			"its membership of organization gone (" + gone + "): it is gone",
			"in organization kept (" + kept + "), role old (" + old + "): it is gone; there is another one of that name, " + other,
		} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not in %q", want, said)
			}
		}
		var members []struct {
			ID    string `json:"user_id"`
			Roles []struct{ ID string }
		}
		o.admin("GET", "organizations/"+kept+"/members?fields=user_id,roles", nil, &members)
		if len(members) != 1 || members[0].ID != u.ID || len(members[0].Roles) != 1 || members[0].Roles[0].ID != exporter {
			t.Errorf("its members are %+v", members)
		}
	}
}

func TestARestoredUserThatCannotJoinIsAnError(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	var org struct{ ID string }
	o.admin("POST", "organizations", map[string]any{"name": "kept"}, &org)
	u := o.create("--email", "a@example.com")
	o.admin("POST", "organizations/"+org.ID+"/members", map[string]any{"members": []string{u.ID}}, nil)
	key := filepath.Join(t.TempDir(), "key")
	path, _ := o.deleted(u.ID, key)
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/organizations/", Status: http.StatusForbidden})
	file := filepath.Join(t.TempDir(), "p")
	if out := o.fails(exitError, "is back, but not in organization kept", "users", "restore", path, "--backup-identity", key, "--password-file", file, "--json"); !strings.Contains(out, u.ID) {
		t.Errorf("printed %q", out)
	}
	if _, there := o.user(u.ID); !there {
		t.Error("it is not there")
	}
	o.become("create:users", "read:users")
	o.fails(exitError, "users restore needs: read:organizations create:organization_members\n", "users", "restore", path, "--backup-identity", key, "--reveal-secrets")
}
