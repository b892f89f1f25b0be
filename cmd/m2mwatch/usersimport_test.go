package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// imported runs an import that has to do well, and returns its results.
func (o *operator) imported(args ...string) []provision.ImportResult {
	o.t.Helper()
	out, _ := o.must(append([]string{"users", "import", "--json"}, args...)...)
	return readImported(o.t, out)
}

func readImported(t *testing.T, out string) []provision.ImportResult {
	t.Helper()
	var results []provision.ImportResult
	if err := json.Unmarshal([]byte(out), &results); err != nil {
		t.Fatalf("%v, printed\n%s", err, out)
	}
	return results
}

// outcomes are those of results, in their order.
func outcomes(results []provision.ImportResult) string {
	var all []string
	for _, r := range results {
		all = append(all, string(r.Outcome))
	}
	return strings.Join(all, " ")
}

// onlyPasswords fails unless the folder has one file of mode 0600 for each of so
// many users, and none of a user who is not whole.
func (o *operator) onlyPasswords(dir string, n int) {
	o.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil || len(files) != n {
		o.t.Errorf("%d files of passwords, want %d: %q, %v", len(files), n, files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || !strings.HasSuffix(file, ".password") {
			o.t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

const twoUsers = `{"email": "Nightly@example.com", "name": "Nightly", "owner": "data-team", "expires": "2030-01-31", "roles": ["exporter"], "metadata": {"n": 1.0}}
{"email": "hourly@example.com", "owner": "data-team", "purpose": "export"}
`

func TestUsersAreImported(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	api, exporter := o.api("read:orders"), o.role("exporter")
	o.role("loader")
	dir := filepath.Join(t.TempDir(), "passwords")
	file := o.file("email,username,owner,expires,roles,permissions,metadata\n" +
		`Nightly@example.com,,data-team,2030-01-31,exporter;` + exporter + `;loader,read:orders@` + api + `,"{""n"": 1.0}"` + "\n" +
		"hourly@example.com,,ops,,,,\n,weekly,,,,,\n")
	if results := o.imported(file, "--dry-run"); outcomes(results) != "made made made" || o.found("nightly@example.com") != 0 {
		t.Errorf("a dry run: %+v", results)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a dry run makes a folder")
	}
	results := o.imported(file, "--passwords-dir", dir)
	if outcomes(results) != "made made made" || results[0].Line != 2 || results[2].Login != "weekly" {
		t.Fatalf("imported as %+v", results)
	}
	o.onlyPasswords(dir, 3)
	for _, r := range results {
		if !o.signsIn(r.Login, r.PasswordFile) {
			t.Errorf("%s does not sign in by %s", r.Login, r.PasswordFile)
		}
		if password, err := os.ReadFile(r.PasswordFile); err != nil || bytes.Contains(o.seen.Bytes(), bytes.TrimSpace(password)) {
			t.Errorf("a password was said, or %v", err)
		}
	}
	is, _ := o.user(results[0].UserID)
	if m := is.AppMetadata; is.Email != "nightly@example.com" || m["programmatic"] != true || m["owner"] != "data-team" || m["expires"] != "2030-01-31" || m["n"] != 1.0 {
		t.Errorf("it is %+v", is)
	}
	shown, _ := o.must("users", "show", results[0].UserID, "--access")
	for _, want := range []string{"exporter", "loader", "read:orders"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not in\n%s", want, shown)
		}
	}
	again := o.imported(file, "--passwords-dir", dir)
	if outcomes(again) != "same same same" || again[0].PasswordFile != results[0].PasswordFile {
		t.Errorf("again: %+v", again)
	}
	if other := o.imported(file, "--passwords-dir", filepath.Join(t.TempDir(), "other")); outcomes(other) != "same same same" || other[0].PasswordFile != "" {
		t.Errorf("into another folder: %+v", other)
	}
	text, said := o.must("users", "import", file, "--passwords-dir", dir)
	if !strings.HasPrefix(text, "LINE  USER_ID") || !strings.Contains(said, "3 of 3 users: 3 same") {
		t.Errorf("printed\n%s%s", text, said)
	}
}

func TestAUserWhoDiffersIsChangedOnlyWhereAsked(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.role("exporter")
	dir := t.TempDir()
	results := o.imported(o.file(twoUsers), "--passwords-dir", dir)
	id := results[0].UserID
	o.must("users", "update", id, "--owner", "ops", "--name", "Other", "--app-metadata", `{"theirs": 1}`)
	o.must("roles", "unassign", "exporter", id)
	file := o.file(twoUsers)
	out := o.fails(exitError, "1 users are there and differ: --update changes them", "users", "import", file, "--passwords-dir", dir, "--json")
	if differs := readImported(t, out); outcomes(differs) != "differs same" || differs[0].Detail != "app_metadata.owner, name, role exporter" {
		t.Errorf("%+v", differs)
	}
	if would := o.imported(file, "--dry-run", "--update"); outcomes(would) != "updated same" {
		t.Errorf("%+v", would)
	}
	if is, _ := o.user(id); is.AppMetadata["owner"] != "ops" {
		t.Error("it was changed without being asked for")
	}
	o.tenant.Inject(auth0sim.Fault{Method: "PATCH", Path: "/api/v2/users/", Drop: true})
	if updated := o.imported(file, "--passwords-dir", dir, "--update"); outcomes(updated) != "updated same" {
		t.Errorf("%+v", updated)
	}
	is, _ := o.user(id)
	if shown, _ := o.must("users", "show", id, "--access"); is.AppMetadata["owner"] != "data-team" || is.AppMetadata["theirs"] != 1.0 || !strings.Contains(shown, "exporter") {
		t.Errorf("it is %+v\n%s", is, shown)
	}
	if !o.signsIn("nightly@example.com", results[0].PasswordFile) {
		t.Error("its password was changed")
	}
}

// Whoever has the email address already is that user, whatever its id.
func TestAnImportMakesNoTwinOfWhomOthersMade(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.role("exporter")
	made := o.create("--email", "hourly@example.com", "--owner", "data-team", "--purpose", "export")
	person := o.adminUser(map[string]any{"connection": "Username-Password-Authentication", "email": "nightly@example.com", "password": "Aa1-aaaaaaaa"})
	dir := t.TempDir()
	for _, args := range [][]string{{"--dry-run", "--update"}, {"--passwords-dir", dir, "--update"}, {"--passwords-dir", dir}} {
		out := o.fails(exitError, "1 users are there and differ", append([]string{"users", "import", o.file(twoUsers), "--json"}, args...)...)
		results := readImported(t, out)
		if outcomes(results) != "differs same" || results[0].UserID != person.ID || !strings.Contains(results[0].Detail, "not marked as programmatic") || results[1].UserID != made.ID {
			t.Errorf("%q: %+v", args, results)
		}
	}
	o.onlyPasswords(dir, 0)
	if is, _ := o.user(person.ID); is.AppMetadata != nil || o.found("nightly@example.com") != 1 || o.found("hourly@example.com") != 1 {
		t.Errorf("a person was changed or has a twin: %+v", is)
	}
}

func TestWhatAnImportNamesIsLookedForFirst(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	o.admin("POST", "connections", map[string]any{"name": "google", "strategy": "google-oauth2"}, nil)
	dir := filepath.Join(t.TempDir(), "passwords")
	file := o.file(`{"email": "a@example.com", "roles": ["nobody"]}
{"email": "b@example.com", "connection": "nowhere", "permissions": ["read:a@https://nowhere/"]}
{"email": "c@example.com", "connection": "google", "roles": ["nobody"]}
`)
	for _, want := range []string{
		"lines 1, 3: role nobody: it is not there", "line 2: connection nowhere: it is not there", "line 3: connection google is no database", "line 2: permission read:a: there is no API https://nowhere/",
	} {
		o.fails(exitError, want, "users", "import", file, "--passwords-dir", dir)
	}
	o.fails(exitError, "nothing was done:\nline 1: email", "users", "import", o.file(`{"email": "a"}`), "--passwords-dir", dir)
	o.fails(exitError, "there are none", "users", "import", o.file(""), "--passwords-dir", dir)
	o.fails(exitUsage, "want --passwords-dir", "users", "import", file)
	o.fails(exitError, "no such file", "users", "import", "nowhere.csv", "--passwords-dir", dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || o.found("a@example.com") != 0 {
		t.Error("something was done")
	}
	o.become("create:users", "read:users", "read:connections")
	o.fails(exitError, "users import needs: update:users read:roles create:role_members read:role_members update:users_app_metadata\n",
		"users", "import", o.file(twoUsers), "--passwords-dir", dir, "--update")
}

func TestALostAnswerMakesNoTwinOfAnImportedUser(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost":  {Path: "/api/v2/users", Drop: true},
		"not done":       {Path: "/api/v2/users", Status: http.StatusServiceUnavailable, Times: 2},
		"role lost":      {Path: "/api/v2/users/auth0%7C", Drop: true},
		"role not done":  {Path: "/api/v2/users/auth0%7C", Status: http.StatusBadGateway},
		"too many calls": {Path: "/api/v2/users", Status: http.StatusTooManyRequests},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.role("exporter")
			fault.Method = "POST"
			o.tenant.Inject(fault)
			dir := t.TempDir()
			results := o.imported(o.file(twoUsers), "--passwords-dir", dir)
			if outcomes(results) != "made made" || o.found("nightly@example.com") != 1 {
				t.Errorf("%+v", results)
			}
			o.whole(results, dir)
		})
	}
}

// whole fails unless both users of twoUsers are there, once, with all that they
// should have, and sign in by what is in their files.
func (o *operator) whole(results []provision.ImportResult, dir string) {
	o.t.Helper()
	o.onlyPasswords(dir, len(results))
	for _, r := range results {
		if !o.signsIn(r.Login, r.PasswordFile) || o.found(r.Login) != 1 {
			o.t.Errorf("%s does not sign in by %s, or is there %d times", r.Login, r.PasswordFile, o.found(r.Login))
		}
	}
	if shown, _ := o.must("users", "show", results[0].UserID, "--access"); !strings.Contains(shown, "exporter") {
		o.t.Errorf("it has no role:\n%s", shown)
	}
}

func TestAnImportGoesOnWhereItWasKilled(t *testing.T) {
	const users, roles = "/api/v2/users", "/api/v2/users/auth0%7C"
	for _, c := range []struct {
		name string
		at   killAt
		want string // of the second run
	}{
		{"before the first user", killAt{method: "POST", path: users}, "made made"},
		{"after the first user", killAt{method: "POST", path: users, served: true}, "completed made"},
		{"before its role", killAt{method: "POST", path: roles}, "completed made"},
		{"after its role", killAt{method: "POST", path: roles, served: true}, "completed made"},
		{"before the second user", killAt{method: "POST", path: users, skip: 2}, "same made"},
		{"after the second user", killAt{method: "POST", path: users, skip: 2, served: true}, "same completed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.role("exporter")
			file, dir := o.file(twoUsers), t.TempDir()
			o.killed(c.at, "users", "import", file, "--passwords-dir", dir)
			results := o.imported(file, "--passwords-dir", dir)
			if outcomes(results) != c.want {
				t.Errorf("the second run: %+v, want %s", results, c.want)
			}
			o.whole(results, dir)
		})
	}
}

