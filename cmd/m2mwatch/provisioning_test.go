package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// newProvisioner makes an operator whose application has these scopes of the
// Management API and no others.
func newProvisioner(t *testing.T, scopes ...string) *operator {
	t.Helper()
	o := newOperator(t, "terraform-ci")
	o.become(scopes...)
	return o
}

// become makes an application with these scopes, which the operator then is.
func (o *operator) become(scopes ...string) {
	o.t.Helper()
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	o.admin("POST", "clients", map[string]any{"name": "provisioner", "app_type": "non_interactive", "grant_types": []string{"client_credentials"}}, &client)
	o.admin("POST", "client-grants", map[string]any{"client_id": client.ID, "audience": "https://" + o.tenant.Domain() + "/api/v2/", "scope": scopes}, nil)
	o.client.ID, o.client.Secret = client.ID, client.Secret
	o.environ = []string{
		"AUTH0_DOMAIN=" + strings.TrimPrefix(o.base, "http://"), "AUTH0_CLIENT_ID=" + client.ID, "AUTH0_CLIENT_SECRET=" + client.Secret,
	}
}

// admin calls the Management API as an administrator; path is escaped.
func (o *operator) admin(method, path string, body, answer any) (status int) {
	o.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		o.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.base+"/api/v2/"+path, bytes.NewReader(text))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.tenant.AdminToken())
	response, err := cmp.Or(o.http, http.DefaultClient).Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if answer != nil {
		if err := json.Unmarshal(raw, answer); err != nil {
			o.t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, raw)
		}
	}
	return response.StatusCode
}

// api makes an API with scopes, and returns its identifier.
func (o *operator) api(scopes ...string) string {
	o.t.Helper()
	identifier, values := "https://api.example.com/"+scopes[0], []map[string]string{}
	for _, scope := range scopes {
		values = append(values, map[string]string{"value": scope})
	}
	if status := o.admin("POST", "resource-servers", map[string]any{"identifier": identifier, "scopes": values}, nil); status != http.StatusCreated {
		o.t.Fatalf("make an API: status %d", status)
	}
	return identifier
}

// role makes a role, and returns its id.
func (o *operator) role(name string) string {
	o.t.Helper()
	var role struct{ ID string }
	o.admin("POST", "roles", map[string]any{"name": name}, &role)
	return role.ID
}

// must runs a command that has to do well, and returns what it prints.
func (o *operator) must(args ...string) (stdout, stderr string) {
	o.t.Helper()
	stdout, stderr, code := o.run("", args...)
	if code != exitOK {
		o.t.Fatalf("%q: exit %d, %s", args, code, stderr)
	}
	return stdout, stderr
}

// fails runs a command that has to end with a code and say something.
func (o *operator) fails(code int, want string, args ...string) (stdout string) {
	o.t.Helper()
	stdout, stderr, got := o.run("", args...)
	if got != code || !strings.Contains(stderr, want) {
		o.t.Errorf("%q: exit %d, %s; want %d, …%s…", args, got, stderr, code, want)
	}
	return stdout
}

// allScopes are those of all provisioning commands.
func allScopes() []string {
	var scopes []string
	for _, n := range provision.Needs() {
		scopes = append(scopes, n.Scopes...)
	}
	return scopes
}

func TestEachProvisioningCommandHasScopes(t *testing.T) {
	var missing []string
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasSubCommands() && !slices.ContainsFunc(provision.Needs(), func(n provision.Need) bool { return n.Command == commandName(c) }) {
			missing = append(missing, commandName(c))
		}
	}
	commands := map[string]bool{}
	for _, noun := range newRoot(&invocation{}).Commands() {
		if isProvisioning(noun) {
			walk(noun)
			commands[commandName(noun)] = true
			for _, sub := range noun.Commands() {
				commands[commandName(sub)] = true
				for _, below := range sub.Commands() {
					commands[commandName(below)] = true
				}
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("provision.Needs says nothing of %q", missing)
	}
	for _, n := range provision.Needs() {
		if !commands[n.Command] {
			t.Errorf("provision.Needs has %q, which is no command", n.Command)
		}
	}
}

func isProvisioning(c *cobra.Command) bool {
	return slices.Contains([]string{"users", "roles", "apps", "streams", "grants", "apis", "actions", "export", "plan", "backfill", "assess", "apply"}, c.Name())
}

func TestScopesTellsWhatACommandNeeds(t *testing.T) {
	o := &operator{t: t}
	out, _ := o.must("scopes", "users", "create")
	for _, want := range []string{"users create  -             create:users read:users\n", "users create  --permission  update:users read:resource_servers\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	o.fails(exitUsage, "no provisioning command", "scopes", "coffee")
}

func TestACommandNamesTheScopesThatItLacks(t *testing.T) {
	o := newProvisioner(t, "read:users")
	file := filepath.Join(t.TempDir(), "password")
	o.fails(exitError, "users create needs: create:users update:users read:roles create:role_members read:role_members\n",
		"users", "create", "--email", "a@example.com", "--role", "exporter", "--password-file", file)
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a password of nobody")
	}
	o.must("users", "list")
}

func TestScopesThatAreGrantedLaterAreFound(t *testing.T) {
	o := newProvisioner(t, "read:users")
	o.must("users", "list") // its token is kept
	var grants []struct{ ID string }
	o.admin("GET", "client-grants?client_id="+o.client.ID, nil, &grants)
	o.admin("PATCH", "client-grants/"+grants[0].ID, map[string]any{"scope": []string{"read:users", "create:users"}}, nil)
	o.create("--email", "m@example.com")
}
