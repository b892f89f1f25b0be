package provision

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// problemsOf plans a file that cannot be.
func problemsOf(t *testing.T, api API, text string) string {
	t.Helper()
	m, err := ReadMachines([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Planner{API: api}).Plan(t.Context(), m); err != nil {
		return err.Error()
	}
	t.Errorf("it is planned:\n%s", text)
	return ""
}

func TestWhatMayBePeoplesIsNeitherAdoptedNorDeleted(t *testing.T) {
	s := newSim(t)
	web := s.post("clients", "client_id", map[string]any{"name": "web", "app_type": "regular_web", "grant_types": []string{"authorization_code", "client_credentials"}})
	boss := s.user("boss@example.com", map[string]any{})
	_, api := s.wire()
	adopt := fmt.Sprintf("version: 1\napplications: [{key: web, adopt: %s}]\nusers: [{key: boss, adopt: '%s'}]\n", web, boss)
	got := problemsOf(t, api, adopt)
	for _, want := range []string{"line 2: application web: " + web + ": people may sign in through it: say --any", "line 3: user boss: " + boss + ": it is not marked as programmatic: say --any"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	// By their ids they are named all the same, and with Any adopted.
	planned(t, api, strings.ReplaceAll(strings.ReplaceAll(adopt, "adopt: '", "user_id: '"), "adopt", "client_id"))
	anyway := func(p *Planner) { p.Any = true }
	want := []string{"change application web", `  m2mwatch_key [null,"web",null,null]`, "change user boss", `  m2mwatch_key [null,"boss",null,null]`, "  programmatic [null,true,null,null]"}
	if diff := cmp.Diff(want, lines(planned(t, api, adopt, anyway))); diff != "" {
		t.Error(diff)
	}

	s.admin("PATCH", "clients/"+web, map[string]any{"client_metadata": map[string]string{MarkKey: "web"}}, nil)
	planned(t, api, fmt.Sprintf("version: 1\napplications: [{key: web, adopt: %s}]\n", web)) // it was adopted before
	none := "version: 1\napplications: []\n"
	if got := problemsOf(t, api, none); !strings.Contains(got, "application web ("+web+")") || !strings.Contains(got, "say --any") {
		t.Errorf("it says %s", got)
	}
	if diff := cmp.Diff([]string{"delete application web"}, lines(planned(t, api, none, anyway))); diff != "" {
		t.Error(diff)
	}
}

// What was a machine's when it was planned may be people's when it is applied.
func TestWhatHasBecomePeoplesIsNotDeleted(t *testing.T) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	s := newSim(t, func(c *auth0sim.Config) { c.Now, c.SearchLag = func() time.Time { return at }, time.Minute })
	app := s.app("loader", map[string]any{MarkKey: "loader"})
	user := s.user("job@example.com", map[string]any{"programmatic": true, MarkKey: "job"})
	at = at.Add(2 * time.Minute)
	_, api := s.wire()
	plan := planned(t, api, "version: 1\napplications: []\nusers: []\n")
	s.admin("PATCH", "clients/"+app, map[string]any{"app_type": "regular_web"}, nil)
	s.admin("PATCH", "users/"+url.PathEscape(user), map[string]any{"app_metadata": map[string]any{"programmatic": nil}}, nil)
	err := (&Applier{API: api, Delete: true}).Apply(t.Context(), plan)
	if err == nil || !strings.Contains(err.Error(), "application loader: "+app+" is not deleted") || !strings.Contains(err.Error(), "user job: "+user+" is not deleted") {
		t.Errorf("it says %v", err)
	}
	if got := problemsOf(t, api, "version: 1\nusers: []\n"); !strings.Contains(got, "user job ("+user+")") {
		t.Errorf("then a plan says %s", got)
	}
	s.admin("GET", "clients/"+app, nil, nil)
	s.admin("GET", "users/"+url.PathEscape(user), nil, nil)
}

func TestAnExportTellsWhatIsNotToBeAdopted(t *testing.T) {
	s := newSim(t)
	web := s.post("clients", "client_id", map[string]any{"name": "web", "app_type": "regular_web", "grant_types": []string{"authorization_code", "client_credentials"}})
	job := s.app("job", nil)
	_, api := s.wire()
	_, notes, err := Export(t.Context(), api, ExportQuery{})
	said := strings.Join(notes, "\n")
	if err != nil || !strings.Contains(said, "application web ("+web+") is not a machine's alone") || strings.Contains(said, job) {
		t.Errorf("%v, it says %q", err, notes)
	}
}

func TestAPlanThatTakesWhatM2MWatchWorksByDisarmsIt(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://orders/", "read", "write")
	me := s.client.ID
	s.post("client-grants", "id", map[string]any{"client_id": me, "audience": "https://orders/", "scope": []string{"read", "write"}})
	var grants []Grant
	s.admin("GET", "client-grants?client_id="+me, nil, &grants)
	var own Grant
	for _, g := range grants {
		if strings.HasSuffix(g.Audience, "/api/v2/") {
			own = g
		}
	}
	_, api := s.wire()
	orders := "      - {audience: https://orders/, scopes: [read]}\n"
	file := func(grants string) string {
		return "version: 1\napplications:\n  - key: me\n    client_id: " + me + "\n    grants:\n" + grants
	}
	mine := func(scopes string) string { return "      - {audience: '" + own.Audience + "', " + scopes + "}\n" }
	check := func(text string, want bool) {
		t.Helper()
		if got := planned(t, api, text).Disarms(me); got != want {
			t.Errorf("disarms: %t:\n%s", got, text)
		}
	}
	check(file(orders+mine("scopes: []")), true)
	check(file(orders+mine("scopes: ["+own.Scopes[0]+"]")), true)
	check(file(orders), true)
	check(file(orders+mine("allow_all_scopes: true")), false)
	check(file(orders+mine("scopes: ["+strings.Join(own.Scopes, ", ")+"]")), false)
	s.admin("PATCH", "client-grants/"+own.ID, map[string]any{"allow_all_scopes": true}, nil)
	check(file(orders+mine("scopes: ["+strings.Join(own.Scopes, ", ")+"]")), true)
}
