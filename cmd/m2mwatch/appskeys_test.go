package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// getsTokensBy asks for a token as an application that has a key.
func (o *operator) getsTokensBy(id, keyFile, audience string) bool {
	o.t.Helper()
	other := &operator{t: o.t, environ: []string{o.environ[0], "AUTH0_CLIENT_ID=" + id}}
	_, _, code := other.run("", "tokens", "get", "--no-cache", "--audience", audience, "--private-key-file", keyFile)
	return code == exitOK
}

// keyApp makes an application with a key in a new file.
func (o *operator) keyApp(api, keyFile string) simApp {
	o.t.Helper()
	out, _ := o.must("apps", "create", "signer", "--json", "--grant", "read:orders@"+api, "--new-key-file", keyFile)
	var a simApp
	if err := json.Unmarshal([]byte(out), &a); err != nil || a.Secret != "" {
		o.t.Fatalf("%v, printed\n%s", err, out)
	}
	return a
}

// keysOf are the keys as apps show tells them.
func (o *operator) keysOf(id string) (keys []provision.Credential) {
	o.t.Helper()
	out, _ := o.must("apps", "show", id, "--keys", "--json")
	var shown struct{ Credentials []provision.Credential }
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		o.t.Fatal(err)
	}
	return shown.Credentials
}

func TestAKeyIsRotatedWithoutAGap(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/clients", Drop: true})
	a := o.keyApp(api, "old.pem")
	if !o.getsTokensBy(a.ID, "old.pem", api) || o.apps("signer") != 1 {
		t.Error("it is not made once, with its key")
	}
	if info, err := os.Stat("old.pem"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, the key's file is %v", err, info)
	}
	o.fails(exitError, "no rotation of its keys is under way", "apps", "rotate", a.ID, "--finish", "--force")
	o.fails(exitError, "--new-key-file", "apps", "rotate", a.ID, "--force", "--secret-file", "secret")

	// Every answer is lost once, and nothing is there twice.
	for _, method := range []string{"POST", "PATCH"} {
		o.tenant.Inject(auth0sim.Fault{Method: method, Path: "/api/v2/clients/" + a.ID, Drop: true})
	}
	out, said := o.must("apps", "rotate", a.ID, "--new-key-file", "new.pem", "--key-name", "green", "--key-expires", "90d")
	if !strings.Contains(said, "m2mwatch apps rotate "+a.ID+" --finish") || strings.Count(out, " yes") != 2 || !strings.Contains(out, "  green  ") {
		t.Errorf("said %q, printed\n%s", said, out)
	}
	if !o.getsTokensBy(a.ID, "old.pem", api) || !o.getsTokensBy(a.ID, "new.pem", api) {
		t.Error("there is a gap")
	}
	if _, said := o.must("apps", "rotate", a.ID, "--new-key-file", "new.pem"); !strings.Contains(said, "new.pem is there: its key is used") || len(o.keysOf(a.ID)) != 2 {
		t.Errorf("said %q", said)
	}
	o.fails(exitError, "has 2 keys, and can have no more", "apps", "rotate", a.ID, "--new-key-file", "third.pem")
	if _, said := o.must("apps", "show", a.ID, "--keys"); !strings.Contains(said, "both keys are accepted, and there can be no third") {
		t.Errorf("said %q", said)
	}

	o.fails(exitUsage, "nobody to ask", "apps", "rotate", a.ID, "--finish")
	if _, said := o.must("apps", "rotate", a.ID, "--finish", "--dry-run"); !strings.Contains(said, `stays: `) || len(o.keysOf(a.ID)) != 2 {
		t.Errorf("said %q", said)
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		o.tenant.Inject(auth0sim.Fault{Method: method, Path: "/api/v2/clients/" + a.ID, Drop: true})
	}
	_, said = o.must("apps", "rotate", a.ID, "--finish", "--force")
	if !strings.Contains(said, "client_assertion") {
		t.Errorf("said %q", said)
	}
	if keys := o.keysOf(a.ID); len(keys) != 1 || keys[0].Name != "green" || !keys[0].Accepted || keys[0].Expires == "" {
		t.Errorf("it has %+v", keys)
	}
	if o.getsTokensBy(a.ID, "old.pem", api) || !o.getsTokensBy(a.ID, "new.pem", api) {
		t.Error("not the new key alone is accepted")
	}
}

