package auth0sim

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestOrganizationIsAskedForInATokenAsItsGrantsSay(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Machines: 4, People: 2})
	a := administrator(t, tenant)
	c, _ := tenant.Client(storyName)
	org := a.call(201, "POST", "/organizations", `{"name":"wholesale","display_name":"Wholesale"}`)["id"].(string)
	grant := a.call(200, "GET", "/client-grants?include_totals=true&client_id="+c.ID, "")["client_grants"].([]any)[0].(map[string]any)["id"].(string)
	ask := func(organization string) (int, map[string]any) {
		body, _ := json.Marshal(tokenRequest{GrantType: grantCredentials, ClientID: c.ID, ClientSecret: c.Secret, Audience: c.Audience, Organization: organization})
		return request(t, "POST", strings.TrimSuffix(a.base, "/api/v2")+"/oauth/token", string(body), nil)
	}
	wants := func(what string, plain, named int) {
		t.Helper()
		if status, answer := ask(""); status != plain {
			t.Errorf("%s: without an organization %d %v, want %d", what, status, answer, plain)
		}
		status, answer := ask(org)
		if status != named {
			t.Errorf("%s: with the organization %d %v, want %d", what, status, answer, named)
		}
		if status == 200 && claimsOf(t, answer["access_token"].(string))["org_id"] != org {
			t.Errorf("%s: no org_id", what)
		}
	}
	wants("deny", 200, 403)
	a.call(400, "POST", "/organizations/"+org+"/client-grants", `{"grant_id":"`+grant+`"}`)
	a.call(200, "PATCH", "/client-grants/"+grant, `{"organization_usage":"allow"}`)
	wants("allow, not associated", 200, 403)
	a.call(201, "POST", "/organizations/"+org+"/client-grants", `{"grant_id":"`+grant+`"}`)
	a.call(409, "POST", "/organizations/"+org+"/client-grants", `{"grant_id":"`+grant+`"}`)
	wants("allow", 200, 200)
	a.call(200, "PATCH", "/client-grants/"+grant, `{"organization_usage":"require"}`)
	wants("require", 403, 200)
	a.call(200, "PATCH", "/clients/"+c.ID, `{"default_organization":{"organization_id":"`+org+`","flows":["client_credentials"]}}`)
	wants("require, with a default", 200, 200)
	if list := a.call(200, "GET", "/client-grants/"+grant+"/organizations?include_totals=true", ""); list["total"] != 1.0 {
		t.Errorf("organizations of the grant: %v", list)
	}
	a.call(204, "DELETE", "/organizations/"+org, "")
	a.call(404, "DELETE", "/organizations/"+org, "")
	wants("deleted", 403, 403)
}