func TestAnImportEndsWhereAllGoesWrong(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	var lines strings.Builder
	for n := range 15 {
		fmt.Fprintf(&lines, "{\"email\": \"m%d@example.com\"}\n", n)
	}
	file, dir := o.file(lines.String()), t.TempDir()
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users", Status: http.StatusForbidden, Times: 12})
	out := o.fails(exitError, "10 users in a row failed", "users", "import", file, "--passwords-dir", dir, "--json")
	if results := readImported(t, out); len(results) != 10 {
		t.Errorf("%d users were tried", len(results))
	}
	o.onlyPasswords(dir, 0)
	out = o.fails(exitError, "line 2: m1@example.com: ", "users", "import", file, "--passwords-dir", dir, "--json")
	if got := outcomes(readImported(t, out)); got != "failed failed"+strings.Repeat(" made", 13) {
		t.Errorf("the second run: %s", got)
	}
	lost := filepath.Join(t.TempDir(), "lost")
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/users", Status: http.StatusServiceUnavailable, Times: 3})
	one := o.file(`{"email": "lost@example.com"}`)
	o.fails(exitError, "it may have been done", "users", "import", one, "--passwords-dir", lost)
	if parts, _ := filepath.Glob(filepath.Join(lost, "*.part")); len(parts) != 1 {
		t.Error("the password of what may have been made is gone")
	}
	if results := o.imported(one, "--passwords-dir", lost); outcomes(results) != "made" || !o.signsIn("lost@example.com", results[0].PasswordFile) {
		t.Errorf("%+v", results)
	}
}

