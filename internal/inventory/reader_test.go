package inventory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/inventory"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// tenant is a simulated tenant that is read as an application with read scopes.
type tenant struct {
	*auth0sim.Tenant
	t      *testing.T
	base   string
	client *auth0.Client
	calls  []string
}

func readScopes() []string {
	return []string{"read:clients", "read:client_grants", "read:resource_servers", "read:roles", "read:users", "read:client_credentials", "read:log_streams"}
}

func newTenant(t *testing.T, c auth0sim.Config, scopes ...string) *tenant {
	t.Helper()
	c.Seed = 1
	tn := &tenant{t: t, Tenant: auth0sim.New(c)}
	handler := tn.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tn.calls = append(tn.calls, r.Method+" "+r.URL.Path)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	tn.base = server.URL
	reader := tn.AddOperator("m2mwatch", scopes...)
	client, err := auth0.New(auth0.Config{
		Domain: strings.TrimPrefix(server.URL, "http://"), Audience: reader.Audience,
		Credentials: auth0.Credentials{ClientID: reader.ID, ClientSecret: reader.Secret},
	})
	if err != nil {
		t.Fatal(err)
	}
	tn.client = client
	return tn
}

// admin calls the Management API as an administrator and returns the id of what
// is made.
func (tn *tenant) admin(method, path string, body any) string {
	tn.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		tn.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(tn.t.Context(), method, tn.base+"/api/v2/"+path, bytes.NewReader(text))
	if err != nil {
		tn.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+tn.AdminToken())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		tn.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		tn.t.Fatalf("%s %s: %d %s %v", method, path, response.StatusCode, raw, err)
	}
	var made map[string]any
	if json.Unmarshal(raw, &made) != nil {
		return ""
	}
	for _, name := range []string{"id", "user_id", "client_id"} {
		if id, ok := made[name].(string); ok {
			return id
		}
	}
	return ""
}

// Get implements inventory.API.
func (tn *tenant) Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error) {
	raw, err := tn.client.Get(ctx, path, query)
	if auth0.NotFound(err) {
		err = fmt.Errorf("%w: %w", inventory.ErrNotFound, err)
	}
	return raw, err
}

// List implements inventory.API.
func (tn *tenant) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return tn.client.List(ctx, path, key, query)
}

// ListFrom implements inventory.API.
func (tn *tenant) ListFrom(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return tn.client.ListFrom(ctx, path, key, query)
}

// read reads all kinds.
func (tn *tenant) read(known []schemas.InventoryItem, users ...string) map[schemas.InventoryKind][]schemas.InventoryItem {
	tn.t.Helper()
	r := &inventory.Reader{API: tn, Tenant: "acme", Known: known, Users: users}
	all := map[schemas.InventoryKind][]schemas.InventoryItem{}
	for _, kind := range schemas.InventoryKinds() {
		items, err := r.Read(tn.t.Context(), kind)
		if err != nil {
			tn.t.Fatal(err)
		}
		all[kind] = items
	}
	return all
}

func find(items []schemas.InventoryItem, id string) *schemas.InventoryItem {
	if at := slices.IndexFunc(items, func(i schemas.InventoryItem) bool { return i.ID == id }); at >= 0 {
		return &items[at]
	}
	return nil
}

const publicKey = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u\n+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyeh\nkd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ\n0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdg\ncKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbc\nmwIDAQAB\n-----END PUBLIC KEY-----\n"

