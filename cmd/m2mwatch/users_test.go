package main

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// simUser is what the tests read of a user.
type simUser struct {
	ID           string         `json:"user_id"`
	Email        string         `json:"email"`
	Blocked      bool           `json:"blocked"`
	Password     string         `json:"password"`
	AppMetadata  map[string]any `json:"app_metadata"`
	UserMetadata map[string]any `json:"user_metadata"`
}

// create makes a user by the command, and returns it with its password.
func (o *operator) create(args ...string) simUser {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "password")
	out, _ := o.must(append([]string{"users", "create", "--json", "--password-file", file}, args...)...)
	var u simUser
	if err := json.Unmarshal([]byte(out), &u); err != nil {
		o.t.Fatal(err)
	}
	if u.Password != "" {
		o.t.Error("the password is printed, too")
	}
	password, err := os.ReadFile(file)
	if err != nil {
		o.t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		o.t.Errorf("the password's file: %v, %v", info.Mode(), err)
	}
	u.Password = strings.TrimSpace(string(password))
	return u
}

// user reads one as an administrator.
func (o *operator) user(id string) (u simUser, there bool) {
	o.t.Helper()
	status := o.admin("GET", "users/"+url.PathEscape(id), nil, &u)
	return u, status == 200
}

// found counts the users with an email address.
func (o *operator) found(email string) int {
	o.t.Helper()
	var users []simUser
	o.admin("GET", "users-by-email?email="+url.QueryEscape(email), nil, &users)
	return len(users)
}

// noSecret fails where one of the secrets is in what was said or in a file.
func (o *operator) noSecret(dir string, secrets ...string) {
	o.t.Helper()
	texts := map[string][]byte{"what was said": o.seen.Bytes()}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		texts[path], err = os.ReadFile(path)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		o.t.Fatal(err)
	}
	for where, text := range texts {
		for _, secret := range append(secrets, o.client.Secret) {
			if secret != "" && bytes.Contains(text, []byte(secret)) {
				o.t.Errorf("a secret is in %s", where)
			}
		}
	}
}

func TestAUserIsMadeWithWhatItShouldHave(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, role := o.api("read:orders", "write:orders"), o.role("exporter")
	u := o.create("--email", "nightly@example.com", "--owner", "data-team", "--purpose", "export", "--expires", "2030-01-31",
		"--app-metadata", `{"ticket": 12345678901234567890, "programmatic": false}`, "--user-metadata", `{"a": "b"}`,
		"--role", "exporter", "--role", role, "--permission", "read:orders@"+api)
	is, there := o.user(u.ID)
	if !there || is.AppMetadata["programmatic"] != true || is.AppMetadata["owner"] != "data-team" || is.AppMetadata["expires"] != "2030-01-31" || is.UserMetadata["a"] != "b" {
		t.Errorf("it is %+v", is)
	}
	shown, _ := o.must("users", "show", u.ID, "--access", "--json")
	for _, want := range []string{`"name": "exporter"`, `"permission_name": "read:orders"`, "12345678901234567890"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not in\n%s", want, shown)
		}
	}
	if text, _ := o.must("users", "show", u.ID); !strings.Contains(text, "app_metadata.owner") || !strings.Contains(text, "data-team") {
		t.Errorf("shown as\n%s", text)
	}
	if text, _ := o.must("users", "list"); !strings.Contains(text, u.ID) || strings.Count(text, "\n") != 2 {
		t.Errorf("listed as\n%s", text)
	}
	if text, _ := o.must("users", "list", "--owner", "nobody", "--csv"); text != "user_id,login,connection,owner,purpose,expires,blocked,last_login\n" {
		t.Errorf("listed as\n%s", text)
	}
	if text, _ := o.must("users", "list", "--all", "--json"); strings.Count(text, `"user_id": "auth0|`) != 6 {
		t.Errorf("of 6 users these are listed:\n%s", text)
	}
	o.noSecret(t.TempDir(), u.Password)
}

func TestAPasswordGoesNowhereByChance(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.fails(exitUsage, "--password-file FILE, or --reveal-secrets", "users", "create", "--email", "a@example.com")
	out, _ := o.must("users", "create", "--email", "a@example.com", "--reveal-secrets", "--json")
	var u simUser
	if err := json.Unmarshal([]byte(out), &u); err != nil || len(u.Password) != 32 {
		t.Errorf("%v, printed\n%s", err, out)
	}
	o.noSecret(t.TempDir(), u.Password)
	taken := filepath.Join(t.TempDir(), "taken")
	writeFiles(t, map[string]string{taken: "mine"})
	o.fails(exitError, "file exists", "users", "create", "--email", "b@example.com", "--password-file", taken)
	if n := o.found("b@example.com"); n != 0 {
		t.Errorf("%d users were made without a place for the password", n)
	}
}

