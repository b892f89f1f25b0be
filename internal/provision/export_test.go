package provision

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// furnish gives a tenant machines of every sort, drawn from a seed, some of them
// with keys of the file.
func (s *sim) furnish(seed uint64, apps, users, roles int) {
	s.t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	some := func(list ...string) []string {
		list = slices.Clone(list)
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:r.IntN(len(list)+1)]
	}
	odd := func() string {
		return []string{"data-team", "true", "7", "a: b # c", "'", `"\`, "ä\nö", "- x", "~", "2027-01-31"}[r.IntN(10)]
	}
	audiences := []string{"https://orders/", "https://ledger/"}
	for _, a := range audiences {
		s.anAPI(a, "read", "write", "erase")
	}
	var org struct{ ID string }
	s.admin("POST", "organizations", map[string]any{"name": "acme-org"}, &org)
	for i := range apps {
		metadata := map[string]any{"other": odd()}
		for _, name := range some("owner", "purpose") {
			metadata[name] = odd()
		}
		if r.IntN(2) == 0 {
			metadata["expires"] = []string{"2027-06-30", "soon", "2027-06-30T10:00:00Z"}[r.IntN(3)]
		}
		if r.IntN(3) == 0 {
			metadata[MarkKey] = fmt.Sprintf("app.%d", i)
		}
		body := map[string]any{"name": []string{"Export", "export", "Ä app!", fmt.Sprint(i)}[r.IntN(4)], "app_type": "non_interactive", "grant_types": []string{"client_credentials"}, "client_metadata": metadata}
		if r.IntN(2) == 0 {
			body["token_endpoint_auth_method"], body["description"] = "client_secret_basic", odd()
		}
		var app struct {
			ID string `json:"client_id"`
		}
		s.admin("POST", "clients", body, &app)
		for _, a := range some(audiences...) {
			grant := map[string]any{"client_id": app.ID, "audience": a, "scope": some("read", "write", "unknown")}
			if r.IntN(3) == 0 {
				grant["organization_usage"], grant["allow_any_organization"] = "allow", r.IntN(2) == 0
			}
			if r.IntN(4) == 0 {
				grant["allow_all_scopes"], grant["scope"] = true, []string{}
			}
			var made struct{ ID string }
			s.admin("POST", "client-grants", grant, &made)
			if grant["organization_usage"] != nil && i < 40 { // it takes a hundred
				s.admin("POST", "organizations/"+org.ID+"/client-grants", map[string]any{"grant_id": made.ID}, nil)
			}
		}
	}
	var roleIDs []string
	for i := range roles {
		var role struct{ ID string }
		s.admin("POST", "roles", map[string]any{"name": fmt.Sprintf("role %d", i), "description": odd()}, &role)
		roleIDs = append(roleIDs, role.ID)
		if p := s.permissions(some("read", "write")); len(p) > 0 {
			s.admin("POST", "roles/"+role.ID+"/permissions", map[string]any{"permissions": p}, nil)
		}
	}
	for i := range users {
		app := map[string]any{"programmatic": r.IntN(8) > 0, "owner": odd(), "big": 1234567890, "list": []any{odd(), true, nil}, "api_key": "hidden", "x": map[string]any{"password": "hidden"}}
		if r.IntN(3) == 0 {
			app[MarkKey] = fmt.Sprintf("user_%d", i)
		}
		id := fmt.Sprintf("auth0|%024x", r.Uint64())
		s.admin("POST", "users", map[string]any{
			"connection": "Username-Password-Authentication", "email": fmt.Sprintf("m%d@example.com", i), "password": "aA1!aA1!aA1!", "user_id": id[6:],
			"app_metadata": app, "user_metadata": map[string]any{"note": odd()}, "blocked": r.IntN(4) == 0,
		}, nil)
		if given := some(roleIDs...); len(given) > 0 {
			s.admin("POST", "users/auth0%7C"+id[6:]+"/roles", map[string]any{"roles": given[:min(len(given), 40)]}, nil)
		}
		if p := s.permissions(some("write", "erase")); len(p) > 0 && r.IntN(3) == 0 {
			s.admin("POST", "users/auth0%7C"+id[6:]+"/permissions", map[string]any{"permissions": p}, nil)
		}
	}
}

func (s *sim) permissions(scopes []string) []map[string]string {
	var list []map[string]string
	for i, scope := range scopes {
		list = append(list, map[string]string{"resource_server_identifier": []string{"https://orders/", "https://ledger/"}[i%2], "permission_name": scope})
	}
	return list
}

func exported(t *testing.T, api API, q ExportQuery) []byte {
	t.Helper()
	m, _, err := Export(t.Context(), api, q)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What is exported is what there is: to plan it proposes nothing, whatever there is.
func TestAnExportProposesNothing(t *testing.T) {
	for seed := range uint64(12) {
		s := newSim(t, func(c *auth0sim.Config) { c.Seed = seed })
		s.furnish(seed, 14, int(seed%4)*7, int(seed%5))
		_, api := s.wire()
		q := ExportQuery{Tenant: s.tenant.Domain(), AllRoles: seed%2 == 0, Organizations: seed%3 == 0}
		text := exported(t, api, q)
		if plan := planned(t, api, string(text)); !plan.Empty() {
			t.Fatalf("seed %d: of an export is proposed: %+v\n%s", seed, plan.Changes[0], text)
		}
		if again := exported(t, api, q); !bytes.Equal(text, again) {
			t.Errorf("seed %d: an export is not the same twice", seed)
		}
		if problems := validMachines(t, text); len(problems) > 0 {
			t.Errorf("seed %d: by the schema: %q\n%s", seed, problems, text)
		}
		if bytes.Contains(text, []byte("hidden")) {
			t.Errorf("seed %d: a secret is exported", seed)
		}
		if seed == 11 && bytes.Count(text, []byte("  - key:")) < 30 {
			t.Errorf("little is exported:\n%s", text)
		}
	}
}

// Two thousand users are searched in pieces, and their roles are read by the roles.
func TestABigTenantIsPlannedInReasonableCalls(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	s := newSim(t, func(c *auth0sim.Config) {
		c.Now = func() time.Time { return time.UnixMilli(now.Add(7)) }
	})
	s.furnish(3, 300, 2300, 3)
	w, api := s.wire()
	text := exported(t, api, ExportQuery{})
	users := strings.Count(string(text), "connection: ")
	t.Logf("export: %d users, %d calls", users, w.calls)
	if users < 1900 {
		t.Fatalf("%d users are exported", users)
	}
	before := w.calls
	plain := dropPermissions(t, text)
	if plan := planned(t, api, plain); !plan.Empty() {
		t.Errorf("%d changes are proposed: %+v", len(plan.Changes), plan.Changes[0])
	}
	calls := w.calls - before
	t.Logf("plan: %d calls for %d users and 300 applications", calls, users)
	if calls > 150 {
		t.Errorf("a plan of %d users takes %d calls: %v", users, calls, w.by)
	}
}

// dropPermissions leaves the users' permissions out, which would take a call for
// each of those that name some.
func dropPermissions(t *testing.T, text []byte) string {
	t.Helper()
	m, err := ReadMachines(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Users {
		m.Users[i].Permissions = nil
	}
	out, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
