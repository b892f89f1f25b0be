package auth0sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// apiClient calls the Management API as an administrator.
type apiClient struct {
	t      *testing.T
	base   string
	header map[string]string
}

func administrator(t *testing.T, tenant *Tenant) *apiClient {
	t.Helper()
	return &apiClient{t, serve(t, tenant) + "/api/v2", map[string]string{"Authorization": "Bearer " + tenant.AdminToken()}}
}

// call expects a status and returns the object that is answered.
func (a *apiClient) call(want int, method, path, body string) map[string]any {
	a.t.Helper()
	status, answer := request(a.t, method, a.base+path, body, a.header)
	if status != want {
		a.t.Errorf("%s %s: status %d %v, want %d", method, path, status, answer, want)
	}
	return answer
}

const newUser = `{"connection":"Username-Password-Authentication","email":"worker@example.com","password":"Str0ng-enough","app_metadata":{"programmatic":true,"owner":"platform","n":12345678901234567890}}`

func TestUserIsCreatedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Machines: 4, People: 2})
	a := administrator(t, tenant)
	user := a.call(201, "POST", "/users", newUser)
	id := user["user_id"].(string)
	path := "/users/" + strings.ReplaceAll(id, "|", "%7C")
	if len(id) != len("auth0|")+24 || user["nickname"] != "worker" || user["name"] != "worker@example.com" || user["email_verified"] != false || user["password"] != nil {
		t.Errorf("created %v", user)
	}
	if answer := a.call(409, "POST", "/users", newUser); answer["errorCode"] != "auth0_idp_error" {
		t.Errorf("second one: %v", answer)
	}
	after := a.call(200, "PATCH", path, `{"app_metadata":{"owner":null,"purpose":"export"},"blocked":true,"nickname":null}`)
	if got := fmt.Sprint(after["app_metadata"]); got != "map[n:1.2345678901234567e+19 programmatic:true purpose:export]" || after["blocked"] != true || after["nickname"] != nil {
		t.Errorf("changed to %v", after)
	}
	for _, refused := range []string{`{"password":"Str0ng-enough","email":"a@example.com"}`, `{"unknown":1}`, `{"name":""}`, `{"password":"weak"}`, `[]`, `{`} {
		a.call(400, "PATCH", path, refused)
	}
	for range 2 {
		a.call(204, "DELETE", path, "")
	}
	a.call(404, "GET", path, "")
}

func TestUserKeepsTheIDThatItIsRestoredWith(t *testing.T) {
	t.Parallel()
	a := administrator(t, New(Config{Seed: 3, Machines: 4, People: 2}))
	body := strings.Replace(newUser, "{", `{"user_id":"a b",`, 1)
	a.call(400, "POST", "/users", body)
	if user := a.call(201, "POST", "/users", strings.Replace(body, "a b", "a/b?c#d%7C", 1)); user["user_id"] != "auth0|a/b?c#d%7C" {
		t.Errorf("created %v", user["user_id"])
	}
	a.call(200, "GET", "/users/auth0%7Ca%2Fb%3Fc%23d%257C", "")
}

func TestSearchLagsBehindChangesAndReadsDoNot(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tenant := New(Config{Seed: 3, Machines: 4, People: 2, SearchLag: 5 * time.Second, Now: func() time.Time { return now }})
	a := administrator(t, tenant)
	found := func(q string) int {
		t.Helper()
		return int(a.call(200, "GET", "/users?include_totals=true&q="+q, "")["total"].(float64))
	}
	id := a.call(201, "POST", "/users", newUser)["user_id"].(string)
	if found("app_metadata.programmatic:true") != 0 || found("") != 2 {
		t.Error("a new user is found at once")
	}
	now = now.Add(6 * time.Second)
	if found(`app_metadata.owner:%22platform%22%20AND%20NOT%20blocked:true`) != 1 || found("email:work*%20AND%20(_exists_:blocked%20OR%20app_metadata.owner:plat*)") != 1 {
		t.Error("the user is not found after the lag")
	}
	a.call(204, "DELETE", "/users/"+strings.ReplaceAll(id, "|", "%7C"), "")
	if found("email:worker@example.com") != 1 {
		t.Error("a deleted user is gone from searches at once")
	}
	if list := string(getAs(t, a, "/users-by-email?email=worker@example.com")); list != "[]" {
		t.Errorf("users-by-email after the delete: %s", list)
	}
	now = now.Add(6 * time.Second)
	if found("email:worker@example.com") != 0 {
		t.Error("a deleted user is found after the lag")
	}
	a.call(400, "GET", "/users?q=(a", "")
	a.call(400, "GET", "/users?per_page=101", "")
	a.call(200, "GET", "/users?page=9&per_page=100&include_totals=true", "")
	if answer := a.call(400, "GET", "/users?page=10&per_page=100", ""); !strings.HasPrefix(answer["message"].(string), "You can only page through the first 1000 records.") {
		t.Errorf("beyond the cap: %v", answer)
	}
}

