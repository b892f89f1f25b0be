package main

import (
	"errors"
	"net/http"
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
