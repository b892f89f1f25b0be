package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// newKey makes a key of 2048 bits and keeps both parts of it in files.
func newKey(t *testing.T) (private, public string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	private, public = filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	made, err := provision.NewKey(&key.PublicKey, "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, map[string]string{
		private: string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		public:  made.PEM,
	})
	return private, public
}

// accessOf is what an application could get at, by names that its next life has too.
func (o *operator) accessOf(id string) string {
	o.t.Helper()
	var grants []struct {
		ID, Audience string
		Scope        []string
	}
	o.admin("GET", "client-grants?client_id="+id, nil, &grants)
	var b strings.Builder
	for _, g := range grants {
		var organizations []struct{ Name string }
		o.admin("GET", "client-grants/"+g.ID+"/organizations", nil, &organizations)
		fmt.Fprintln(&b, g.Audience, g.Scope, organizations)
	}
	var connections struct{ Connections []struct{ Name string } }
	o.admin("GET", "clients/"+id+"/connections?take=50", nil, &connections)
	fmt.Fprintln(&b, connections.Connections)
	return b.String()
}

// organized makes an application with a grant to an organization, a grant without,
// and a connection that it can use.
func (o *operator) organized() (a simApp, api string) {
	o.t.Helper()
	api = o.api("read:orders")
	a = o.app("exporter", "--owner", "data-team", "--grant", "read:orders@"+api)
	var organization, grant, connection struct{ ID string }
	o.admin("POST", "organizations", map[string]any{"name": "globex"}, &organization)
	o.admin("POST", "client-grants", map[string]any{"client_id": a.ID, "audience": o.api("read:stock"), "scope": []string{"read:stock"}, "organization_usage": "require"}, &grant)
	o.admin("POST", "organizations/"+organization.ID+"/client-grants", map[string]any{"grant_id": grant.ID}, nil)
	o.admin("POST", "connections", map[string]any{"name": "machines", "strategy": "auth0", "enabled_clients": []string{a.ID}}, &connection)
	return a, api
}

// backedUp deletes an application and returns where its backup is.
func (o *operator) backedUp(id string) (file, key string) {
	o.t.Helper()
	dir := o.t.TempDir()
	key = filepath.Join(dir, "key")
	out, _ := o.must("apps", "delete", id, "--force", "--backup-dir", dir, "--backup-identity", key)
	return strings.TrimSpace(out), key
}

func TestADeletedApplicationIsMadeAgain(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	was, api := o.organized()
	before := o.accessOf(was.ID)
	if !strings.Contains(before, "globex") || !strings.Contains(before, "machines") {
		t.Fatalf("it has\n%s", before)
	}
	file, key := o.backedUp(was.ID)
	// Whatever loses an answer, and however often it is cut short: it is made once.
	for _, path := range []string{"clients", "client-grants", "organizations/", "connections/"} {
		o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/" + path, Drop: true})
		o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/" + path, Drop: true})
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/client-grants", Status: 400})
	o.fails(exitError, "restore again to go on", "apps", "restore", file, "--backup-identity", key, "--secret-file", "first")
	out, said := o.must("apps", "restore", file, "--backup-identity", key, "--secret-file", "second", "--json")
	var a simApp
	if err := json.Unmarshal([]byte(out), &a); err != nil || a.ID == was.ID || a.Name != "exporter" || a.Metadata["owner"] != "data-team" || len(a.GrantTypes) != 1 {
		t.Errorf("%v, it is\n%s", err, out)
	}
	if after := o.accessOf(a.ID); after != before {
		t.Errorf("it can get at\n%s\nand could at\n%s", after, before)
	}
	if n := o.apps("exporter"); n != 1 {
		t.Errorf("%d were made", n)
	}
	for _, want := range []string{was.ID + " has another client id", a.ID + ".", "an earlier restore", "m2mwatch apps rotate " + a.ID, "when it was last used is not known"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what it said:\n%s", want, said)
		}
	}
	if _, err := os.Lstat("second"); err == nil {
		t.Error("there is a file for a secret that it does not know")
	}
	o.must("apps", "rotate", a.ID, "--force", "--secret-file", "third")
	secret, err := os.ReadFile("third")
	if err != nil {
		t.Fatal(err)
	}
	if a.Secret = strings.TrimSpace(string(secret)); !o.getsTokens(a, api) {
		t.Error("it gets no tokens")
	}
	o.noSecret(filepath.Dir(file), was.Secret, a.Secret)
}

