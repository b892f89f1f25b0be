package auth0sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink receives deliveries without a network, so that time can be the test's.
type sink struct {
	mu     sync.Mutex // guards what follows
	status int
	header http.Header
	types  []string
}

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = r.Header
	if s.status == http.StatusOK {
		for line := range bytes.SplitSeq(bytes.TrimSpace(body), []byte("\n")) {
			s.types = append(s.types, typeIn(line))
		}
	}
	return &http.Response{StatusCode: s.status, Body: http.NoBody, Request: r}, nil
}

func (s *sink) answers(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// taken returns and forgets what has been received.
func (s *sink) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	types := strings.Join(s.types, " ")
	s.types = nil
	return types
}

// answerTo calls the API in process, as an administrator.
func answerTo(t *testing.T, tenant *Tenant, method, path, body string) (int, any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://acme.auth0.example/api/v2"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+tenant.AdminToken())
	w := httptest.NewRecorder()
	tenant.Handler().ServeHTTP(w, r)
	return w.Code, decoded(w.Body.String())
}

// do expects a status and returns the object that is answered.
func do(t *testing.T, tenant *Tenant, want int, method, path, body string) map[string]any {
	t.Helper()
	code, answer := answerTo(t, tenant, method, path, body)
	if code != want {
		t.Errorf("%s %s: %d %v, want %d", method, path, code, answer, want)
	}
	d, _ := answer.(document)
	var object map[string]any
	_ = json.Unmarshal([]byte(compact(d)), &object)
	return object
}

func TestLogStreamMadeByTheAPIDeliversPausesAndIsSuspended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		receiver := &sink{status: http.StatusOK}
		tenant := New(Config{Seed: 1, Machines: 4, People: 2, Client: &http.Client{Transport: receiver}, SuspendAfter: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go tenant.Run(ctx)
		act := func() { do(t, tenant, 200, "POST", "/roles", `{"name":"r`+time.Now().String()+`"}`) }
		settle := func() string {
			timer := time.NewTimer(time.Minute)
			<-timer.C
			return receiver.taken()
		}
		wants := func(what, want string) {
			t.Helper()
			if got := settle(); got != want {
				t.Errorf("%s: received %q, want %q", what, got, want)
			}
		}

		body := `{"name":"m2mwatch","type":"http","sink":{"httpEndpoint":"https://watch.example/v1/logs/acme","httpAuthorization":"s3","httpContentFormat":"JSONLINES","httpContentType":"application/x-ndjson",
			"httpCustomHeaders":[{"header":"X-Tenant","value":"acme"}]}}`
		do(t, tenant, 400, "POST", "/log-streams", strings.Replace(body, "https:", "http:", 1))
		stream := do(t, tenant, 200, "POST", "/log-streams", body)
		path := "/log-streams/" + stream["id"].(string)
		if stream["status"] != "active" || stream["sink"].(map[string]any)["httpAuthorization"] != "s3" {
			t.Errorf("created %v", stream)
		}
		act()
		wants("at work", "sapi sapi")
		if receiver.header.Get("Authorization") != "s3" || receiver.header.Get("X-Tenant") != "acme" || receiver.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("headers %v", receiver.header)
		}

		do(t, tenant, 200, "PATCH", path, `{"status":"paused"}`)
		act()
		wants("paused", "")
		do(t, tenant, 200, "PATCH", path, `{"status":"active"}`)
		wants("resumed", "sapi sapi sapi") // what was queued, with its own changes

		receiver.answers(http.StatusServiceUnavailable)
		act()
		settle()
		if got := do(t, tenant, 200, "GET", path, "")["status"]; got != "active" {
			t.Errorf("refused for a minute: %v", got)
		}
		timer := time.NewTimer(time.Hour)
		<-timer.C
		if got := do(t, tenant, 200, "GET", path, "")["status"]; got != "suspended" {
			t.Errorf("refused for an hour: %v", got)
		}
		receiver.answers(http.StatusOK)
		wants("suspended", "")
		do(t, tenant, 400, "PATCH", path, `{"status":"suspended"}`)
		do(t, tenant, 200, "PATCH", path, `{"status":"active","filters":[{"type":"category","name":"management.fail"}]}`)
		wants("at work again", "sapi fapi") // the filter is there before its own row is
		act()
		do(t, tenant, 404, "DELETE", "/roles/none", "")
		wants("filtered", "fapi")

		for range 2 {
			do(t, tenant, 204, "DELETE", path, "")
		}
		act()
		wants("deleted", "")
		do(t, tenant, 404, "GET", path, "")

		do(t, tenant, 200, "POST", "/log-streams", strings.Replace(body, `"sink"`, `"startFrom":"`+time.Now().Add(-2*time.Minute-time.Second).UTC().Format(time.RFC3339)+`","sink"`, 1))
		wants("from two minutes ago on", "sapi fapi sapi sapi sapi sapi")
	})
}

