package auth0sim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestLimitIsToldAndRefilled(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)
	tenant := New(Config{Seed: 1, Machines: 4, People: 2, Now: func() time.Time { return now }, ManagementLimit: Limit{PerSecond: 2, Burst: 2}})
	log := tap(tenant)
	ask := func() http.Header {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v2/roles", nil)
		r.Header.Set("Authorization", "Bearer "+tenant.AdminToken())
		w := httptest.NewRecorder()
		tenant.Handler().ServeHTTP(w, r)
		w.Header().Set("Status", strconv.Itoa(w.Code))
		return w.Header()
	}
	wants := func(status, remaining string, reset int64) {
		t.Helper()
		h := ask()
		if h.Get("Status") != status || h.Get("X-RateLimit-Remaining") != remaining || h.Get("X-RateLimit-Limit") != "2" || h.Get("X-RateLimit-Reset") != strconv.FormatInt(reset, 10) {
			t.Errorf("status %s, headers %v; want %s, %s left, reset %d", h.Get("Status"), h, status, remaining, reset)
		}
	}
	second := now.Unix()
	wants("200", "1", second+1)
	wants("200", "0", second+1)
	wants("429", "0", second+1)
	if logs := log.logs(t); len(logs) != 1 || logs[0].Type != "api_limit" {
		t.Errorf("logged %+v", logs)
	}
	now = now.Add(500 * time.Millisecond)
	wants("200", "0", second+2)
	now = now.Add(time.Minute)
	wants("200", "1", second+62)
}

func TestFaultsHappenToTheRequestsTheyAreFor(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 4, People: 2})
	a := administrator(t, tenant)
	tenant.Inject(Fault{Method: "POST", Path: "/api/v2/roles", Skip: 1, Status: 503})
	tenant.Inject(Fault{Method: "GET", Path: "/api/v2/roles", Status: 429, Reset: time.Minute, Times: 2})
	a.call(200, "POST", "/roles", `{"name":"one"}`)
	a.call(503, "POST", "/roles", `{"name":"two"}`)
	a.call(200, "POST", "/roles", `{"name":"two"}`)
	a.call(429, "GET", "/roles", "")
	a.call(429, "GET", "/roles", "")
	a.call(200, "GET", "/roles?include_totals=true", "")
	tenant.Inject(Fault{Status: 409, Body: `{"statusCode":409,"errorCode":"custom_domain_conflict"}`})
	if answer := a.call(409, "POST", "/users", newUser); answer["errorCode"] != "custom_domain_conflict" {
		t.Errorf("answered %v", answer)
	}
}

func TestLostAnswerIsOfWhatWasDone(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 4, People: 2})
	a := administrator(t, tenant)
	tenant.Inject(Fault{Method: "POST", Drop: true})
	req, err := http.NewRequestWithContext(t.Context(), "POST", a.base+"/clients", strings.NewReader(`{"name":"lost"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", a.header["Authorization"])
	if resp, err := http.DefaultClient.Do(req); !errors.Is(err, io.EOF) {
		if err == nil {
			resp.Body.Close()
		}
		t.Errorf("answered %v, want EOF", err)
	}
	tenant.api().mu.Lock()
	defer tenant.api().mu.Unlock()
	if tenant.api().clients.find(having("name", "lost")) == nil {
		t.Error("the client was not made")
	}
}

func TestSlowRequestEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 4, People: 2})
	a := administrator(t, tenant)
	tenant.Inject(Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", a.base+"/roles", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		if err == nil {
			resp.Body.Close()
		}
		t.Errorf("answered %v", err)
	}
}
