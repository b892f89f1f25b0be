package apiclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var now = time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)

// store answers each question with one thing, or with err.
type store struct {
	query.Store // what these tests do not ask for

	err     error
	events  schemas.EventFilter
	finding schemas.FindingFilter
	stats   schemas.StatsFilter
	logID   string
}

func event() schemas.Event {
	return schemas.Event{
		Tenant: "acme", LogID: "1", Time: now, Type: "seccft", Outcome: schemas.OutcomeSuccess, Scopes: []string{"a"},
		Source: schemas.SourceStream, IngestedAt: now.Add(time.Second), Raw: []byte(`{ "log_id": "1" }`),
	}
}

func finding() schemas.Finding {
	return schemas.Finding{ID: "f1", RuleID: "MI-02", Tenant: "acme", Level: schemas.LevelHigh, State: schemas.StateOpen, First: now, Last: now, Count: 3}
}

func (s *store) Events(_ context.Context, f schemas.EventFilter) ([]schemas.Event, error) {
	s.events = f
	return []schemas.Event{event()}, s.err
}

func (s *store) Event(_ context.Context, tenant, logID string) (schemas.Event, error) {
	s.logID = tenant + "/" + logID
	return event(), s.err
}

func (s *store) Token(context.Context, string, string) (schemas.Token, error) {
	return schemas.Token{}, schemas.ErrNotFound
}

func (s *store) Stats(_ context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error) {
	s.stats = f
	return []schemas.StatsRow{{Values: []string{"seccft", "c"}, Count: 7}}, s.err
}

func (s *store) DirtyHours(context.Context, string, time.Time, time.Time) (int, error) { return 0, nil }

func (s *store) Findings(_ context.Context, f schemas.FindingFilter) ([]schemas.Finding, error) {
	s.finding = f
	return []schemas.Finding{finding()}, s.err
}

func (s *store) FindingHistory(context.Context, schemas.Finding) ([]schemas.FindingChange, error) {
	return []schemas.FindingChange{{N: 1, State: schemas.StateOpen, Reason: schemas.ReasonEvents, At: now}}, s.err
}

func (s *store) Warm(context.Context, string, []string, time.Time) (map[string]bool, error) {
	return nil, s.err
}

func (s *store) CountWarm(context.Context, time.Time) (schemas.WarmCount, error) {
	return schemas.WarmCount{}, s.err
}

func (s *store) Acts(context.Context, string, string) ([]schemas.FindingAct, error) {
	return nil, s.err
}

func (s *store) RecordAct(context.Context, schemas.FindingAct) error { return s.err }

func (s *store) Finding(context.Context, string) (schemas.Finding, error) { return finding(), s.err }

func (s *store) Status(context.Context) (schemas.StoreStatus, error) {
	return schemas.StoreStatus{Events: 5, LastEvent: now}, s.err
}

// serve runs the real API of s behind the token "secret" and returns a client.
func serve(t *testing.T, s *store) (*apiclient.Client, *echo.Echo) {
	t.Helper()
	var tokens httpserver.TokenSet
	tokens.Replace([]httpserver.Token{httpserver.NewToken("test", "secret")})
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: s, Acts: s, Now: func() time.Time { return now }}).Register(e, httpserver.RequireToken(&tokens))
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return client(t, apiclient.Config{URL: srv.URL + "/", Token: "secret"}), e
}

func client(t *testing.T, cfg apiclient.Config) *apiclient.Client {
	t.Helper()
	c, err := apiclient.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnswersComeBackAsTheyWereStored(t *testing.T) {
	s := &store{}
	c, _ := serve(t, s)
	ctx := t.Context()

	page, err := c.Events(ctx, apiclient.EventQuery{Where: map[string]string{"tenant": "acme", "client_id": "a b&c", "user_id": "auth0|u", "type": "seccft"}, From: "24h", To: "1h", Limit: 1})
	if err != nil || len(page.Events) != 1 || page.Events[0].LogID != "1" || !page.Events[0].IngestedAt.Equal(now.Add(time.Second)) {
		t.Fatalf("events %+v, %v", page, err)
	}
	want := schemas.EventFilter{Tenant: "acme", ClientID: "a b&c", UserID: "auth0|u", Type: "seccft", From: now.Add(-24 * time.Hour), To: now.Add(-time.Hour), Limit: 1}
	if diff := cmp.Diff(want, s.events); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if _, err = c.Events(ctx, apiclient.EventQuery{Cursor: page.Next}); err != nil || s.events.After == nil || s.events.After.LogID != "1" {
		t.Errorf("next page: %+v, %v", s.events, err)
	}
	detail, err := c.Event(ctx, "acme", "a/b c%")
	if err != nil || string(detail.Raw) != string(event().Raw) || s.logID != "acme/a/b c%" {
		t.Errorf("event %+v of %q, %v", detail, s.logID, err)
	}
	stats, err := c.Stats(ctx, apiclient.StatsQuery{By: []string{"type", "client_id"}})
	if diff := cmp.Diff([]schemas.StatsEntry{{By: []string{"type", "client_id"}, Values: []string{"seccft", "c"}, Count: 7}}, stats.Rows); diff != "" || err != nil {
		t.Errorf("stats: %v %s", err, diff)
	}
	findings, err := c.Findings(ctx, apiclient.FindingQuery{Tenant: "acme", RuleID: "MI-02", State: "open", Level: "high", Key: "k", Limit: 1})
	if diff := cmp.Diff([]schemas.Finding{finding()}, findings.Findings); diff != "" || err != nil {
		t.Errorf("findings: %v %s", err, diff)
	}
	if diff := cmp.Diff(schemas.FindingFilter{Tenant: "acme", RuleID: "MI-02", State: "open", Level: "high", Key: "k", Limit: 1}, s.finding); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if f, err := c.Finding(ctx, "f1"); err != nil || f.ID != "f1" || len(f.History) != 1 {
		t.Errorf("finding %+v, %v", f, err)
	}
	if st, err := c.Status(ctx); err != nil || st.Pending != nil || st.Events != 5 || !st.LastEvent.Equal(now) {
		t.Errorf("status %+v, %v", st, err)
	}
}

func TestProblemsBecomeErrors(t *testing.T) {
	s := &store{err: errors.New("away")}
	c, _ := serve(t, s)
	for want, call := range map[apiclient.Error]func() error{
		{Status: 503, Code: "store_unavailable", RetryAfter: 5 * time.Second}: func() error { _, err := c.Status(t.Context()); return err },
		{Status: 422, Code: "parameter_invalid"}: func() error {
			_, err := c.Stats(t.Context(), apiclient.StatsQuery{By: []string{"colour"}})
			return err
		},
	} {
		err := call()
		got, ok := errors.AsType[*apiclient.Error](err)
		if !ok || got.Status != want.Status || got.Code != want.Code || got.RetryAfter != want.RetryAfter || !strings.Contains(err.Error(), got.Detail) || got.Detail == "" {
			t.Errorf("got %#v, want %+v", err, want)
		}
	}
}

func TestWrongTokenIsAnError(t *testing.T) {
	e := httpserver.New(httpserver.Config{})
	query.New(query.Config{Store: &store{}}).Register(e, httpserver.RequireToken(&httpserver.TokenSet{}))
	srv := httptest.NewServer(e)
	defer srv.Close()
	for token, code := range map[string]string{"hunter2": "token_invalid", "": "token_missing"} {
		_, err := client(t, apiclient.Config{URL: srv.URL, Token: token}).Status(t.Context())
		if got, ok := errors.AsType[*apiclient.Error](err); !ok || got.Code != code || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %s", err, code)
		}
	}
}

