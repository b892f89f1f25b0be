package provision

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// lines are a plan in short, for comparisons.
func lines(p *Plan) []string {
	var all []string
	for _, c := range p.Changes {
		all = append(all, c.Action+" "+c.Kind+" "+c.Key)
		for _, f := range c.Fields {
			text, _ := json.Marshal([]any{f.From, f.To, f.Add, f.Remove})
			all = append(all, "  "+f.Name+" "+string(text))
		}
	}
	for _, l := range p.Leftovers {
		all = append(all, "leftover "+l.Key)
	}
	return all
}

// post makes something and returns the id that it gets.
func (s *sim) post(path, id string, body map[string]any) string {
	s.t.Helper()
	var made map[string]any
	s.admin("POST", path, body, &made)
	text, _ := made[id].(string)
	return text
}

func (s *sim) app(name string, metadata map[string]any) string {
	s.t.Helper()
	if metadata == nil {
		metadata = map[string]any{}
	}
	return s.post("clients", "client_id", map[string]any{"name": name, "app_type": "non_interactive", "grant_types": []string{"client_credentials"}, "client_metadata": metadata})
}

func (s *sim) user(email string, app map[string]any) string {
	s.t.Helper()
	return s.post("users", "user_id", map[string]any{"connection": defaultConnection, "email": email, "password": "aA1!aA1!aA1!", "app_metadata": app})
}

const wanted = `version: 1
roles:
  - name: exporter
    description: exports
    permissions: [{audience: https://orders/, scopes: [read]}]
applications:
  - key: ledger
    adopt: ADOPTED
    name: Ledger
    owner: ""
    purpose: books
    grants:
      - audience: https://orders/
        scopes: [read, write]
        organization_usage: allow
        organizations: [acme-org]
  - key: loader
    owner: data-team
    grants: [{audience: https://ledger/, scopes: [read]}]
users:
  - key: nightly
    adopt: USER
    email: Nightly@example.com
    expires: 2027-06-30
    roles: [exporter]
    permissions: []
    app_metadata: {ticket: null, rank: 2.0, more: {a: [1, true]}}
  - key: hourly
    username: hourly
    email: hourly@example.com
    blocked: true
    permissions: [{audience: https://orders/, scopes: [write]}]
`

// wantedTenant is a tenant for wanted, and wanted with its ids.
func wantedTenant(t *testing.T) (*sim, string) {
	t.Helper()
	s := newSim(t)
	s.anAPI("https://orders/", "read", "write")
	s.anAPI("https://ledger/", "read")
	s.post("organizations", "id", map[string]any{"name": "acme-org"})
	app := s.app("ledger", map[string]any{"owner": "somebody"})
	s.post("client-grants", "id", map[string]any{"client_id": app, "audience": "https://orders/", "scope": []string{"read", "erase"}})
	s.post("client-grants", "id", map[string]any{"client_id": app, "audience": "https://ledger/", "scope": []string{"read"}})
	user := s.user("nightly@example.com", map[string]any{"programmatic": true, "ticket": 1, "rank": 2, "owner": "o"})
	role := s.post("roles", "id", map[string]any{"name": "other"})
	s.admin("POST", "users/"+url.PathEscape(user)+"/roles", map[string]any{"roles": []string{role}}, nil)
	s.admin("POST", "users/"+url.PathEscape(user)+"/permissions", map[string]any{"permissions": s.permissions([]string{"read"})}, nil)
	return s, strings.NewReplacer("ADOPTED", app, "USER", user).Replace(wanted)
}

func TestAPlanTellsWhatDiffersFieldByField(t *testing.T) {
	s, file := wantedTenant(t)
	_, api := s.wire()
	want := []string{
		"create role exporter",
		`  name [null,"exporter",null,null]`,
		`  description [null,"exports",null,null]`,
		`  permissions [null,null,["read@https://orders/"],[]]`,
		"change application ledger",
		`  m2mwatch_key [null,"ledger",null,null]`,
		`  name ["ledger","Ledger",null,null]`,
		`  owner ["somebody",null,null,null]`,
		`  purpose [null,"books",null,null]`,
		`  grant of https://orders/: scopes [null,null,["write"],["erase"]]`,
		`  grant of https://orders/: organization_usage ["deny","allow",null,null]`,
		`  grant of https://orders/: organizations [null,null,["acme-org"],null]`,
		`  grant of https://ledger/ ["read",null,null,null]`,
		"create application loader",
		`  name [null,"loader",null,null]`,
		`  owner [null,"data-team",null,null]`,
		`  grant of https://ledger/ [null,"read",null,null]`,
		"change user nightly",
		`  m2mwatch_key [null,"nightly",null,null]`,
		`  expires [null,"2027-06-30",null,null]`,
		`  app_metadata.more [null,{"a":[1,true]},null,null]`,
		`  app_metadata.ticket [1,null,null,null]`,
		`  roles [null,null,["exporter"],["other"]]`,
		`  permissions [null,null,[],["read@https://orders/"]]`,
		"create user hourly",
		`  connection [null,"Username-Password-Authentication",null,null]`,
		`  email [null,"hourly@example.com",null,null]`,
		`  username [null,"hourly",null,null]`,
		`  blocked [false,true,null,null]`,
		`  permissions [null,null,["write@https://orders/"],[]]`,
	}
	if diff := cmp.Diff(want, lines(planned(t, api, file))); diff != "" {
		t.Error(diff)
	}
}

