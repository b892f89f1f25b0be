package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// simApp is what the tests read of an application.
type simApp struct {
	ID         string         `json:"client_id"`
	Name       string         `json:"name"`
	Secret     string         `json:"client_secret"`
	GrantTypes []string       `json:"grant_types"`
	Metadata   map[string]any `json:"client_metadata"`
}

// app makes an application by the command, and returns it with its secret.
func (o *operator) app(args ...string) simApp {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "secret")
	out, _ := o.must(append([]string{"apps", "create", "--json", "--secret-file", file}, args...)...)
	var a simApp
	if err := json.Unmarshal([]byte(out), &a); err != nil || a.Secret != "" {
		o.t.Fatalf("%v, printed\n%s", err, out)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	a.Secret = strings.TrimSpace(string(secret))
	return a
}

// apps counts those of a name.
func (o *operator) apps(name string) (n int) {
	o.t.Helper()
	var apps []simApp
	o.admin("GET", "clients?per_page=100", nil, &apps)
	for _, a := range apps {
		if a.Name == name {
			n++
		}
	}
	return n
}

// getsTokens asks for a token as an application.
func (o *operator) getsTokens(a simApp, audience string) bool {
	o.t.Helper()
	other := &operator{t: o.t, environ: []string{o.environ[0], "AUTH0_CLIENT_ID=" + a.ID, "AUTH0_CLIENT_SECRET=" + a.Secret}}
	_, _, code := other.run("", "tokens", "get", "--no-cache", "--audience", audience)
	return code == exitOK
}

func TestAnApplicationIsMadeDisabledAndEnabled(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders", "write:orders")
	a := o.app("exporter", "--owner", "data-team", "--grant", "write:orders@"+api, "--grant", "read:orders@"+api)
	if len(a.GrantTypes) != 1 || a.Metadata["owner"] != "data-team" || !o.getsTokens(a, api) {
		t.Errorf("it is %+v", a)
	}
	if text, _ := o.must("apps", "list"); !strings.Contains(text, a.ID+"  exporter") {
		t.Errorf("listed as\n%s", text)
	}
	if text, _ := o.must("apps", "show", a.ID); !strings.Contains(text, "write:orders") || strings.Contains(text, a.Secret) {
		t.Errorf("shown as\n%s", text)
	}
	file := filepath.Join(t.TempDir(), "grants")
	o.fails(exitUsage, "nobody to ask", "apps", "disable", a.ID)
	if _, said := o.must("apps", "disable", a.ID, "--dry-run"); !strings.Contains(said, "would disable exporter") || !o.getsTokens(a, api) {
		t.Errorf("said %q", said)
	}
	_, said := o.must("apps", "disable", a.ID, "--force", "--grants-file", file)
	if !strings.Contains(said, "stay good until") || o.getsTokens(a, api) {
		t.Errorf("said %q", said)
	}
	o.fails(exitError, "disabled already", "apps", "disable", a.ID, "--force")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/client-grants", Drop: true})
	o.must("apps", "enable", file)
	o.must("apps", "enable", file) // it may be cut short
	if !o.getsTokens(a, api) {
		t.Error("it gets no tokens")
	}
	o.noSecret(filepath.Dir(file), a.Secret)
}

