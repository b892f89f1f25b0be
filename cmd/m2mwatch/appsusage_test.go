package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// watched starts an instance that takes in what happens in the operator's tenant,
// and has its commands find it.
func (o *operator) watched() *instance {
	o.t.Helper()
	i := startUp(o.t, filepath.Join(o.t.TempDir(), "data"))
	o.environ = append(o.environ, "M2MWATCH_URL="+i.api, "M2MWATCH_TOKEN="+testToken)
	o.tenant.AddLogStream(auth0sim.Stream{Endpoint: i.webhook, Authorization: testSecret})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.tenant.Run(ctx)
	}()
	o.t.Cleanup(func() { cancel(); <-ended })
	return i
}

// stored waits until all that has happened is stored.
func (o *operator) stored(i *instance) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	if err := o.tenant.Drain(ctx); err != nil {
		o.t.Fatal(err)
	}
	i.settle()
}

// exchange asks for a token as an application from an address.
func (o *operator) exchange(a simApp, audience, ip string) (status int) {
	o.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.ID}, "client_secret": {a.Secret}, "audience": {audience}}
	r, err := http.NewRequestWithContext(o.t.Context(), "POST", o.base+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, auth0sim.ForwardedFor: {ip}, "User-Agent": {"curl/8.7.1"}}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// saidSoFar is what a command that still runs has said.
type saidSoFar struct {
	mu   sync.Mutex // guards what follows
	text bytes.Buffer
}

// Write implements io.Writer.
func (s *saidSoFar) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// has is an error until a text was said.
func (s *saidSoFar) has(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(s.text.String(), text) {
		return fmt.Errorf("%q is not in %q", text, s.text.String())
	}
	return nil
}

func TestWhatAnApplicationWasUsedForIsToldBeforeItIsChanged(t *testing.T) {
	t.Setenv("M2MWATCH_ENGINE_LIBRARY", engineLibrary(t)) // an operator has a cache of its own
	o := newProvisioner(t, allScopes()...)
	i := o.watched()
	api := o.api("read:orders")
	a := o.app("exporter", "--grant", "read:orders@"+api)
	o.stored(i)
	if _, said := o.must("apps", "usage", a.ID); !strings.Contains(said, "never used") {
		t.Errorf("said %q", said)
	}
	o.exchange(a, api, "192.0.2.7")
	o.exchange(a, api, "192.0.2.8")
	o.exchange(a, api, "198.51.100.9")
	o.exchange(simApp{ID: a.ID, Secret: "guessed-by-somebody"}, api, "203.0.113.1")
	o.stored(i)
	out, said := o.must("apps", "usage", a.ID)
	if !strings.Contains(said, " from 198.51.100.0/24 by curl for "+api) || strings.Contains(out, "203.0.113") {
		t.Errorf("said %q, printed\n%s", said, out)
	}
	if rows := strings.Split(out, "\n"); len(rows) != 4 || !strings.HasPrefix(rows[1], "192.0.2.0/24     curl     2       ") || !strings.HasSuffix(rows[1], api) {
		t.Errorf("printed\n%s", out)
	}

	// A rotation tells the same, and then who has not followed.
	before := a
	file := filepath.Join(t.TempDir(), "secret")
	_, said = o.must("apps", "rotate", a.ID, "--force", "--secret-file", file)
	command := ""
	for line := range strings.SplitSeq(said, "\n") {
		if _, hint, ok := strings.Cut(line, "what still uses the old one: m2mwatch "); ok {
			command = strings.TrimSuffix(hint, " --watch")
		}
		if _, hint, ok := strings.Cut(line, "each refusal: m2mwatch "); ok {
			o.must(strings.Fields(hint)...)
		}
	}
	if !strings.Contains(said, "last used ") || command == "" {
		t.Fatalf("said %q", said)
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a.Secret = strings.TrimSpace(string(secret))
	o.exchange(a, api, "192.0.2.7")
	o.exchange(before, api, "198.51.100.9")
	o.exchange(before, api, "203.0.113.1") // nothing had succeeded from there
	o.stored(i)
	var told struct {
		Sources []struct {
			Network, Uses    string
			Before, Old, New int
		}
	}
	out, _ = o.must(append(strings.Fields(command), "--json")...)
	if err := json.Unmarshal([]byte(out), &told); err != nil || len(told.Sources) != 2 ||
		told.Sources[0].Uses != "old" || told.Sources[0].Network != "198.51.100.0/24" || told.Sources[1].Uses != "new" || told.Sources[1].Before != 2 {
		t.Errorf("%v, told %+v", err, told)
	}
	var watched saidSoFar
	done := make(chan int)
	go func() {
		done <- run(append(append([]string{"m2mwatch"}, strings.Fields(command)...), "--watch", "--every", "50ms"), o.environ, strings.NewReader(""), io.Discard, &watched)
	}()
	i.eventually("the old secret is said to be in use", func() error { return watched.has("198.51.100.0/24: old, refused 1 times\n") })
	o.exchange(a, api, "198.51.100.9")
	if code := <-done; code != exitOK || watched.has("198.51.100.0/24: new\n") != nil {
		t.Errorf("watching ended with %d, %v", code, watched.has("198.51.100.0/24: new\n"))
	}
	_, said = o.must("apps", "disable", a.ID, "--force", "--grants-file", filepath.Join(t.TempDir(), "grants"))
	if !strings.Contains(said, "5 were issued within that time") {
		t.Errorf("said %q", said)
	}
	_, said = o.must("apps", "delete", a.ID, "--dry-run", "--no-backup")
	if !strings.Contains(said, " from 198.51.100.0/24 by curl for "+api) || !strings.Contains(said, "would delete exporter") {
		t.Errorf("said %q", said)
	}
	o.noSecret(t.TempDir(), a.Secret, before.Secret)
}

func TestAnApplicationIsChangedWhereNoInstanceRuns(t *testing.T) {
	o := newProvisioner(t, allScopes()...)
	t.Chdir(t.TempDir())
	a := o.app("exporter")
	if _, said := o.must("apps", "rotate", a.ID, "--force", "--secret-file", "secret"); !strings.Contains(said, "when it was last used is not known: no m2mwatch runs in data") {
		t.Errorf("said %q", said)
	}
	// What it could not do at the end is refused before the old secret is gone.
	o.fails(exitError, "--watch: no m2mwatch runs", "apps", "rotate", a.ID, "--force", "--secret-file", "another", "--watch")
	o.fails(exitError, "no m2mwatch runs", "apps", "usage", a.ID)
	o.fails(exitUsage, "--watch needs --rotated", "apps", "usage", a.ID, "--watch")
	o.fails(exitUsage, "want more than nothing", "apps", "usage", a.ID, "--rotated", "1h", "--watch", "--every", "0s")
	o.fails(exitUsage, "--from", "apps", "usage", a.ID, "--from", "yesterday")
	o.fails(exitUsage, "--rotated", "apps", "usage", a.ID, "--rotated", "yesterday")
}