func TestASnapshotHasEveryKind(t *testing.T) {
	tn := newTenant(t, auth0sim.Config{Machines: 20, People: 5}, readScopes()...)
	api := tn.admin("POST", "resource-servers", map[string]any{
		"identifier": "https://invoices.example.com", "name": "Invoices", "token_lifetime": 3600, "enforce_policies": true, "token_dialect": "access_token_authz",
		"scopes": []map[string]string{{"value": "write:invoices"}, {"value": "read:invoices"}},
	})
	client := tn.admin("POST", "clients", map[string]any{
		"name": "Invoice sync", "app_type": "non_interactive", "grant_types": []string{"client_credentials"},
		"client_metadata": map[string]string{"owner": "billing", "purpose": "nightly invoices", "expires": "2027-06-30", "hint": "hunter2-is-the-password"},
		"client_authentication_methods": map[string]any{"private_key_jwt": map[string]any{"credentials": []map[string]any{
			{"credential_type": "public_key", "pem": publicKey, "name": "key 1", "expires_at": "2027-01-01T00:00:00.000Z"},
		}}},
	})
	grant := tn.admin("POST", "client-grants", map[string]any{"client_id": client, "audience": "https://invoices.example.com", "scope": []string{"write:invoices", "read:invoices"}})
	role := tn.admin("POST", "roles", map[string]any{"name": "robot", "description": "what robots may"})
	tn.admin("POST", "roles/"+role+"/permissions", map[string]any{"permissions": []map[string]string{
		{"resource_server_identifier": "https://invoices.example.com", "permission_name": "write:invoices"},
		{"resource_server_identifier": "https://invoices.example.com", "permission_name": "read:invoices"},
	}})
	user := tn.admin("POST", "users", map[string]any{
		"connection": "Username-Password-Authentication", "email": "robot@example.com", "password": "Correct-Horse-9!",
		"app_metadata": map[string]any{"programmatic": true, "owner": "ops", "token": "hunter2-is-the-password"},
	})
	stream := tn.admin("POST", "log-streams", map[string]any{
		"name": "m2mwatch", "type": "http", "filters": []map[string]string{{"type": "category", "name": "auth.login.fail"}},
		"sink": map[string]any{"httpEndpoint": "https://hook.example.com/v1/logs/acme?token=hunter2-is-the-password", "httpAuthorization": "hunter2-is-the-password", "httpContentFormat": "JSONLINES", "httpContentType": "application/json"},
	})
	all := tn.read(nil)
	credentials := all[schemas.InventoryCredentials]
	if len(credentials) != 1 || credentials[0].Created.IsZero() || len(credentials[0].Members.KeyID) < 10 {
		t.Fatalf("credentials: %+v", credentials)
	}
	for _, want := range []schemas.InventoryItem{
		{
			Kind: schemas.InventoryClients, ID: client, Identity: "app:" + client, Name: "Invoice sync", Type: "non_interactive", Owner: "billing", Purpose: "nightly invoices", Expires: "2027-06-30",
			Members: schemas.InventoryMembers{GrantTypes: []string{"client_credentials"}, AuthMethod: "private_key_jwt"},
		},
		{
			Kind: schemas.InventoryGrants, ID: grant, Identity: "app:" + client, Name: "https://invoices.example.com",
			Members: schemas.InventoryMembers{ClientID: client, Audience: "https://invoices.example.com", Scopes: []string{"read:invoices", "write:invoices"}, Subject: "client"},
		},
		{
			Kind: schemas.InventoryAPIs, ID: api, Name: "Invoices",
			Members: schemas.InventoryMembers{
				Audience: "https://invoices.example.com", Scopes: []string{"read:invoices", "write:invoices"}, TokenLifetime: 3600, WebTokenLifetime: 7200,
				TokenDialect: "access_token_authz", Algorithm: "RS256", Policies: true,
			},
		},
		{
			Kind: schemas.InventoryRoles, ID: role, Name: "robot",
			Members: schemas.InventoryMembers{Description: "what robots may", Permissions: []string{"https://invoices.example.com read:invoices", "https://invoices.example.com write:invoices"}},
		},
		{
			Kind: schemas.InventoryUsers, ID: user, Identity: "user:" + user, Name: "robot@example.com", Owner: "ops",
			Members: schemas.InventoryMembers{Connection: "Username-Password-Authentication", Programmatic: true},
		},
		{
			Kind: schemas.InventoryCredentials, ID: credentials[0].ID, Identity: "app:" + client, Name: "key 1", Type: "public_key", Expires: "2027-01-01T00:00:00.000Z",
			Members: schemas.InventoryMembers{ClientID: client, KeyID: credentials[0].Members.KeyID, Algorithm: "RS256"},
		},
		{
			Kind: schemas.InventoryStreams, ID: stream, Name: "m2mwatch", Type: "http",
			Members: schemas.InventoryMembers{Status: "active", Endpoint: "hook.example.com", Filters: []string{"auth.login.fail"}},
		},
	} {
		want.Tenant = "acme"
		got := find(all[want.Kind], want.ID)
		if diff := cmp.Diff(&want, got, cmpopts.IgnoreFields(schemas.InventoryItem{}, "Created")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Kind, diff)
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "PUBLIC KEY") || strings.Contains(string(text), "CERTIFICATE") {
		t.Errorf("a secret is in the snapshot:\n%s", text)
	}
}

func TestThousandsOfClientsAreReadByCheckpoint(t *testing.T) {
	tn := newTenant(t, auth0sim.Config{Machines: 3000, People: 1}, readScopes()...)
	all := tn.read(nil)
	// The population's machines and websites, and the reader itself; the tenant's own client is none.
	if n := len(all[schemas.InventoryClients]); n < 3001 || find(all[schemas.InventoryClients], "All Applications") != nil {
		t.Errorf("%d clients are read", n)
	}
	if n := len(all[schemas.InventoryGrants]); n != 3001 {
		t.Errorf("%d grants are read, want 3001", n)
	}
	if n := len(tn.calls); n > 80 {
		t.Errorf("%d calls were made: %v", n, tn.calls)
	}
}

