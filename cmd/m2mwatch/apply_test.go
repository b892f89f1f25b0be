package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// machinesYAML writes a file for an API.
func machinesYAML(t *testing.T, path, api, more string) {
	t.Helper()
	writeFiles(t, map[string]string{path: `version: 1
applications:
  - key: loader
    owner: data-team
    grants: [{audience: ` + api + `, scopes: [read:orders]}]
` + more})
}

func TestMachinesAreAppliedAgainAndDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, dir := o.api("read:orders"), t.TempDir()
	file, secrets := filepath.Join(dir, "machines.yaml"), filepath.Join(dir, "secrets")
	machinesYAML(t, file, api, "users:\n  - {key: nightly, email: nightly@example.com, roles: [exporter]}\nroles:\n  - {name: exporter}\n")
	o.fails(exitUsage, "nobody to ask", "apply", "-f", file)
	o.fails(exitUsage, "--secrets-dir DIR", "apply", "-f", file, "--force")
	plan, said := o.must("apply", "-f", file, "--dry-run", "--secrets-dir", secrets)
	if !strings.Contains(plan, "+ application loader") || said != "3 to create, 0 to change, 0 to delete\n" || o.apps("loader") != 0 {
		t.Errorf("said %q, printed\n%s", said, plan)
	}
	if _, err := os.Stat(secrets); err == nil {
		t.Error("a dry run made a folder")
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/clients", Drop: true})
	_, said = o.must("apply", "-f", file, "--force", "--secrets-dir", secrets)
	for _, want := range []string{"made role exporter (rol_", "made application loader (", "made user nightly (auth0|", "3 changes made\n"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	secret, password := readTrimmed(t, filepath.Join(secrets, "app-loader.secret")), readTrimmed(t, filepath.Join(secrets, "user-nightly.password"))
	var apps []simApp
	o.admin("GET", "clients?per_page=100", nil, &apps)
	for _, a := range apps {
		if a.Name == "loader" && !o.getsTokens(simApp{ID: a.ID, Secret: secret}, api) {
			t.Error("the secret opens nothing")
		}
	}
	if plan, said := o.must("apply", "-f", file, "--force", "--secrets-dir", secrets); plan != "" || said != "nothing to do\n" || o.apps("loader") != 1 || o.found("nightly@example.com") != 1 {
		t.Errorf("again: said %q, printed\n%s", said, plan)
	}

	machinesYAML(t, file, api, "users: []\n")
	if _, said := o.must("apply", "-f", file, "--force"); !strings.Contains(said, "1 are not deleted: say --delete") || o.found("nightly@example.com") != 1 {
		t.Errorf("said %q", said)
	}
	o.fails(exitUsage, "--backup-identity FILE", "apply", "-f", file, "--force", "--delete")
	key := filepath.Join(dir, "key")
	out, said := o.must("apply", "-f", file, "--force", "--delete", "--backup-identity", key, "--backup-dir", filepath.Join(dir, "backups"))
	if !strings.Contains(said, "1 change made\n") {
		t.Errorf("said %q", said)
	}
	backup := strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
	if o.found("nightly@example.com") != 0 || !strings.HasPrefix(out, "- user nightly (nightly@example.com, auth0|") {
		t.Errorf("printed\n%s", out)
	}
	o.must("users", "restore", backup, "--backup-identity", key, "--password-file", filepath.Join(dir, "password"))
	writeFiles(t, map[string]string{file: "version: 1\napplications: []\n"})
	out, said = o.must("apply", "-f", file, "--force", "--delete", "--json", "--backup-identity", key, "--backup-dir", filepath.Join(dir, "backups"))
	if !json.Valid([]byte(out)) || !strings.Contains(said, filepath.Join(dir, "backups", "app-")) {
		t.Errorf("said %q, printed\n%s", said, out)
	}
	for _, s := range []string{secret, password} {
		if strings.Contains(o.seen.String(), s) {
			t.Error("a secret was said")
		}
	}
	o.noSecret(filepath.Join(dir, "backups"), secret, password)
}

func readTrimmed(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestApplyNeedsScopesForWhatItDoesAlone(t *testing.T) {
	o := newProvisioner(t, "read:clients", "read:client_grants", "read:resource_servers")
	api, dir := o.api("read:orders"), t.TempDir()
	file, secrets := filepath.Join(dir, "machines.yaml"), filepath.Join(dir, "secrets")
	machinesYAML(t, file, api, "")
	o.fails(exitError, "apply needs: create:clients update:clients update:client_keys delete:clients create:client_grants update:client_grants delete:client_grants\n",
		"apply", "-f", file, "--force", "--secrets-dir", secrets)
	if left, _ := filepath.Glob(filepath.Join(secrets, "app-*")); len(left) != 0 {
		t.Errorf("secrets of nothing are left: %q", left)
	}
	// What it is itself it does not delete.
	o.become(allScopes()...)
	o.admin("PATCH", "clients/"+o.client.ID, map[string]any{"client_metadata": map[string]string{"m2mwatch_key": "me"}}, nil)
	writeFiles(t, map[string]string{file: "version: 1\napplications: []\n"})
	o.fails(exitError, "is the application that m2mwatch is here", "apply", "-f", file, "--force", "--delete", "--no-backup")
	own := o.grants(o.client.ID)[0]
	writeFiles(t, map[string]string{file: "version: 1\napplications:\n  - {key: me, grants: [{audience: '" + own.Audience + "', scopes: []}]}\n"})
	o.fails(exitError, "takes from m2mwatch what it works by", "apply", "-f", file, "--force")
	if left := o.grants(o.client.ID)[0]; len(left.Scope) != len(own.Scope) {
		t.Errorf("it has the scopes %q left", left.Scope)
	}
}
