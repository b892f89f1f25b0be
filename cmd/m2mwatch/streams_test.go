package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// simStream is what the tests read of a log stream.
type simStream struct {
	ID, Name, Type, Status string
	Filters                []struct{ Name string }
	Sink                   struct {
		Endpoint      string `json:"httpEndpoint"`
		Authorization string `json:"httpAuthorization"`
		Format        string `json:"httpContentFormat"`
		ContentType   string `json:"httpContentType"`
		Headers       []struct{ Header, Value string }
	}
}

// streams are those of the tenant, with their secrets.
func (o *operator) streams() []simStream {
	o.t.Helper()
	var all []simStream
	o.admin("GET", "log-streams", nil, &all)
	return all
}

// secretFile writes one that the instance is to know already.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answering is a server that answers every request with a status and a body.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const hereHook = "https://watch.example.com/v1/logs/acme"

func TestALogStreamIsMadeChangedAndDeleted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	file := filepath.Join(t.TempDir(), "acme.secret")
	out, said := o.must("streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", "https://watch.example.com", "--secret-file", file, "--wait", "0", "--json")
	secret, err := os.ReadFile(file)
	if err != nil || len(secret) != 65 {
		t.Fatalf("%v, the secret has %d bytes", err, len(secret))
	}
	if !strings.Contains(said, "secret_files: ["+file+"]") {
		t.Errorf("said\n%s", said)
	}
	all := o.streams()
	if len(all) != 1 {
		t.Fatalf("%d streams", len(all))
	}
	s := all[0]
	if s.Sink.Endpoint != hereHook || s.Sink.Authorization+"\n" != string(secret) || s.Sink.Format != "JSONLINES" || s.Sink.ContentType != "application/json" || s.Type != "http" {
		t.Errorf("made %+v", s)
	}
	var names []string
	for _, f := range s.Filters {
		names = append(names, f.Name)
	}
	if !slices.Equal(names, provision.MachineCategories()) {
		t.Errorf("it delivers %q", names)
	}
	show, _ := o.must("streams", "show", s.ID)
	list, _ := o.must("streams", "list")
	printed := out + show + list + o.seen.String()
	if strings.Contains(printed, strings.TrimSpace(string(secret))) || !strings.Contains(out, `"httpAuthorization": "***"`) || !strings.Contains(show, "***") {
		t.Errorf("printed\n%s", printed)
	}
	if !strings.Contains(list, "active  "+fmt.Sprint(len(names))+"          "+hereHook) {
		t.Errorf("listed\n%s", list)
	}

	o.must("streams", "pause", s.ID)
	if _, said := o.must("streams", "list"); !strings.Contains(said, "is paused: paused by somebody") {
		t.Errorf("said\n%s", said)
	}
	o.must("streams", "resume", s.ID)
	if got := o.streams()[0].Status; got != "active" {
		t.Errorf("resumed, it is %s", got)
	}
	o.must("streams", "update", s.ID, "--name", "other", "--filter", "management.fail", "--format", "JSONARRAY")
	after := o.streams()[0]
	if after.Name != "other" || after.Sink.Format != "JSONARRAY" || len(after.Filters) != 1 || after.Sink.Authorization != s.Sink.Authorization || after.Sink.Endpoint != s.Sink.Endpoint {
		t.Errorf("changed to %+v", after)
	}
	next := filepath.Join(t.TempDir(), "next.secret")
	o.must("streams", "update", s.ID, "--all", "--secret-file", next, "--wait", "0")
	secret, err = os.ReadFile(next)
	if after = o.streams()[0]; err != nil || after.Sink.Authorization != strings.TrimSpace(string(secret)) || len(after.Filters) != 0 {
		t.Errorf("%v, changed to %+v", err, after)
	}

	t.Chdir(t.TempDir())
	o.fails(exitUsage, "nobody to ask", "streams", "delete", s.ID)
	if _, said := o.must("streams", "delete", s.ID, "--dry-run"); !strings.Contains(said, "would delete log stream other") || len(o.streams()) != 1 {
		t.Errorf("said %q", said)
	}
	path, _ := o.must("streams", "delete", s.ID, "--force")
	kept, err := os.ReadFile(strings.TrimSpace(path))
	if err != nil || strings.Contains(string(kept), after.Sink.Authorization) || !strings.Contains(string(kept), hereHook) {
		t.Errorf("%v, kept\n%s", err, kept)
	}
	if n := len(o.streams()); n != 0 {
		t.Errorf("%d streams are left", n)
	}
	o.fails(exitError, "log stream does not exist", "streams", "delete", s.ID, "--force")
	if strings.Contains(o.seen.String(), after.Sink.Authorization) {
		t.Error("a secret was said")
	}
}