func TestAPlanLeavesWhatIsDisabledDisabled(t *testing.T) {
	s, file := wantedTenant(t)
	_, api := s.wire()
	apps := &Apps{API: api}
	var ledger string
	for _, c := range planned(t, api, file).Changes {
		if c.Key == "ledger" {
			ledger = c.ID
		}
	}
	var kept *Disabled
	taken, err := apps.Disable(t.Context(), ledger, nil, func(d *Disabled) error {
		d.At, kept = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), d
		return nil
	})
	if err != nil || taken.Unmarked != nil {
		t.Fatal(err, taken.Unmarked)
	}
	grants := func(p *Plan) (n int) {
		for _, line := range lines(p) {
			if strings.HasPrefix(line, "  grant of https://orders/: scopes [null") {
				n++
			}
		}
		return n
	}
	plan := planned(t, api, file)
	if diff := cmp.Diff([]Held{{"ledger", ledger, "2026-05-01T12:00:00Z"}}, plan.Held); diff != "" || grants(plan) != 0 {
		t.Errorf("held (-want +got):\n%s\n%q", diff, lines(plan))
	}
	if err := apps.Enable(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if plan := planned(t, api, file); len(plan.Held) != 0 || grants(plan) != 1 {
		t.Errorf("held %+v, %q", plan.Held, lines(plan))
	}
}