func TestForeignServerIsSaidToBeOne(t *testing.T) {
	var sentTo []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sentTo = append(sentTo, r.URL.Path)
		http.Redirect(w, r, "/login", http.StatusFound)
	}))
	defer srv.Close()
	_, err := client(t, apiclient.Config{URL: srv.URL, Token: "t"}).Status(t.Context())
	if got, ok := errors.AsType[*apiclient.Error](err); !ok || got.Status != 302 || got.Code != "unknown" || len(sentTo) != 1 {
		t.Errorf("got %v, asked %v", err, sentTo)
	}
}

func TestSocketNeedsNoToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	e := httpserver.New(httpserver.Config{Name: "socket"})
	var authorization []string
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			authorization = c.Request().Header.Values("Authorization")
			return next(c)
		}
	})
	query.New(query.Config{Store: &store{}}).Register(e)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpserver.Serve(ctx, e, ln, httpserver.Limits{}) }()
	if _, err := client(t, apiclient.Config{Socket: path, Token: "for the URL only"}).Status(t.Context()); err != nil || authorization != nil {
		t.Errorf("status: %v, Authorization %v", err, authorization)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestNotRunningSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	_, err := client(t, apiclient.Config{Socket: filepath.Join(dir, "s"), DataDir: dir}).Status(t.Context())
	want := "no m2mwatch runs in " + dir + ": start it with `m2mwatch up --data " + dir + "`, or set M2MWATCH_URL and M2MWATCH_TOKEN"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	_, err = client(t, apiclient.Config{URL: "http://" + ln.Addr().String()}).Status(t.Context())
	if _, ok := errors.AsType[*apiclient.NotRunningError](err); !ok || !strings.Contains(err.Error(), "no m2mwatch answers at http://"+ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestWrongAddressIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, u := range []string{"", "localhost:8080", "ftp://x", "http://user:hunter2@x", "http://x?token=hunter2", "http://hunter2\x01"} {
		if _, err := apiclient.New(apiclient.Config{URL: u}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestImportSendsTheBodyAsItIs(t *testing.T) {
	c, e := serve(t, &store{})
	var got string
	e.POST("/v1/import/:tenant", func(c echo.Context) error {
		b, err := io.ReadAll(c.Request().Body)
		if err != nil {
			return err
		}
		got = c.Param("tenant") + ":" + string(b)
		return c.JSON(200, schemas.Accepted{Accepted: 2, Dead: 1})
	})
	a, err := c.Import(t.Context(), "acme", strings.NewReader("{}\n{}\nx"))
	if err != nil || (a != schemas.Accepted{Accepted: 2, Dead: 1}) || got != "acme:{}\n{}\nx" {
		t.Errorf("answer %+v, %v; the server got %q", a, err, got)
	}
}

func TestStatsEntrySurvivesTheRoundTrip(t *testing.T) {
	for _, want := range []schemas.StatsEntry{{Count: 1}, {By: []string{"type"}, Values: []string{"\"<\u2028"}, Count: 1 << 63}} {
		b, err := json.Marshal(want)
		var got schemas.StatsEntry
		if err == nil {
			err = json.Unmarshal(b, &got)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", b, err, diff)
		}
	}
}

func TestReadyTellsWhatIsNot(t *testing.T) {
	c, e := serve(t, &store{})
	if _, err := c.Ready(t.Context()); err == nil {
		t.Error("no error where nothing tells")
	}
	var health httpserver.Health
	health.Add("nats", func(context.Context) error { return errors.New("not connected") })
	health.Register(e)
	r, err := c.Ready(t.Context())
	want := schemas.Readiness{Checks: []schemas.ReadyCheck{{Name: "nats", Error: "not connected"}}}
	if diff := cmp.Diff(want, r); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}
