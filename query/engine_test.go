package query_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
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

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// engineAPI serves an API over a real store that holds n events, each of them
// inserted twice; pairs of them share a time.
func engineAPI(t *testing.T, n int) (srv *httptest.Server, newestFirst []string) {
	t.Helper()
	db := clickhousetest.New(t)
	events := make([]schemas.Event, n)
	start := time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)
	for i := range events {
		e := event()
		e.LogID = fmt.Sprintf("90020250314%06d", i)
		e.Time = start.Add(time.Duration(i/2) * 100 * time.Millisecond)
		e.ClientID = fmt.Sprintf("client-%d", i%3)
		e.UserAgent = "agent"
		e.Raw = fmt.Appendf(nil, "{ \"log_id\" : %q,\t\"n\": %d.0 }", e.LogID, i)
		e.Ver = schemas.Version(e.Source, schemas.NormalizerVersion, e.Raw)
		events[i] = e
		newestFirst = append([]string{e.LogID}, newestFirst...)
	}
	writer := clickhouse.NewWriter(db)
	for range 2 {
		if err := writer.InsertEvents(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.InsertTouches(t.Context(), schemas.CountTouches("01946b80-0000-7000-8000-000000000001", events)); err != nil {
		t.Fatal(err)
	}
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: clickhouse.NewReader(db)}).Register(e)
	srv = httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv, newestFirst
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return v
}

// pages follows the cursor from page to page and returns every log_id.
func pages(t *testing.T, srv *httptest.Server, path string) []string {
	t.Helper()
	var ids []string
	cursor := ""
	for range 100 {
		page := decode[schemas.EventPage](t, ok(t, srv, path+"&cursor="+url.QueryEscape(cursor)))
		for _, e := range page.Events {
			ids = append(ids, e.LogID)
		}
		if cursor = page.Next; cursor == "" {
			return ids
		}
	}
	t.Fatal("the listing does not end")
	return nil
}

func TestPagesOfTheRealStoreListEachEventOnce(t *testing.T) {
	srv, want := engineAPI(t, 21)
	for _, limit := range []int{1, 2, 3, 7, 100} {
		if diff := cmp.Diff(want, pages(t, srv, fmt.Sprintf("/v1/events?tenant=acme&limit=%d", limit))); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	var third []string
	for i, id := range want {
		if (len(want)-1-i)%3 == 2 {
			third = append(third, id)
		}
	}
	if diff := cmp.Diff(third, pages(t, srv, "/v1/events?client_id=client-2&from=7d&limit=2")); diff != "" {
		t.Errorf("pages of one client (-want +got):\n%s", diff)
	}
	if got := pages(t, srv, "/v1/events?tenant=other&limit=2"); got != nil {
		t.Errorf("another tenant sees %v", got)
	}
}

func TestRealStoreGivesTheRawRecordBack(t *testing.T) {
	srv, ids := engineAPI(t, 2)
	body := ok(t, srv, "/v1/events/acme/"+ids[0])
	if want := "{ \"log_id\" : \"" + ids[0] + "\",\t\"n\": 1.0 }"; !strings.HasSuffix(body, `"raw":`+want+"}") {
		t.Errorf("answer %s does not hold %s", body, want)
	}
	if p, _ := problem(t, srv, "/v1/events/acme/none"); p.Code != "not_found" {
		t.Errorf("got %+v", p)
	}
	if p, _ := problem(t, srv, "/v1/findings/none"); p.Code != "not_found" {
		t.Errorf("got %+v", p)
	}
}

func TestRealStoreCountsEachLogOnce(t *testing.T) {
	srv, _ := engineAPI(t, 10)
	got := decode[schemas.StatsPage](t, ok(t, srv, "/v1/stats?tenant=acme&by=client_id,type"))
	want := map[string]uint64{"client-0": 4, "client-1": 3, "client-2": 3}
	counts := map[string]uint64{}
	for _, r := range got.Rows {
		counts[r.Values[0]] = r.Count
	}
	if diff := cmp.Diff(want, counts); diff != "" || got.Rows[0].Values[0] != "client-0" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.DirtyHours != 1 {
		t.Errorf("%d hours are dirty, want the one that is touched", got.DirtyHours)
	}
	for _, dimension := range schemas.StatsDimensions {
		rows := decode[schemas.StatsPage](t, ok(t, srv, "/v1/stats?by="+dimension)).Rows
		var sum uint64
		for _, r := range rows {
			sum += r.Count
		}
		if sum != 10 {
			t.Errorf("by %s: %d events, want 10", dimension, sum)
		}
	}
	if s := decode[schemas.StatusView](t, ok(t, srv, "/v1/status")); s.LastEvent == nil || s.Versions.ClickHouse == "" {
		t.Errorf("status %+v", s)
	}
	if f := ok(t, srv, "/v1/findings?tenant=acme&state=open&level=high&from=30d"); f != `{"findings":[]}` {
		t.Errorf("findings %s", f)
	}
}

func TestTablesAreComparedWithWhatThisBuildMakes(t *testing.T) {
	srv, _ := engineAPI(t, 0)
	if got := ok(t, srv, "/v1/tables"); got != `{"pending":[],"missing":[],"differs":[],"unsynced":[]}` {
		t.Errorf("of a whole store: %s", got)
	}
}