func TestAPlanTellsAllThatCannotBe(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://orders/", "read")
	one := s.app("x", map[string]any{MarkKey: "twin"})
	s.app("y", map[string]any{MarkKey: "twin"})
	full := map[string]any{}
	for i := range 10 {
		full[fmt.Sprint(i)] = "x"
	}
	crowded := s.app("z", full)
	user := s.user("a@example.com", map[string]any{"programmatic": true, MarkKey: "mine"})
	_, api := s.wire()
	m, err := ReadMachines([]byte(`version: 1
applications:
  - key: twin
  - {key: b, adopt: nothing}
  - {key: c, adopt: ` + one + `}
  - {key: d, adopt: ` + crowded + `, owner: o}
  - {key: e, token_endpoint_auth_method: private_key_jwt, grants: [{audience: https://nowhere/, scopes: [x]}]}
  - {key: f, grants: [{audience: https://orders/, scopes: [read, erase], organization_usage: allow, organizations: [nobody]}]}
users:
  - {key: g, user_id: auth0|nobody}
  - {key: h, user_id: "` + user + `"}
  - {key: mine, email: b@example.com, connection: other, roles: [nothing]}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Planner{API: api}).Plan(t.Context(), m)
	if err == nil {
		t.Fatal("it is planned")
	}
	for _, want := range []string{
		"line 3: application twin: 2 applications have this key",
		"line 4: application b: there is no M2M application nothing",
		"line 5: application c: " + one + " has the key twin already",
		"line 6: application d: client_metadata would have 12 members, and Auth0 takes 10",
		"line 7: application e: one with a key of its own is made otherwise",
		"line 7: there is no API https://nowhere/",
		"line 8: the API https://orders/ has no scope erase; it has read",
		"line 8: there is no organization nobody",
		"line 10: user g: there is no user auth0|nobody",
		"line 11: user h: " + user + " has the key mine already",
		"line 12: user mine: it is of the connection Username-Password-Authentication",
		"line 12: there is no role nothing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

// A search does not see the last seconds: nothing is proposed for what it shows.
func TestAPlanBelievesNoSearch(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	s := newSim(t, func(c *auth0sim.Config) { c.Now, c.SearchLag = func() time.Time { return at }, time.Minute })
	gone := s.user("gone@example.com", map[string]any{"programmatic": true, MarkKey: "gone"})
	kept := s.user("kept@example.com", map[string]any{"programmatic": true, MarkKey: "kept", "owner": "old"})
	at = at.Add(2 * time.Minute)
	s.admin("DELETE", "users/"+url.PathEscape(gone), nil, nil)
	s.admin("PATCH", "users/"+url.PathEscape(kept), map[string]any{"app_metadata": map[string]any{"owner": "new"}}, nil)
	s.post("users", "user_id", map[string]any{
		"connection": defaultConnection, "email": "made@example.com", "password": "aA1!aA1!aA1!",
		"user_id": strings.TrimPrefix(idOfKey("made"), "auth0|"), "app_metadata": map[string]any{"programmatic": true, MarkKey: "made"},
	})
	_, api := s.wire()
	file := "version: 1\nusers:\n  - {key: kept, owner: new, email: kept@example.com}\n  - {key: made, email: made@example.com}\n"
	if plan := planned(t, api, file); !plan.Empty() {
		t.Errorf("it proposes %q", lines(plan))
	}
	for i := range fewUsers { // so many that not each is read
		file += fmt.Sprintf("  - {key: new%d, email: new%d@example.com}\n", i, i)
	}
	plan := planned(t, api, file)
	if plan.Count(ActionCreate) != fewUsers || len(plan.Changes) != fewUsers {
		t.Errorf("it proposes %q", lines(plan)[:10])
	}
}

func TestOnlyWhatHasAKeyIsDeleted(t *testing.T) {
	s := newSim(t)
	s.app("free", nil)
	s.app("gone", map[string]any{MarkKey: "gone"})
	s.app("open", map[string]any{MarkKey: "open", markClaim: "x"})
	s.app("serves", map[string]any{MarkKey: "kept"})
	s.app("leftover", map[string]any{MarkKey: "kept", markClaim: "x"})
	s.user("free@example.com", map[string]any{"programmatic": true})
	s.user("gone@example.com", map[string]any{"programmatic": true, MarkKey: "gone"})
	s.post("roles", "id", map[string]any{"name": "other"})
	_, api := s.wire()
	want := []string{"delete application gone", "delete application open", "delete user gone", "leftover kept"}
	got := lines(planned(t, api, "version: 1\napplications: [{key: kept}]\nusers: []\nroles: []\n"))
	if diff := cmp.Diff(want, sortedDeletes(got)); diff != "" {
		t.Error(diff)
	}
	// What the file does not speak of is not looked at.
	if got := planned(t, api, "version: 1\nroles: []\n"); !got.Empty() {
		t.Errorf("it proposes %q", lines(got))
	}
}

// sortedDeletes sorts what comes in the order of random ids.
func sortedDeletes(list []string) []string {
	if len(list) > 1 && list[0] > list[1] {
		list[0], list[1] = list[1], list[0]
	}
	return list
}

// What people put into metadata though they should not is not shown.
func TestAPlanShowsNoSecret(t *testing.T) {
	s := newSim(t)
	user := s.user("a@example.com", map[string]any{"programmatic": true, "api_key": "k3y-value", "x": map[string]any{"password": "k3y-value"}})
	app := s.app("x", map[string]any{"webhook_secret": "k3y-value"})
	_, api := s.wire()
	plan := planned(t, api, "version: 1\napplications: [{key: x, adopt: "+app+"}]\nusers: [{key: a, adopt: '"+user+"', app_metadata: {api_key: null, x: 1}}]\n")
	raw, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := plan.Terraform(&b); err != nil {
		t.Fatal(err)
	}
	if text := string(raw) + b.String(); strings.Contains(text, "k3y-value") || !strings.Contains(text, `"from":"***"`) || !strings.Contains(text, `# app_metadata."api_key" is left out`) {
		t.Errorf("it shows\n%s", text)
	}
}

var update = flag.Bool("update", false, "write testdata/plan.tf")

func TestAPlanIsWrittenAsTerraform(t *testing.T) {
	s, file := wantedTenant(t)
	s.app("gone", map[string]any{MarkKey: "gone"})
	_, api := s.wire()
	file = strings.Replace(file, "exports", `"${exports} \"%{x}\""`, 1)
	var b strings.Builder
	plan := planned(t, api, file)
	if err := plan.Terraform(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, c := range plan.Changes { // ids are drawn
		if c.ID != "" {
			got = strings.ReplaceAll(got, c.ID, "ID-OF-"+c.Key)
		}
		if c.app != nil {
			for _, g := range c.app.grants {
				if g.id != "" {
					got = strings.ReplaceAll(got, g.id, "GRANT")
				}
				for _, o := range g.open {
					got = strings.ReplaceAll(got, o.ID, "ORG")
				}
			}
		}
	}
	golden := filepath.Join("testdata", "plan.tf")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}
