package auth0sim

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// get fetches what is no object.
func get(t *testing.T, target string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fetch(t, req)
}

func fetch(t *testing.T, req *http.Request) []byte {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// claimsOf reads a token without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestTokenIsVerifiedByThePublishedKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tenant := New(Config{Seed: 1, Machines: 12, People: 2, Now: func() time.Time { return now }})
	log, base := tap(tenant), serve(t, tenant)
	c, _ := tenant.Client(storyName)
	body, _ := json.Marshal(tokenRequest{GrantType: grantCredentials, ClientID: c.ID, ClientSecret: c.Secret, Audience: c.Audience})
	_, answer := request(t, "POST", base+"/oauth/token", string(body), nil)

	keys, err := jwk.Parse(get(t, base+"/.well-known/jwks.json"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Parse([]byte(answer["access_token"].(string)), jwt.WithKeySet(keys, jws.WithRequireKid(true)),
		jwt.WithIssuer("https://acme.auth0.example/"), jwt.WithAudience(c.Audience), jwt.WithClock(jwt.ClockFunc(func() time.Time { return now })))
	if err != nil {
		t.Fatal(err)
	}
	subject, _ := token.Subject()
	expiry, _ := token.Expiration()
	id, _ := token.JwtID()
	var scope, kind string
	if token.Get("scope", &scope) != nil || token.Get("gty", &kind) != nil || kind != "client-credentials" || scope != strings.Join(c.Scopes, " ") {
		t.Errorf("scope %q, gty %q", scope, kind)
	}
	if subject != c.ID+"@clients" || expiry.Sub(now) != 24*time.Hour {
		t.Errorf("subject %q, expires %s", subject, expiry)
	}
	if logs := log.logs(t); !strings.Contains(string(logs[len(logs)-1].Details), id) {
		t.Errorf("the log row does not name the token %s: %s", id, logs[len(logs)-1].Details)
	}
}

func TestManagementAPIRefusesTokensThatAreNotItsOwn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tenant := New(Config{Seed: 1, Machines: 12, People: 2, Now: func() time.Time { return now }})
	base := serve(t, tenant)
	good := tokenWith(t, tenant, base, "terraform-ci", "read:clients")["Authorization"]
	other := New(Config{Name: "other", Seed: 1, Machines: 12, People: 2})
	foreign := tokenWith(t, other, serve(t, other), "terraform-ci", "read:clients")["Authorization"]
	c, _ := tenant.Client(storyName) // whose API is another one
	body, _ := json.Marshal(tokenRequest{GrantType: grantCredentials, ClientID: c.ID, ClientSecret: c.Secret, Audience: c.Audience})
	_, answer := request(t, "POST", base+"/oauth/token", string(body), nil)
	parts := strings.Split(strings.TrimPrefix(good, "Bearer "), ".")
	unsigned := "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
	for name, header := range map[string]string{
		"of another tenant": foreign, "for another API": "Bearer " + answer["access_token"].(string), "unsigned": unsigned, "cut": good[:len(good)-4],
	} {
		if status, answer := request(t, "GET", base+"/api/v2/clients/"+c.ID, "", map[string]string{"Authorization": header}); status != 401 {
			t.Errorf("%s: %d %v, want 401", name, status, answer)
		}
	}
	now = now.Add(24*time.Hour + time.Second)
	if status, answer := request(t, "GET", base+"/api/v2/clients/"+c.ID, "", map[string]string{"Authorization": good}); status != 401 ||
		answer["message"] != "Expired token received for JSON Web Token validation" {
		t.Errorf("expired: %d %v", status, answer)
	}
}
