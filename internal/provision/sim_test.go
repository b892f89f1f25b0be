package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
)

// sim is a simulated tenant that is called without a network, so that a bubble's
// time may be its own.
type sim struct {
	t       *testing.T
	tenant  *auth0sim.Tenant
	handler http.Handler
	client  auth0sim.Client // with every scope
}

func newSim(t *testing.T, change ...func(*auth0sim.Config)) *sim {
	t.Helper()
	c := auth0sim.Config{Seed: 7, Machines: 2, People: 1}
	for _, f := range change {
		f(&c)
	}
	s := &sim{t: t, tenant: auth0sim.New(c)}
	s.handler, s.client = s.tenant.Handler(), s.tenant.AddOperator("provisioner")
	return s
}

// wire is one way to the tenant. It counts calls of the Management API, and can be
// cut as a process that is killed cuts it.
type wire struct {
	*sim
	mu       sync.Mutex // guards what follows
	calls    int
	by       map[string]int           // calls by method and kind of path
	statuses map[int]int              // answers
	killAt   int                      // the call at which the process dies; 0 is none
	before   bool                     // it dies before the call arrives, else after it is done
	atDeath  func()                   // called when it dies
	order    func()                   // called before each call, to shuffle
	lose     func(*http.Request) bool // requests that get lost on their way
}

var errKilled = errors.New("the process was killed")

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	management := strings.HasPrefix(r.URL.Path, "/api/v2/")
	dies, dead := w.count(r, management)
	if dies && w.before && w.atDeath != nil {
		w.atDeath()
	}
	if dead || dies && w.before {
		return nil, errKilled
	}
	if w.lose != nil && w.lose(r) {
		return nil, errors.New("connection reset by peer")
	}
	if w.order != nil && management {
		w.order()
	}
	response, err := w.serve(r)
	if dies {
		if w.atDeath != nil {
			w.atDeath()
		}
		return nil, errKilled
	}
	if err == nil {
		w.mu.Lock()
		w.statuses[response.StatusCode]++
		w.mu.Unlock()
	}
	return response, err
}

// count tells whether the process dies at this call, or is dead.
func (w *wire) count(r *http.Request, management bool) (dies, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if management {
		w.calls++
		path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/api/v2/"), "/")
		for i := 1; i < len(path); i += 2 {
			path[i] = "…"
		}
		w.by[r.Method+" "+strings.Join(path, "/")]++
	}
	return w.killAt > 0 && management && w.calls == w.killAt, w.killAt > 0 && w.calls > w.killAt
}

func (w *wire) serve(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if recover() != nil { // http.ErrAbortHandler: the connection is closed
			response, err = nil, errors.New("connection reset by peer")
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	w.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// wire makes a way to the tenant, and an API over it.
func (s *sim) wire() (*wire, API) {
	s.t.Helper()
	w := &wire{sim: s, by: map[string]int{}, statuses: map[int]int{}}
	client, err := auth0.New(auth0.Config{
		Domain: s.tenant.Domain(), Credentials: auth0.Credentials{ClientID: s.client.ID, ClientSecret: s.client.Secret}, Transport: w, MaxWait: time.Hour,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return w, simAPI{client}
}

// simAPI is a client as provisioning asks for it.
type simAPI struct{ client *auth0.Client }

func (a simAPI) Get(ctx context.Context, path []string, query url.Values) (json.RawMessage, error) {
	raw, err := a.client.Get(ctx, path, query)
	return raw, simError(err)
}

func (a simAPI) Post(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	raw, err := a.client.Post(ctx, path, body)
	return raw, simError(err)
}

func (a simAPI) Patch(ctx context.Context, path []string, body any) (json.RawMessage, error) {
	raw, err := a.client.Patch(ctx, path, body)
	return raw, simError(err)
}

func (a simAPI) Delete(ctx context.Context, path []string, body any) error {
	return simError(a.client.Delete(ctx, path, body))
}

func (a simAPI) List(ctx context.Context, path []string, key string, query url.Values) iter.Seq2[json.RawMessage, error] {
	list := a.client.List
	if path[0] == "clients" || path[0] == "client-grants" || len(path) == 3 && path[0] == "roles" && path[2] == "users" {
		list = a.client.ListFrom
	}
	return func(yield func(json.RawMessage, error) bool) {
		for raw, err := range list(ctx, path, key, query) {
			if !yield(raw, simError(err)) {
				return
			}
		}
	}
}

func simError(err error) error {
	for status, means := range map[int]error{http.StatusNotFound: ErrNotFound, http.StatusConflict: ErrConflict} {
		if errors.Is(err, &auth0.APIError{Status: status}) {
			return fmt.Errorf("%w: %w", err, means)
		}
	}
	if errors.Is(err, auth0.ErrMaybeDone) {
		return fmt.Errorf("%w: %w", err, ErrMaybeDone)
	}
	return err
}

// admin calls the Management API as an administrator; path is escaped.
func (s *sim) admin(method, path string, body, answer any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest(method, "https://"+s.tenant.Domain()+"/api/v2/"+path, strings.NewReader(string(text)))
	r.Header.Set("Authorization", "Bearer "+s.tenant.AdminToken())
	recorder := httptest.NewRecorder()
	s.handler.ServeHTTP(recorder, r)
	raw, _ := io.ReadAll(recorder.Result().Body)
	if recorder.Code >= http.StatusMultipleChoices {
		s.t.Fatalf("%s %s: %d %s", method, path, recorder.Code, raw)
	}
	if answer != nil {
		if err := json.Unmarshal(raw, answer); err != nil {
			s.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

// anAPI makes an API with scopes.
func (s *sim) anAPI(identifier string, scopes ...string) {
	s.t.Helper()
	values := []map[string]string{}
	for _, scope := range scopes {
		values = append(values, map[string]string{"value": scope})
	}
	s.admin("POST", "resource-servers", map[string]any{"identifier": identifier, "scopes": values}, nil)
}

// planned reads a file and compares.
func planned(t *testing.T, api API, text string, change ...func(*Planner)) *Plan {
	t.Helper()
	m, err := ReadMachines([]byte(text))
	if err != nil {
		t.Fatalf("%v, in\n%s", err, text)
	}
	p := &Planner{API: api}
	for _, f := range change {
		f(p)
	}
	plan, err := p.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
