package query_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// deadAPI serves an API over a real JetStream that has n dead logs, every third
// of them of globex.
func deadAPI(t *testing.T, n int) (*httptest.Server, *natstest.Harness) {
	t.Helper()
	h := natstest.New(t)
	fillDead(t, h, n)
	return api(t, &store{}, query.Config{Dead: nats.NewDeadStore(h.Conn, h.Publisher(t), nil)}), h
}

// shortPages gives up looking after two logs.
type shortPages struct{ query.DeadLetters }

func (s shortPages) DeadLogs(ctx context.Context, f schemas.DeadFilter, before uint64, limit int) ([]schemas.Dead, uint64, error) {
	return s.DeadLetters.DeadLogs(ctx, f, before, min(limit, 2))
}

func fillDead(t *testing.T, h *natstest.Harness, n int) {
	t.Helper()
	for i := range n {
		d := schemas.Dead{
			Tenant: "acme", Source: schemas.SourceImport, IngestedAt: now.Add(-time.Duration(n-i) * time.Hour), Time: now,
			Code: schemas.DeadCodeTime, Reason: "its time is past the retention", Raw: fmt.Appendf(nil, `{ "log_id" : "%d" }`, i+1),
		}
		if i%3 == 2 {
			d.Tenant, d.Code, d.Reason = "globex", schemas.DeadCodeJSON, "not a JSON object"
		}
		putDead(t, h, d)
	}
}

func putDead(t *testing.T, h *natstest.Harness, d schemas.Dead) {
	t.Helper()
	if err := h.Publisher(t).PublishDead(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func deadIDs(t *testing.T, srv *httptest.Server, params string) (ids []uint64, pages int) {
	t.Helper()
	for cursor := ""; ; {
		page := decode[schemas.DeadPage](t, ok(t, srv, "/v1/dead?"+params+"&cursor="+url.QueryEscape(cursor)))
		for _, d := range page.Dead {
			ids = append(ids, d.ID)
		}
		pages++
		if cursor = page.Next; cursor == "" {
			return ids, pages
		}
	}
}

func TestDeadLogsAreListedAndNarrowed(t *testing.T) {
	h := natstest.New(t)
	fillDead(t, h, 9)
	dead := nats.NewDeadStore(h.Conn, h.Publisher(t), nil)
	srv := api(t, &store{}, query.Config{Dead: shortPages{dead}})
	for params, want := range map[string][]uint64{
		"limit=2":                    {9, 8, 7, 6, 5, 4, 3, 2, 1},
		"tenant=globex":              {9, 6, 3},
		"reason=time&limit=4":        {8, 7, 5, 4, 2, 1},
		"reason=JSON+obj":            {9, 6, 3},
		"from=3h":                    {9, 8, 7},
		"to=7h&tenant=acme":          {2, 1},
		"from=5h&to=3h&limit=1":      {6, 5},
		"tenant=nobody":              nil,
		"tenant=acme&reason=no+such": nil,
	} {
		got, pages := deadIDs(t, srv, params)
		if !cmp.Equal(want, got) || (pages > 1 && !strings.Contains(params, "limit=")) {
			t.Errorf("%s: %v on %d pages, want %v", params, got, pages, want)
		}
	}
	body := ok(t, srv, "/v1/dead?limit=1&tenant=acme")
	golden(t, "dead.json", body)
	if strings.Contains(body, "log_id") {
		t.Errorf("the list has bytes of a log: %s", body)
	}
	if ok(t, srv, "/v1/dead?tenant=nobody") != `{"dead":[]}` {
		t.Error("an empty list is not a list")
	}
}

// Each form of a log, as JSON and alone.
func TestDeadLogIsShownInItsForm(t *testing.T) {
	srv, h := deadAPI(t, 0)
	for i, tt := range []struct {
		raw       []byte
		encoding  string
		inDetail  string
		wantAlone bool
	}{
		{[]byte("{ \"a\" : 1.0,\t\"a\":2 }"), "json", "{ \"a\" : 1.0,\t\"a\":2 }", true},
		{[]byte(`{"cut": "<off>`), "text", `"{\"cut\": \"<off>"`, true},
		{[]byte{0xff, 0, 1}, "base64", `"/wAB"`, true},
		{[]byte("{\"a\":\"\xff\"}"), "base64", `"eyJhIjoi/yJ9"`, true},
		{nil, "text", `""`, true},
		{bytes.Repeat([]byte("large "), 1<<19), "omitted", "", true},
	} {
		putDead(t, h, schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, IngestedAt: now, Time: now, Reason: "odd", Raw: tt.raw})
		path := fmt.Sprintf("/v1/dead/%d", i+1)
		body := ok(t, srv, path)
		detail := decode[schemas.DeadDetail](t, body)
		if detail.Encoding != tt.encoding || detail.ID != uint64(i+1) || detail.Size != int64(len(tt.raw)) {
			t.Errorf("log %d: %.300s", i+1, body)
		}
		if want := `"raw":` + tt.inDetail + "}"; tt.inDetail != "" && !strings.HasSuffix(body, want) {
			t.Errorf("log %d: %s does not end in %s", i+1, body, want)
		}
		a := get(t, srv, path+"?raw=true")
		if a.status != 200 || a.header.Get("Content-Type") != "application/octet-stream" || a.body != string(tt.raw) {
			t.Errorf("log %d alone: %d, %s, %d bytes", i+1, a.status, a.header.Get("Content-Type"), len(a.body))
		}
	}
	for _, path := range []string{"/v1/dead/99", "/v1/dead/99?raw=true"} {
		if p, _ := problem(t, srv, path); p.Code != "not_found" || !strings.HasPrefix(p.Detail, "No dead log has the id 99") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p, _ := problem(t, srv, "/v1/dead/0"); p.Code != "parameter_invalid" {
		t.Errorf("got %+v", p)
	}
}

func change(t *testing.T, srv *httptest.Server, path string) schemas.DeadChange {
	t.Helper()
	a := post(t, srv, path, "")
	if a.status != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, a.status, a.body)
	}
	return decode[schemas.DeadChange](t, a.body)
}

