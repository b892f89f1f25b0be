package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestWrongParametersAreProblemsThatSayWhich(t *testing.T) {
	s := &store{events: []schemas.Event{event()}}
	srv := api(t, s, query.Config{})
	foreign := "eyJ0IjoiMjAyNS0wMy0xNFQxMjowMDowMFoiLCJpIjoiN2MxZSJ9" // a place among findings
	for _, tc := range []struct {
		path   string
		status int
		code   string
		detail string // a part of it
	}{
		{"/v1/events?limit=0", 422, "parameter_invalid", "limit: expected number >= 1"},
		{"/v1/events?limit=1001", 422, "parameter_invalid", "limit: expected number <= 1000"},
		{"/v1/events?limit=ten", 422, "parameter_invalid", "limit: "},
		{"/v1/events?tenant=Acme", 422, "parameter_invalid", "tenant: "},
		{"/v1/events?tenat=acme", 422, "parameter_invalid", "tenat: unknown query parameter"},
		{"/v1/events?limit=0&tenant=A", 422, "parameter_invalid", "; "},
		{"/v1/events?from=yesterday", 422, "parameter_invalid", "from: want a time"},
		{"/v1/events?to=-1h", 422, "parameter_invalid", "to: want a time"},
		{"/v1/events?from=%2B1h", 422, "parameter_invalid", "from: want a time"},
		{"/v1/events?from=0001-01-01", 422, "parameter_invalid", "from: want a time from 1970"},
		{"/v1/events?from=99999w", 422, "parameter_invalid", "from: want a time from 1970"},
		{"/v1/events?from=1h&to=2h", 422, "parameter_invalid", "from: 2025-03-14T11:00:00.000Z is not before to"},
		{"/v1/events?cursor=%21", 400, "cursor_invalid", "pass on the value of next"},
		{"/v1/events?cursor=e30", 400, "cursor_invalid", "pass on the value of next"},
		{"/v1/events?cursor=" + foreign, 400, "cursor_invalid", "pass on the value of next"},
		{"/v1/findings?cursor=e30", 400, "cursor_invalid", "pass on the value of next"},
		{"/v1/findings?state=closed", 422, "parameter_invalid", `state: expected value to be one of "open, acknowledged, resolved, withdrawn"`},
		{"/v1/findings?level=3", 422, "parameter_invalid", "level: "},
		{"/v1/events/ACME/1", 422, "parameter_invalid", "tenant: "},
		{"/v1/nothing", 404, "not_found", "Nothing is served"},
		{"/v1/openapi-3.0.json", 404, "not_found", "Nothing is served"},
	} {
		p, _ := problem(t, srv, tc.path)
		if p.Status != tc.status || p.Code != tc.code || !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%s: got %+v", tc.path, p)
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("the store was asked: %v", s.asked)
	}
}

func TestUnknownDimensionListsTheValidOnes(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	p, _ := problem(t, srv, "/v1/stats?by=type,colour")
	if p.Status != 422 || !strings.Contains(p.Detail, strings.Join(schemas.StatsDimensions, ", ")) {
		t.Errorf("got %+v", p)
	}
	ok(t, srv, "/v1/stats?by="+strings.Join(schemas.StatsDimensions[:6], ","))
	if p, _ := problem(t, srv, "/v1/stats?by=type,type"); p.Status != 422 {
		t.Errorf("a dimension twice: %+v", p)
	}
}

func TestStoreErrorsBecomeProblems(t *testing.T) {
	secret := "clickhouse://app:hunter2@10.0.0.7"
	for _, tc := range []struct {
		err    error
		status int
		code   string
		retry  string
		level  string
	}{
		{errors.New("dial " + secret), 503, "store_unavailable", "5", "ERROR"},
		{fmt.Errorf("%w: %s", schemas.ErrNotFound, secret), 404, "not_found", "", "DEBUG"},
		{fmt.Errorf("%w: %s", schemas.ErrRefused, secret), 500, "internal", "", "ERROR"},
		{fmt.Errorf("%w: %s", context.DeadlineExceeded, secret), 504, "query_timeout", "", "ERROR"},
	} {
		var logs bytes.Buffer
		srv := apiWithLog(t, &store{err: tc.err}, query.Config{}, &logs)
		paths := []string{"/v1/events", "/v1/events/acme/1", "/v1/stats", "/v1/findings", "/v1/findings/1", "/v1/status"}
		for _, path := range paths {
			p, header := problem(t, srv, path)
			if p.Status != tc.status || p.Code != tc.code || header.Get("Retry-After") != tc.retry || strings.Contains(p.Detail, "hunter2") {
				t.Errorf("%s with %v: %+v, Retry-After %q", path, tc.err, p, header.Get("Retry-After"))
			}
		}
		srv.Close()
		if n := strings.Count(logs.String(), "hunter2"); n != len(paths) || strings.Count(logs.String(), "level="+tc.level) != n {
			t.Errorf("want the cause once per request at %s:\n%s", tc.level, &logs)
		}
	}
}