func TestWhatIsGoneOfARestoreIsSaid(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a, api := o.organized()
	file, key := o.backedUp(a.ID)
	o.admin("DELETE", "resource-servers/"+url.PathEscape(api), nil, nil)
	var list []struct{ ID, Name string }
	o.admin("GET", "connections", nil, &list)
	for _, c := range list {
		if c.Name == "machines" {
			o.admin("DELETE", "connections/"+c.ID, nil, nil)
		}
	}
	o.admin("GET", "organizations", nil, &list)
	for _, organization := range list {
		if organization.Name == "globex" {
			o.admin("DELETE", "organizations/"+organization.ID, nil, nil)
		}
	}
	_, said := o.must("apps", "restore", file, "--backup-identity", key, "--secret-file", "secret")
	for _, want := range []string{"not restored: grant of " + api + ": it is gone", "not restored: connection machines (", "not restored: organization globex ("} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in what it said:\n%s", want, said)
		}
	}
	secret, err := os.ReadFile("secret")
	if err != nil || len(strings.TrimSpace(string(secret))) != 64 {
		t.Errorf("%v, the secret is of %d bytes", err, len(secret))
	}
}

func TestAnApplicationThatHadAKeyIsMadeAgain(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	private, public := newKey(t)
	text, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	var a simApp
	o.admin("POST", "clients", map[string]any{
		"name": "signer", "app_type": "non_interactive", "grant_types": []string{"client_credentials"},
		"client_authentication_methods": map[string]any{"private_key_jwt": map[string]any{"credentials": []any{
			map[string]any{"credential_type": "public_key", "name": "blue", "alg": "RS384", "pem": string(text)},
		}}},
	}, &a)
	o.admin("POST", "client-grants", map[string]any{"client_id": a.ID, "audience": api, "scope": []string{"read:orders"}}, nil)
	file, key := o.backedUp(a.ID)
	o.fails(exitError, "Auth0 gives none back", "apps", "restore", file, "--backup-identity", key, "--secret-file", "secret")
	if _, err := os.Lstat("secret"); err == nil {
		t.Error("there is a file for no secret")
	}
	o.fails(exitUsage, "gets no secret", "apps", "restore", file, "--backup-identity", key, "--secret-file", "secret", "--public-key-file", public)
	out, _ := o.must("apps", "restore", file, "--backup-identity", key, "--public-key-file", private, "--json")
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	var credentials []struct{ Name, Alg string }
	o.admin("GET", "clients/"+a.ID+"/credentials", nil, &credentials)
	if len(credentials) != 1 || credentials[0].Name != "blue" || credentials[0].Alg != "RS384" {
		t.Errorf("its keys are %+v", credentials)
	}
	// The other way: a secret in the place of the key.
	file, key = o.backedUp(a.ID)
	if _, said := o.must("apps", "restore", file, "--backup-identity", key, "--with-secret", "--secret-file", "secret"); !strings.Contains(said, "authenticates by a secret now") {
		t.Errorf("said %q", said)
	}
}

func TestARestoreNeedsRoomForItsMark(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	metadata := map[string]string{}
	for i := range 10 {
		metadata[fmt.Sprint("key", i)] = "v"
	}
	var a simApp
	o.admin("POST", "clients", map[string]any{"name": "full", "app_type": "non_interactive", "grant_types": []string{"client_credentials"}, "client_metadata": metadata}, &a)
	file, key := o.backedUp(a.ID)
	o.fails(exitError, "--without-metadata", "apps", "restore", file, "--backup-identity", key, "--secret-file", "secret")
	o.must("apps", "restore", file, "--backup-identity", key, "--secret-file", "secret", "--without-metadata", "key3")
	if n := o.apps("full"); n != 1 {
		t.Errorf("%d were made", n)
	}
}

func TestAnApplicationThatIsThereIsNotRestored(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a := o.app("exporter")
	var raw json.RawMessage
	o.admin("GET", "clients/"+a.ID, nil, &raw)
	vault, _, err := provision.NewVault(provision.VaultConfig{Dir: "backups", IdentityFile: "key"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content map[string]any
		want    string
	}{
		{"there", map[string]any{"format": "m2mwatch application backup 1", "client": raw}, "is still there"},
		{"of a user", map[string]any{"format": "m2mwatch user backup 1"}, "want \"m2mwatch application backup 2\""},
		{"of nothing", map[string]any{"format": "m2mwatch application backup 2", "client": map[string]any{}}, "no client_id"},
	} {
		if err := vault.Save(filepath.Join("backups", c.name), c.content); err != nil {
			t.Fatal(err)
		}
		o.fails(exitError, c.want, "apps", "restore", filepath.Join("backups", c.name), "--backup-identity", "key", "--secret-file", "secret")
	}
	o.fails(exitUsage, "--backup-identity", "apps", "restore", "file", "--secret-file", "secret")
	if n := o.apps("exporter"); n != 1 {
		t.Errorf("%d are there", n)
	}
}

// A backup of an application with grants to organizations needs one scope more,
// and is told so before anything is deleted.
func TestADeletionSaysWhatItsBackupNeeds(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a, _ := o.organized()
	o.become("read:clients", "delete:clients", "read:client_grants", "read:client_credentials")
	o.fails(exitError, "needs: read:organization_client_grants\n", "apps", "delete", a.ID, "--force", "--backup-identity", "key")
	if n := o.apps("exporter"); n != 1 {
		t.Errorf("%d are there", n)
	}
	o.must("apps", "delete", a.ID, "--force", "--no-backup")
}
