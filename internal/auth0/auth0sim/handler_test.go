package auth0sim

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// tap makes the tenant's live logs visible without a delivery.
func tap(tenant *Tenant) *logStream {
	tenant.AddLogStream(Stream{Endpoint: "http://127.0.0.1:1/never"})
	return tenant.streams[len(tenant.streams)-1]
}

func (l *logStream) logs(t *testing.T) []record {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []record
	for _, d := range l.queue {
		list = append(list, decode(t, d.raw))
	}
	return list
}

func request(t *testing.T, method, target, body string, header map[string]string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if len(data) == 0 {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("answer %q: %v", data, err)
	}
	return resp.StatusCode, answer
}

func serve(t *testing.T, tenant *Tenant) string {
	t.Helper()
	srv := httptest.NewServer(tenant.Handler())
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestTokenEndpointIssuesAndRefuses(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1})
	log, base := tap(tenant), serve(t, tenant)
	c, ok := tenant.Client(storyName)
	if !ok {
		t.Fatal("no story client")
	}
	form := func(id, secret, audience string) string {
		return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "audience": {audience}}.Encode()
	}
	for _, step := range []struct {
		name, body, contentType string
		status                  int
		logged                  string // type and description; none where empty
	}{
		{"form", form(c.ID, c.Secret, c.Audience), "application/x-www-form-urlencoded", 200, "seccft Client Credentials for Access Token"},
		{"wrong secret", form(c.ID, "no", c.Audience), "application/x-www-form-urlencoded", 401, "feccft Unauthorized"},
		{"unknown client", form("nobody\"\n", "no", c.Audience), "application/x-www-form-urlencoded", 401, "feccft Unauthorized"},
		{"unknown audience", form(c.ID, c.Secret, "https://x.example"), "application/x-www-form-urlencoded", 403, "feccft Service not enabled within domain: https://x.example"},
		{
			"no grant", form(c.ID, c.Secret, tenant.apis[0].audience), "application/x-www-form-urlencoded", 403,
			`feccft Client is not authorized to access "` + tenant.apis[0].audience + `". You need to create a "client-grant" associated to this API.`,
		},
		{"other grant", `{"grant_type":"implicit"}`, "application/json", 403, ""},
		{"not JSON", `{"grant_type"`, "application/json", 400, ""},
		{"too large", `{"grant_type":"` + strings.Repeat("x", maxBody) + `"}`, "application/json", 400, ""},
	} {
		before := len(log.logs(t))
		status, answer := request(t, "POST", base+"/oauth/token", step.body, map[string]string{"Content-Type": step.contentType, ForwardedFor: c.Addresses[0]})
		if status != step.status {
			t.Errorf("%s: status %d %v, want %d", step.name, status, answer, step.status)
		}
		after := log.logs(t)
		if step.logged == "" {
			if len(after) != before {
				t.Errorf("%s: logged", step.name)
			}
			continue
		}
		if len(after) != before+1 {
			t.Fatalf("%s: %d logs, want 1", step.name, len(after)-before)
		}
		got := after[before]
		description := got.Description
		if got.Type == "seccft" && description == "" {
			description = "Client Credentials for Access Token" // the shape of older tenants
		}
		if got.Type+" "+description != step.logged || *got.IP != c.Addresses[0] {
			t.Errorf("%s: logged %s %q from %s, want %s", step.name, got.Type, got.Description, *got.IP, step.logged)
		}
	}
}

func TestRotationVoidsTheOldSecretAndIsLoggedAsAPersons(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1})
	log, base := tap(tenant), serve(t, tenant)
	before, _ := tenant.Client(storyName)
	status, answer := request(t, "POST", base+"/api/v2/clients/"+before.ID+"/rotate-secret", "", map[string]string{"Authorization": "Bearer " + tenant.AdminToken()})
	after, _ := tenant.Client(storyName)
	if status != 200 || answer["client_secret"] != after.Secret || after.Secret == before.Secret || len(after.Secret) != 64 {
		t.Fatalf("status %d, answer %v", status, answer)
	}
	logs := log.logs(t)
	got := logs[len(logs)-1]
	if got.Type != "sapi" || got.Description != "Rotate a client secret" {
		t.Errorf("logged %s %q", got.Type, got.Description)
	}
	for _, want := range []string{`"channel":"https://manage.auth0.com/"`, `"client_secret":"` + after.Secret, `"path":"/api/v2/clients/` + before.ID + `/rotate-secret"`, `"name":"` + tenant.Story().AdminName()} {
		if !strings.Contains(string(got.Details), want) {
			t.Errorf("details lack %s: %s", want, got.Details)
		}
	}
	for secret, want := range map[string]int{before.Secret: 401, after.Secret: 200} {
		body, _ := json.Marshal(tokenRequest{GrantType: "client_credentials", ClientID: before.ID, ClientSecret: secret, Audience: before.Audience})
		if status, _ := request(t, "POST", base+"/oauth/token", string(body), nil); status != want {
			t.Errorf("token with secret %.4s…: status %d, want %d", secret, status, want)
		}
	}
}