func TestDeadLogsAreReplayedInParts(t *testing.T) {
	srv, h := deadAPI(t, 9)
	if c := change(t, srv, "/v1/dead/replay?tenant=acme&dry_run=true"); c.Done != 6 || !c.DryRun || c.Next != "" || c.Through != 9 {
		t.Errorf("a dry run: %+v", c)
	}
	var done, requests uint64
	for cursor := ""; ; requests++ {
		c := change(t, srv, "/v1/dead/replay?tenant=acme&limit=4&cursor="+url.QueryEscape(cursor))
		done += c.Done
		if requests == 0 && (c.Done != 4 || c.Left == 0 || c.Through != 9) {
			t.Errorf("the first part: %+v", c)
		}
		// what comes meanwhile is not its business
		putDead(t, h, schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Reason: "new", Raw: fmt.Appendf(nil, "new %d", requests)})
		if cursor = c.Next; cursor == "" {
			break
		}
	}
	if ids, _ := deadIDs(t, srv, "limit=100"); done != 6 || requests != 1 || !cmp.Equal(ids, []uint64{11, 10, 9, 6, 3}) {
		t.Errorf("%d replayed in %d requests more than one; left are %v", done, requests, ids)
	}
	if c := change(t, srv, "/v1/dead/discard?tenant=acme&through=10"); c.Done != 1 || c.Through != 10 {
		t.Errorf("discarded: %+v, want the one up to 10", c)
	}
	state, err := h.Conn.Backlog(t.Context())
	if err != nil || state.Pending == 0 {
		t.Errorf("LOGS holds %+v, %v", state, err)
	}
}

