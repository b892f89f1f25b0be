package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// livePrefix begins the name of all that a run makes; whatever has it is deleted
// before and after.
const livePrefix = "m2mwatch-live-"

// liveStep is a command that is run in both tenants. {p} is the run's prefix, {d} a
// folder; take keeps what is printed for an expression as a word of later steps.
type liveStep struct{ line, word, take string }

// liveSteps make, change and delete one of each. A step whose word is not there,
// since an earlier one failed, is left out.
func liveSteps() []liveStep {
	api := "https://{p}.example.com"
	return []liveStep{
		{"apis create " + api + " --name {p}api --scope read:things --scope write:things --token-lifetime 1h", "", ""},
		{"apis show " + api, "", ""},
		{"apis update " + api + " --name {p}things", "", ""},

		{"apps create {p}app --owner m2mwatch --purpose live --grant read:things@" + api + " --secret-file {d}/app.secret", "app", `^client_id +(\S+)$`},
		{"apps show {app} --keys", "", ""},
		{"apps list", "", ""},
		{"apps update {app} --purpose '' --description changed", "", ""},
		{"apps rotate {app} --force --secret-file {d}/app2.secret", "", ""},
		{"apps disable {app} --force --grants-file {d}/grants.json", "", ""},
		{"apps enable {d}/grants.json", "", ""},
		{"grants list --client {app}", "grant", `^(cgr_\w+) `},
		{"grants show {grant}", "", ""},
		{"grants update {grant} --add-scope write:things", "", ""},
		{"grants delete {grant} --force --no-backup", "", ""},
		{"grants create --client {app} --audience " + api + " --scope read:things", "", ""},
		{"apps delete {app} --force --backup-dir {d}/backups --backup-identity {d}/key", "backup", `^(\S+/app-\S+\.age)$`},
		{"apps restore {backup} --backup-identity {d}/key --secret-file {d}/restored.secret", "again", `^client_id +(\S+)$`},
		{"apps delete {again} --force --no-backup", "", ""},

		{"apps create {p}signer --new-key-file {d}/old.pem", "signer", `^client_id +(\S+)$`},
		{"apps rotate {signer} --new-key-file {d}/new.pem", "", ""},
		{"apps show {signer} --keys", "", ""},
		{"apps rotate {signer} --finish --force", "", ""},
		{"apps delete {signer} --force --no-backup", "", ""},

		{"roles create {p}role --description live --permission read:things@" + api, "role", `^id +(\S+)$`},
		{"roles list --name {p}", "", ""},
		{"roles show {role}", "", ""},
		{"roles update {role} --description changed", "", ""},
		{"roles permissions add {role} --api " + api + " write:things", "", ""},
		{"roles permissions remove {role} --api " + api + " write:things", "", ""},

		{"users create --email {p}user@example.com --owner m2mwatch --password-file {d}/user.password", "user", `^user_id +(\S+)$`},
		{"users show {user}", "", ""},
		{"users update {user} --purpose live", "", ""},
		{"users password {user} --force --password-file {d}/user2.password", "", ""},
		{"users block {user}", "", ""},
		{"users unblock {user}", "", ""},
		{"roles assign {role} {user}", "", ""},
		{"users show {user} --access", "", ""},
		{"roles unassign {role} {user}", "", ""},
		{"users delete {user} --force --backup-dir {d}/backups --backup-identity {d}/key", "gone", `^(\S+/user-\S+\.age)$`},
		{"users restore {gone} --backup-identity {d}/key --password-file {d}/user3.password", "", ""},
		{"users delete {user} --force --no-backup", "", ""},
		{"roles delete {role} --force --no-backup", "", ""},

		{"streams create --name {p}stream --tenant live --endpoint https://{p}stream.example.com --secret-file {d}/stream.secret --wait 0", "stream", `^id +(\S+)$`},
		{"streams list", "", ""},
		{"streams show {stream}", "", ""},
		{"streams pause {stream}", "", ""},
		{"streams resume {stream}", "", ""},
		{"streams update {stream} --filter management.fail --wait 0", "", ""},
		{"streams delete {stream} --force --no-backup", "", ""},

		{"apis delete " + api + " --force --no-backup", "", ""},
	}
}

// liveSide is a tenant in which the steps are run.
type liveSide struct {
	t         *testing.T
	name      string // live or simulated
	environ   []string
	transport *recorder
	api       provision.API
	scopes    func(context.Context) ([]string, error) // of the Management API that it has
	words     map[string]string
	said      bytes.Buffer
}

