package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// TestConfigurationReloadsWithoutRestart rotates a webhook secret, adds a
// tenant, and shows that a broken file changes nothing.
func TestConfigurationReloadsWithoutRestart(t *testing.T) {
	dir := t.TempDir()
	file, secretFile := filepath.Join(dir, "m2mwatch.yaml"), filepath.Join(dir, "acme.secret")
	save := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const tokens = "api: {tokens: [{name: test, token: " + testToken + "}]}\n"
	save(secretFile, "first-secret-value\n")
	save(file, "tenants: [{name: acme, secret_files: [acme.secret]}]\n"+tokens)
	i := startProgram(t, nil, "up", "--config", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-format", "json")

	// answers returns the webhook's status for a tenant and a secret.
	answers := func(tenant, secret string) int {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, i.api+"/v1/logs/"+tenant, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+secret)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	becomes := func(what string, want int, tenant, secret string) {
		t.Helper()
		i.eventually(what, func() error {
			if got := answers(tenant, secret); got != want {
				return fmt.Errorf("got %d, want %d", got, want)
			}
			return nil
		})
	}
	if got := answers("acme", "first-secret-value"); got != http.StatusOK {
		t.Fatalf("the first secret: got %d", got)
	}
	save(secretFile, "second-secret-value\n")
	becomes("the second secret", http.StatusOK, "acme", "second-secret-value")
	if got := answers("acme", "first-secret-value"); got != http.StatusUnauthorized {
		t.Errorf("the first secret after its end: got %d", got)
	}
	save(file, "tenants: [{name: acme, secret_files: [acme.secret]}, {name: other, secrets: [others-secret-value]}]\n"+tokens)
	becomes("the new tenant", http.StatusOK, "other", "others-secret-value")

	save(file, "store: {retention: 30d}\ntenants: [{name: acme, secret_files: [acme.secret]}]\n"+tokens)
	i.eventually("the word about a restart", func() error {
		if !strings.Contains(i.log(), "apply at the next start") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	restarts := strings.Count(i.log(), "apply at the next start")
	delivers := func(from string) int {
		t.Helper()
		request, err := http.NewRequest(http.MethodPost, i.api+"/v1/logs/acme", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "second-secret-value")
		request.Header.Set("X-Forwarded-For", from)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	const base = "store: {retention: 30d}\ntenants: [{name: acme, secret_files: [acme.secret]}]\n" + tokens
	save(file, base+"ingest: {allow: [203.0.113.0/24]}\n")
	i.eventually("the refusal of a list that nobody could be on", func() error {
		if !strings.Contains(i.log(), "the sender's address is not known") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	save(file, base+"ingest: {allow: [203.0.113.0/24]}\nwebhook_listen: 0.0.0.0:0\n")
	i.eventually("the refusal of a list that only a restart makes valid", func() error {
		if !strings.Contains(i.log(), "needs a restart to be valid") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	if got := delivers("198.51.100.1"); got != http.StatusOK {
		t.Errorf("with no list in force: got %d", got)
	}
	save(file, base+"ingest: {allow: [203.0.113.0/24]}\ntrusted_proxies: [127.0.0.1]\n")
	i.eventually("the list", func() error {
		if got := delivers("198.51.100.1"); got != http.StatusForbidden {
			return fmt.Errorf("got %d", got)
		}
		return nil
	})
	if got := delivers("198.51.100.1, 203.0.113.9"); got != http.StatusOK {
		t.Errorf("from an address on the list: got %d", got)
	}
	if got := delivers("203.0.113.9, 198.51.100.1"); got != http.StatusForbidden {
		t.Errorf("from an address that claims to be on the list: got %d", got)
	}
	if strings.Count(i.log(), "apply at the next start") != restarts {
		t.Errorf("a restart is asked for:\n%s", i.log())
	}

	save(file, "tenants: [{name: UPPER, secrets: [x]}]\n")
	i.eventually("the refusal of a broken file", func() error {
		if !strings.Contains(i.log(), "the changed configuration is not valid, the old one stays") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	if got := delivers("203.0.113.9"); got != http.StatusOK {
		t.Errorf("after a broken file: got %d", got)
	}
	for _, secret := range []string{"first-secret-value", "second-secret-value", "others-secret-value", testToken} {
		if strings.Contains(i.log(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	i.interrupt()
}

// TestReloadTakesFilesThatComeLater looks by itself instead of waiting for the
// next tick.
func TestReloadTakesFilesThatComeLater(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "m2mwatch.yaml")
	save := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("m2mwatch.yaml", "tenants: [{name: acme, secrets: [first-secret-value]}]")
	origin := config.Origin{File: file}
	current, err := config.Load(origin)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	applied := 0
	r := newReloader(origin, current, slog.New(slog.NewTextHandler(&log, nil)), func(c *config.Config) {
		applied++
		current = c
	})
	looks := func(what string, changes, refusals int) {
		t.Helper()
		for range 3 { // a second look at the same files has nothing to say
			r.look()
		}
		if got := strings.Count(log.String(), "not valid"); applied != changes || got != refusals {
			t.Errorf("%s: applied %d, want %d; refused %d, want %d\n%s", what, applied, changes, got, refusals, &log)
		}
	}
	looks("as it was read", 0, 0)
	save("m2mwatch.yaml", "tenants: [{name: acme, secret_files: [new]}]\nnats: {password_file: password}")
	looks("two files are not there", 0, 1)
	save("password", "of-the-broker")
	looks("one is not there", 0, 2)
	save("new", "second-secret-value")
	looks("both are there", 1, 2)
	if got := config.Reveal(current.Tenants[0].Secrets); len(got) != 1 || got[0] != "second-secret-value" {
		t.Errorf("%d secrets, of another value", len(got))
	}
	save("m2mwatch.yaml", "tenants: [{name: acme, secret_files: [new, newer]}]\nnats: {password_file: password")
	looks("it cannot be parsed", 1, 3)
	save("m2mwatch.yaml", "tenants: [{name: acme, secret_files: [new, newer]}]\nnats: {password_file: password}")
	looks("it names another that is not there", 1, 4)
	save("newer", "third-secret-value")
	looks("it has come", 2, 4)
}