func TestASecretIsRotated(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders")
	a := o.app("exporter", "--grant", "read:orders@"+api)
	o.fails(exitUsage, "--secret-file FILE", "apps", "rotate", a.ID, "--force")
	file := filepath.Join(t.TempDir(), "secret")
	out, _ := o.must("apps", "rotate", a.ID, "--force", "--secret-file", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	was := a
	a.Secret = strings.TrimSpace(string(text))
	if o.getsTokens(was, api) || !o.getsTokens(a, api) || strings.Contains(out, a.Secret) {
		t.Error("the secret is not another")
	}
	o.fails(exitUsage, "it is there already", "apps", "rotate", a.ID, "--force", "--secret-file", file)
	// What has no place is not made: the old one would be gone, and nobody has the new.
	o.fails(exitError, "no such file or directory", "apps", "rotate", a.ID, "--force", "--secret-file", filepath.Join(t.TempDir(), "nowhere", "secret"))
	if !o.getsTokens(a, api) {
		t.Error("the secret was changed, and is nowhere")
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/clients/" + a.ID, Drop: true})
	o.fails(exitError, "rotate again", "apps", "rotate", a.ID, "--force", "--reveal-secrets")
	o.noSecret(t.TempDir(), a.Secret, was.Secret)
}

func TestAnApplicationHasNoTwin(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/clients", Drop: true})
	file := filepath.Join(t.TempDir(), "secret")
	o.fails(exitError, "lost with the answer", "apps", "create", "exporter", "--grant", "read:orders@"+api, "--secret-file", file)
	if n := o.apps("exporter"); n != 1 {
		t.Errorf("%d were made", n)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("there is a file without a secret")
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/clients", Status: 503})
	o.fails(exitError, "it is not there now", "apps", "create", "loader", "--reveal-secrets")
	o.fails(exitError, "does not have it", "apps", "create", "loader", "--grant", "erase:orders@"+api, "--reveal-secrets")
	if n := o.apps("loader"); n != 0 {
		t.Errorf("%d were made", n)
	}
}

func TestAnAppCommandNamesTheScopesThatItLacks(t *testing.T) {
	o := newProvisioner(t, "read:clients")
	o.must("apps", "list")
	o.fails(exitError, "apps create needs: create:clients create:client_grants read:client_grants read:resource_servers\n", "apps", "create", "x", "--reveal-secrets")
	o.fails(exitError, "apps rotate needs: update:client_keys\n", "apps", "rotate", "x", "--force", "--reveal-secrets")
}

func TestAnApplicationIsChangedAndDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	a := o.app("exporter", "--owner", "a", "--purpose", "b")
	o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/clients/", Drop: true})
	o.must("apps", "update", a.ID, "--owner", "c", "--purpose", "", "--name", "loader")
	var is simApp
	o.admin("GET", "clients/"+a.ID, nil, &is)
	if is.Name != "loader" || is.Metadata["owner"] != "c" || is.Metadata["purpose"] != nil {
		t.Errorf("it is %+v", is)
	}
	o.fails(exitUsage, "nothing to change", "apps", "update", a.ID)
	o.fails(exitUsage, "nobody to ask", "apps", "delete", a.ID, "--no-backup")
	o.fails(exitUsage, "or --no-backup", "apps", "delete", a.ID, "--force")
	if _, said := o.must("apps", "delete", a.ID, "--dry-run", "--no-backup"); !strings.Contains(said, "would delete loader") || o.apps("loader") != 1 {
		t.Errorf("said %q", said)
	}
	dir, key := t.TempDir(), filepath.Join(t.TempDir(), "key")
	out, _ := o.must("apps", "delete", a.ID, "--force", "--backup-dir", dir, "--backup-identity", key)
	text, err := provision.OpenBackup(strings.TrimSpace(out), key)
	if err != nil || !strings.Contains(string(text), `"owner":"c"`) || strings.Contains(string(text), a.Secret) {
		t.Errorf("%v, the backup is\n%s", err, text)
	}
	if n := o.apps("loader"); n != 0 {
		t.Error("it is still there")
	}
	o.fails(exitError, "The client does not exist", "apps", "delete", a.ID, "--force", "--no-backup")
	o.noSecret(dir, a.Secret, "client_id")
}

// Without its own grant m2mwatch could give none back.
func TestM2mwatchIsNotDisabledByItself(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.fails(exitError, "is the application that m2mwatch is here", "apps", "disable", o.client.ID, "--force")
	o.fails(exitError, "is the application that m2mwatch is here", "apps", "delete", o.client.ID, "--force", "--no-backup")
}

// An API that is gone keeps neither the other grants of an application from going
// nor from coming back.
func TestOneGrantThatFailsIsNoReasonToLeaveTheOthers(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	one, two := o.api("read:orders"), o.api("read:stock")
	a := o.app("exporter", "--grant", "read:orders@"+one, "--grant", "read:stock@"+two)
	file := filepath.Join(t.TempDir(), "disabled.json")
	o.must("apps", "disable", a.ID, "--force", "--grants-file", file)
	if o.getsTokens(a, one) || o.getsTokens(a, two) {
		t.Error("it is not disabled")
	}
	if status := o.admin("DELETE", "resource-servers/"+url.PathEscape(one), nil, nil); status != 204 {
		t.Fatalf("the API is not deleted: %d", status)
	}
	o.fails(exitError, "1 of its 2 grants are not given back", "apps", "enable", file)
	if !o.getsTokens(a, two) {
		t.Error("the other grant is not given back")
	}
}
