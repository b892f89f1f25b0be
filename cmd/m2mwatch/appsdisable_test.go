package main

import (
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

func TestASecondDisablingLosesNoGrantOfTheFirst(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	one, two := o.api("read:orders"), o.api("read:stock")
	a := o.app("exporter", "--grant", "read:orders@"+one, "--grant", "read:stock@"+two)
	o.tenant.Inject(auth0sim.Fault{Method: "DELETE", Path: "/api/v2/client-grants/", Skip: 1, Times: -1, Status: 400})
	o.fails(exitError, "1 of its 2 grants are left", "apps", "disable", a.ID, "--force")
	o.tenant.Forget()
	files, err := filepath.Glob("disabled-" + a.ID + "-*.json")
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, kept in %q", err, files)
	}
	o.fails(exitError, "Say --merge "+files[0], "apps", "disable", a.ID, "--force")
	o.fails(exitError, "Say --merge "+files[0], "apps", "disable", a.ID, "--dry-run")
	o.fails(exitUsage, "it is there already", "apps", "disable", a.ID, "--force", "--grants-file", files[0])
	o.must("apps", "disable", a.ID, "--force", "--merge", files[0], "--grants-file", "all.json")
	o.fails(exitError, files[0]+" has its grants", "apps", "disable", a.ID, "--force")
	if o.getsTokens(a, one) || o.getsTokens(a, two) {
		t.Error("it is not disabled")
	}
	o.must("apps", "enable", "all.json")
	if !o.getsTokens(a, one) || !o.getsTokens(a, two) {
		t.Error("not both grants are given back")
	}
	// A file whose grants are all there is nothing to miss.
	o.must("apps", "disable", a.ID, "--force")
}

// How long tokens stay good is only told: it keeps nobody from taking the grants.
func TestAnApplicationIsDisabledWhoseAPICannotBeRead(t *testing.T) {
	for name, harm := range map[string]func(*operator){
		"no answer": func(o *operator) {
			o.tenant.Inject(auth0sim.Fault{Method: "GET", Path: "/api/v2/resource-servers/", Times: -1, Status: 400})
		},
		"no scope": func(o *operator) { o.become("read:clients", "read:client_grants", "delete:client_grants") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			api := o.api("read:orders")
			a := o.app("exporter", "--grant", "read:orders@"+api)
			harm(o)
			_, said := o.must("apps", "disable", a.ID, "--force", "--grants-file", filepath.Join(t.TempDir(), "grants"))
			if !strings.Contains(said, "is disabled") || !strings.Contains(said, "until when tokens of "+api+" that it has stay good is unknown: ") {
				t.Errorf("said\n%s", said)
			}
			if o.getsTokens(a, api) {
				t.Error("it gets tokens")
			}
		})
	}
}

func TestWhatWasTakenOnPurposeIsNotMissedForEver(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	one, two := o.api("read:orders"), o.api("read:stock")
	a := o.app("exporter", "--grant", "read:orders@"+one, "--grant", "read:stock@"+two)
	out, _ := o.must("apps", "disable", a.ID, "--force")
	first := strings.TrimSpace(out)
	o.must("apps", "enable", first)
	var grants []struct{ ID, Audience string }
	o.admin("GET", "client-grants?client_id="+a.ID+"&audience="+url.QueryEscape(one), nil, &grants)
	o.admin("DELETE", "client-grants/"+grants[0].ID, nil, nil)
	o.fails(exitError, "--ignore-earlier", "apps", "disable", a.ID, "--force")
	o.must("apps", "disable", a.ID, "--force", "--ignore-earlier", "--grants-file", "second.json")
	text, err := os.ReadFile("second.json")
	if err != nil || strings.Contains(string(text), one) || !strings.Contains(string(text), two) {
		t.Errorf("%v, kept\n%s", err, text)
	}
	other := o.app("loader")
	o.fails(exitError, "is of application "+a.ID, "apps", "disable", other.ID, "--force", "--merge", first)
	o.fails(exitError, "it has no grants", "apps", "disable", other.ID, "--dry-run")
}

func TestGrantsComeBackWithTheirOrganizations(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a, _ := o.organized()
	before := o.accessOf(a.ID)
	o.must("apps", "disable", a.ID, "--force", "--grants-file", "grants.json")
	if now := o.accessOf(a.ID); strings.Contains(now, "globex") {
		t.Fatalf("it can get at\n%s", now)
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/organizations/", Drop: true})
	o.must("apps", "enable", "grants.json")
	if after := o.accessOf(a.ID); after != before {
		t.Errorf("it can get at\n%s\nand could at\n%s", after, before)
	}
	scopes := []string{"read:clients", "read:client_grants", "create:client_grants", "delete:client_grants"}
	o.become(scopes...)
	o.fails(exitError, "needs: read:organization_client_grants\n", "apps", "disable", a.ID, "--force", "--ignore-earlier")
	o.fails(exitError, "needs: create:organization_client_grants read:organization_client_grants\n", "apps", "enable", "grants.json")
}

func TestAGrantThatIsAnotherIsNotTakenForTheOneGivenBack(t *testing.T) {
	for name, other := range map[string]map[string]any{
		"organization_usage is allow":                 {"organization_usage": "allow"},
		"allow_any_organization is true":              {"organization_usage": "allow", "allow_any_organization": true},
		`it has the scopes ["write:orders"]`:          {"scope": []string{"write:orders"}},
		`authorization_details_types are ["payment"]`: {"authorization_details_types": []string{"payment"}},
	} {
		o := newProvisioner(t, allScopes()...)
		api := o.api("read:orders", "write:orders")
		a := o.app("exporter", "--grant", "read:orders@"+api)
		file := filepath.Join(t.TempDir(), "grants")
		o.must("apps", "disable", a.ID, "--force", "--grants-file", file)
		grant := map[string]any{"client_id": a.ID, "audience": api, "scope": []string{"read:orders"}}
		maps.Copy(grant, other)
		if status := o.admin("POST", "client-grants", grant, nil); status != 201 {
			t.Fatalf("%s: status %d", name, status)
		}
		o.fails(exitError, name, "apps", "enable", file)
	}
}

func TestAFileWithoutGrantsIsNoneOfDisable(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	writeFiles(t, map[string]string{
		"null":  `{"format": "m2mwatch disabled application 1", "client_id": "x", "grants": null}`,
		"other": `{"format": "m2mwatch application backup 2"}`,
	})
	o.fails(exitError, "there is nothing to give back", "apps", "enable", "null")
	o.fails(exitError, `want "m2mwatch disabled application 2"`, "apps", "enable", "other")
}
