package provision

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// mutator draws changes of a file that a tenant can take.
type mutator struct{ *rand.Rand }

func (r mutator) text() *string {
	texts := []string{"", "data-team", "x: y", "7"}
	return &texts[r.IntN(len(texts))]
}

func (r mutator) scopes() []string {
	all := []string{"read", "write", "erase"}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:r.IntN(4)]
}

func (r mutator) permissions() []WantedScopes {
	list := []WantedScopes{}
	for _, audience := range []string{"https://orders/", "https://ledger/"} {
		if r.IntN(2) == 0 {
			list = append(list, WantedScopes{Audience: audience, Scopes: append([]string{}, r.scopes()...)})
		}
	}
	return list
}

func (r mutator) app(w *WantedApp) {
	date := "2028-01-01"
	switch r.IntN(6) {
	case 0:
		w.Owner, w.Purpose = r.text(), r.text()
	case 1:
		w.Expires = &date
	case 2:
		w.Description = r.text()
	case 3:
		w.Grants = []WantedGrant{}
		for _, p := range r.permissions() {
			w.Grants = append(w.Grants, WantedGrant{Audience: p.Audience, Scopes: p.Scopes})
		}
	case 4:
		allow, off := "allow", false
		for i := range w.Grants {
			if len(w.Grants[i].Audience) > 16 {
				continue // an API of the population, with other scopes
			}
			w.Grants[i].OrgUsage, w.Grants[i].Organizations = &allow, []string{"acme-org"}[:r.IntN(2)]
			w.Grants[i].AllScopes, w.Grants[i].Scopes = &off, append([]string{}, r.scopes()...)
		}
	default:
		if w.ClientID != "" {
			w.Adopt, w.ClientID = w.ClientID, ""
		}
	}
}

func (r mutator) user(w *WantedUser, roles []string) {
	yes := r.IntN(2) == 0
	name := fmt.Sprintf("name %d", r.IntN(9))
	switch r.IntN(6) {
	case 0:
		w.Owner, w.Name, w.Blocked = r.text(), &name, &yes
	case 1:
		w.Roles = append([]string{}, roles[:r.IntN(len(roles)+1)]...)
	case 2:
		w.Permissions = r.permissions()
	case 3:
		w.AppMetadata = Metadata{"big": nil, "list": []any{"a", true}, "more": map[string]any{"a": nil}}
	case 4:
		w.UserMetadata = Metadata{"note": *r.text()}
		email := "changed-" + *w.Email
		w.Email = &email
	default:
		if w.UserID != "" {
			w.Adopt, w.UserID = w.UserID, ""
		}
	}
}

// mutate changes some of a file, takes some out and puts some in.
func (r mutator) mutate(m *Machines) {
	roles := []string{}
	for i := range m.Roles {
		roles = append(roles, m.Roles[i].Name)
		if r.IntN(2) == 0 {
			m.Roles[i].Permissions, m.Roles[i].Description = r.permissions(), r.text()
		}
	}
	for i := range m.Applications {
		if r.IntN(2) == 0 && deref(m.Applications[i].Name) != "provisioner" { // who does it all
			r.app(&m.Applications[i])
		}
	}
	for i := range m.Users {
		if r.IntN(2) == 0 {
			r.user(&m.Users[i], roles)
		}
	}
	m.Applications = slices.DeleteFunc(m.Applications, func(WantedApp) bool { return r.IntN(6) == 0 })
	m.Users = slices.DeleteFunc(m.Users, func(WantedUser) bool { return r.IntN(6) == 0 })
	for i := range r.IntN(3) {
		w := WantedApp{Key: fmt.Sprintf("new.%d", i), Grants: []WantedGrant{{Audience: "https://orders/", Scopes: r.scopes()}}}
		r.app(&w)
		m.Applications = append(m.Applications, w)
		email := fmt.Sprintf("new%d@example.com", i)
		u := WantedUser{Key: fmt.Sprintf("new.%d", i), Email: &email}
		r.user(&u, roles)
		m.Users = append(m.Users, u)
	}
	m.Roles = append(m.Roles, WantedRole{Name: "new", Permissions: r.permissions()})
}

// Whatever a file says, once it is applied nothing is left to do, and what it says is
// what an export finds.
func TestAfterAnApplyNothingIsLeft(t *testing.T) {
	rounds := 0
	for seed := range uint64(25) {
		s := newSim(t, func(c *auth0sim.Config) { c.Seed = seed })
		s.furnish(seed, 10, 8, 3)
		w, api := s.wire()
		m, _, err := Export(t.Context(), api, ExportQuery{AllRoles: true})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for round := range uint64(3) {
			mutator{rand.New(rand.NewPCG(seed, round))}.mutate(m)
			text, err := m.YAML()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ReadMachines(text); err != nil { // the draw was no good
				break
			}
			if err := applied(t, s, api, dir, string(text), func(a *Applier) { a.Delete = true }); err != nil {
				t.Fatalf("seed %d, round %d: %v\n%s", seed, round, err, text)
			}
			if plan := planned(t, api, string(text)); !plan.Empty() {
				t.Fatalf("seed %d, round %d: afterwards is proposed: %q\n%s", seed, round, lines(plan), text)
			}
			rounds++
			before := w.writes()
			if err := applied(t, s, api, dir, string(text), func(a *Applier) { a.Delete = true }); err != nil || w.writes() != before {
				t.Fatalf("seed %d, round %d: the second time: %v", seed, round, err)
			}
			if m, _, err = Export(t.Context(), api, ExportQuery{AllRoles: true}); err != nil {
				t.Fatal(err)
			}
			m.Roles = slices.DeleteFunc(m.Roles, func(w WantedRole) bool { return w.Name == "new" })
			m.Applications = slices.DeleteFunc(m.Applications, func(w WantedApp) bool { return len(w.Key) == 5 && w.Key[:4] == "new." })
			m.Users = slices.DeleteFunc(m.Users, func(w WantedUser) bool { return len(w.Key) == 5 && w.Key[:4] == "new." })
			dir = t.TempDir() // what was made before is deleted
		}
	}
	t.Logf("%d files", rounds)
	if rounds < 40 {
		t.Errorf("%d files alone were any good", rounds)
	}
}
