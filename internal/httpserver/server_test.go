package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// logBuffer collects log lines as JSON objects.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) lines(t *testing.T) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(b.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func newEcho(t *testing.T) (*echo.Echo, *logBuffer, *prometheus.Registry) {
	t.Helper()
	logs, reg := &logBuffer{}, prometheus.NewPedanticRegistry()
	logger := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return httpserver.New(httpserver.Config{Name: "test", Logger: logger, Registerer: reg}), logs, reg
}

func get(t *testing.T, e http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return do(t, e, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil), header...)
}

func do(t *testing.T, e http.Handler, r *http.Request, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func problem(t *testing.T, w *httptest.ResponseRecorder) schemas.Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != schemas.ProblemType {
		t.Errorf("content type %q, want %q", got, schemas.ProblemType)
	}
	var p schemas.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("body %q: %v", w.Body, err)
	}
	if p.Status != w.Code {
		t.Errorf("the problem says %d, the status line %d", p.Status, w.Code)
	}
	return p
}

func TestErrorsBecomeProblems(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.7: refused")
	for _, tc := range []struct {
		name  string
		err   error
		want  schemas.Problem
		retry string
		level string
	}{
		{
			name: "own", level: "ERROR", retry: "2",
			err:  fmt.Errorf("wrapped: %w", &httpserver.Error{Status: 503, Code: "full", Message: "Come back later.", Cause: secret, RetryAfter: 1500 * time.Millisecond}),
			want: schemas.Problem{Status: 503, Code: "full", Title: "Service Unavailable", Detail: "Come back later."},
		},
		{
			name: "own 4xx", level: "DEBUG",
			err:  &httpserver.Error{Status: 400, Code: "odd", Message: "Odd.", Cause: secret},
			want: schemas.Problem{Status: 400, Code: "odd", Title: "Bad Request", Detail: "Odd."},
		},
		{
			name: "unknown", level: "ERROR", err: secret,
			want: schemas.Problem{Status: 500, Code: "internal", Title: "Internal Server Error", Detail: "An unexpected error; the log has its cause."},
		},
		{
			name: "echo's own", level: "DEBUG", err: echo.NewHTTPError(418, "short and stout").SetInternal(secret),
			want: schemas.Problem{Status: 418, Code: "im_a_teapot", Title: "I'm a teapot", Detail: "short and stout"},
		},
		{
			name: "too large", level: "DEBUG", err: fmt.Errorf("read: 10.0.0.7: %w", &http.MaxBytesError{Limit: 9}),
			want: schemas.Problem{Status: 413, Code: "body_too_large", Title: "Request Entity Too Large", Detail: "The body is larger than the 9 bytes that are read here."},
		},
		{
			name: "deadline", level: "ERROR", err: fmt.Errorf("ask 10.0.0.7: %w", context.DeadlineExceeded),
			want: schemas.Problem{Status: 504, Code: "timeout", Title: "Gateway Timeout", Detail: "The answer took too long."},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e, logs, _ := newEcho(t)
			e.GET("/x", func(echo.Context) error { return tc.err })
			w := get(t, e, "/x")
			tc.want.Type = "about:blank"
			if diff := cmp.Diff(tc.want, problem(t, w)); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if got := w.Header().Get("Retry-After"); got != tc.retry {
				t.Errorf("Retry-After %q, want %q", got, tc.retry)
			}
			if strings.Contains(w.Body.String(), "10.0.0.7") {
				t.Errorf("the cause is in the answer: %s", w.Body)
			}
			lines := logs.lines(t)
			if len(lines) != 1 || lines[0]["level"] != tc.level || lines[0]["error"] != tc.err.Error() {
				t.Errorf("log %v, want one line at %s with the error", lines, tc.level)
			}
		})
	}
}

func TestUnknownPathsAndMethodsAreProblemsToo(t *testing.T) {
	e, _, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) })
	if p := problem(t, get(t, e, "/nowhere")); p.Status != 404 || p.Code != "not_found" {
		t.Errorf("got %+v", p)
	}
	w := do(t, e, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/x", nil))
	if p := problem(t, w); p.Status != 405 || p.Code != "method_not_allowed" || !strings.Contains(w.Header().Get("Allow"), "GET") {
		t.Errorf("got %+v, Allow %q", p, w.Header().Get("Allow"))
	}
}

func TestPanicIsA500WithAStackInTheLog(t *testing.T) {
	e, logs, _ := newEcho(t)
	e.GET("/x", func(echo.Context) error { panic("kaboom") })
	w := get(t, e, "/x")
	if p := problem(t, w); p.Status != 500 || p.Code != "internal" || strings.Contains(w.Body.String(), "kaboom") {
		t.Errorf("got %+v", p)
	}
	lines := logs.lines(t)
	if len(lines) != 1 || lines[0]["level"] != "ERROR" || lines[0]["error"] != "panic: kaboom" {
		t.Fatalf("log %v, want one error line", lines)
	}
	if stack, _ := lines[0]["stack"].(string); !strings.Contains(stack, "server_test.go") {
		t.Errorf("the stack does not name the handler: %s", stack)
	}
}