func newLiveSide(t *testing.T, name, prefix, domain string, c auth0.Credentials, next http.RoundTripper) *liveSide {
	t.Helper()
	s := &liveSide{
		t: t, name: name, transport: &recorder{next: next, secrets: &secrets{kinds: map[string]string{}, asked: map[string]int{}}},
		environ: []string{"AUTH0_DOMAIN=" + domain, "AUTH0_CLIENT_ID=" + c.ClientID, "AUTH0_CLIENT_SECRET=" + c.ClientSecret},
		words:   map[string]string{"p": prefix, "d": t.TempDir()},
	}
	client, err := auth0.New(auth0.Config{Domain: domain, Credentials: c, Transport: s.transport})
	if err != nil {
		t.Fatal(err)
	}
	s.api, s.scopes = managementAPI{client}, client.Scopes
	return s
}

// simulatedSide is a simulated tenant, reached without a network, as an application
// that has these scopes: what is answered depends on them.
func simulatedSide(t *testing.T, name, prefix string, c auth0sim.Config, scopes []string, change ...func(http.RoundTripper) http.RoundTripper) *liveSide {
	t.Helper()
	tenant := auth0sim.New(c)
	var next http.RoundTripper = inProcess{tenant.Handler()}
	o := &operator{t: t, tenant: tenant, base: "http://" + tenant.Domain(), http: &http.Client{Transport: next}}
	o.become(scopes...)
	for _, f := range change {
		next = f(next)
	}
	return newLiveSide(t, name, prefix, tenant.Domain(), auth0.Credentials{ClientID: o.client.ID, ClientSecret: o.client.Secret}, next)
}

var liveWord = regexp.MustCompile(`\{(\w+)\}`)

// step runs a command and returns its calls; done is false where it did not do
// well, and none is made where a word of it is missing.
func (s *liveSide) step(step liveStep) (calls []liveCall, done bool) {
	missing := ""
	line := liveWord.ReplaceAllStringFunc(step.line, func(word string) string {
		value, has := s.words[strings.Trim(word, "{}")]
		if !has {
			missing = word
		}
		return value
	})
	if missing != "" {
		fmt.Fprintf(&s.said, "%s: %s: left out, since there is no %s\n", s.name, step.line, missing)
		return nil, false
	}
	var args []string
	for word := range strings.FieldsSeq(line) {
		args = append(args, strings.ReplaceAll(word, "''", ""))
	}
	var out, errs bytes.Buffer
	inv := &invocation{name: "m2mwatch", environ: s.environ, stdin: strings.NewReader(""), stdout: &out, stderr: &errs, transport: s.transport}
	code := inv.run(args, io.Discard)
	if code != exitOK {
		fmt.Fprintf(&s.said, "%s: %s: exit %d: %s", s.name, step.line, code, errs.String())
	}
	if step.take != "" {
		if m := regexp.MustCompile("(?m)" + step.take).FindStringSubmatch(out.String()); m != nil {
			s.words[step.word] = m[1]
		}
	}
	return s.transport.take(s.name, step.line), code == exitOK
}

