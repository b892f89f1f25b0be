package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newWatcher is newProvisioner where a server starts, too: an operator has a cache of
// its own, without the engine.
func newWatcher(t *testing.T, scopes ...string) *operator {
	t.Helper()
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", engineLibrary(t))
	return newProvisioner(t, scopes...)
}

// watcherConfig writes a configuration whose server asks the operator's tenant, as
// the operator.
func (o *operator) watcherConfig(more string) string {
	o.t.Helper()
	dir := o.t.TempDir()
	secret := filepath.Join(dir, "watcher.secret")
	file := filepath.Join(dir, "m2mwatch.yaml")
	text := fmt.Sprintf("tenants: [{name: acme, secrets: [%q], domain: %q, management: {client_id: %q, client_secret_file: watcher.secret, inventory: never%s}}]\napi: {tokens: [{name: test, token: %q}]}\nclickhouse: {memory: 768MiB, library: %q}\n",
		testSecret, strings.TrimPrefix(o.base, "http://"), o.client.ID, more, testToken, engineLibrary(o.t))
	for path, content := range map[string]string{secret: o.client.Secret + "\n", file: text} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			o.t.Fatal(err)
		}
	}
	return file
}

// up are the arguments that start a server with a configuration.
func (o *operator) up(config string) []string {
	return []string{"up", "--config", config, "--data", filepath.Join(o.t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--log-format", "json"}
}

func TestAServerThatCouldChangeTheTenantDoesNotStart(t *testing.T) {
	o := newWatcher(t, "read:logs", "update:clients")
	o.fails(exitError, "tenant acme: the token of "+strings.TrimPrefix(o.base, "http://")+": it may do more than a watcher needs: update:clients;", o.up(o.watcherConfig(""))...)
	o.become("read:logs", "read:client_keys")
	o.fails(exitError, "it may do more than a watcher needs: read:client_keys", o.up(o.watcherConfig(""))...)
}

func TestAServerWithReadScopesStarts(t *testing.T) {
	o := newWatcher(t, "read:logs", "read:clients")
	startProgram(t, nil, o.up(o.watcherConfig(""))...).interrupt()
}

func TestAServerMayBeAllowedToWrite(t *testing.T) {
	o := newWatcher(t, "read:logs", "update:clients")
	startProgram(t, nil, o.up(o.watcherConfig(", allow_write: true"))...).interrupt()
}

// The log stream's events must come in though Auth0 cannot be asked.
func TestAServerStartsThoughItsTenantCannotBeAsked(t *testing.T) {
	o := newWatcher(t, "read:logs")
	o.client.Secret = "not-the-one-that-it-has"
	server := startProgram(t, nil, o.up(o.watcherConfig(""))...)
	server.interrupt()
	if log := server.log(); !strings.Contains(log, "the tenant's Management API cannot be asked now") || strings.Contains(log, o.client.Secret) {
		t.Errorf("it says %s", log)
	}
}