func TestPanicMidwayCutsTheConnection(t *testing.T) {
	e, logs, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error {
		if err := c.String(200, "half an ans"); err != nil {
			return err
		}
		c.Response().Flush()
		panic("kaboom")
	})
	srv := httptest.NewServer(e)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the client took %q for a whole answer", body)
	}
	if !strings.Contains(logs.String(), "panic: kaboom") {
		t.Errorf("log %s", logs)
	}
}

func TestLogHoldsNoHeaderAndNoQuery(t *testing.T) {
	e, logs, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) })
	get(t, e, "/x?token=hunter2", "Authorization", "Bearer hunter3", "Cookie", "hunter4", "X-Request-Id", "bad id\x01")
	lines := logs.lines(t)
	if len(lines) != 1 || lines[0]["level"] != "DEBUG" || lines[0]["path"] != "/x" {
		t.Fatalf("log %v, want one debug line", lines)
	}
	if strings.Contains(logs.String(), "hunter") || strings.Contains(logs.String(), "bad id") {
		t.Errorf("log %s", logs)
	}
}

func TestRequestIDIsTakenOverOrMade(t *testing.T) {
	e, logs, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error { return c.String(200, httpserver.RequestID(c)) })
	if w := get(t, e, "/x", "X-Request-Id", "abc-1"); w.Body.String() != "abc-1" || w.Header().Get("X-Request-Id") != "abc-1" {
		t.Errorf("body %q header %q", w.Body, w.Header().Get("X-Request-Id"))
	}
	if w := get(t, e, "/x", "X-Request-Id", strings.Repeat("a", 65)); len(w.Body.String()) != 26 {
		t.Errorf("made id %q", w.Body)
	}
	if !strings.Contains(logs.String(), `"request_id":"abc-1"`) {
		t.Errorf("log %s", logs)
	}
}

func TestMetricsLabelsAreBounded(t *testing.T) {
	e, _, reg := newEcho(t)
	other := httpserver.New(httpserver.Config{Name: "other", Registerer: reg})
	e.GET("/v1/things/:id", func(c echo.Context) error { return c.NoContent(204) })
	e.GET("/gone", func(echo.Context) error { return &httpserver.Error{Status: 404, Code: "gone", Message: "Gone."} })
	g := e.Group("/v2", func(next echo.HandlerFunc) echo.HandlerFunc { return next })
	g.GET("/y", func(c echo.Context) error { return c.NoContent(204) })
	e.GET("/metrics", httpserver.Metrics(reg))
	for _, p := range []string{"/v1/things/1", "/v1/things/2", "/wp-login", "/v1/thing", "/v2/zzz", "/gone"} {
		get(t, e, p)
	}
	get(t, other, "/x")
	w := get(t, e, "/metrics")
	var got []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "m2mwatch_http_requests_total{") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`m2mwatch_http_requests_total{code="204",route="/v1/things/:id",server="test"} 2`,
		`m2mwatch_http_requests_total{code="404",route="/gone",server="test"} 1`,
		`m2mwatch_http_requests_total{code="404",route="unmatched",server="other"} 1`,
		`m2mwatch_http_requests_total{code="404",route="unmatched",server="test"} 3`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(w.Body.String(), `m2mwatch_http_request_seconds_count{route="/v1/things/:id",server="test"} 2`) {
		t.Errorf("no histogram in:\n%s", w.Body)
	}
}

func TestClientThatHungUpIsNoErrorInTheLog(t *testing.T) {
	e, logs, _ := newEcho(t)
	e.GET("/x", func(c echo.Context) error { return c.Request().Context().Err() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := do(t, e, httptest.NewRequestWithContext(ctx, http.MethodGet, "/x", nil))
	if p := problem(t, w); p.Status != 499 || p.Code != "client_gone" {
		t.Errorf("got %+v", p)
	}
	if lines := logs.lines(t); len(lines) != 1 || lines[0]["level"] != "DEBUG" {
		t.Errorf("log %v", lines)
	}
}

func TestPathParametersAreDecoded(t *testing.T) {
	e, _, _ := newEcho(t)
	e.GET("/x/:a/:b", func(c echo.Context) error { return c.String(200, c.Param("a")+"|"+c.Param("b")) })
	for path, want := range map[string]string{
		"/x/a%2Fb/c%25d": "a/b|c%d",
		"/x/a%20b/c%25d": "a b|c%d",
		"/x/a/%252F":     "a|%2F",
	} {
		if w := get(t, e, path); w.Body.String() != want {
			t.Errorf("%s: got %q, want %q", path, w.Body, want)
		}
	}
}
