package main

import (
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

func TestAnApplicationOfPeopleIsNotChangedByChance(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	for _, made := range []map[string]any{
		{"name": "website", "app_type": "regular_web", "grant_types": []string{"client_credentials"}},
		{"name": "both", "app_type": "non_interactive", "grant_types": []string{"client_credentials", "authorization_code"}},
	} {
		var a simApp
		o.admin("POST", "clients", made, &a)
		o.admin("POST", "client-grants", map[string]any{"client_id": a.ID, "audience": api, "scope": []string{"read:orders"}}, nil)
		for _, args := range [][]string{
			{"update", a.ID, "--owner", "x"},
			{"disable", a.ID, "--force"},
			{"rotate", a.ID, "--force", "--secret-file", "secret"},
			{"rotate", a.ID, "--new-key-file", "key.pem", "--force"},
			{"delete", a.ID, "--force", "--no-backup"},
		} {
			o.fails(exitError, "say --any if it is meant", append([]string{"apps"}, args...)...)
		}
		o.must("apps", "update", a.ID, "--owner", "x", "--any")
		o.must("apps", "delete", a.ID, "--force", "--no-backup", "--any")
	}
}

func TestSecretsOfAddonsAreShownWhenAskedForAlone(t *testing.T) {
	o := newProvisioner(t, append(allScopes(), "read:client_keys")...)
	var a simApp
	o.admin("POST", "clients", map[string]any{
		"name": "exporter", "app_type": "non_interactive", "grant_types": []string{"client_credentials"},
		"addons": map[string]any{
			"azure_sb": map[string]any{"namespace": "orders", "sasKey": "sas-key-of-orders"},
			"firebase": map[string]any{"secret": "secret-of-firebase"}, "wams": map[string]any{"masterkey": "master-key-of-media"},
		},
		"encryption_key": map[string]any{"pub": "public-key-of-replies"},
	}, &a)
	secrets := []string{a.Secret, "sas-key-of-orders", "secret-of-firebase", "master-key-of-media", "public-key-of-replies", "BEGIN CERTIFICATE"}
	for _, args := range [][]string{
		{"show", a.ID}, {"show", a.ID, "--json"}, {"list", "--json"}, {"update", a.ID, "--owner", "x", "--json"},
	} {
		out, said := o.must(append([]string{"apps"}, args...)...)
		for _, secret := range secrets {
			if strings.Contains(out+said, secret) {
				t.Errorf("%q prints %s", args, secret)
			}
		}
		if !strings.Contains(out, "orders") && args[0] == "show" || strings.Count(said, "hidden: ") != 1 {
			t.Errorf("%q said %q, printed\n%s", args, said, out)
		}
	}
	if _, said := o.must("apps", "list"); said != "" {
		t.Errorf("a table has no secrets, and it said %q", said)
	}
	out, _ := o.must("apps", "show", a.ID, "--reveal-secrets", "--json")
	for _, secret := range secrets {
		if !strings.Contains(out, secret) {
			t.Errorf("%s is not in\n%s", secret, out)
		}
	}
	out, _ = o.must("apps", "create", "loader", "--reveal-secrets", "--json")
	if !strings.Contains(out, "client_secret") {
		t.Errorf("printed\n%s", out)
	}
}

func TestADryRunOfARotationNeedsNoPlaceForASecret(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a := o.app("exporter")
	if _, said := o.must("apps", "rotate", a.ID, "--dry-run"); !strings.Contains(said, "would give another secret to exporter") {
		t.Errorf("said %q", said)
	}
}

// Who is killed between the rotation and the writing of the secret leaves a file
// of spaces.
func TestAFileThatWasReservedAndNeverFilledIsKnown(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	a := o.app("exporter", "--grant", "read:orders@"+api)
	writeFiles(t, map[string]string{"secret": strings.Repeat(" ", 256), "mine": strings.Repeat(" ", 255) + "x"})
	o.fails(exitUsage, "was reserved by a run that was killed", "apps", "create", "loader", "--secret-file", "secret")
	o.fails(exitUsage, "it is there already", "apps", "rotate", a.ID, "--force", "--secret-file", "mine")
	if _, said := o.must("apps", "rotate", a.ID, "--force", "--secret-file", "secret"); !strings.Contains(said, "this makes another") {
		t.Errorf("said %q", said)
	}
	secret, err := os.ReadFile("secret")
	if err != nil {
		t.Fatal(err)
	}
	if a.Secret = strings.TrimSpace(string(secret)); len(a.Secret) != 64 || !o.getsTokens(a, api) {
		t.Errorf("the file has %d bytes", len(secret))
	}
}

func TestADeletionOfAnApplicationIsLookedForWhereNoAnswerCame(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a := o.app("exporter")
	o.tenant.Inject(auth0sim.Fault{Method: "DELETE", Path: "/api/v2/clients/", Times: -1, Drop: true})
	o.must("apps", "delete", a.ID, "--force", "--no-backup")
	o.tenant.Forget()
	if n := o.apps("exporter"); n != 0 {
		t.Errorf("%d are there", n)
	}
}
