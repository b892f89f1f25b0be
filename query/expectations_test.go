package query_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestWhatIsDeclaredAgainKeepsItsTime(t *testing.T) {
	srv := lifeAPI(t)
	declare := func(body string) int {
		t.Helper()
		a := post(t, srv, "/v1/expectations", `{"domain":"ACME.example","expectations":[`+body+`]}`)
		if a.status != http.StatusAccepted {
			t.Fatalf("%s: got %d %s", body, a.status, a.body)
		}
		return decode[schemas.Declared](t, a.body).Changed
	}
	const a, b = `{"identity":"app:a","expect":{"networks":["198.51.100.0/24"]}}`, `{"identity":"user:auth0|b","expect":{"cadence":"26h"}}`
	for _, step := range []struct {
		body string
		want int
	}{{a + "," + b, 2}, {a + "," + b, 0}, {`{"identity":"app:a","expect":{"expires":"2031-01-01"}},` + b, 1}, {`{"identity":"user:auth0|b","expect":{}},{"identity":"app:c","expect":{}}`, 1}} {
		if got := declare(step.body); got != step.want {
			t.Errorf("%s: %d changed, want %d", step.body, got, step.want)
		}
	}
	at := now.UTC().Truncate(time.Millisecond).Add(time.Millisecond) // the clock stands still: it is later all the same
	want := []schemas.Expectation{{Tenant: "acme", Identity: "app:a", Expect: schemas.Expect{Expires: "2031-01-01"}, DeclaredAt: at}}
	for _, path := range []string{"/v1/expectations", "/v1/expectations?domain=acme.example"} {
		if diff := cmp.Diff(want, decode[schemas.Expectations](t, ok(t, srv, path)).Expectations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestDeclarationsThatCannotBeAreRefused(t *testing.T) {
	srv := lifeAPI(t)
	for body, want := range map[string]string{
		`{"domain":"acme.example","expectations":[{"identity":"app:a","expect":{"networks":["198.51.100.7"]}}]}`: "write 198.51.100.0/24",
		`{"domain":"acme.example","expectations":[{"identity":"agent:a","expect":{}}]}`:                          "want app:CLIENT_ID",
		`{"domain":"acme.example","expectations":[]}`:                                                            "expectations",
	} {
		if a := post(t, srv, "/v1/expectations", body); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %q", body, a.status, a.body, want)
		}
	}
	if a := post(t, srv, "/v1/expectations", `{"domain":"other.example","expectations":[{"identity":"app:a","expect":{}}]}`); a.status != http.StatusNotFound || !strings.Contains(a.body, "give the tenant its domain") {
		t.Errorf("got %d %s", a.status, a.body)
	}
}