func TestWhatAUserShouldHaveIsLookedForFirst(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api := o.api("read:orders")
	dir := t.TempDir()
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitError, "the API " + api + " does not have it; it has read:orders", []string{"--permission", "erase:orders@" + api}},
		{exitError, "there is no API https://nowhere/", []string{"--permission", "read:orders@https://nowhere/"}},
		{exitError, "role nobody: it is not there", []string{"--role", "nobody"}},
		{exitUsage, "want NAME@API", []string{"--permission", "read:orders"}},
		{exitUsage, "want a date", []string{"--expires", "soon"}},
		{exitUsage, "--app-metadata", []string{"--app-metadata", "[1]"}},
		{exitError, "The connection does not exist", []string{"--connection", "nowhere"}},
		{exitUsage, "takes no arguments", []string{"now"}},
	} {
		o.fails(c.code, c.want, append([]string{"users", "create", "--email", "c@example.com", "--password-file", filepath.Join(dir, "p")}, c.args...)...)
	}
	if n := o.found("c@example.com"); n != 0 {
		t.Errorf("%d users were made", n)
	}
	u := o.create("--email", "mine@example.com", "--user-id", "mine")
	if u.ID != "auth0|mine" {
		t.Errorf("it has the id %s", u.ID)
	}
	o.fails(exitError, "it is there already", "users", "create", "--email", "c@example.com", "--user-id", "mine", "--password-file", filepath.Join(dir, "p"))
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("passwords of nobody are left: %v", left)
	}
}

func TestALostAnswerMakesNoTwin(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":  {Method: "POST", Path: "/api/v2/users", Drop: true},
		"not done":       {Method: "POST", Path: "/api/v2/users", Status: 503},
		"not done twice": {Method: "POST", Path: "/api/v2/users", Status: 503, Times: 2},
		"role lost":      {Method: "POST", Path: "/api/v2/users/auth0%7C", Drop: true},
		"role not done":  {Method: "POST", Path: "/api/v2/users/auth0%7C", Status: 502},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.role("exporter")
			o.tenant.Inject(fault)
			u := o.create("--email", "d@example.com", "--role", "exporter")
			if n := o.found("d@example.com"); n != 1 {
				t.Errorf("%d users were made", n)
			}
			if shown, _ := o.must("users", "show", u.ID, "--access"); !strings.Contains(shown, "exporter") {
				t.Errorf("it has not its role:\n%s", shown)
			}
		})
	}
}

func TestAnAnswerThatNeverComesIsNoSuccess(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	file := filepath.Join(t.TempDir(), "password")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users", Status: 503, Times: -1})
	o.fails(exitError, "it may have been done", "users", "create", "--email", "e@example.com", "--password-file", file)
	if _, err := os.Stat(file); err != nil {
		t.Error("the password of what may have been made is gone")
	}
}

func TestTooManyRequestsAreWaitedOut(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users", Status: 429})
	o.create("--email", "f@example.com")
	if said := o.seen.String(); !strings.Contains(said, "too many requests: waiting") {
		t.Errorf("it said %q", said)
	}
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users", Status: 429})
	o.fails(exitError, "429", "users", "create", "--email", "g@example.com", "--reveal-secrets", "--no-wait")
	if n := o.found("g@example.com"); n != 0 {
		t.Errorf("%d users were made", n)
	}
}

func TestAUserThatIsThereIsNotMadeAgain(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	u := o.create("--email", "h@example.com")
	file := filepath.Join(t.TempDir(), "password")
	o.fails(exitError, "The user already exists", "users", "create", "--email", "h@example.com", "--password-file", file)
	if _, err := os.Stat(file); err == nil || o.found(u.Email) != 1 {
		t.Error("there is a twin, or a password of nobody")
	}
}

func TestAUserIsChangedMemberByMember(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	u := o.create("--email", "i@example.com", "--owner", "a", "--purpose", "b", "--app-metadata", `{"ticket": "1", "kept": {"x": 1}}`)
	for _, drop := range []bool{false, true} {
		if drop {
			o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/users/", Drop: true})
		}
		o.must("users", "update", u.ID, "--owner", "c", "--purpose", "", "--name", "Nightly", "--app-metadata", `{"ticket": null, "team": "data"}`)
		is, _ := o.user(u.ID)
		m := is.AppMetadata
		if m["owner"] != "c" || m["purpose"] != nil || m["ticket"] != nil || m["team"] != "data" || m["kept"] == nil || m["programmatic"] != true {
			t.Errorf("it is %+v", m)
		}
	}
	o.must("users", "update", u.ID, "--email", "I@Example.com", "--app-metadata", `{"n": 1.0, "m": 1e3}`) // kept as i@example.com, 1 and 1000
	o.fails(exitUsage, "something follows the value", "users", "update", u.ID, "--app-metadata", `{"a": 1} {"b": 2}`)
	o.fails(exitUsage, "nothing to change", "users", "update", u.ID)
	o.fails(exitError, "The user does not exist", "users", "update", "auth0|nobody", "--owner", "x")
	o.fails(exitUsage, "is empty", "users", "update", "", "--owner", "x")
}

