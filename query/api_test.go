package query_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var update = flag.Bool("update", false, "rewrite golden files")

var now = time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)

// store is a fake that answers what its fields say and notes what it was asked.
type store struct {
	events   []schemas.Event
	token    schemas.Token
	rows     []schemas.StatsRow
	findings []schemas.Finding
	usage    []schemas.UsageRow
	seen     []schemas.Presence
	who      []schemas.IdentitySummary
	names    map[string]string
	items    []schemas.InventoryItem
	has      map[string]schemas.IdentityInventory
	status   schemas.StoreStatus
	err      error
	block    bool // wait for the end of the context

	mu    sync.Mutex
	asked []any
}

func (s *store) ask(ctx context.Context, question any) error {
	s.mu.Lock()
	s.asked = append(s.asked, question)
	s.mu.Unlock()
	if s.block {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.err
}

func (s *store) Events(ctx context.Context, f schemas.EventFilter) ([]schemas.Event, error) {
	return s.events, s.ask(ctx, f)
}

func (s *store) Event(ctx context.Context, tenant, logID string) (schemas.Event, error) {
	if err := s.ask(ctx, [2]string{tenant, logID}); err != nil {
		return schemas.Event{}, err
	}
	return s.events[0], nil
}

func (s *store) Token(ctx context.Context, tenant, jti string) (schemas.Token, error) {
	return s.token, s.ask(ctx, [2]string{tenant, jti})
}

func (s *store) Stats(ctx context.Context, f schemas.StatsFilter) ([]schemas.StatsRow, error) {
	return s.rows, s.ask(ctx, f)
}

func (s *store) Usage(ctx context.Context, f schemas.UsageFilter) ([]schemas.UsageRow, error) {
	return s.usage, s.ask(ctx, f)
}

func (s *store) Identities(ctx context.Context, f schemas.IdentityFilter) ([]schemas.IdentitySummary, error) {
	return slices.Clone(s.who), s.ask(ctx, f)
}

func (s *store) Presence(ctx context.Context, tenant, identity string, from, to time.Time) ([]schemas.Presence, error) {
	return s.seen, s.ask(ctx, []any{tenant, identity, from, to})
}

func (s *store) ClientNames(ctx context.Context, tenant string, clients []string) (map[string]string, error) {
	return s.names, s.ask(ctx, append([]string{tenant}, clients...))
}

func (s *store) IdentityInventories(ctx context.Context, tenant string, identities []string) (map[string]schemas.IdentityInventory, map[string]string, error) {
	return s.has, nil, s.ask(ctx, append([]string{"inventory of", tenant}, identities...))
}

func (s *store) Warm(context.Context, string, []string, time.Time) (map[string]bool, error) {
	return map[string]bool{}, s.err
}

func (s *store) CountWarm(context.Context, time.Time) (schemas.WarmCount, error) {
	return schemas.WarmCount{Warm: 2, Identities: 3}, s.err
}

func (s *store) InventoryChanges(ctx context.Context, f schemas.InventoryChangeFilter) ([]schemas.InventoryChange, error) {
	return nil, s.ask(ctx, f)
}

func (s *store) Inventory(ctx context.Context, f schemas.InventoryFilter) ([]schemas.InventoryItem, error) {
	return s.items, s.ask(ctx, f)
}

func (s *store) Clock(ctx context.Context) (time.Time, error) { return now, s.ask(ctx, "clock") }

func (s *store) Stored(ctx context.Context, f schemas.EventFilter, since, until time.Time) ([]schemas.Stored, error) {
	return nil, s.ask(ctx, []any{f, since, until})
}

func (s *store) EventsStored(ctx context.Context, f schemas.EventFilter, since, until time.Time, logs []uint64) ([]schemas.Event, error) {
	return s.events, s.ask(ctx, []any{f, since, until, logs})
}

func (s *store) LogHash(string, string) uint64 { return 1 }

func (s *store) DirtyHours(context.Context, string, time.Time, time.Time) (int, error) {
	return 3, nil
}

func (s *store) Findings(ctx context.Context, f schemas.FindingFilter) ([]schemas.Finding, error) {
	return s.findings, s.ask(ctx, f)
}

func (s *store) FindingHistory(ctx context.Context, f schemas.Finding) ([]schemas.FindingChange, error) {
	extent := f.Extent()
	return []schemas.FindingChange{
		{N: 1, State: schemas.StateOpen, Reason: schemas.ReasonEvents, At: now, After: extent},
		{N: 2, State: schemas.StateWithdrawn, Reason: schemas.ReasonLateEvents, At: now.Add(time.Hour), Before: extent},
	}, s.ask(ctx, "history of "+f.ID)
}

// Acts are none: internal/clickhouse is asked for some in TestActs and elsewhere.
func (s *store) Acts(ctx context.Context, _, findingID string) ([]schemas.FindingAct, error) {
	return nil, s.ask(ctx, "acts of "+findingID)
}

func (s *store) RecordAct(ctx context.Context, act schemas.FindingAct) error { return s.ask(ctx, act) }

func (s *store) Finding(ctx context.Context, id string) (schemas.Finding, error) {
	if err := s.ask(ctx, id); err != nil {
		return schemas.Finding{}, err
	}
	return s.findings[0], nil
}

func (s *store) Tables(ctx context.Context) (schemas.TablesView, error) {
	return schemas.TablesView{}, s.ask(ctx, "tables")
}

func (s *store) Status(ctx context.Context) (schemas.StoreStatus, error) {
	return s.status, s.ask(ctx, "status")
}

type backlog func(context.Context) (schemas.Backlog, error)

func (b backlog) Backlog(ctx context.Context) (schemas.Backlog, error) { return b(ctx) }

// api serves cfg over HTTP; cfg.Store is s.
func api(t *testing.T, s *store, cfg query.Config) *httptest.Server {
	t.Helper()
	return apiWithLog(t, s, cfg, io.Discard)
}

func apiWithLog(t *testing.T, s *store, cfg query.Config, w io.Writer) *httptest.Server {
	t.Helper()
	cfg.Store, cfg.Acts, cfg.Now = s, s, func() time.Time { return now }
	logger := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := httpserver.New(httpserver.Config{Name: "api", Logger: logger})
	query.New(cfg).Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv
}

// answer is a response whose body has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, srv *httptest.Server, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b)}
}

