package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnExportIsPlannedAndProposesNothing(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders")
	a := o.app("exporter", "--owner", "data-team", "--grant", "read:orders@"+api)
	o.role("loader")
	u := o.create("--email", "nightly@example.com", "--role", "loader", "--owner", "data-team", "--app-metadata", `{"api_token": "w8fKq2"}`)
	file := filepath.Join(t.TempDir(), "machines.yaml")
	_, said := o.must("export", "-o", file)
	if !strings.Contains(said, "1 users, 1 roles") || !strings.Contains(said, "left out: user "+u.ID+": app_metadata: api_token sounds like a secret") {
		t.Errorf("said %q", said)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"$schema=https://", "client_id: " + a.ID, "user_id: " + u.ID, "- name: loader", "owner: data-team"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if out, said := o.must("plan", "-f", file, "--detailed-exitcode"); out != "" || said != "nothing to do\n" {
		t.Errorf("planned as %q, said %q", out, said)
	}
	if again, _ := o.must("export"); again != string(text) {
		t.Errorf("printed otherwise:\n%s", again)
	}
	o.fails(exitUsage, "it is there already", "export", "-o", file)
	o.must("export", "-o", file, "--force", "--all-roles", "--organizations")
	o.noSecret(filepath.Dir(file), a.Secret, u.Password, "w8fKq2")
}

func TestAPlanIsPrintedInThreeForms(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	a := o.app("exporter", "--owner", "data-team")
	file := filepath.Join(t.TempDir(), "machines.yaml")
	writeFiles(t, map[string]string{file: `version: 1
tenant: ` + strings.TrimPrefix(o.base, "http://") + `
applications:
  - {key: exporter, adopt: ` + a.ID + `, owner: "", purpose: "a & b"}
users:
  - {key: nightly, email: nightly@example.com}
`})
	want := `~ application exporter (` + a.ID + `)
    m2mwatch_key: none → "exporter"
    owner: "data-team" → none
    purpose: none → "a & b"
+ user nightly
    connection: "Username-Password-Authentication"
    email: "nightly@example.com"
`
	if got, said := o.must("plan", "-f", file); got != want || said != "1 to create, 1 to change, 0 to delete\n" {
		t.Errorf("said %q, printed\n%s\nwant\n%s", said, got, want)
	}
	var plan struct {
		Changes []struct{ Action, Kind, Key, ID string }
	}
	out, _ := o.must("plan", "-f", file, "--json")
	if err := json.Unmarshal([]byte(out), &plan); err != nil || len(plan.Changes) != 2 || plan.Changes[0].ID != a.ID || plan.Changes[1].Action != "create" {
		t.Errorf("%v, printed\n%s", err, out)
	}
	if out, _ := o.must("plan", "-f", file, "--terraform"); !strings.Contains(out, `resource "auth0_client" "exporter" {`) || !strings.Contains(out, "var.password_of_nightly") {
		t.Errorf("printed\n%s", out)
	}
	o.admin("PATCH", "clients/"+a.ID, map[string]any{"app_type": "regular_web"}, nil)
	o.fails(exitError, "people may sign in through it: say --any", "plan", "-f", file)
	if got, _ := o.must("plan", "-f", file, "--any"); got != want {
		t.Errorf("with --any it printed\n%s", got)
	}
	if _, said := o.must("export"); !strings.Contains(said, "application exporter ("+a.ID+") is not a machine's alone (app_type regular_web") {
		t.Errorf("export said %q", said)
	}
	o.admin("PATCH", "clients/"+a.ID, map[string]any{"app_type": "non_interactive"}, nil)
	o.fails(exitDiffers, "there is something to do", "plan", "-f", file, "--detailed-exitcode")
	o.fails(exitError, "is of the tenant", "plan", "-f", file, "--domain", "other.eu.auth0.com")
}

func TestAPlanRefusesAFileThatIsWrong(t *testing.T) {
	o := newProvisioner(t, "read:clients", "read:client_grants")
	dir := t.TempDir()
	files := map[string]string{
		"typo.yaml":    "version: 1\napplications:\n  - kye: x\n",
		"missing.yaml": "version: 1\napplications:\n  - {key: x, adopt: nothing}\n",
		"users.yaml":   "version: 1\nusers: []\n",
	}
	for name, text := range files {
		writeFiles(t, map[string]string{filepath.Join(dir, name): text})
	}
	o.fails(exitUsage, "want --file", "plan")
	o.fails(exitError, "no such file", "plan", "-f", filepath.Join(dir, "nothing"))
	o.fails(exitError, `line 3: applications: there is no key "kye"`, "plan", "-f", filepath.Join(dir, "typo.yaml"))
	o.fails(exitError, "line 3: application x: there is no M2M application nothing", "plan", "-f", filepath.Join(dir, "missing.yaml"))
	o.fails(exitError, "plan needs: read:users\n", "plan", "-f", filepath.Join(dir, "users.yaml"))
}