func TestWhatAListLacksIsAskedForBeforeItIsGone(t *testing.T) {
	tn := newTenant(t, auth0sim.Config{Machines: 5, People: 5, SearchLag: time.Hour}, readScopes()...)
	there := tn.admin("POST", "users", map[string]any{"connection": "Username-Password-Authentication", "email": "robot@example.com", "password": "Correct-Horse-9!", "app_metadata": map[string]any{"programmatic": true}})
	seen := tn.admin("POST", "users", map[string]any{"connection": "Username-Password-Authentication", "email": "other@example.com", "password": "Correct-Horse-9!"})
	known := []schemas.InventoryItem{
		{Tenant: "acme", Kind: schemas.InventoryUsers, ID: there},
		{Tenant: "acme", Kind: schemas.InventoryUsers, ID: "auth0|gone"},
		{Tenant: "acme", Kind: schemas.InventoryClients, ID: "gone"},
		{Tenant: "acme", Kind: schemas.InventoryGrants, ID: "cgr_gone"},
		{Tenant: "acme", Kind: schemas.InventoryAPIs, ID: "5f0000000000000000000000"},
		{Tenant: "acme", Kind: schemas.InventoryRoles, ID: "rol_gone"},
		{Tenant: "acme", Kind: schemas.InventoryStreams, ID: "lst_gone"},
		{Tenant: "acme", Kind: schemas.InventoryCredentials, ID: "cred_gone", Members: schemas.InventoryMembers{ClientID: "gone"}},
	}
	all := tn.read(known, seen, "auth0|never")
	users := all[schemas.InventoryUsers]
	if len(users) != 2 || find(users, there) == nil || find(users, seen) == nil {
		t.Errorf("users: %+v, want %s, whom a search does not find yet, and %s, who acts as a machine", users, there, seen)
	}
	for _, k := range known {
		if strings.Contains(k.ID, "gone") && find(all[k.Kind], k.ID) != nil {
			t.Errorf("%s %s is there", k.Kind, k.ID)
		}
	}
}

func TestAThousandProgrammaticUsersAreNoEnd(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	tn := newTenant(t, auth0sim.Config{Machines: 2, People: 1, Now: func() time.Time { now = now.Add(time.Millisecond); return now }}, readScopes()...)
	for i := range 1100 {
		tn.admin("POST", "users", map[string]any{
			"connection": "Username-Password-Authentication", "email": fmt.Sprintf("robot%d@example.com", i), "password": "Correct-Horse-9!", "app_metadata": map[string]any{"programmatic": true},
		})
	}
	if n := len(tn.read(nil)[schemas.InventoryUsers]); n != 1100 {
		t.Errorf("%d users are read, want 1100", n)
	}
}

func TestAListingThatIsCutIsAnError(t *testing.T) {
	for _, c := range []struct {
		kind schemas.InventoryKind
		path string
	}{
		{schemas.InventoryClients, "/api/v2/clients"},
		{schemas.InventoryGrants, "/api/v2/client-grants"},
		{schemas.InventoryAPIs, "/api/v2/resource-servers"},
		{schemas.InventoryRoles, "/api/v2/roles"},
		{schemas.InventoryUsers, "/api/v2/users"},
		{schemas.InventoryStreams, "/api/v2/log-streams"},
	} {
		tn := newTenant(t, auth0sim.Config{Machines: 250, People: 1}, readScopes()...)
		skip := 0
		if c.kind == schemas.InventoryClients || c.kind == schemas.InventoryGrants {
			skip = 2
		}
		tn.Inject(auth0sim.Fault{Method: "GET", Path: c.path, Skip: skip, Times: -1, Status: 400})
		r := &inventory.Reader{API: tn, Tenant: "acme"}
		if items, err := r.Read(t.Context(), c.kind); err == nil || items != nil {
			t.Errorf("%s: %d items, %v", c.kind, len(items), err)
		}
	}
}

func TestAScopeThatIsMissingIsNamed(t *testing.T) {
	tn := newTenant(t, auth0sim.Config{Machines: 5, People: 1}, "read:clients")
	r := &inventory.Reader{API: tn, Tenant: "acme"}
	if _, err := r.Read(t.Context(), schemas.InventoryClients); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(t.Context(), schemas.InventoryGrants); err == nil || !strings.Contains(err.Error(), "read:client_grants") {
		t.Errorf("error %v, want the missing scope", err)
	}
}