func ok(t *testing.T, srv *httptest.Server, path string) string {
	t.Helper()
	a := get(t, srv, path)
	if ct := a.header.Get("Content-Type"); a.status != http.StatusOK || ct != "application/json" {
		t.Fatalf("GET %s: %d, %s: %s", path, a.status, ct, a.body)
	}
	return a.body
}

func problem(t *testing.T, srv *httptest.Server, path string) (schemas.Problem, http.Header) {
	t.Helper()
	a := get(t, srv, path)
	var p schemas.Problem
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil || dec.More() {
		t.Fatalf("GET %s: body %q: %v", path, a.body, err)
	}
	if ct := a.header.Get("Content-Type"); ct != schemas.ProblemType || a.status != p.Status || p.Type != "about:blank" {
		t.Errorf("GET %s: %d, %s, problem %+v", path, a.status, ct, p)
	}
	return p, a.header
}

// golden compares body, indented, with a file.
func golden(t *testing.T, name, body string) {
	t.Helper()
	var buf bytes.Buffer
	if err := json.Indent(&buf, []byte(body), "", "  "); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	buf.WriteByte('\n')
	compareFile(t, filepath.Join("testdata", name), buf.Bytes())
}

func compareFile(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s, to be rewritten with -update (-want +got):\n%s", path, diff)
	}
}

func event() schemas.Event {
	return schemas.Event{
		Tenant: "acme", ClientID: "invoice-sync", LogID: "90020250314115959000", Type: "feccft",
		Time: time.Date(2025, 3, 14, 11, 59, 59, 100e6, time.UTC), IngestedAt: now,
		Outcome: schemas.OutcomeFailure, Description: "Unauthorized <b>&\u2028",
		Identity:   schemas.Identity{ID: "app:invoice-sync", Kind: schemas.KindMachine, Reason: "feccft"},
		ClientName: "Invoice Sync", IP: "192.0.2.10", Network: "192.0.2.0/24", UserAgent: "broken \xff utf-8",
		Audience: "https://api.acme.example/", Source: schemas.SourceStream, RawMasked: true,
		Raw: []byte("{ \"log_id\":\t\"90020250314115959000\",\"a\":\"\\u003c<&\xff\", \"a\":1.0e0 }"),
	}
}