func TestTheHelpOfStreamsNamesTheCategoriesThatItMeans(t *testing.T) {
	out, _ := (&operator{t: t}).must("streams", "create", "--help")
	table, _, _ := strings.Cut(out, "It leaves out")
	for _, name := range provision.LogCategories() {
		group := name[:max(0, strings.LastIndex(name, "."))] + ".*"
		told := strings.Contains(table, name) || strings.Contains(table, group)
		if machine := slices.Contains(provision.MachineCategories(), name); machine != told {
			t.Errorf("%s: told %v, delivered %v", name, told, machine)
		}
	}
}

func TestSecretsOfOtherSinksAreNotPrinted(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	for _, body := range []string{
		`{"name":"a","type":"http","sink":{"httpEndpoint":"https://user:open-sesame@a.example/x?key=open-sesame","httpAuthorization":"open-sesame","httpCustomHeaders":[{"header":"X-Key","value":"open-sesame"}]}}`,
		`{"name":"b","type":"datadog","sink":{"datadogApiKey":"open-sesame","datadogRegion":"eu"}}`,
		`{"name":"c","type":"sumo","sink":{"sumoSourceAddress":"https://sumo.example/open-sesame"}}`,
	} {
		if status := o.admin("POST", "log-streams", json.RawMessage(body), nil); status != http.StatusOK {
			t.Fatalf("status %d of %s", status, body)
		}
	}
	list, _ := o.must("streams", "list")
	raw, _ := o.must("streams", "list", "--json")
	if strings.Contains(list+raw, "open-sesame") || !strings.Contains(raw, `"header": "X-Key"`) || !strings.Contains(raw, `"datadogRegion": "eu"`) || !strings.Contains(raw, "https://***@a.example/x?***") {
		t.Errorf("printed\n%s%s", list, raw)
	}
	var all []simStream
	if err := json.Unmarshal([]byte(raw), &all); err != nil {
		t.Fatal(err)
	}
	o.must("streams", "update", all[0].ID, "--format", "JSONOBJECT")
	o.must("streams", "pause", all[1].ID)
	o.fails(exitError, "webhooks alone", "streams", "update", all[1].ID, "--name", "x")
	var is json.RawMessage
	o.admin("GET", "log-streams", nil, &is)
	if n := strings.Count(string(is), "open-sesame"); n != 6 {
		t.Errorf("%d of 6 secrets are what they were: %s", n, is)
	}
}