func TestManagementAPITakesOnlyTokensWithTheScope(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1})
	log, base := tap(tenant), serve(t, tenant)
	admin := map[string]string{"Authorization": "Bearer " + tenant.AdminToken()}
	bearer := tokenWith(t, tenant, base, "terraform-ci", "read:clients", "update:client_keys")
	target, _ := tenant.Client(storyName)
	path := base + "/api/v2/clients/" + target.ID

	if status, answer := request(t, "GET", path, "", bearer); status != 200 || answer["client_secret"] != nil {
		t.Errorf("get without read:client_keys: %d %v", status, answer)
	}
	if status, answer := request(t, "GET", path, "", admin); status != 200 || answer["client_secret"] != target.Secret {
		t.Errorf("get as administrator: %d %v", status, answer)
	}
	if logs := log.logs(t); logs[len(logs)-1].Type != "mgmt_api_read" {
		t.Errorf("a secret was read and logged as %s", logs[len(logs)-1].Type)
	}
	if status, _ := request(t, "POST", path+"/rotate-secret", "", bearer); status != 200 {
		t.Errorf("rotate as application: %d", status)
	}
	if logs := log.logs(t); !strings.Contains(string(logs[len(logs)-1].Details), `"channel":"api"`) {
		t.Errorf("rotation by an application logged as %s", logs[len(logs)-1].Details)
	}
	for name, c := range map[string]struct {
		header map[string]string
		method string
		path   string
		status int
		body   string
	}{
		"none":     {nil, "GET", path, 401, `{"error":"Unauthorized","message":"Missing authentication","statusCode":401}`},
		"unknown":  {map[string]string{"Authorization": "Bearer x"}, "GET", path, 401, `{"error":"Unauthorized","errorCode":"invalid_token","message":"Invalid token","statusCode":401}`},
		"no such":  {admin, "GET", base + "/api/v2/clients/nobody", 404, `{"error":"Not Found","errorCode":"inexistent_client","message":"The client does not exist","statusCode":404}`},
		"no scope": {bearer, "DELETE", path, 403, `{"error":"Forbidden","errorCode":"insufficient_scope","message":"Insufficient scope, expected any of: delete:clients","statusCode":403}`},
		"no path":  {admin, "GET", base + "/api/v2/nothing", 404, `{"error":"Not Found","message":"Not Found","statusCode":404}`},
	} {
		status, answer := request(t, c.method, c.path, "", c.header)
		if body, _ := json.Marshal(answer); status != c.status || string(body) != c.body {
			t.Errorf("%s: %d %s, want %d %s", name, status, body, c.status, c.body)
		}
	}
	if logs := log.logs(t); logs[len(logs)-1].Type != "fapi" {
		t.Errorf("a refused delete was logged as %s", logs[len(logs)-1].Type)
	}
}

// tokenWith grants an application of the population some scopes of the
// Management API and returns the header with a token that has them.
func tokenWith(t *testing.T, tenant *Tenant, base, name string, scopes ...string) map[string]string {
	t.Helper()
	admin := map[string]string{"Authorization": "Bearer " + tenant.AdminToken()}
	c, _ := tenant.Client(name)
	_, list := request(t, "GET", base+"/api/v2/client-grants?include_totals=true&client_id="+c.ID, "", admin)
	grant := list["client_grants"].([]any)[0].(map[string]any)["id"].(string)
	body, _ := json.Marshal(map[string]any{"scope": scopes})
	if status, answer := request(t, "PATCH", base+"/api/v2/client-grants/"+grant, string(body), admin); status != 200 {
		t.Fatalf("grant: %d %v", status, answer)
	}
	body, _ = json.Marshal(tokenRequest{GrantType: "client_credentials", ClientID: c.ID, ClientSecret: c.Secret, Audience: c.Audience})
	_, answer := request(t, "POST", base+"/oauth/token", string(body), nil)
	return map[string]string{"Authorization": "Bearer " + answer["access_token"].(string)}
}
