package query_test

import (
	"encoding/json"
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

// provisionAPI serves an API over a real store, as the user that it has there.
func provisionAPI(t *testing.T) *httptest.Server {
	t.Helper()
	c := clickhousetest.Engine(t).Options(clickhouse.RoleAPI)
	c.Database = clickhousetest.New(t).Database()
	db, err := clickhouse.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	e := httpserver.New(httpserver.Config{Name: "api"})
	query.New(query.Config{Store: clickhouse.NewReader(db), Provision: clickhouse.NewProvisionLog(db), Now: func() time.Time { return now }}).Register(e)
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return srv
}

func TestCallsAreRecordedAndListedInPages(t *testing.T) {
	srv := provisionAPI(t)
	var calls []schemas.ProvisionCall
	for i, id := range []string{"one", "two", "three"} {
		calls = append(calls, schemas.ProvisionCall{
			ID: id, At: now.Add(-time.Duration(i) * time.Minute), Domain: "acme.eu.auth0.com", ClientID: "provisioner", Operator: "jane@ops",
			Command: "users delete", Method: "DELETE", Path: "/api/v2/users/auth0%7C1", Outcome: schemas.ProvisionBegun,
		})
	}
	body, err := json.Marshal(schemas.ProvisionCalls{Calls: calls})
	if err != nil {
		t.Fatal(err)
	}
	if a := post(t, srv, "/v1/provision-log", string(body)); a.status != http.StatusOK || decode[schemas.Recorded](t, a.body).Recorded != 3 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	var got []schemas.ProvisionCall
	for cursor := ""; len(got) < 10; {
		page := decode[schemas.ProvisionPage](t, ok(t, srv, "/v1/provision-log?domain=acme.eu.auth0.com&from=1h&limit=2&cursor="+cursor))
		got = append(got, page.Calls...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if diff := cmp.Diff(calls, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestACallThatCannotBeIsRefused(t *testing.T) {
	srv := provisionAPI(t)
	const call = `{"calls":[{"id":"x","at":"AT","domain":"acme.eu.auth0.com","client_id":"c","operator":"o","command":"apps rotate","method":"METHOD","path":"/p","outcome":"begun"}]}`
	for _, c := range []struct{ at, method, want string }{
		{"2999-01-01T00:00:00Z", "POST", "calls[0].at"},
		{"0001-01-01T00:00:00Z", "POST", "calls[0].at"},
		{now.Format(time.RFC3339), "GET", "method"},
	} {
		a := post(t, srv, "/v1/provision-log", strings.NewReplacer("AT", c.at, "METHOD", c.method).Replace(call))
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, c.want) {
			t.Errorf("%v: got %d %s", c, a.status, a.body)
		}
	}
}