func TestLogStreamsAreLimitedByThePlan(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 4, People: 2, MaxLogStreams: 1})
	tenant.AddLogStream(Stream{Endpoint: "https://watch.example"})
	do(t, tenant, 409, "POST", "/log-streams", `{"type":"http","sink":{"httpEndpoint":"https://watch.example"}}`)
	if list := tenant.api().streams.all(nil); len(list) != 1 || list[0].child("sink").text("httpEndpoint") != "https://watch.example" {
		t.Errorf("streams %v", list)
	}
}

func TestLogsAreReadFromACheckpointOn(t *testing.T) {
	t.Parallel()
	tenant := New(Config{Seed: 1, Machines: 4, People: 2, LogsKept: 30})
	tenant.KeepHistory(historyEnd.AddDate(0, 0, -1), historyEnd, 250)
	handler := tenant.Handler()
	var ids []string
	path := "/api/v2/logs?take=100"
	for requests := 0; ; requests++ {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		r.Header.Set("Authorization", "Bearer "+tenant.AdminToken())
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var logs []struct {
			ID    string `json:"_id"`
			LogID string `json:"log_id"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &logs); err != nil || w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for _, l := range logs {
			if l.ID != l.LogID || len(ids) > 0 && l.LogID <= ids[len(ids)-1] {
				t.Errorf("%s follows %s", l.LogID, ids[len(ids)-1])
			}
			ids = append(ids, l.LogID)
		}
		next := w.Header().Get("Link")
		if !strings.HasPrefix(next, "<https://acme.auth0.example/api/v2/logs?from=") || !strings.HasSuffix(next, `&take=100>; rel="next"`) {
			t.Fatalf("Link: %s", next)
		}
		if requests == 2 { // meanwhile
			for _, name := range []string{"a", "b"} {
				do(t, tenant, 200, "POST", "/roles", `{"name":"`+name+`"}`)
			}
		}
		if path = strings.TrimPrefix(next[1:strings.Index(next, ">")], "https://acme.auth0.example"); len(logs) == 0 {
			break
		}
	}
	if len(ids) != 252 {
		t.Errorf("read %d logs, want 252", len(ids))
	}
	if answer := do(t, tenant, 200, "GET", "/logs?include_totals=true&q=type:sapi&per_page=1&sort=date:-1", ""); answer["length"] != 1.0 ||
		answer["logs"].([]any)[0].(map[string]any)["log_id"] != ids[251] {
		t.Errorf("newest: %v", answer)
	}
	users := do(t, tenant, 200, "GET", "/users?include_totals=true", "")["users"].([]any)
	login := do(t, tenant, 200, "GET", "/logs?include_totals=true&q=type:s", "")["logs"].([]any)[0].(map[string]any)
	if list := do(t, tenant, 200, "GET", "/users/"+url.PathEscape(login["user_id"].(string))+"/logs?include_totals=true", ""); len(users) != 2 || list["total"].(float64) < 1 ||
		list["logs"].([]any)[0].(map[string]any)["user_id"] != login["user_id"] {
		t.Errorf("logs of a user: %v", list)
	}
	do(t, tenant, 200, "GET", "/logs/"+ids[0], "")
	do(t, tenant, 404, "GET", "/logs/900", "")
	do(t, tenant, 400, "GET", "/logs?page=20", "")
}
