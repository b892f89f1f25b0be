package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func inventoryScopes() []string {
	return []string{"read:clients", "read:client_grants", "read:resource_servers", "read:roles", "read:users", "read:client_credentials", "read:log_streams"}
}

// inventoried is a tenant whose inventory a server reads, as an operator who may
// only read.
type inventoried struct {
	*operator
	server *instance
	data   string
}

func newInventoried(t *testing.T, every string, scopes ...string) *inventoried {
	t.Helper()
	o := newWatcher(t, scopes...)
	config := o.watcherConfig("")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, bytes.Replace(text, []byte("inventory: never"), []byte("inventory: "+every), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	args := o.up(config)
	i := &inventoried{operator: o}
	for n, arg := range args {
		if arg == "--data" {
			i.data = args[n+1]
		}
	}
	i.server = startProgram(t, []string{"M2MWATCH_PACE=look=200ms"}, args...)
	o.environ = append(o.environ, "M2MWATCH_URL="+i.server.api, "M2MWATCH_TOKEN="+testToken)
	return i
}

// makeMachine makes an application with its marks, a grant and a secret, which is
// returned with its id.
func (i *inventoried) makeMachine(name, owner string) (id, secret string) {
	i.t.Helper()
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	i.admin("POST", "clients", map[string]any{
		"name": name, "app_type": "non_interactive", "grant_types": []string{"client_credentials"},
		"client_metadata": map[string]string{"owner": owner, "purpose": "invoices", "api_key": "hunter2-in-metadata"},
	}, &client)
	i.admin("POST", "client-grants", map[string]any{"client_id": client.ID, "audience": i.api("read:" + owner), "scope": []string{"read:" + owner}}, nil)
	return client.ID, client.Secret
}

func TestInventoryIsReadOnDemandAndKeepsNoSecret(t *testing.T) {
	i := newInventoried(t, "never", inventoryScopes()...)
	id, secret := i.makeMachine("invoice-sync", "billing")
	i.admin("POST", "log-streams", map[string]any{"name": "hook", "type": "http", "sink": map[string]any{
		"httpEndpoint": "https://hook.example.com/in?key=hunter2-in-url", "httpAuthorization": "hunter2-in-sink", "httpContentFormat": "JSONLINES", "httpContentType": "application/json",
	}}, nil)
	stdout, _ := i.must("inventory", "sync", "--tenant", "acme")
	for _, kind := range schemas.InventoryKinds() {
		if !strings.Contains(stdout, string(kind)) {
			t.Errorf("%s is not in\n%s", kind, stdout)
		}
	}
	if strings.Contains(stdout, "no: ") {
		t.Errorf("a kind was not read:\n%s", stdout)
	}
	stdout, _ = i.must("inventory", "list", "clients", "--owner", "billing")
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 2 || !strings.Contains(lines[1], id) || !strings.Contains(lines[1], "invoice-sync") {
		t.Errorf("clients of billing:\n%s", stdout)
	}
	if stdout, _ = i.must("identities", "list", "--tenant", "acme", "--owner", "billing"); !strings.Contains(stdout, "app:"+id) || !strings.Contains(stdout, "invoice-sync") {
		t.Errorf("identities of billing, unused:\n%s", stdout)
	}
	if stdout, _ = i.must("identities", "list", "--unused-since", "1d", "--has", "inventory,!owner"); strings.Contains(stdout, id) || !strings.Contains(stdout, "app:"+i.client.ID) {
		t.Errorf("unused ones without an owner:\n%s", stdout)
	}
	stdout, _ = i.must("identities", "show", "app:"+id, "--tenant", "acme")
	for _, want := range []string{`owner +billing`, `purpose +invoices`, `grant +https://api.example.com/read:billing  read:billing`, `last +-`} {
		if !regexp.MustCompile("(?m)^" + want).MatchString(stdout) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	i.fails(exitError, "has:", "identities", "list", "--has", "secrets")
	if stdout, _ = i.must("inventory", "list", "grants", "--identity", "app:"+id, "--csv"); !strings.Contains(stdout, "members.scopes") || !strings.Contains(stdout, "read:billing") {
		t.Errorf("grants as CSV:\n%s", stdout)
	}
	stdout, _ = i.must("inventory", "list", "streams", "--json")
	var page schemas.InventoryPage
	if err := json.Unmarshal([]byte(stdout), &page); err != nil || len(page.Items) != 1 || page.Items[0].Members.Endpoint != "hook.example.com" || page.Items[0].Members.Status != "active" {
		t.Errorf("streams: %v\n%s", err, stdout)
	}
	if status := i.admin("DELETE", "clients/"+id, nil, nil); status != 204 {
		t.Fatalf("delete: %d", status)
	}
	i.must("inventory", "sync", "--tenant", "acme")
	if stdout, _ = i.must("inventory", "changes", "--identity", "app:"+id); strings.Count(stdout, "deleted") != 2 || !strings.Contains(stdout, "grants") {
		t.Errorf("what became of it:\n%s", stdout)
	}
	if stdout, _ = i.must("inventory", "list", "clients", "--owner", "billing", "--deleted"); !strings.Contains(stdout, "(deleted ") {
		t.Errorf("what was deleted:\n%s", stdout)
	}
	i.fails(exitUsage, "--tenant", "inventory", "sync")
	i.fails(exitUsage, "one of clients, grants", "inventory", "list", "secrets")
	i.fails(exitError, "tenants[].domain", "inventory", "sync", "--tenant", "globex")
	i.server.interrupt()
	for _, word := range []string{secret, "hunter2-in-metadata", "hunter2-in-url", "hunter2-in-sink", i.client.Secret} {
		if files := filesWith(t, i.data, word); len(files) > 0 {
			t.Errorf("%s is in %q", word, files)
		}
		if strings.Contains(i.seen.String(), word) || strings.Contains(i.server.log(), word) {
			t.Errorf("%s was printed", word)
		}
	}
}

// filesWith are the files beneath a folder that have a word in them. Parts of tables
// are compressed; those of few rows mostly keep literals whole.
func filesWith(t *testing.T, folder, word string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(word)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestInventoryThatIsNotWholeNamesTheScope(t *testing.T) {
	i := newInventoried(t, "never", "read:clients")
	stdout := i.fails(exitError, "read:client_grants", "inventory", "sync", "--tenant", "acme")
	if !strings.Contains(stdout, "clients") || !strings.Contains(stdout, "whole") {
		t.Errorf("what was read:\n%s", stdout)
	}
	if stdout, _ = i.must("inventory", "list", "clients"); strings.Count(stdout, "\n") < 20 {
		t.Errorf("clients, which were read whole:\n%s", stdout)
	}
}

func TestInventoryIsReadByItself(t *testing.T) {
	i := newInventoried(t, "1h", inventoryScopes()...)
	i.server.eventually("the inventory is read", func() error {
		if clients, said, _ := i.run("", "inventory", "list", "clients"); strings.Count(clients, "\n") < 20 {
			return fmt.Errorf("clients are %q, %s", clients, said)
		}
		return nil
	})
}

func TestAChangeTellsWhatCameAndWhatWent(t *testing.T) {
	for _, c := range []struct {
		member schemas.MemberChange
		want   string
	}{
		{schemas.MemberChange{Name: "scopes", Before: []any{"a", "b"}, After: []any{"b", "c"}}, "scopes +c -a"},
		{schemas.MemberChange{Name: "scopes", After: []any{"a"}}, "scopes +a"},
		{schemas.MemberChange{Name: "status", Before: "active", After: "paused"}, "status active → paused"},
		{schemas.MemberChange{Name: "blocked", After: true}, "blocked none → true"},
		{schemas.MemberChange{Name: "token_lifetime", Before: 3600.0, After: 86400.0}, "token_lifetime 3600 → 86400"},
	} {
		if got := memberChanges([]schemas.MemberChange{c.member}); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
