package provision

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grantOfAll makes an application with a grant of all scopes of an API.
func (s *sim) grantOfAll(api API, audience string) Grant {
	s.t.Helper()
	app, err := (&Apps{api}).Create(s.t.Context(), NewApp{Name: "x"})
	if err != nil {
		s.t.Fatal(err)
	}
	g, err := (&Grants{api}).Create(s.t.Context(), NewGrant{ClientID: app.ID, Audience: audience, AllScopes: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func TestAGrantOfAllScopesBecomesOneOfAList(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://orders/", "read", "write")
	_, api := s.wire()
	grants := &Grants{api}
	g := s.grantOfAll(api, "https://orders/")
	for _, c := range []GrantChange{{Add: []string{"read"}}, {Remove: []string{"read"}}} {
		if _, err := grants.Update(t.Context(), g.ID, c); err == nil || !strings.Contains(err.Error(), "is of all scopes") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	yes := true
	if _, err := grants.Update(t.Context(), g.ID, GrantChange{Scopes: &[]string{"read"}, AllScopes: &yes}); err == nil || !strings.Contains(err.Error(), "not both") {
		t.Errorf("some scopes and all of them: %v", err)
	}
	g, err := grants.Update(t.Context(), g.ID, GrantChange{Scopes: &[]string{"read"}})
	if err != nil || g.AllScopes || !slices.Equal(g.Scopes, []string{"read"}) {
		t.Errorf("%v, it is %s", err, g.Raw)
	}
}

func TestAChangeTakesScopes(t *testing.T) {
	yes, no := true, false
	all, some := Grant{AllScopes: true}, Grant{Scopes: []string{"read", "write"}}
	for i, c := range []struct {
		is     Grant
		change GrantChange
		want   bool
	}{
		{all, GrantChange{Scopes: &[]string{"read", "write"}}, true},
		{all, GrantChange{AllScopes: &no}, true},
		{all, GrantChange{Organizations: "allow"}, false},
		{some, GrantChange{AllScopes: &yes}, false},
		{some, GrantChange{AllScopes: &no}, false},
		{some, GrantChange{Scopes: &[]string{"write"}}, true},
		{some, GrantChange{Remove: []string{"read"}}, true},
		{some, GrantChange{Add: []string{"erase"}}, false},
	} {
		if got := c.change.Takes(c.is); got != c.want {
			t.Errorf("%d: %+v takes from %+v: %t", i, c.change, c.is, got)
		}
	}
}

func TestADifferenceOfAGrantOfAllIsTold(t *testing.T) {
	for i, c := range []struct {
		is   Grant
		body map[string]any
		want []string
	}{
		{Grant{Raw: []byte(`{}`), AllScopes: true}, map[string]any{"scope": list([]string{"read"})}, []string{"allow_all_scopes"}},
		{Grant{Raw: []byte(`{}`), AllScopes: true, Scopes: []string{"read"}}, map[string]any{"scope": list([]string{"read"}), "allow_all_scopes": false}, []string{"allow_all_scopes"}},
		{Grant{Raw: []byte(`{}`), Scopes: []string{"read"}}, map[string]any{"scope": list([]string{"read"}), "allow_all_scopes": false}, nil},
		{Grant{Raw: []byte(`{}`), Scopes: []string{"read"}}, map[string]any{"allow_all_scopes": true}, []string{"allow_all_scopes"}},
		{Grant{Raw: []byte(`{}`), Scopes: []string{"read"}}, map[string]any{"scope": list(nil)}, []string{"scope"}},
	} {
		got, err := grantDifferences(c.is, c.body)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%d: %v, %s", i, err, diff)
		}
	}
}

func TestAFileNarrowsAGrantOfAllScopes(t *testing.T) {
	s := newSim(t)
	s.anAPI("https://orders/", "read", "write")
	_, api := s.wire()
	file, dir := "version: 1\napplications:\n  - key: loader\n    grants: [{audience: https://orders/, MORE}]\n", t.TempDir()
	with := func(more string) string { return strings.Replace(file, "MORE", more, 1) }
	if err := applied(t, s, api, dir, with("allow_all_scopes: true")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"change application loader",
		`  grant of https://orders/: scopes [null,null,["read"],[]]`,
		`  grant of https://orders/: allow_all_scopes [true,false,null,null]`,
	}
	narrow := with("scopes: [read]")
	plan := planned(t, api, narrow)
	if diff := cmp.Diff(want, lines(plan)); diff != "" {
		t.Error(diff)
	}
	var b strings.Builder
	if err := plan.Terraform(&b); err != nil || !strings.Contains(b.String(), "allow_all_scopes = false") {
		t.Errorf("%v, as Terraform:\n%s", err, b.String())
	}
	if err := applied(t, s, api, dir, narrow); err != nil {
		t.Fatal(err)
	}
	var grants []struct {
		Scope []string
		All   bool `json:"allow_all_scopes"`
	}
	s.admin("GET", "client-grants?audience=https://orders/", nil, &grants)
	if len(grants) != 1 || grants[0].All || !slices.Equal(grants[0].Scope, []string{"read"}) {
		t.Errorf("there are %+v", grants)
	}
	if plan := planned(t, api, narrow); !plan.Empty() {
		t.Errorf("then it proposes %q", lines(plan))
	}
	if _, err := ReadMachines([]byte(with("scopes: [], allow_all_scopes: true"))); err == nil {
		t.Error("some scopes and all of them are taken")
	}
}