func TestTheNumberOfLogStreamsIsThePlans(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	for n := range 10 {
		o.tenant.AddLogStream(auth0sim.Stream{Endpoint: fmt.Sprintf("https://%d.example", n)})
	}
	o.fails(exitError, "as many log streams as its plan allows", "streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook, "--from-secret-file", secretFile(t, "s3"), "--wait", "0")
}

func TestALogStreamThatMakesNoSenseIsNotMade(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	file := filepath.Join(t.TempDir(), "new")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"want --name", []string{"--name", ""}},
		{"--tenant: tenant name", []string{"--tenant", "No Such"}},
		{"to which Auth0 delivers alone", []string{"--endpoint", "http://watch.example.com"}},
		{"--endpoint: want https", []string{"--endpoint", ""}},
		{"the webhook of tenant", []string{"--endpoint", "https://watch.example.com/v1/logs/other"}},
		{"takes custom events", []string{"--endpoint", "https://watch.example.com/v1/custom/acme"}},
		{"what lets a delivery in is the secret", []string{"--endpoint", "https://u:p@watch.example.com"}},
		{"want one of actions, auth.login.fail", []string{"--filter", "everything"}},
		{"filter", []string{"--filter", "other", "--all"}},
		{"want JSONLINES", []string{"--format", "xml"}},
		{"yet to come", []string{"--start-from", "2999-01-01"}},
		{"want RFC 3339", []string{"--start-from", "soon"}},
		{"want 0 or more", []string{"--wait", "-1s"}},
		{"it is there already", []string{"--secret-file", secretFile(t, "x")}},
	} {
		args := append([]string{"streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook, "--secret-file", file}, c.args...)
		if _, said, code := o.run("", args...); code == exitOK || !strings.Contains(said, c.want) {
			t.Errorf("%q: exit %d, %s; want …%s…", c.args, code, said, c.want)
		}
	}
	o.fails(exitUsage, "want --secret-file FILE", "streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook)
	if _, err := os.Stat(file); err == nil || len(o.streams()) != 0 {
		t.Errorf("a secret was made (%v), or a stream: %v", err, o.streams())
	}
}

func TestALogStreamIsNotMadeTwice(t *testing.T) {
	for name, fault := range map[string]auth0sim.Fault{
		"done and lost": {Method: "POST", Path: "/api/v2/log-streams", Drop: true},
		"change lost":   {Method: "PATCH", Path: "/api/v2/log-streams/", Drop: true},
		"change undone": {Method: "PATCH", Path: "/api/v2/log-streams/", Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			o := newProvisioner(t, allScopes()...)
			o.tenant.Inject(fault)
			args := []string{"streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook, "--from-secret-file", secretFile(t, "s3"), "--wait", "0"}
			o.must(args...)
			o.must("streams", "update", o.streams()[0].ID, "--filter", "other")
			o.fails(exitError, "it is there already", args...)
			if all := o.streams(); len(all) != 1 || len(all[0].Filters) != 1 {
				t.Errorf("there are %+v", all)
			}
		})
	}
	o := newProvisioner(t, allScopes()...)
	o.tenant.Inject(auth0sim.Fault{Method: "POST", Path: "/api/v2/log-streams", Status: http.StatusBadGateway})
	o.fails(exitError, "it is not found now", "streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook, "--from-secret-file", secretFile(t, "s3"), "--wait", "0")
	if n := len(o.streams()); n != 0 {
		t.Errorf("%d streams were made by a repeat", n)
	}
}

func TestNothingIsMadeThatTheWebhookWouldRefuse(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	create := func(endpoint string) []string {
		return []string{"streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", endpoint, "--from-secret-file", secretFile(t, "s3"), "--wait", "50ms"}
	}
	o.environ = append(o.environ, "M2MWATCH_URL=http://127.0.0.1:1")
	o.fails(exitError, "nothing was made, since nobody could tell", create(hereHook)...)
	o.environ = append(o.environ[:len(o.environ)-1], "M2MWATCH_URL="+answering(t, 200, `{}`))
	o.fails(exitError, "m2mwatch.yaml does not name it", create(answering(t, 401, `{"code":"unauthorized"}`))...)
	o.fails(exitError, "another server answers there, 404", create(answering(t, 404, `<html>`))...)
	o.fails(exitError, "the webhook is not ready: 503", create(answering(t, 503, ``))...)
	o.fails(exitError, "another server answers there, 200", create(answering(t, 200, `hello`))...)
	if n := len(o.streams()); n != 0 {
		t.Fatalf("%d streams were made", n)
	}
	o.fails(exitError, "no event of tenant acme has come by it in 50ms: the webhook cannot be asked from here", create(answering(t, 403, `{"code":"address_not_allowed"}`))...)
	if n := len(o.streams()); n != 1 {
		t.Errorf("%d streams were made", n)
	}
}

// An event counts that came by a log stream of the tenant after the stream was made.
func TestWhatCameBeforeALogStreamIsNotTakenForItsEvent(t *testing.T) {
	t.Parallel()
	c := &streamCreation{sink: &streamSink{tenant: "acme"}}
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("tenant") != "acme" || q.Get("source") != "stream" {
			t.Errorf("asked for %s", r.URL.RawQuery)
		}
		asked++
		w.Header().Set("Content-Type", "text/event-stream")
		if asked == 1 { // it has been read to its end when it is asked again
			fmt.Fprint(w, "id: 1\ndata: {\"log_id\":\"1\",\"type\":\"before\"}\n\n")
			return
		}
		c.created.Store(true)
		fmt.Fprint(w, "id: 2\ndata: {\"log_id\":\"2\",\"type\":\"after\"}\n\n")
	}))
	t.Cleanup(s.Close)
	var err error
	if c.instance, err = apiclient.New(apiclient.Config{URL: s.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.instance.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case e := <-c.watch(ctx):
		if e.Type != "after" {
			t.Errorf("took %s for it", e.Type)
		}
	case <-ctx.Done():
		t.Fatal("no event was seen")
	}
}

// What the webhook refuses while nothing comes is told: the status says why.
func TestDeliveriesThatAreRefusedAreTold(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	refused := 3
	instance := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			fmt.Fprint(w, "{}")
			return
		}
		fmt.Fprintf(w, "m2mwatch_ingest_requests_total{code=\"200\"} 7\nm2mwatch_ingest_requests_total{code=\"403\"} %d\n", refused)
		refused += 2
	}))
	t.Cleanup(instance.Close)
	o.environ = append(o.environ, "M2MWATCH_URL="+instance.URL)
	o.fails(exitError, "has come by it in 50ms: the webhook has refused 2 deliveries with 403 meanwhile", "streams", "create", "--name", "m2mwatch", "--tenant", "acme",
		"--endpoint", answering(t, 200, `{"accepted":0}`), "--from-secret-file", secretFile(t, "s3"), "--wait", "50ms")
}