func finding() schemas.Finding {
	last := now.Add(-time.Hour)
	return schemas.Finding{
		ID: "7c1e5a0b9d3f42e68a1c0b7d", RuleID: "MI-02", Title: "A working client started failing", Tenant: "acme",
		Key: "invoice-sync", Identity: "app:invoice-sync", Level: schemas.LevelHigh, State: schemas.StateOpen,
		First: now.Add(-time.Minute), Last: now, Count: 9,
		Evidence: schemas.Evidence{
			Summary: "9 failures from its own network", NormalPerDay: 96, LastSuccess: &last,
			Networks: []string{"192.0.2.0/24"}, Causes: map[string]uint64{"b": 1, "a": 8},
		},
		Ver: 7, Changes: 1,
	}
}

func TestEventsAnswer(t *testing.T) {
	s := &store{events: []schemas.Event{event()}}
	golden(t, "events.json", ok(t, api(t, s, query.Config{}), "/v1/events"))
	if diff := cmp.Diff([]any{schemas.EventFilter{Limit: 100}}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestEventsFilter(t *testing.T) {
	s := &store{}
	srv := api(t, s, query.Config{})
	body := ok(t, srv, "/v1/events?tenant=acme&client_id=c&identity=agent:x&user_id=auth0%7Cu&type=seccft&from=7d&to=2025-03-14T13:00:00.5%2B01:00&limit=1000&cursor=")
	if body != `{"events":[]}` {
		t.Errorf("empty page: %s", body)
	}
	want := schemas.EventFilter{
		Tenant: "acme", ClientID: "c", Identity: "agent:x", UserID: "auth0|u", Type: "seccft", Limit: 1000,
		From: now.AddDate(0, 0, -7), To: now.Add(500 * time.Millisecond),
	}
	if diff := cmp.Diff([]any{want}, s.asked, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestEventsPageByCursor(t *testing.T) {
	s := &store{events: []schemas.Event{event()}}
	srv := api(t, s, query.Config{})
	var page schemas.EventPage
	if err := json.Unmarshal([]byte(ok(t, srv, "/v1/events?limit=1")), &page); err != nil || page.Next == "" {
		t.Fatalf("page %+v, %v; want a cursor", page, err)
	}
	if next := ok(t, srv, "/v1/events?limit=2&cursor="+url.QueryEscape(page.Next)); strings.Contains(next, `"next"`) {
		t.Errorf("the last page has a cursor: %s", next)
	}
	e := event()
	want := &schemas.EventCursor{Time: e.Time, LogID: e.LogID, Tenant: e.Tenant}
	if diff := cmp.Diff(want, s.asked[1].(schemas.EventFilter).After); diff != "" {
		t.Errorf("cursor (-want +got):\n%s", diff)
	}
}

func TestEventDetailHoldsTheRawRecordByteForByte(t *testing.T) {
	s := &store{events: []schemas.Event{event()}}
	srv := api(t, s, query.Config{})
	raw := string(event().Raw)
	body := ok(t, srv, "/v1/events/acme/90020250314115959000")
	if !strings.HasSuffix(body, `,"raw":`+raw+`}`) {
		t.Errorf("answer %q does not hold %q", body, raw)
	}
	if alone := ok(t, srv, "/v1/events/acme/90020250314115959000?raw=1"); alone != raw {
		t.Errorf("raw alone %q, want %q", alone, raw)
	}
	var got schemas.EventDetail
	if err := json.Unmarshal([]byte(body), &got); err != nil || string(got.Raw) != raw || !got.Time.Equal(event().Time) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if diff := cmp.Diff([2]string{"acme", "90020250314115959000"}, s.asked[0]); diff != "" {
		t.Error(diff)
	}
	s.events[0].Raw = []byte(`{"broken`)
	if body := ok(t, srv, "/v1/events/acme/1"); !strings.HasSuffix(body, `,"raw":"{\"broken"}`) {
		t.Errorf("a record that is no JSON: %s", body)
	}
}

func TestTokenAnswer(t *testing.T) {
	issue, use := event(), event()
	issue.TokenID, use.UsedTokenID, use.Time = "jti/1", "jti/1", now
	s := &store{token: schemas.Token{Tenant: "acme", ID: "jti/1", Issue: &issue, Uses: []schemas.Event{use}, UseCount: 7, Places: []schemas.TokenPlace{
		{Network: "192.0.2.0/24", Scope: "read:a", Audience: "https://api.acme.example/", Count: 7, First: now, Last: now.Add(time.Hour)},
	}}}
	srv := api(t, s, query.Config{})
	golden(t, "token.json", ok(t, srv, "/v1/tokens/acme/jti%2F1"))
	s.token = schemas.Token{Tenant: "acme", ID: "jti/1", Uses: []schemas.Event{use}, UseCount: 1}
	unissued := decode[schemas.TokenView](t, ok(t, srv, "/v1/tokens/acme/jti%2F1"))
	if unissued.Issue != nil || unissued.Expires != nil || unissued.ExpiresEstimated || len(unissued.Uses) != 1 {
		t.Errorf("a token whose issue is not stored: %+v", unissued)
	}
	if diff := cmp.Diff([]any{[2]string{"acme", "jti/1"}, [2]string{"acme", "jti/1"}}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	s.err = schemas.ErrNotFound
	if p, _ := problem(t, srv, "/v1/tokens/acme/none"); p.Status != http.StatusNotFound || p.Code != "not_found" || !strings.Contains(p.Detail, "none") {
		t.Errorf("unknown token: %+v", p)
	}
}

func TestStatsAnswer(t *testing.T) {
	s := &store{rows: []schemas.StatsRow{{Values: []string{"seccft", `a"b`}, Count: 123}, {Values: []string{"feccft", ""}, Count: 1}}}
	srv := api(t, s, query.Config{})
	body := ok(t, srv, "/v1/stats?tenant=acme&by=type,client_id&from=2025-03-14&limit=5")
	if want := `{"rows":[{"type":"seccft","client_id":"a\"b","count":123},{"type":"feccft","client_id":"","count":1}],"truncated":false,"dirty_hours":3}`; body != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	want := schemas.StatsFilter{Tenant: "acme", By: []string{"type", "client_id"}, From: now.Truncate(24 * time.Hour), Limit: 6}
	if diff := cmp.Diff([]any{want}, s.asked, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	var page schemas.StatsPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	row := schemas.StatsEntry{By: []string{"type", "client_id"}, Values: []string{"seccft", `a"b`}, Count: 123}
	if diff := cmp.Diff(row, page.Rows[0]); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

func TestStatsAnswerByInterval(t *testing.T) {
	s := &store{rows: []schemas.StatsRow{
		{Time: now.Truncate(24 * time.Hour), Values: []string{"seccft"}, Count: 2}, {Time: now, Values: []string{"seccft"}, Count: 1},
	}}
	srv := api(t, s, query.Config{})
	body := ok(t, srv, "/v1/stats?interval=day&limit=1&outcome=!success&client_id=a*")
	if want := `{"rows":[{"time":"2025-03-14T00:00:00.000Z","type":"seccft","count":2}],"truncated":true,"dirty_hours":3}`; body != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	want := schemas.StatsFilter{
		By: []string{"type"}, Interval: schemas.IntervalDay, Limit: 2,
		Where: []schemas.Condition{
			{Field: "client_id", Values: []schemas.Pattern{{"a", ""}}},
			{Field: "outcome", Values: []schemas.Pattern{{"success"}}, Not: true},
		},
	}
	if diff := cmp.Diff([]any{want}, s.asked, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	row := schemas.StatsEntry{Time: now.Truncate(24 * time.Hour), By: []string{"type"}, Values: []string{"seccft"}, Count: 2}
	if diff := cmp.Diff(row, decode[schemas.StatsPage](t, body).Rows[0]); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if p, _ := problem(t, srv, "/v1/stats?interval=week"); p.Code != "parameter_invalid" || !strings.Contains(p.Detail, "interval") {
		t.Errorf("an interval that there is not: %+v", p)
	}
}

func TestEventsTakeConditionsAndAText(t *testing.T) {
	s := &store{}
	srv := api(t, s, query.Config{})
	ok(t, srv, `/v1/events?type=seccft,feccft&network=192.0.2.*&identity=app:a%5C*&country=!NL&identity_kind=machine&text=Terraform`)
	want := schemas.EventFilter{
		Identity: "app:a*", Text: "Terraform", Limit: 100,
		Where: []schemas.Condition{
			{Field: "type", Values: []schemas.Pattern{{"seccft"}, {"feccft"}}},
			{Field: "identity_kind", Values: []schemas.Pattern{{"machine"}}},
			{Field: "network", Values: []schemas.Pattern{{"192.0.2.", ""}}},
			{Field: "country", Values: []schemas.Pattern{{"NL"}}, Not: true},
		},
	}
	if diff := cmp.Diff([]any{want}, s.asked, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if p, _ := problem(t, srv, "/v1/events?type=a,,b"); p.Code != "parameter_invalid" || !strings.HasPrefix(p.Detail, "type: a value is empty") {
		t.Errorf("an empty value: %+v", p)
	}
}

func TestFindingsAnswer(t *testing.T) {
	s := &store{findings: []schemas.Finding{finding()}}
	srv := api(t, s, query.Config{})
	golden(t, "findings.json", ok(t, srv, "/v1/findings?tenant=acme&rule_id=MI-02&state=open&level=high&key=invoice-sync&from=24h&to=1h&limit=1"))
	golden(t, "finding.json", ok(t, srv, "/v1/findings/7c1e5a0b9d3f42e68a1c0b7d"))
	var page schemas.FindingPage
	if err := json.Unmarshal([]byte(ok(t, srv, "/v1/findings?limit=1")), &page); err != nil {
		t.Fatal(err)
	}
	ok(t, srv, "/v1/findings?cursor="+page.Next)
	want := []any{
		schemas.FindingFilter{
			Tenant: "acme", RuleID: "MI-02", State: schemas.StateOpen, Level: schemas.LevelHigh, Key: "invoice-sync",
			From: now.Add(-24 * time.Hour), To: now.Add(-time.Hour), Limit: 1,
		},
		"7c1e5a0b9d3f42e68a1c0b7d", "acts of 7c1e5a0b9d3f42e68a1c0b7d", "history of 7c1e5a0b9d3f42e68a1c0b7d",
		schemas.FindingFilter{Limit: 1},
		schemas.FindingFilter{Limit: 100, After: &schemas.FindingCursor{Last: now, ID: "7c1e5a0b9d3f42e68a1c0b7d"}},
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestStatusAsksTheBrokerBeforeTheStore(t *testing.T) {
	s := &store{status: schemas.StoreStatus{Events: 5, Bytes: 6, LastEvent: now, Uncorrelated: 3, Version: "26.7"}}
	b := backlog(func(ctx context.Context) (schemas.Backlog, error) {
		return schemas.Backlog{Pending: 7, Estimated: true, Dead: 1, Alerts: 2, Version: "2.15"}, s.ask(ctx, "backlog")
	})
	delay := func() (time.Duration, bool) { return 400 * time.Millisecond, true }
	golden(t, "status.json", ok(t, api(t, s, query.Config{Backlog: b, Delay: delay, Version: "1.0"}), "/v1/status"))
	if diff := cmp.Diff([]any{"backlog", "status"}, s.asked); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestStatusWithoutABrokerSaysNull(t *testing.T) {
	golden(t, "status_no_broker.json", ok(t, api(t, &store{}, query.Config{}), "/v1/status"))
}

func TestOpenAPIFileIsCurrent(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	doc := get(t, srv, "/v1/openapi.yaml")
	if ct := doc.header.Get("Content-Type"); doc.status != http.StatusOK || ct != "application/openapi+yaml" {
		t.Fatalf("%d, %s", doc.status, ct)
	}
	compareFile(t, filepath.Join("..", "schemas", "openapi.yaml"), []byte(doc.body))
}