func TestAPersonIsNotTouchedByChance(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	var people []simUser
	o.admin("GET", "users", nil, &people)
	id := people[0].ID
	o.fails(exitError, "not marked as programmatic", "users", "block", id)
	o.fails(exitError, "not marked as programmatic", "users", "update", id, "--owner", "x")
	o.fails(exitError, "not marked as programmatic", "users", "delete", id, "--force", "--no-backup")
	if is, there := o.user(id); !there || is.Blocked {
		t.Errorf("it is %+v", is)
	}
	o.must("users", "update", id, "--adopt", "--owner", "ops")
	o.must("users", "block", id)
	if is, _ := o.user(id); !is.Blocked {
		t.Error("it is not blocked")
	}
	o.must("users", "unblock", id)
	if is, _ := o.user(id); is.Blocked {
		t.Error("it is still blocked")
	}
	o.fails(exitError, "The user does not exist", "users", "block", id, "auth0|nobody")
	if is, _ := o.user(id); !is.Blocked {
		t.Error("one that is not there keeps the other from being blocked")
	}
}

func TestAUserIsDeletedAndRestored(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, exporter, gone := o.api("read:orders", "write:orders"), o.role("exporter"), o.role("gone")
	u := o.create("--email", "j@example.com", "--owner", "data-team", "--app-metadata", `{"n": 12345678901234567890}`,
		"--role", exporter, "--role", gone, "--permission", "read:orders@"+api)
	dir := t.TempDir()
	key := filepath.Join(t.TempDir(), "key")
	out, said := o.must("users", "delete", u.ID, "--force", "--backup-dir", dir, "--backup-identity", key)
	path := strings.TrimSpace(out)
	if _, there := o.user(u.ID); there || !strings.HasPrefix(path, dir) || !strings.Contains(said, "Keep it elsewhere") {
		t.Fatalf("printed %q, said %q", out, said)
	}
	o.noSecret(dir, u.Password, "data-team", "j@example.com") // it is encrypted
	o.fails(exitError, "The user does not exist", "users", "delete", u.ID, "--force", "--no-backup")

	o.admin("DELETE", "roles/"+gone, nil, nil)
	file := filepath.Join(t.TempDir(), "password")
	_, said = o.must("users", "restore", path, "--backup-identity", key, "--password-file", file)
	for _, want := range []string{"role gone", "the password", "refresh tokens"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
	shown, _ := o.must("users", "show", u.ID, "--access", "--json")
	for _, want := range []string{u.ID, "j@example.com", "data-team", "12345678901234567890", exporter, "read:orders"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not in\n%s", want, shown)
		}
	}
	o.fails(exitError, "it is there already", "users", "restore", path, "--backup-identity", key, "--reveal-secrets")
	o.fails(exitError, "want age's form", "users", "restore", path, "--backup-identity", file, "--reveal-secrets")
}

func TestNothingIsDeletedWithoutABackup(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	u := o.create("--email", "k@example.com")
	o.fails(exitUsage, "there is nobody to ask", "users", "delete", u.ID, "--no-backup")
	o.fails(exitUsage, "or --no-backup", "users", "delete", u.ID, "--force")
	o.fails(exitError, "recipients", "users", "delete", u.ID, "--force", "--backup-recipient", "age1nobody")
	key := filepath.Join(t.TempDir(), "key")
	notADir := filepath.Join(t.TempDir(), "file")
	writeFiles(t, map[string]string{notADir: ""})
	o.fails(exitError, "is not deleted", "users", "delete", u.ID, "--force", "--backup-identity", key, "--backup-dir", notADir)
	if _, said := o.must("users", "delete", u.ID, "--dry-run", "--no-backup"); !strings.Contains(said, "would delete "+u.ID) {
		t.Errorf("said %q", said)
	}
	if _, there := o.user(u.ID); !there {
		t.Fatal("it is gone")
	}
	o.must("users", "delete", u.ID, "--force", "--no-backup")
	if _, there := o.user(u.ID); there {
		t.Error("it is still there")
	}
}

func TestSecretsInAUserAreHidden(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	const secret = "s3cr3t-of-a-vendor"
	vendor := `{"vendor": {"Access-Token": "` + secret + `", "n": 1}}`
	u := o.create("--email", "n@example.com", "--app-metadata", vendor)
	for _, args := range [][]string{
		{"show", u.ID},
		{"show", u.ID, "--json"},
		{"show", u.ID, "--access", "--json"},
		{"list", "--json"},
		{"update", u.ID, "--name", "N", "--json"},
		{"create", "--email", "o@example.com", "--app-metadata", vendor, "--json", "--password-file", filepath.Join(t.TempDir(), "p")},
	} {
		out, said := o.must(append([]string{"users"}, args...)...)
		if strings.Contains(out, secret) || !strings.Contains(out, "***") || !strings.Contains(said, "hidden: ") {
			t.Errorf("%q printed\n%s%s", args, out, said)
		}
	}
	for _, args := range [][]string{{"show", u.ID}, {"list", "--json"}, {"update", u.ID, "--name", "O"}} {
		if out, _ := o.must(append(append([]string{"users"}, args...), "--reveal-secrets")...); !strings.Contains(out, secret) {
			t.Errorf("%q printed\n%s", args, out)
		}
	}
	if is, _ := o.user(u.ID); is.AppMetadata["vendor"].(map[string]any)["Access-Token"] != secret {
		t.Errorf("it is %+v", is.AppMetadata)
	}
}