func TestOneDeadLogIsReplayedOrDiscarded(t *testing.T) {
	srv, h := deadAPI(t, 3)
	if c := change(t, srv, "/v1/dead/2/replay?dry_run=true"); c.Done != 1 || !c.DryRun {
		t.Errorf("a dry run: %+v", c)
	}
	change(t, srv, "/v1/dead/2/replay")
	change(t, srv, "/v1/dead/3/discard")
	for _, path := range []string{"/v1/dead/2/replay", "/v1/dead/3/discard", "/v1/dead/77/replay"} {
		if a := post(t, srv, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if ids, _ := deadIDs(t, srv, ""); !cmp.Equal(ids, []uint64{1}) {
		t.Errorf("left are %v", ids)
	}
	putDead(t, h, schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: make([]byte, 2<<20)})
	a := post(t, srv, "/v1/dead/4/replay", "")
	if p := decode[schemas.Problem](t, a.body); p.Status != 409 || p.Code != "not_replayable" || !strings.Contains(p.Detail, "raise max_payload") {
		t.Errorf("got %+v", p)
	}
}

func TestWithoutABrokerDeadLogsSayWhatToDo(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	for _, path := range []string{"/v1/dead", "/v1/dead/1", "/v1/dead/1?raw=true"} {
		if p, header := problem(t, srv, path); p.Status != 409 || p.Code != "no_broker" || !strings.Contains(p.Detail, "NATS_URL") || header.Get("Retry-After") != "" {
			t.Errorf("%s: %+v", path, p)
		}
	}
	for _, path := range []string{"/v1/dead/replay", "/v1/dead/1/discard"} {
		if a := post(t, srv, path, ""); decode[schemas.Problem](t, a.body).Code != "no_broker" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

func TestMisspeltFilterDiscardsNothing(t *testing.T) {
	srv, _ := deadAPI(t, 3)
	for _, path := range []string{"discard?tennant=acme", "discard?tenant=Acme", "discard?from=yesterday", "discard?limit=0", "discard?cursor=x", "discard?tenant=acme&tenant=globex", "discard?dry_run=perhaps"} {
		if a := post(t, srv, "/v1/dead/"+path, ""); a.status != 422 && a.status != 400 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if ids, _ := deadIDs(t, srv, ""); len(ids) != 3 {
		t.Errorf("left are %v", ids)
	}
}

// brokenDead is a broker that fails in the middle.
type brokenDead struct {
	query.DeadLetters
	swept schemas.DeadSwept
	err   error
}

func (b brokenDead) DeadLog(context.Context, uint64) (schemas.Dead, error) {
	return schemas.Dead{ID: 1, Object: "x", Size: 10}, nil
}

func (b brokenDead) WriteDead(_ context.Context, _ schemas.Dead, w io.Writer) error {
	if b.swept.Done > 0 {
		_, _ = w.Write([]byte("12345"))
	}
	return b.err
}

func (b brokenDead) ReplayDead(context.Context, schemas.DeadSweep) (schemas.DeadSwept, error) {
	return b.swept, b.err
}

func TestReplayThatBreaksOffIsGoneOnWith(t *testing.T) {
	full := fmt.Errorf("publish: %w", schemas.ErrFull)
	srv := api(t, &store{}, query.Config{Dead: brokenDead{swept: schemas.DeadSwept{Done: 3, Kept: 1, Reason: "r", Through: 9}, err: full}})
	first := change(t, srv, "/v1/dead/replay")
	if first.Done != 3 || first.Next == "" || first.Kept != 0 {
		t.Errorf("got %+v, want what was done and how to go on", first)
	}
	if next := change(t, srv, "/v1/dead/replay?cursor="+first.Next); next.Done != 3 {
		t.Errorf("got %+v", next)
	}
	srv = api(t, &store{}, query.Config{Dead: brokenDead{swept: schemas.DeadSwept{Through: 9}, err: full}})
	a := post(t, srv, "/v1/dead/replay", "")
	if p := decode[schemas.Problem](t, a.body); p.Status != 503 || p.Code != "broker_full" || a.header.Get("Retry-After") != "5" {
		t.Errorf("got %+v", p)
	}
}

func TestBytesThatBreakOffAreNotTakenForWhole(t *testing.T) {
	srv := api(t, &store{}, query.Config{Dead: brokenDead{err: errors.New("lost")}})
	if p, _ := problem(t, srv, "/v1/dead/1?raw=true"); p.Code != "broker_unavailable" {
		t.Errorf("got %+v", p)
	}
	srv = api(t, &store{}, query.Config{Dead: brokenDead{err: fmt.Errorf("x: %w", schemas.ErrNotFound)}})
	if p, _ := problem(t, srv, "/v1/dead/1?raw=true"); p.Code != "not_found" || !strings.Contains(p.Detail, "bytes of this log are gone") {
		t.Errorf("got %+v", p)
	}
	srv = api(t, &store{}, query.Config{Dead: brokenDead{swept: schemas.DeadSwept{Done: 1}, err: errors.New("lost")}})
	resp, err := srv.Client().Get(srv.URL + "/v1/dead/1?raw=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v, want an end that comes too early", b, err)
	}
}

func TestTokenGuardsTheDeadLogs(t *testing.T) {
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: &store{}}).Register(e, httpserver.RequireToken(&httpserver.TokenSet{}))
	for path, method := range map[string]string{"/v1/dead": "GET", "/v1/dead/1": "GET", "/v1/dead/replay": "POST", "/v1/dead/discard": "POST", "/v1/dead/1/replay": "POST", "/v1/dead/1/discard": "POST"} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, w.Code)
		}
	}
}