func TestARotationOfKeysGoesOnWhereItWasCutShort(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	a := o.keyApp(api, "old.pem")
	client := "/api/v2/clients/" + a.ID
	for _, step := range []struct {
		fault auth0sim.Fault
		state string // as apps show tells it
		args  []string
	}{
		{auth0sim.Fault{Method: "POST"}, "", []string{"--new-key-file", "new.pem"}},
		{auth0sim.Fault{Method: "PATCH"}, "a rotation was cut short: the newest key ", []string{"--new-key-file", "new.pem"}},
		{auth0sim.Fault{Method: "PATCH"}, "both keys are accepted", []string{"--finish", "--force"}},
		{auth0sim.Fault{Method: "DELETE", Times: -1}, "the old key is refused and not deleted yet", []string{"--finish", "--force"}},
	} {
		step.fault.Path, step.fault.Status = client, 403
		o.tenant.Inject(step.fault)
		o.fails(exitError, "goes on where it was cut short", append([]string{"apps", "rotate", a.ID}, step.args...)...)
		o.tenant.Forget()
		if _, said := o.must("apps", "show", a.ID, "--keys"); !strings.Contains(said, step.state) {
			t.Errorf("after %+v: said %q, want …%s…", step.fault, said, step.state)
		}
		if strings.HasPrefix(step.state, "a rotation") { // the new key may be deployed: it must not be deleted
			o.fails(exitError, "is not accepted yet", "apps", "rotate", a.ID, "--finish", "--force")
		}
		if step.fault.Method == "PATCH" {
			o.must(append([]string{"apps", "rotate", a.ID}, "--dry-run", "--new-key-file", "new.pem")...)
			if step.args[0] == "--new-key-file" {
				o.must(append([]string{"apps", "rotate", a.ID}, step.args...)...)
			}
		}
	}
	o.must("apps", "rotate", a.ID, "--finish", "--force")
	if keys := o.keysOf(a.ID); len(keys) != 1 || o.getsTokensBy(a.ID, "old.pem", api) || !o.getsTokensBy(a.ID, "new.pem", api) {
		t.Errorf("it has %+v", keys)
	}
}

func TestASecretGivesWayToAKey(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	api := o.api("read:orders")
	a := o.app("exporter", "--grant", "read:orders@"+api)
	_, public := newKey(t)
	o.fails(exitUsage, "nobody to ask", "apps", "rotate", a.ID, "--public-key-file", public)
	o.must("apps", "rotate", a.ID, "--public-key-file", public, "--force")
	if o.getsTokens(a, api) || !o.getsTokensBy(a.ID, filepath.Join(filepath.Dir(public), "private.pem"), api) {
		t.Error("it is not the key that is accepted")
	}
	o.noSecret(".", a.Secret)
}

func TestAKeyThatIsNoneIsRefusedBeforeAnythingIsDone(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	writeFiles(t, map[string]string{"text": "no key", "small.pem": smallKey})
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitError, "want PEM", []string{"create", "x", "--public-key-file", "text"}},
		{exitError, "want PEM", []string{"create", "x", "--new-key-file", "text"}},
		{exitError, "has 1024 bits: Auth0 wants 2048 or more", []string{"create", "x", "--public-key-file", "small.pem"}},
		{exitUsage, "has no secret", []string{"create", "x", "--new-key-file", "k", "--secret-file", "s"}},
		{exitUsage, "--key-expires", []string{"create", "x", "--new-key-file", "k", "--key-expires", "tomorrow"}},
		{exitUsage, "it has passed", []string{"create", "x", "--new-key-file", "k", "--key-expires", "2020-01-01"}},
		{exitUsage, "need --new-key-file", []string{"create", "x", "--secret-file", "s", "--key-name", "k"}},
		{exitUsage, "--secret-file is for a secret", []string{"rotate", "x", "--finish", "--secret-file", "s"}},
		{exitUsage, "--watch goes with --finish", []string{"rotate", "x", "--new-key-file", "k", "--watch"}},
		{exitError, "does not have it", []string{"create", "x", "--new-key-file", "k", "--grant", "erase:orders@" + o.api("read:orders")}},
	} {
		o.fails(c.code, c.want, append([]string{"apps"}, c.args...)...)
	}
	if _, err := os.Lstat("k"); err == nil {
		t.Error("there is a key of nothing")
	}
	if n := o.apps("x"); n != 0 {
		t.Errorf("%d were made", n)
	}
}

// smallKey is a public key of 1024 bits.
const smallKey = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCqS5cWLgxXQRlXmNInz8BTVps6
cCri1c51silTPmR93kHay1pIn7BS0W8ANyKq+2F9OgaysiJtskgtE5uURKcD/Nsf
ehmYdmf4kgO+U43enJDRL0B7YS0vp/9byRQgpINz1Ylqf+Mfu3QmaPPPgHHmpQeF
GnAkaH5adrYqAjCo9QIDAQAB
-----END PUBLIC KEY-----
`