// Two operators who make the same stream at once both hear of it: nothing at Auth0
// keeps them from it.
func TestALogStreamThatIsMadeTwiceAtOnceIsTold(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	behind, err := url.Parse(o.base)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v2/log-streams" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			o.admin("POST", "log-streams", json.RawMessage(body), nil)
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	o.fails(exitError, "of the same name and address was at the same time", "streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", hereHook,
		"--from-secret-file", secretFile(t, "s3"), "--wait", "0", "--domain", strings.TrimPrefix(front.URL, "http://"))
}

// The whole way: the secret is made, named in the configuration while the command
// waits, the stream is made, and an event comes by it to a running instance.
func TestALogStreamEndsWithAnEventSeen(t *testing.T) {
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", engineLibrary(t)) // an operator has a cache of its own
	o := newProvisioner(t, allScopes()...)
	go o.tenant.Run(t.Context())
	dir := t.TempDir()
	config, file := filepath.Join(dir, "m2mwatch.yaml"), filepath.Join(dir, "acme.secret")
	text := func(secrets string) []byte {
		return fmt.Appendf(nil, "tenants: [{name: acme, %s}]\napi: {tokens: [{name: test, token: %q}]}\nclickhouse: {memory: 768MiB}\n", secrets, testToken)
	}
	if err := os.WriteFile(config, text("secrets: [another-secret-of-it]"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := startProgram(t, nil, "up", "--config", config, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-format", "json")
	o.environ = append(o.environ, "M2MWATCH_URL="+i.api, "M2MWATCH_TOKEN="+testToken)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := os.Stat(file); err == nil || t.Context().Err() != nil {
				_ = os.WriteFile(config, text("secrets: [another-secret-of-it], secret_files: [acme.secret]"), 0o600) // the command fails without it
				return
			}
		}
	}()
	_, said := o.must("streams", "create", "--name", "m2mwatch", "--tenant", "acme", "--endpoint", i.api, "--secret-file", file, "--wait", "2m")
	if !strings.Contains(said, "it works: ") || !strings.Contains(said, " came by it, ") {
		t.Errorf("said\n%s", said)
	}
	_, said = o.must("streams", "create", "--name", "second", "--tenant", "acme", "--endpoint", i.api, "--from-secret-file", file, "--filter", "management.success", "--wait", "2m")
	if !strings.Contains(said, "it works: ") || !strings.Contains(said, "m2mwatch (lst_") {
		t.Errorf("said\n%s", said)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(i.log()+o.seen.String(), strings.TrimSpace(string(secret))) {
		t.Error("the secret was said")
	}
}