func TestNotFoundNamesTheThing(t *testing.T) {
	srv := api(t, &store{err: schemas.ErrNotFound}, query.Config{})
	if p, _ := problem(t, srv, "/v1/events/acme/42"); p.Detail != "No event with the log_id 42 is stored for the tenant acme." {
		t.Errorf("got %+v", p)
	}
	if p, _ := problem(t, srv, "/v1/findings/7c1e"); p.Detail != "No finding has the id 7c1e." {
		t.Errorf("got %+v", p)
	}
}

func TestBrokerAwayIsA503(t *testing.T) {
	b := backlog(func(context.Context) (schemas.Backlog, error) { return schemas.Backlog{}, errors.New("no responders") })
	s := &store{}
	if p, _ := problem(t, api(t, s, query.Config{Backlog: b}), "/v1/status"); p.Status != 503 || p.Code != "broker_unavailable" {
		t.Errorf("got %+v", p)
	}
}

func TestSlowStoreIsA504(t *testing.T) {
	srv := api(t, &store{block: true}, query.Config{Timeout: 10 * time.Millisecond})
	p, _ := problem(t, srv, "/v1/events")
	if p.Status != 504 || p.Code != "query_timeout" || !strings.Contains(p.Detail, "10ms") || !strings.Contains(p.Detail, "from, to") {
		t.Errorf("got %+v", p)
	}
}

func TestQuestionEndsWhenTheClientHangsUp(t *testing.T) {
	var logs bytes.Buffer
	s := &store{block: true}
	srv := apiWithLog(t, s, query.Config{Timeout: time.Hour}, &logs)
	ctx, cancel := context.WithCancel(t.Context())
	asked := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.asked) > 0
	}
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !asked() {
			<-tick.C
		}
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err == nil {
		resp.Body.Close()
		t.Fatal("an answer")
	}
	srv.Close() // waits for the handler
	if !strings.Contains(logs.String(), "status=499") || strings.Contains(logs.String(), "ERROR") {
		t.Errorf("log:\n%s", &logs)
	}
}

