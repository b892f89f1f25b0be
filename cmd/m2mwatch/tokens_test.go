package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// operator runs commands against a simulated tenant as one of its applications.
type operator struct {
	t      *testing.T
	tenant *auth0sim.Tenant
	base   string       // the tenant's URL
	http   *http.Client // an administrator's way there; nil for the usual one
	client auth0sim.Client
	door   struct { // an application that users sign in at
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	environ []string
	instead *atomic.Pointer[http.HandlerFunc] // serves what the tenant would
	seen    bytes.Buffer                      // all that was printed
}

// newOperator makes one that is the application of that name.
func newOperator(t *testing.T, name string) *operator {
	t.Helper()
	return newOperatorOf(t, auth0sim.Config{}, name)
}

// newOperatorOf makes one of a small tenant that is like c otherwise.
func newOperatorOf(t *testing.T, c auth0sim.Config, name string) *operator {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	c.Seed, c.Machines, c.People = max(c.Seed, 1), 20, 5
	tenant := auth0sim.New(c)
	client, ok := tenant.Client(name)
	if !ok {
		t.Fatalf("the tenant has no client %s", name)
	}
	o := &operator{t: t, tenant: tenant, client: client, instead: new(atomic.Pointer[http.HandlerFunc])}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead := o.instead.Load(); instead != nil {
			(*instead)(w, r)
			return
		}
		tenant.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	o.base, o.environ = server.URL, []string{
		"AUTH0_DOMAIN=" + strings.TrimPrefix(server.URL, "http://"), "AUTH0_CLIENT_ID=" + client.ID, "AUTH0_CLIENT_SECRET=" + client.Secret,
	}
	return o
}

func (o *operator) run(stdin string, args ...string) (stdout, stderr string, code int) {
	o.t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{"m2mwatch"}, args...), o.environ, strings.NewReader(stdin), &out, &errs)
	o.seen.Write(errs.Bytes())
	return out.String(), errs.String(), code
}

func TestATokenIsGotInspectedAndVerified(t *testing.T) {
	o := newOperator(t, "ledger-export")
	token, said, code := o.run("", "tokens", "get", "--audience", o.client.Audience)
	if code != exitOK || strings.Count(token, ".") != 2 || !strings.Contains(said, "good until ") || !strings.Contains(said, "in 2") {
		t.Fatalf("exit %d, %q", code, said)
	}
	if again, _, _ := o.run("", "tokens", "get", "--audience", o.client.Audience); again != token {
		t.Error("a token that is good is not kept")
	}
	if other, _, _ := o.run("", "tokens", "get", "--audience", o.client.Audience, "--no-cache"); other == token || other == "" {
		t.Error("--no-cache printed the kept one")
	}
	claims, _, code := o.run("Bearer "+token, "tokens", "inspect")
	for _, want := range []string{"who issued it: the tenant", o.client.ID + "@clients", o.client.Audience, "client-credentials", "until when it is good", "RS256"} {
		if !strings.Contains(claims, want) {
			t.Errorf("exit %d, %q is not in\n%s", code, want, claims)
		}
	}
	checks, said, code := o.run(token, "tokens", "verify", "--audience", o.client.Audience)
	if code != exitOK || strings.Count(checks, "ok ") != 5 || !strings.Contains(said, "it stays good until ") {
		t.Errorf("exit %d, %q\n%s", code, said, checks)
	}
	checks, said, code = o.run(token, "tokens", "verify", "--audience", "https://another/")
	if code != exitError || !strings.Contains(checks, "want https://another/") || !strings.Contains(said, "not to be believed") {
		t.Errorf("exit %d, %q\n%s", code, said, checks)
	}
	if seen := o.seen.String(); strings.Contains(seen, o.client.Secret) || strings.Contains(seen, strings.TrimSpace(token)) {
		t.Errorf("a secret is in what was said:\n%s", seen)
	}
}

// A flag goes before the environment, whichever of the two ways it names.
func TestASecretOfAFlagGoesBeforeAKeyOfTheEnvironment(t *testing.T) {
	o := newOperator(t, "ledger-export")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(o.client.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.environ = append(o.environ, "AUTH0_PRIVATE_KEY_FILE=/nowhere")
	if _, said, code := o.run("", "tokens", "get", "--audience", o.client.Audience, "--client-secret-file", file); code != exitOK {
		t.Errorf("exit %d, %q", code, said)
	}
}

func TestATokenThatIsRefusedSaysWhy(t *testing.T) {
	o := newOperator(t, "ledger-export")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		{"", []string{"tokens", "get", "--audience", o.client.Audience, "--client-secret-file", file}, exitError, "401 Unauthorized: Unauthorized (access_denied)"},
		{"", []string{"tokens", "get", "--client-secret-file", file, "--private-key-file", file}, exitError, "client-secret-file private-key-file"},
		{"", []string{"tokens", "get", "--private-key-file", file}, exitError, "want PEM"},
		{"", []string{"tokens", "get", "--audience", "https://nowhere/"}, exitError, "403 Forbidden: Service not enabled within domain: https://nowhere/"},
		{"", []string{"tokens", "get"}, exitError, `you need to create a "client-grant" associated to this api`},
		{"", []string{"tokens", "get", "--domain", "https://acme.eu.auth0.com/"}, exitUsage, "want a host name alone"},
		{"", []string{"tokens", "get", "--client-id", ""}, exitUsage, "set AUTH0_CLIENT_ID"},
		{"", []string{"tokens", "get", "--user", "nobody"}, exitUsage, "--password-file"},
		{"", []string{"tokens", "inspect"}, exitUsage, "no token on standard input"},
		{"opaque", []string{"tokens", "inspect"}, exitError, "it is no JWT"},
		{"opaque", []string{"tokens", "verify", "--domain", ""}, exitUsage, "AUTH0_DOMAIN"},
	} {
		if out, said, code := o.run(c.stdin, c.args...); code != c.code || !strings.Contains(strings.ToLower(said), strings.ToLower(c.want)) || out != "" {
			t.Errorf("%q: exit %d, %q, printed %q; want %d, …%s…", c.args, code, said, out, c.code, c.want)
		}
	}
}
