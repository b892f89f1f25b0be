package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// scriptT runs a script as a test that keeps all that the script's commands
// print: secrets are looked for in it.
type scriptT struct {
	*testing.T
	tenant *scriptTenant // nil until the script has one
}

// Run implements testscript.T.
func (s *scriptT) Run(name string, f func(testscript.T)) {
	s.T.Run(name, func(t *testing.T) { f(&scriptT{T: t}) })
}

// Verbose implements testscript.T: what went well is not cut out of the log.
func (*scriptT) Verbose() bool { return true }

// Log implements testscript.T. It is called once, with the whole log, when the
// script has ended.
func (s *scriptT) Log(args ...any) {
	s.Helper()
	s.T.Log(args...)
	if s.tenant != nil {
		for _, leak := range s.tenant.secrets.printed(fmt.Sprint(args...)) {
			s.Error("printed without being asked for:", leak)
		}
	}
}

// scriptTenant is the simulated tenant of a script.
type scriptTenant struct {
	operator
	secrets *secrets
}

// scriptTenantCmds are the commands of scripts that need a tenant.
func scriptTenantCmds() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"tenant": scriptBecome, "api": scriptAPI, "fault": scriptFault, "capture": scriptCapture, "revealed": scriptRevealed,
	}
}

type scriptTKey struct{}

func tenantOf(ts *testscript.TestScript) *scriptTenant {
	s := ts.Value(scriptTKey{}).(*scriptT)
	if s.tenant == nil {
		ts.Fatalf("there is no tenant: say tenant first")
	}
	return s.tenant
}

// scriptBecome sets the environment to an application with these scopes of the
// Management API, all that commands need where none are named. The tenant is made
// at its first call.
func scriptBecome(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: tenant [SCOPE…]")
	}
	s := ts.Value(scriptTKey{}).(*scriptT)
	if s.tenant == nil {
		s.tenant = newScriptTenant(s.T)
		ts.Setenv("XDG_CACHE_HOME", ts.MkAbs(scriptCache))
		root := ts.Getenv("WORK")
		ts.Defer(func() {
			for _, leak := range s.tenant.secrets.written(root) {
				s.Error("written without being asked for:", leak)
			}
		})
	}
	if len(args) == 0 {
		args = allScopes()
	}
	s.tenant.become(args...)
	for _, pair := range s.tenant.environ {
		name, value, _ := strings.Cut(pair, "=")
		ts.Setenv(name, value)
	}
}

func newScriptTenant(t *testing.T) *scriptTenant {
	t.Helper()
	s := &scriptTenant{secrets: &secrets{kinds: map[string]string{}, asked: map[string]int{}}}
	s.t, s.tenant = t, auth0sim.New(auth0sim.Config{Seed: 1, Machines: 20, People: 5})
	server := httptest.NewServer(s.secrets.of(s.tenant.Handler()))
	t.Cleanup(server.Close)
	s.base = server.URL
	return s
}

// scriptAPI makes an API with these scopes and sets API to its identifier.
func scriptAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: api SCOPE…")
	}
	ts.Setenv("API", tenantOf(ts).api(args...))
}

// scriptFault lets something go wrong with the next requests: it is done and the
// answer lost, or nothing is done and a status answered.
func scriptFault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 && len(args) != 4 {
		ts.Fatalf("usage: fault METHOD PATH drop|STATUS [TIMES]")
	}
	f := auth0sim.Fault{Method: args[0], Path: "/api/v2/" + args[1], Drop: args[2] == "drop"}
	var err error
	if !f.Drop {
		f.Status, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	if len(args) == 4 {
		f.Times, err = strconv.Atoi(args[3])
		ts.Check(err)
	}
	tenantOf(ts).tenant.Inject(f)
}

// scriptCapture sets a variable to what the last standard output has for an
// expression, or for its first group: ids differ from run to run, and cmpenv puts
// them into what is expected.
func scriptCapture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME REGEXP")
	}
	expression, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := expression.FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("%q is not in the last standard output", args[1])
	}
	ts.Setenv(args[0], m[len(m)-1])
}

// scriptRevealed says that secrets were asked for: on the last standard output, or
// in files. There has to be one in each.
func scriptRevealed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: revealed stdout|FILE…")
	}
	secrets := tenantOf(ts).secrets
	for _, where := range args {
		path := where
		if where != "stdout" {
			path = ts.MkAbs(where)
		}
		if secrets.reveal(path, ts.ReadFile(where)) == 0 {
			ts.Fatalf("there is no secret in %s", where)
		}
	}
}

// scriptCache is where tokens are kept while a script runs. They alone may lie
// there.
const scriptCache = ".cache"

// secrets are those that a tenant has been told or has told.
type secrets struct {
	mu    sync.Mutex        // guards what follows
	kinds map[string]string // by secret: the member that it was
	asked map[string]int    // how often it may be printed
	files []string          // that may hold some
}