func TestTokenGuardsTheAPIWhereItIsAsked(t *testing.T) {
	var tokens httpserver.TokenSet
	tokens.Replace([]httpserver.Token{httpserver.NewToken("ci", "secret")})
	a := query.New(query.Config{Store: &store{}})
	tcp, socket := httpserver.New(httpserver.Config{Name: "api"}), httpserver.New(httpserver.Config{Name: "socket"})
	a.Register(tcp, httpserver.RequireToken(&tokens))
	a.Register(socket)

	ask := func(h http.Handler, path, token string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, path := range []string{"/v1/events", "/v1/events/acme/1", "/v1/stats", "/v1/findings", "/v1/findings/1", "/v1/reprocess", "/v1/reprocess/1", "/v1/inventory/clients", "/v1/inventory/changes", "/v1/inventory/syncs", "/v1/inventory/syncs/1", "/v1/status", "/v1/openapi.json", "/v1/openapi.yaml", "/v1/nothing"} {
		if got := ask(tcp, path, ""); got != 401 {
			t.Errorf("%s without a token: %d", path, got)
		}
		if got := ask(tcp, path, "wrong"); got != 401 {
			t.Errorf("%s with a wrong token: %d", path, got)
		}
	}
	w := httptest.NewRecorder()
	tcp.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/reprocess", strings.NewReader(`{"tenant":"acme"}`)))
	if w.Code != 401 {
		t.Errorf("a job is taken without a token: %d", w.Code)
	}
	w = httptest.NewRecorder()
	tcp.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v1/reprocess/1", nil))
	if w.Code != 401 {
		t.Errorf("a job is canceled without a token: %d", w.Code)
	}
	if tcp, socket := ask(tcp, "/v1/events", "secret"), ask(socket, "/v1/events", ""); tcp != 200 || socket != 200 {
		t.Errorf("with the token %d, on the socket %d", tcp, socket)
	}
}

func TestDocumentDescribesTheErrorsThatAreWritten(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	doc := get(t, srv, "/v1/openapi.json").body
	var spec struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Responses map[string]json.RawMessage }
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal([]byte(doc), &spec); err != nil {
		t.Fatal(err)
	}
	if spec.OpenAPI != "3.1.0" || len(spec.Paths) < 13 {
		t.Errorf("openapi %s with %d paths", spec.OpenAPI, len(spec.Paths))
	}
	for path, item := range spec.Paths {
		if strings.HasPrefix(path, "/v1/logs/") || strings.HasPrefix(path, "/v1/custom/") || strings.HasPrefix(path, "/v1/import/") {
			continue // TestIntakeAnswersAsItIsDescribed
		}
		if _, ok := item["get"]; !ok && path != "/v1/backtests" && path != "/v1/silences/{id}" && !strings.HasSuffix(path, "/replay") && !strings.HasSuffix(path, "/discard") {
			t.Errorf("%s cannot be asked", path)
		}
		for method, operation := range item {
			answer := map[string]string{"get": "200", "post": "202", "delete": "202"}[method]
			switch {
			case path == "/v1/silences" && method == "post":
				answer = "201"
			case strings.HasPrefix(path, "/v1/dead/"), strings.HasPrefix(path, "/v1/silences"), path == "/v1/provision-log":
				answer = "200"
			}
			for _, status := range []string{answer, "401", "422", "503", "504"} {
				if operation.Responses[status] == nil {
					t.Errorf("%s %s does not describe %s", method, path, status)
				}
			}
		}
	}
	for rest := doc; ; {
		_, after, found := strings.Cut(rest, `"#/components/schemas/`)
		if !found {
			break
		}
		name, _, _ := strings.Cut(after, `"`)
		if spec.Components.Schemas[name] == nil {
			t.Errorf("reference to %s, which is not described", name)
		}
		rest = after
	}
	if spec.Components.Schemas["ErrorModel"] != nil || spec.Components.Schemas["Problem"] == nil {
		t.Errorf("schemas: %v", spec.Components.Schemas)
	}
}

func TestConcurrentQuestions(t *testing.T) {
	srv := api(t, &store{events: []schemas.Event{event()}}, query.Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, path := range []string{"/v1/openapi.json", "/v1/events", "/v1/events?limit=0", "/v1/stats?by=x"} {
				resp, err := srv.Client().Get(srv.URL + path)
				if err != nil {
					t.Error(err)
					continue
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
}

// An empty parameter is what a variable makes that was never set.
func TestEmptyParameterOfAChangeIsRefused(t *testing.T) {
	h := natstest.New(t)
	fillDead(t, h, 2)
	srv := api(t, &store{}, query.Config{Dead: nats.NewDeadStore(h.Conn, h.Publisher(t), nil)})
	for _, path := range []string{"discard?tenant=", "discard?dry_run=", "replay?reason=&tenant=acme", "1/discard?dry_run="} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/dead/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := do(t, req); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "it is empty") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if left, _ := deadIDs(t, srv, "tenant="); len(left) != 2 {
		t.Errorf("%v are left, want both", left)
	}
}

func TestBodyThatIsNoJSONIsToldSo(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	for _, tt := range []struct{ mediaType, body, detail string }{
		{"application/x-www-form-urlencoded", `{"tenant":"acme"}`, "body: its content type is application/x-www-form-urlencoded; send JSON, and say so: Content-Type: application/json"},
		{"application/json", `{tenant`, "body: invalid character 't'"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/reprocess", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tt.mediaType)
		a := do(t, req)
		if p := decode[schemas.Problem](t, a.body); a.status != http.StatusUnprocessableEntity || !strings.HasPrefix(p.Detail, tt.detail) {
			t.Errorf("%s: %d %+v", tt.mediaType, a.status, p)
		}
	}
	if body := get(t, srv, "/v1/events?limit=1001").body; !strings.Contains(body, "limit: expected number <= 1000") {
		t.Errorf("a person reads %s", body)
	}
}

func TestParameterGivenTwiceIsRefused(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	for _, path := range []string{"/v1/events?type=seccft&type=sapi", "/v1/stats?by=type&by=client_id"} {
		p, _ := problem(t, srv, path)
		if p.Status != http.StatusUnprocessableEntity || p.Code != "parameter_invalid" || !strings.Contains(p.Detail, "given 2 times") {
			t.Errorf("%s: got %+v", path, p)
		}
	}
}
