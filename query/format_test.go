package query_test

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// accepting is the answer in a media type.
func accepting(t *testing.T, url, mediaType string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", mediaType)
	return do(t, req)
}

func TestListingsComeInLines(t *testing.T) {
	e := event()
	e.Raw = nil
	srv := api(t, &store{events: []schemas.Event{e, e}}, query.Config{})
	got := accepting(t, srv.URL+"/v1/events?limit=2&type=f*&tenant=acme", "application/x-ndjson")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("status %d, type %q", got.status, got.header.Get("Content-Type"))
	}
	page := decode[schemas.EventPage](t, ok(t, srv, "/v1/events?limit=2"))
	var lines []schemas.EventView
	for line := range strings.Lines(got.body) {
		lines = append(lines, decode[schemas.EventView](t, line))
	}
	if diff := cmp.Diff(page.Events, lines); diff != "" {
		t.Errorf("(-JSON +NDJSON):\n%s", diff)
	}
	target, rel, _ := strings.Cut(got.header.Get("Link"), ">; ")
	next, err := url.Parse(strings.TrimPrefix(target, "<"))
	want := url.Values{"limit": {"2"}, "type": {"f*"}, "tenant": {"acme"}, "cursor": {page.Next}}
	if err != nil || rel != `rel="next"` || next.Path != "/v1/events" {
		t.Fatalf("link %q: %v", got.header.Get("Link"), err)
	}
	if diff := cmp.Diff(want, next.Query()); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
	if last := accepting(t, srv.URL+"/v1/events?limit=3", "application/x-ndjson"); last.header.Get("Link") != "" {
		t.Errorf("the last page links to %s", last.header.Get("Link"))
	}
}

func TestListingsComeInColumns(t *testing.T) {
	e := event()
	e.ClientName, e.UserAgent, e.Scopes = "=HYPERLINK(\"https://x\")", "@a, \"b\"\nc", []string{"read:a", "write:b"}
	e.Hostname, e.Description = "＝1+1", "\n-1"
	srv := api(t, &store{events: []schemas.Event{e}}, query.Config{})
	got := accepting(t, srv.URL+"/v1/events", "text/csv")
	records, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || len(records) != 2 || got.header.Get("Content-Type") != "text/csv" {
		t.Fatalf("%d records of %q, %v", len(records), got.body, err)
	}
	values := map[string]string{}
	for i, name := range records[0] {
		values[name] = records[1][i]
	}
	for name, want := range map[string]string{
		"log_id": e.LogID, "time": "2025-03-14T11:59:59.100Z", "client_name": "'" + e.ClientName, "user_agent": "'" + e.UserAgent,
		"scopes": "read:a write:b", "hostname": "'＝1+1", "description": "'\n-1", "identity.id": "app:invoice-sync", "quota.size": "0", "raw_masked": "true",
	} {
		if values[name] != want {
			t.Errorf("%s is %q, want %q", name, values[name], want)
		}
	}
	none := accepting(t, api(t, &store{}, query.Config{}).URL+"/v1/events", "text/csv")
	if none.body != strings.Join(records[0], ",")+"\n" {
		t.Errorf("no events: %q, want the header alone", none.body)
	}
	s := &store{rows: []schemas.StatsRow{{Values: []string{"seccft"}, Count: 7}}}
	if stats := accepting(t, api(t, s, query.Config{}).URL+"/v1/stats", "text/csv"); stats.body != "type,count\nseccft,7\n" {
		t.Errorf("counts: %q", stats.body)
	}
}

// A page's first finding may lack what a later page's has.
func TestColumnsAreThoseOfTheTypeOnEveryPage(t *testing.T) {
	header := func(findings ...schemas.Finding) string {
		body := accepting(t, api(t, &store{findings: findings}, query.Config{}).URL+"/v1/findings", "text/csv").body
		line, _, _ := strings.Cut(body, "\n")
		return line
	}
	bare := finding()
	bare.Evidence = schemas.Evidence{}
	whole := header(finding())
	if !strings.Contains(whole, ",evidence.client_name,") {
		t.Errorf("columns %s", whole)
	}
	for name, other := range map[string]string{"bare": header(bare), "bare first": header(bare, finding()), "none": header()} {
		if other != whole {
			t.Errorf("%s: columns\n%s\nwant\n%s", name, other, whole)
		}
	}
}

func TestOneAnswerIsOneRow(t *testing.T) {
	srv := api(t, &store{events: []schemas.Event{event()}}, query.Config{})
	var line struct{ Raw string }
	body := accepting(t, srv.URL+"/v1/events/acme/1", "application/x-ndjson").body
	if err := json.Unmarshal([]byte(body), &line); err != nil || strings.Count(body, "\n") != 1 || !strings.HasPrefix(line.Raw, "{ \"log_id\":\t") {
		t.Errorf("%q: %v", body, err)
	}
	raw := string(event().Raw)
	if alone := accepting(t, srv.URL+"/v1/events/acme/1?raw=true", "text/csv").body; alone != raw {
		t.Errorf("raw alone %q, want %q", alone, raw)
	}
	lines := strings.Split(accepting(t, srv.URL+"/v1/status", "text/csv").body, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "pending,") {
		t.Errorf("status: %q", lines)
	}
}

// A member that may be absent has the columns of its own members.
func TestAMemberThatIsAbsentKeepsItsColumns(t *testing.T) {
	header := func(token schemas.Token) string {
		line, _, _ := strings.Cut(accepting(t, api(t, &store{token: token}, query.Config{}).URL+"/v1/tokens/acme/t", "text/csv").body, "\n")
		return line
	}
	issue := event()
	with, without := header(schemas.Token{ID: "t", Issue: &issue}), header(schemas.Token{ID: "t"})
	if with != without || strings.Contains(with, ",issue,") || !strings.Contains(with, ",issue.log_id,") {
		t.Errorf("columns\n%s\nand without an issue\n%s", with, without)
	}
}

func TestErrorsAreProblemsWhateverIsAccepted(t *testing.T) {
	srv := api(t, &store{}, query.Config{})
	got := accepting(t, srv.URL+"/v1/events?limit=0", "text/csv")
	if got.status != http.StatusUnprocessableEntity || got.header.Get("Content-Type") != schemas.ProblemType {
		t.Errorf("status %d, type %q", got.status, got.header.Get("Content-Type"))
	}
}