// secretMembers are the members of requests and answers that are secrets.
var secretMembers = []string{
	"access_token", "client_assertion", "client_secret", "httpAuthorization", "password", "refresh_token", "signing_secret",
}

// minSecret is the length from which on a value is looked for: a shorter one may
// be anywhere by chance.
const minSecret = 8

// of notes the secrets of all that is asked and answered.
func (s *secrets) of(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		s.note(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answered := &answerKept{ResponseWriter: w}
		defer func() { s.note(answered.body.Bytes()) }()
		handler.ServeHTTP(answered, r)
	})
}

// answerKept keeps what is answered.
type answerKept struct {
	http.ResponseWriter
	body bytes.Buffer
}

// Write implements http.ResponseWriter.
func (a *answerKept) Write(b []byte) (int, error) {
	a.body.Write(b)
	return a.ResponseWriter.Write(b)
}

func (s *secrets) note(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var document any
	if json.Unmarshal(body, &document) == nil {
		s.walk("", document)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return
	}
	for name := range form {
		s.walk(name, form.Get(name))
	}
}

func (s *secrets) walk(name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			s.walk(name, member)
		}
	case []any:
		for _, element := range v {
			s.walk(name, element)
		}
	case string:
		if len(v) >= minSecret && slices.Contains(secretMembers, name) {
			s.kinds[v] = name
		}
	}
}

// reveal counts the secrets of a place as asked for, and returns how many.
func (s *secrets) reveal(path, text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret := range s.kinds {
		found := strings.Count(text, secret)
		n += found
		if path == "stdout" {
			s.asked[secret] += found
		}
	}
	if path != "stdout" {
		s.files = append(s.files, path)
	}
	return n
}

// scriptLine is a line of the log that repeats one of the script itself, before
// variables are put in.
var scriptLine = regexp.MustCompile("(?m)^> .*\n")

// printed names the secrets that are more often in a log than asked for.
func (s *secrets) printed(log string) (leaks []string) {
	log = scriptLine.ReplaceAllString(log, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, kind := range s.kinds {
		if found := strings.Count(log, secret); found > s.asked[secret] {
			leaks = append(leaks, fmt.Sprintf("a secret (%s), %d times", kind, found-s.asked[secret]))
		}
	}
	return leaks
}

// written names the files below a folder that have secrets and were not said to.
func (s *secrets) written(root string) (leaks []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || slices.Contains(s.files, path) {
			return err
		}
		content, err := os.ReadFile(path)
		for secret, kind := range s.kinds {
			kept := kind == "access_token" && strings.HasPrefix(path, filepath.Join(root, scriptCache)+string(os.PathSeparator))
			if !kept && bytes.Contains(content, []byte(secret)) {
				leaks = append(leaks, fmt.Sprintf("a secret (%s) in %s", kind, path))
			}
		}
		return err
	})
	if err != nil {
		leaks = append(leaks, err.Error())
	}
	return leaks
}

func TestSecretsThatAScriptLeaksAreFound(t *testing.T) {
	s := newScriptTenant(t)
	s.become("read:clients")
	secret, dir := s.client.Secret, t.TempDir()
	writeFiles(t, map[string]string{filepath.Join(dir, "asked"): secret, filepath.Join(dir, "leaked"): "it is " + secret + "\n", filepath.Join(dir, "clean"): "it is ***"})
	if n := s.secrets.reveal("stdout", "the secret: "+secret); n != 1 {
		t.Errorf("%d secrets on standard output, want 1", n)
	}
	if leaks := s.secrets.printed("[stdout]\nthe secret: " + secret); len(leaks) > 0 {
		t.Errorf("what was asked for is a leak: %q", leaks)
	}
	if leaks := s.secrets.printed("[stdout]\nthe secret: " + secret + "\n[stderr]\n" + secret); len(leaks) != 1 {
		t.Errorf("leaks: %q, want 1", leaks)
	}
	s.secrets.reveal(filepath.Join(dir, "asked"), secret)
	leaks := s.secrets.written(dir)
	if want := []string{"a secret (client_secret) in " + filepath.Join(dir, "leaked")}; !slices.Equal(leaks, want) {
		t.Errorf("leaks: %q, want %q", leaks, want)
	}
}

// Each command has a script that runs it, for what a person sees.
func TestEachCommandOfATenantIsInAScript(t *testing.T) {
	paths, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var scripts strings.Builder
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		scripts.Write(text)
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() {
			return
		}
		name := regexp.QuoteMeta(commandName(c))
		for _, want := range []string{"(?m)^exec m2mwatch " + name + "( .*)?$", "(?m)^! exec m2mwatch " + name + "( .*)?$"} {
			if !regexp.MustCompile(want).MatchString(scripts.String()) {
				t.Errorf("no script has a line %s", want)
			}
		}
	}
	for _, noun := range newRoot(&invocation{}).Commands() {
		if slices.Contains([]string{"apps", "roles", "tokens", "scopes", "export", "plan", "apply"}, noun.Name()) {
			walk(noun)
		}
	}
}
