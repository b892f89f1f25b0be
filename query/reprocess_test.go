package query_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func post(t *testing.T, srv *httptest.Server, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := srv.Client().Do(req)
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

// jobsAPI serves an API over a real store, as the user that it has there.
func jobsAPI(t *testing.T) (*httptest.Server, *clickhouse.ReprocessStore) {
	t.Helper()
	db := clickhousetest.New(t)
	c := clickhousetest.Engine(t).Options(clickhouse.RoleAPI)
	c.Database = db.Database()
	readDB, err := clickhouse.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { readDB.Close() })
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: clickhouse.NewReader(readDB), Jobs: clickhouse.NewReprocessJobs(readDB), Now: func() time.Time { return now }}).Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv, clickhouse.NewReprocessStore(db)
}

func TestReprocessIsHandedOverByTheTable(t *testing.T) {
	srv, store := jobsAPI(t)
	start := func(body string) schemas.Reprocess {
		t.Helper()
		a := post(t, srv, "/v1/reprocess", body)
		if a.status != http.StatusAccepted {
			t.Fatalf("POST %s: %d %s", body, a.status, a.body)
		}
		return decode[schemas.Reprocess](t, a.body)
	}
	const week = `{"tenant":"acme","from":"7d"}`
	first := start(week)
	want := schemas.Reprocess{
		ID: first.ID, Tenant: "acme", From: now.AddDate(0, 0, -7), To: now.Add(24 * time.Hour), State: schemas.ReprocessPending, CreatedAt: now, UpdatedAt: now,
	}
	if diff := cmp.Diff(want, first); diff != "" || len(first.ID) != 16 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if again := start(week); again.ID != first.ID {
		t.Error("asked for again in the same words it is another job")
	}
	for _, other := range []string{`{"tenant":"acme","from":"7d","dry_run":true}`, `{"tenant":"acme"}`, `{"tenant":"globex","from":"7d"}`, `{"tenant":"acme","from":"7d","to":"1d"}`} {
		if start(other).ID == first.ID {
			t.Errorf("%s is the same job", other)
		}
	}
	open, err := store.OpenReprocess(t.Context())
	if err != nil || len(open) != 5 {
		t.Fatalf("the processor sees %d jobs, %v", len(open), err)
	}
	if err := store.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for _, job := range open {
		if job.ID != first.ID {
			continue
		}
		job.State, job.Done, job.Total, job.Changed, job.Ver = schemas.ReprocessDone, 9, 9, 4, 1<<32|1
		job.Position = &schemas.RecordPlace{Time: now, ClientID: "a", LogID: "1"}
		if err := store.SaveReprocess(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	got := decode[schemas.Reprocess](t, ok(t, srv, "/v1/reprocess/"+first.ID))
	if got.State != schemas.ReprocessDone || got.Done != 9 || got.Changed != 4 || got.Position == nil || got.Position.ClientID != "a" {
		t.Errorf("got %+v", got)
	}
	if next := start(week); next.ID == first.ID {
		t.Error("a job that is over is taken for the one that is asked for")
	}
	if page := decode[schemas.ReprocessPage](t, ok(t, srv, "/v1/reprocess?tenant=acme")); len(page.Jobs) != 5 {
		t.Errorf("%d jobs of acme, want 5", len(page.Jobs))
	}
}

func TestReprocessIsCanceledByTheTable(t *testing.T) {
	srv, store := jobsAPI(t)
	cancel := func(id string) answer {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, srv.URL+"/v1/reprocess/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
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
	if a := cancel("none"); a.status != http.StatusNotFound || !strings.Contains(a.body, "No job has the id none.") {
		t.Errorf("got %d %s", a.status, a.body)
	}
	job := decode[schemas.Reprocess](t, post(t, srv, "/v1/reprocess", `{"tenant":"acme"}`).body)
	if canceled, err := store.ReprocessCanceled(t.Context(), job.ID); canceled || err != nil {
		t.Errorf("canceled %t, %v, before somebody asked", canceled, err)
	}
	for range 2 {
		if a := cancel(job.ID); a.status != http.StatusAccepted || decode[schemas.Reprocess](t, a.body).ID != job.ID {
			t.Errorf("got %d %s", a.status, a.body)
		}
	}
	if canceled, err := store.ReprocessCanceled(t.Context(), job.ID); !canceled || err != nil {
		t.Errorf("canceled %t, %v", canceled, err)
	}
}

func TestReprocessRefusesWhatItCannotRead(t *testing.T) {
	srv, store := jobsAPI(t)
	for body, want := range map[string]string{
		`{"tenant":"No Such"}`:                        "tenant: expected string to be 1 to 63",
		`{}`:                                          "tenant",
		`{"tenant":"acme","form":"7d"}`:               "form: unexpected property",
		`{"tenant":"acme","from":"yesterday"}`:        "from: want a time like",
		`{"tenant":"acme","from":"1d","to":"2d"}`:     "is not before to",
		`{"tenant":"acme","from":"2030-01-01"}`:       "is in the future",
		`{"tenant":`:                                  "body: ",
		``:                                            "body: ",
		`{"tenant":"acme","dry_run":"yes"}`:           "dry_run: expected boolean",
		`{"tenant":"acme","from":"1960-01-01"}`:       "from 1970",
		`{"tenant":"acme","to":"1970-01-01"}`:         "to: no record is before 1970",
		`{"tenant":"acme","from":"` + long(65) + `"}`: "from: expected length <= 64",
	} {
		a := post(t, srv, "/v1/reprocess", body)
		if p := decode[schemas.Problem](t, a.body); a.status != http.StatusUnprocessableEntity || p.Code != "parameter_invalid" || !strings.Contains(p.Detail, want) {
			t.Errorf("%s: %d %+v, want %q", body, a.status, p, want)
		}
	}
	if p, _ := problem(t, srv, "/v1/reprocess/none"); p.Code != "not_found" || p.Detail != "No job has the id none." {
		t.Errorf("got %+v", p)
	}
	if open, err := store.OpenReprocess(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("%d jobs were made, %v", len(open), err)
	}
}

func long(n int) string { return strings.Repeat("x", n) }
