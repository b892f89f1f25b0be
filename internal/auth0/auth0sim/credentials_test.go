package auth0sim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

func publicPEM(t *testing.T, key *rsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestKeyTakesThePlaceOfTheSecretAndIsRotated(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tenant := New(Config{Seed: 3, Machines: 4, People: 2, Now: func() time.Time { return now }})
	log, a := tap(tenant), administrator(t, tenant)
	c, _ := tenant.Client(storyName)
	path := "/clients/" + c.ID
	first, _ := newSigningKey()
	second, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	add := func(want int, name string, key *rsa.PrivateKey) string {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"credential_type": "public_key", "name": name, "alg": "RS256", "pem": publicPEM(t, key)})
		id, _ := a.call(want, "POST", path+"/credentials", string(body))["id"].(string)
		return id
	}
	link := func(ids ...string) map[string]any {
		var credentials []map[string]any
		for _, id := range ids {
			credentials = append(credentials, map[string]any{"id": id})
		}
		body, _ := json.Marshal(map[string]any{"client_authentication_methods": map[string]any{"private_key_jwt": map[string]any{"credentials": credentials}}, "token_endpoint_auth_method": nil})
		return a.call(200, "PATCH", path, string(body))
	}
	ask := func(key *rsa.PrivateKey, change map[string]any) (int, map[string]any) {
		req := map[string]any{"grant_type": grantCredentials, "audience": c.Audience, "client_id": c.ID, "client_secret": c.Secret}
		if key != nil {
			claims := map[string]any{"iss": c.ID, "sub": c.ID, "aud": "https://acme.auth0.example/", "iat": now.Unix(), "exp": now.Unix() + 120, "jti": "one"}
			maps.Copy(claims, change)
			payload, _ := json.Marshal(claims)
			assertion, err := jws.Sign(payload, jws.WithKey(jwa.RS256(), key))
			if err != nil {
				t.Fatal(err)
			}
			req = map[string]any{"grant_type": grantCredentials, "audience": c.Audience, "client_assertion_type": assertionType, "client_assertion": string(assertion)}
		}
		body, _ := json.Marshal(req)
		return request(t, "POST", strings.TrimSuffix(a.base, "/api/v2")+"/oauth/token", string(body), nil)
	}
	wants := func(what string, secret, old, fresh int) {
		t.Helper()
		for name, step := range map[string]struct {
			key  *rsa.PrivateKey
			want int
		}{"secret": {nil, secret}, "first key": {first, old}, "second key": {second, fresh}} {
			if status, answer := ask(step.key, nil); status != step.want {
				t.Errorf("%s: by the %s %d %v, want %d", what, name, status, answer, step.want)
			}
		}
	}
	wants("at first", 200, 401, 401)
	one := add(201, "one", first)
	if client := link(one); client["client_secret"] != nil || client["token_endpoint_auth_method"] != nil {
		t.Errorf("with a key the client is %v", client)
	}
	a.call(400, "POST", path+"/rotate-secret", "")
	wants("with a key", 401, 200, 401)
	two := add(201, "two", second)
	add(400, "three", second)
	link(one, two)
	wants("with two keys", 401, 200, 200)
	a.call(400, "DELETE", path+"/credentials/"+one, "")
	link(two)
	for range 2 {
		a.call(204, "DELETE", path+"/credentials/"+one, "")
	}
	wants("rotated", 401, 401, 200)
	for name, change := range map[string]map[string]any{
		"expired": {"exp": now.Unix() - 1, "iat": now.Unix() - 60}, "too long": {"exp": now.Unix() + 600}, "for another": {"aud": "https://other.example/"},
	} {
		if status, _ := ask(second, change); status != 401 {
			t.Errorf("assertion %s: %d, want 401", name, status)
		}
	}
	if logs := log.logs(t); logs[len(logs)-1].Type != "feccft" || logs[len(logs)-1].Description != "Failed client authentication" {
		t.Errorf("logged %+v", logs[len(logs)-1])
	}
	if status, _ := ask(second, map[string]any{"sub": "x"}); status != 401 {
		t.Errorf("assertion of another: %d, want 401", status)
	}
	a.call(200, "PATCH", path+"/credentials/"+two, `{"expires_at":"2026-03-01T13:00:00Z"}`)
	now = now.Add(2 * time.Hour)
	wants("expired", 401, 401, 401)
	if client := a.call(200, "PATCH", path, `{"client_authentication_methods":null,"token_endpoint_auth_method":"client_secret_post"}`); client["client_secret"] != c.Secret {
		t.Errorf("back to the secret: %v", client)
	}
	wants("back to the secret", 200, 401, 401)
}