// clean deletes all that any run has made in a tenant, and returns what it was.
func (s *liveSide) clean(ctx context.Context) (deleted []string, err error) {
	var errs []error
	remove := func(kind, id string) {
		deleted = append(deleted, kind+" "+id)
		errs = append(errs, s.api.Delete(ctx, []string{kind, id}, nil))
	}
	for _, kind := range []string{"clients", "roles", "resource-servers", "log-streams"} {
		var found []string
		for raw, err := range s.liveList(ctx, kind) {
			var d struct {
				ID         string `json:"id"`
				ClientID   string `json:"client_id"`
				Name       string `json:"name"`
				Identifier string `json:"identifier"`
			}
			if err == nil {
				err = json.Unmarshal(raw, &d)
			}
			if err != nil {
				errs = append(errs, err)
				break
			}
			if strings.HasPrefix(d.Name, livePrefix) || strings.HasPrefix(d.Identifier, "https://"+livePrefix) {
				if d.ClientID != "" && kind == "clients" {
					d.ID = d.ClientID
				}
				found = append(found, d.ID)
			}
		}
		for _, id := range found {
			remove(kind, id)
		}
	}
	raw, err := s.api.Get(ctx, []string{"users-by-email"}, url.Values{"email": {s.words["p"] + "user@example.com"}})
	var users []struct {
		ID string `json:"user_id"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &users)
	}
	for _, u := range users {
		remove("users", u.ID)
	}
	s.transport.take("", "") // no command's
	return deleted, errors.Join(append(errs, err)...)
}

// liveList goes through what a tenant has of a kind; log streams have no pages.
func (s *liveSide) liveList(ctx context.Context, kind string) func(func(json.RawMessage, error) bool) {
	if kind != "log-streams" {
		return s.api.List(ctx, []string{kind}, strings.ReplaceAll(kind, "-", "_"), nil)
	}
	return func(yield func(json.RawMessage, error) bool) {
		raw, err := s.api.Get(ctx, []string{kind}, nil)
		var list []json.RawMessage
		if err == nil {
			err = json.Unmarshal(raw, &list)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, element := range list {
			if !yield(element, nil) {
				return
			}
		}
	}
}

// liveRun is what came of a run.
type liveRun struct {
	disagreements []disagreement
	calls         int      // compared
	seen          []string // commands that did well live
	failed        []string // that did well in the simulated tenant alone
	transcript    []byte
}

// compareLive runs steps in both tenants, and cleans up both.
func compareLive(t *testing.T, live, simulated *liveSide, steps []liveStep) (r liveRun) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if left, err := live.clean(t.Context()); err != nil || len(left) > 0 {
		t.Logf("of an earlier run there were %q (%v)", left, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // also where the test was cancelled
		defer cancel()
		if _, err := live.clean(ctx); err != nil {
			t.Errorf("clean up %s: %v", live.name, err)
		}
		if left, err := live.clean(ctx); err != nil || len(left) > 0 {
			t.Errorf("%s still has %q (%v)", live.name, left, err)
		}
	}()
	var transcript bytes.Buffer
	for _, step := range steps {
		did, done := live.step(step)
		was, simulatedDone := simulated.step(step)
		r.disagreements = append(r.disagreements, compareCalls(step.line, live.words["p"], did, was)...)
		r.calls += len(did)
		switch {
		case done:
			r.seen = append(r.seen, step.line)
		case simulatedDone:
			r.failed = append(r.failed, step.line)
		}
		for _, call := range append(did, was...) {
			line, err := json.Marshal(call)
			if err != nil {
				t.Fatal(err)
			}
			transcript.Write(append(line, '\n'))
		}
	}
	r.transcript = transcript.Bytes()
	for _, side := range []*liveSide{live, simulated} {
		if leaks := side.transport.secrets.printed(string(r.transcript)); len(leaks) > 0 {
			t.Errorf("the transcript has %q; it is not kept", leaks)
			r.transcript = nil
		}
	}
	return r
}

func livePrefixOfRun() string { return livePrefix + strings.ToLower(rand.Text()[:8]) + "-" }

func TestTheLiveComparisonAgreesWithATenantThatIsTheSame(t *testing.T) {
	prefix := livePrefixOfRun()
	live := simulatedSide(t, "live", prefix, auth0sim.Config{Name: "stand-in", Seed: 7, Machines: 230, People: 3}, allScopes())
	simulated := simulatedSide(t, "simulated", prefix, auth0sim.Config{Seed: 1, Machines: 2, People: 1}, allScopes())
	r := compareLive(t, live, simulated, liveSteps())
	for _, d := range r.disagreements {
		t.Error(d)
	}
	if len(r.seen) != len(liveSteps()) || len(r.failed) > 0 || r.calls < 2*len(liveSteps()) {
		t.Errorf("%d of %d commands did well, by %d calls\n%s%s", len(r.seen), len(liveSteps()), r.calls, live.said.String(), simulated.said.String())
	}
	if r.transcript == nil || !bytes.Contains(r.transcript, []byte(`"client_secret":"***"`)) {
		t.Errorf("the transcript has %d bytes", len(r.transcript))
	}
}

// otherTenant answers otherwise than the simulated one does.
type otherTenant struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o otherTenant) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == "PATCH" && strings.HasPrefix(r.URL.Path, "/api/v2/roles/") {
		body := `{"statusCode":403,"error":"Forbidden","message":"Not in this plan.","errorCode":"insufficient_entitlement"}`
		return &http.Response{StatusCode: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	response, err := o.next.RoundTrip(r)
	if err != nil || r.Method != "POST" || r.URL.Path != "/api/v2/client-grants" {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte(`{`), []byte(`{"is_new":true,`), 1)))
	return response, err
}

func TestTheLiveComparisonTellsWhereATenantIsAnother(t *testing.T) {
	prefix := livePrefixOfRun()
	live := simulatedSide(t, "live", prefix, auth0sim.Config{Name: "stand-in", Seed: 7, Machines: 230, People: 3}, allScopes(), func(next http.RoundTripper) http.RoundTripper {
		return otherTenant{next}
	})
	simulated := simulatedSide(t, "simulated", prefix, auth0sim.Config{Seed: 1, Machines: 2, People: 1}, allScopes())
	steps := slices.DeleteFunc(liveSteps(), func(step liveStep) bool {
		return !regexp.MustCompile(`^(apis|roles) (create|update|delete)|^apps create \{p\}app`).MatchString(step.line)
	})
	r := compareLive(t, live, simulated, steps)
	told := fmt.Sprint(r.disagreements)
	for _, want := range []string{
		"roles update {role} --description changed: PATCH /api/v2/roles/*: live 403, simulated 200",
		`POST /api/v2/client-grants: live alone has [".is_new"]`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told:\n%s", want, told)
		}
	}
	if !slices.Equal(r.failed, []string{"roles update {role} --description changed"}) {
		t.Errorf("did well in the simulated tenant alone: %q", r.failed)
	}
	if _, err := os.Stat(filepath.Join(live.words["d"], "app.secret")); err != nil {
		t.Error(err)
	}
}
