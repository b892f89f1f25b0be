package auth0sim

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/auth0/go-auth0/management"
)

// sdk is Auth0's own client, pointed at the tenant as an application.
func sdk(t *testing.T, tenant *Tenant) *management.Management {
	t.Helper()
	srv := httptest.NewServer(tenant.Handler())
	t.Cleanup(srv.Close)
	c := tenant.AddOperator("operator")
	m, err := management.New(strings.TrimPrefix(srv.URL, "http://"), management.WithInsecure(),
		management.WithClientCredentials(t.Context(), c.ID, c.Secret), management.WithNoRetries())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSDKManagesAnApplication(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 2, Machines: 12, People: 3})
	m, ctx := sdk(t, tenant), t.Context()
	client := &management.Client{Name: new("exporter"), AppType: new("non_interactive"), GrantTypes: &[]string{"client_credentials"}}
	if err := m.Client.Create(ctx, client); err != nil {
		t.Fatal(err)
	}
	if len(client.GetClientID()) != 32 || len(client.GetClientSecret()) != 64 {
		t.Errorf("created %s", client)
	}
	api := tenant.apis[1]
	grant := &management.ClientGrant{ClientID: client.ClientID, Audience: &api.audience, Scope: &[]string{api.scopes[0]}}
	if err := m.ClientGrant.Create(ctx, grant); err != nil {
		t.Fatal(err)
	}
	if err := m.ClientGrant.Create(ctx, &management.ClientGrant{ClientID: client.ClientID, Audience: &api.audience, Scope: &[]string{}}); status(err) != 409 {
		t.Errorf("second grant for the same API: %v, want 409", err)
	}
	list, err := m.Client.List(ctx, management.PerPage(5), management.Parameter("is_global", "false"))
	if err != nil || list.Total != 12+6+1+1 || len(list.Clients) != 5 {
		t.Errorf("listed %d of %d, %v", len(list.Clients), list.Total, err)
	}
	for range 2 { // the second time there is nothing
		if err := m.Client.Delete(ctx, client.GetClientID()); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Client.Read(ctx, client.GetClientID()); status(err) != 404 {
		t.Errorf("read after delete: %v, want 404", err)
	}
	if _, err := m.ClientGrant.Read(ctx, grant.GetID()); status(err) != 404 {
		t.Errorf("grant after delete of its client: %v, want 404", err)
	}
}

func TestSDKAuthenticatesByKeyAndManagesUsers(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 2, Machines: 12, People: 3})
	m, ctx := sdk(t, tenant), t.Context()
	key, err := newSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	c := tenant.AddOperator("by key")
	credential := management.Credential{Name: new("key"), CredentialType: new("public_key"), PEM: new(publicPEM(t, key)), Algorithm: new("RS256")}
	if err := m.Client.CreateCredential(ctx, c.ID, &credential); err != nil {
		t.Fatal(err)
	}
	err = m.Client.Update(ctx, c.ID, &management.Client{ClientAuthenticationMethods: &management.ClientAuthenticationMethods{
		PrivateKeyJWT: &management.PrivateKeyJWT{Credentials: &[]management.Credential{{ID: credential.ID}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(tenant.Handler())
	defer srv.Close()
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	byKey, err := management.New(strings.TrimPrefix(srv.URL, "http://"), management.WithInsecure(),
		management.WithClientCredentialsPrivateKeyJwt(ctx, c.ID, string(private), "RS256"), management.WithNoRetries())
	if err != nil {
		t.Fatal(err)
	}
	user := &management.User{Connection: new(databaseConnection), Email: new("worker@example.com"), Password: new("Str0ng-enough"), AppMetadata: &map[string]any{"owner": "platform"}}
	if err := byKey.User.Create(ctx, user); err != nil {
		t.Fatal(err)
	}
	if err := byKey.User.Update(ctx, user.GetID(), &management.User{AppMetadata: &map[string]any{"owner": nil, "purpose": "export"}}); err != nil {
		t.Fatal(err)
	}
	found, err := byKey.User.Search(ctx, management.Query(`app_metadata.purpose:"export"`))
	if err != nil || len(found.Users) != 1 || found.Users[0].AppMetadata == nil || len(*found.Users[0].AppMetadata) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
	logs, err := byKey.Log.List(ctx, management.Take(100))
	if err != nil || len(logs) < 4 || logs[len(logs)-1].GetDescription() != "Update a User" {
		t.Errorf("logs %v, %v", logs, err)
	}
}

func status(err error) int {
	if e, ok := err.(management.Error); ok { //nolint:errorlint // it is an interface of the SDK
		return e.Status()
	}
	return 0
}
