package query_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// lifeAPI serves an API over a real store with an open finding and one that is
// resolved, as the user that it has there.
func lifeAPI(t *testing.T) *httptest.Server {
	t.Helper()
	own := clickhousetest.New(t)
	f := schemas.Finding{
		ID: "f1", RuleID: "MI-02", Tenant: "acme", Key: "billing", Identity: "app:billing", Level: schemas.LevelHigh, State: schemas.StateOpen,
		First: now, Last: now, Count: 3, Period: now.Truncate(24 * time.Hour), Changes: 1, Source: schemas.SourceStream, Ver: 1 << 32,
	}
	resolved := f
	resolved.ID, resolved.Key, resolved.State = "f2", "other", schemas.StateResolved
	store := clickhouse.NewFindingStore(own)
	if err := store.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := store.InsertFindings(t.Context(), []schemas.Finding{f, resolved}); err != nil {
		t.Fatal(err)
	}
	c := clickhousetest.Engine(t).Options(clickhouse.RoleAPI)
	c.Database = own.Database()
	db, err := clickhouse.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{
		Store: clickhouse.NewReader(db), Acts: clickhouse.NewFindingActs(db), Silences: clickhouse.NewSilences(db), Now: func() time.Time { return now },
		Expectations: clickhouse.NewExpectations(db),
		TenantAt: func(domain string) string {
			return map[bool]string{true: "acme"}[strings.EqualFold(domain, "acme.example")]
		},
	}).Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv
}

func TestActsAreRecordedAndShown(t *testing.T) {
	srv := lifeAPI(t)
	for _, body := range []string{`{"act":"ack","by":"jane"}`, `{"act":"note","by":"joe","reason":"a deploy"}`} {
		if a := post(t, srv, "/v1/findings/f1/acts", body); a.status != http.StatusAccepted {
			t.Fatalf("%s: got %d %s", body, a.status, a.body)
		}
	}
	acts := decode[schemas.FindingActs](t, ok(t, srv, "/v1/findings/f1/acts")).Acts
	shown := decode[schemas.FindingDetail](t, ok(t, srv, "/v1/findings/f1")).Acts
	who := map[schemas.Act]string{}
	for _, a := range acts {
		who[a.Act] = a.Who + " " + a.Reason
	}
	if len(acts) != 2 || len(shown) != 2 || who[schemas.ActAck] != "jane " || who[schemas.ActNote] != "joe a deploy" {
		t.Errorf("acts %+v, shown %+v", acts, shown)
	}
	if a := post(t, srv, "/v1/findings/f2/acts", `{"act":"ack","by":"jane"}`); a.status != http.StatusConflict || !strings.Contains(a.body, "reopen it first") {
		t.Errorf("ack of what is resolved: got %d %s", a.status, a.body)
	}
	for body, want := range map[string]string{
		`{"act":"note","by":"jane"}`: "reason", `{"act":"forget","by":"jane"}`: "act", `{"act":"ack"}`: "by",
	} {
		if a := post(t, srv, "/v1/findings/f1/acts", body); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s", body, a.status, a.body)
		}
	}
	if a := post(t, srv, "/v1/findings/nothing/acts", `{"act":"ack","by":"jane"}`); a.status != http.StatusNotFound {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestSilencesHaveAnEnd(t *testing.T) {
	srv := lifeAPI(t)
	for body, want := range map[string]string{
		`{"tenant":"acme","by":"jane","reason":"x"}`:                                  "ends",
		`{"tenant":"acme","by":"jane","reason":"x","ends":"2w","starts":"yesterday"}`: "starts",
		`{"tenant":"acme","by":"jane","reason":"x","ends":"60w"}`:                     "within a year",
		`{"tenant":"acme","by":"jane","reason":"x","ends":"1999-01-01"}`:              "not in the future",
		`{"tenant":"acme","by":"jane","reason":" ","ends":"2h"}`:                      "reason",
		`{"by":"jane","reason":"x","ends":"2h"}`:                                      "at least one of",
	} {
		if a := post(t, srv, "/v1/silences", body); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %q", body, a.status, a.body, want)
		}
	}
	a := post(t, srv, "/v1/silences", `{"rule_id":"MI-02","identity":"app:billing","by":"jane","reason":"migration","ends":"8h"}`)
	made := decode[schemas.Silence](t, a.body)
	if a.status != http.StatusCreated || !made.EndsAt.Equal(made.StartsAt.Add(8*time.Hour)) || made.ID == "" {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if list := decode[schemas.SilencePage](t, ok(t, srv, "/v1/silences")).Silences; len(list) != 1 || list[0] != made {
		t.Errorf("silences %+v, want %+v", list, made)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, srv.URL+"/v1/silences/"+made.ID+"?by=joe", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %d", resp.StatusCode)
	}
	if list := decode[schemas.SilencePage](t, ok(t, srv, "/v1/silences")).Silences; len(list) != 0 {
		t.Errorf("silences %+v, want none in force", list)
	}
	if list := decode[schemas.SilencePage](t, ok(t, srv, "/v1/silences?all=true")).Silences; len(list) != 1 || list[0].ExpiredBy != "joe" {
		t.Errorf("silences %+v, want one that joe ended", list)
	}
}
