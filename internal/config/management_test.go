package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// managed loads a tenant with these members of management.
func managed(t *testing.T, tenant, management string) (*Tenant, error) {
	t.Helper()
	file := write(t, "m2mwatch.yaml", fmt.Sprintf("tenants: [{name: acme, %s management: {%s}}]\n", tenant, management))
	c, err := Load(Origin{File: file})
	if err != nil {
		return nil, err
	}
	return &c.Tenants[0], nil
}

const (
	domain  = "domain: acme.eu.auth0.com, "
	stream  = "secrets: [0123456789abcdef], "
	watcher = "client_id: abc, client_secret: a-secret-of-its-own"
)

func TestATenantWithoutALogStreamIsPulled(t *testing.T) {
	for _, c := range []struct {
		tenant, management string
		want               bool
	}{
		{domain, watcher, true},
		{domain + stream, watcher, false},
		{domain + stream, watcher + ", pull: always", true},
		{domain + stream, watcher + ", pull: never", false},
	} {
		tenant, err := managed(t, c.tenant, c.management)
		if err != nil {
			t.Errorf("%s%s: %v", c.tenant, c.management, err)
			continue
		}
		if got := tenant.Pulled(); got != c.want {
			t.Errorf("%s%s: pulled is %t", c.tenant, c.management, got)
		}
	}
}

func TestTheInventoryIsReadByTheHourUnlessToldOtherwise(t *testing.T) {
	for span, want := range map[string]time.Duration{"": time.Hour, ", inventory: never": 0, ", inventory: 15m": 15 * time.Minute} {
		tenant, err := managed(t, domain, watcher+span)
		if err != nil {
			t.Fatal(err)
		}
		if got := tenant.InventoryEvery(); got != want {
			t.Errorf("%q: every %s, want %s", span, got, want)
		}
	}
	if without := (&Tenant{Name: "acme"}); without.InventoryEvery() != 0 || without.Pulled() {
		t.Error("a tenant that nobody can ask is asked")
	}
}

func TestAnApplicationThatCannotAskIsRefused(t *testing.T) {
	for _, c := range []struct{ tenant, management, want string }{
		{"", watcher, "want the tenant's domain"},
		{domain, "client_secret: 0123456789abcdef", "want client_id"},
		{domain, "client_id: abc", "want one of client_secret_file"},
		{domain, watcher + ", private_key: PEM", "want one of client_secret_file"},
		{domain, watcher + ", pull: sometimes", "want auto, always or never"},
		{domain, watcher + ", pull: never", "no logs would come"},
		{domain, watcher + ", inventory: 3s", "want a span of a minute"},
		{domain, watcher + ", inventory: soon", "want a span of a minute"},
		{domain + stream, "", "there is nobody to ask it as"},
	} {
		_, err := managed(t, c.tenant, c.management)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s%s: got %v, want …%s…", c.tenant, c.management, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "a-secret-of-its-own") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