// getAs fetches what is no object.
func getAs(t *testing.T, a *apiClient, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range a.header {
		req.Header.Set(name, value)
	}
	return fetch(t, req)
}

func TestRolePermissionsShowInAUsersToken(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 3, Machines: 4, People: 2})
	log, a := tap(tenant), administrator(t, tenant)
	id := a.call(201, "POST", "/users", newUser)["user_id"].(string)
	api := tenant.apis[1]
	a.call(200, "PATCH", "/resource-servers/"+strings.NewReplacer(":", "%3A", "/", "%2F").Replace(api.audience), `{"enforce_policies":true,"token_dialect":"access_token_authz"}`)
	role := a.call(200, "POST", "/roles", `{"name":"exporter"}`)["id"].(string)
	if answer := a.call(409, "POST", "/roles", `{"name":"exporter"}`); answer["errorCode"] != nil {
		t.Errorf("second role: %v", answer)
	}
	one := `{"permissions":[{"resource_server_identifier":"` + api.audience + `","permission_name":"` + api.scopes[0] + `"},{"resource_server_identifier":"` + api.audience + `","permission_name":"no:such"}]}`
	a.call(201, "POST", "/roles/"+role+"/permissions", one)
	a.call(404, "POST", "/roles/"+role+"/permissions", strings.ReplaceAll(one, api.audience, "https://nowhere.example"))
	if list := a.call(200, "GET", "/roles/"+role+"/permissions?include_totals=true", ""); list["total"] != 1.0 {
		t.Errorf("a permission that does not exist was added: %v", list)
	}
	request(t, "POST", a.base+"/roles/"+role+"/users", `{"users":["`+id+`"]}`, a.header)
	client := a.call(201, "POST", "/clients", `{"name":"cli","grant_types":["password","http://auth0.com/oauth/grant-type/password-realm"]}`)
	ask := func(password string) (int, map[string]any) {
		return request(t, "POST", strings.TrimSuffix(a.base, "/api/v2")+"/oauth/token", fmt.Sprintf(`{"grant_type":"http://auth0.com/oauth/grant-type/password-realm",
			"realm":"Username-Password-Authentication","client_id":%q,"client_secret":%q,"audience":%q,"username":"worker@example.com","password":%q,"scope":"openid"}`,
			client["client_id"], client["client_secret"], api.audience, password), map[string]string{ForwardedFor: "198.18.4.7"})
	}
	status, answer := ask("Str0ng-enough")
	if status != 200 || answer["id_token"] == nil {
		t.Fatalf("password grant: %d %v", status, answer)
	}
	claims := claimsOf(t, answer["access_token"].(string))
	if fmt.Sprint(claims["permissions"]) != "["+api.scopes[0]+"]" || claims["sub"] != id || claims["gty"] != "password" {
		t.Errorf("claims %v", claims)
	}
	if logs := log.logs(t); logs[len(logs)-1].Type != "sepft" || logs[len(logs)-1].UserID != id {
		t.Errorf("logged %+v", logs[len(logs)-1])
	}
	for range attemptsMax {
		if status, answer = ask("wrong"); status != 403 || answer["error"] != "invalid_grant" {
			t.Errorf("wrong password: %d %v", status, answer)
		}
	}
	if logs := log.logs(t); logs[len(logs)-1].Type != "fepft" {
		t.Errorf("a wrong password is logged as %s", logs[len(logs)-1].Type)
	}
	if status, _ = ask("Str0ng-enough"); status != 429 {
		t.Errorf("after %d wrong passwords: %d, want 429", attemptsMax, status)
	}
	path := "/user-blocks/" + strings.ReplaceAll(id, "|", "%7C")
	if blocked := a.call(200, "GET", path, ""); len(blocked["blocked_for"].([]any)) != 1 {
		t.Errorf("blocks: %v", blocked)
	}
	a.call(204, "DELETE", path, "")
	if status, _ = ask("Str0ng-enough"); status != 200 {
		t.Errorf("after the block was lifted: %d", status)
	}
}