func TestAUserWhoWasDeletedDoesNotGetItsOldPassword(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	file, dir := o.file(`{"email": "a@example.com"}`), t.TempDir()
	results := o.imported(file, "--passwords-dir", dir)
	o.admin("DELETE", "users/"+url.PathEscape(results[0].UserID), nil, nil)
	o.fails(exitError, "remove that, and the user is made again", "users", "import", file, "--passwords-dir", dir)
	if err := os.Remove(results[0].PasswordFile); err != nil {
		t.Fatal(err)
	}
	if results := o.imported(file, "--passwords-dir", dir); outcomes(results) != "made" || !o.signsIn("a@example.com", results[0].PasswordFile) {
		t.Errorf("%+v", results)
	}
}

func TestAFolderIsOfOneImportAndOneTenant(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	dir := t.TempDir()
	folder, err := provision.OpenPasswordFolder(dir, strings.TrimPrefix(o.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	o.fails(exitError, "another import may have it", "users", "import", o.file(`{"email": "a@example.com"}`), "--passwords-dir", dir)
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	o.imported(o.file(`{"email": "a@example.com"}`), "--passwords-dir", dir)
	to := newOperatorOf(t, auth0sim.Config{Seed: 2}, "terraform-ci")
	to.become(allScopes()...)
	to.fails(exitError, "has passwords of users of "+strings.TrimPrefix(o.base, "http://"), "users", "import", o.file(`{"email": "a@example.com"}`), "--passwords-dir", dir)
	if to.found("a@example.com") != 0 {
		t.Error("a user was made with the password of another tenant's")
	}
}

// TestAThousandUsersAreImportedAtTheTenantsRate imports them under the bucket of
// the smallest plan, in a bubble's time: in as many seconds as the bucket gives, and
// with next to no refusal.
func TestAThousandUsersAreImportedAtTheTenantsRate(t *testing.T) {
	const n, rate = 1000, 2
	file := filepath.Join(t.TempDir(), "users.csv")
	var lines strings.Builder
	lines.WriteString("email,owner\n")
	for i := range n {
		fmt.Fprintf(&lines, "m%d@example.com,data-team\n", i)
	}
	writeFiles(t, map[string]string{file: lines.String()})
	synctest.Test(t, func(t *testing.T) {
		tenant := auth0sim.New(auth0sim.Config{Seed: 1, Machines: 2, People: 1, ManagementLimit: auth0sim.Limit{PerSecond: rate, Burst: 2}})
		waits := 0
		api := withoutNetwork(t, tenant, func(c *auth0.Config) { c.OnWait = func(time.Duration) { waits++ } })
		var out, said bytes.Buffer
		inv := &invocation{stdout: &out, stderr: &said}
		records, err := readUserFile(inv, file, "Username-Password-Authentication")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		run := usersImport{passwords: t.TempDir(), out: output{json: true}}
		if err := run.do(t.Context(), inv, api, records); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begun)
		results := readImported(t, out.String())
		for _, r := range results {
			if r.Outcome != provision.ImportMade {
				t.Errorf("%+v", r)
			}
		}
		t.Logf("%d users in %s of the tenant's time, %d answers 429", len(results), took, waits)
		if len(results) != n || took > (n/rate+10)*time.Second || waits > 5 || !strings.Contains(said.String(), " left") {
			t.Errorf("%d users in %s; said\n%s", len(results), took, said.String())
		}
	})
}
