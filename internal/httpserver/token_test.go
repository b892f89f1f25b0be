package httpserver_test

import (
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

func TestTokenGuardsAGroupAndNothingElse(t *testing.T) {
	e, logs, _ := newEcho(t)
	var tokens httpserver.TokenSet
	ok := func(c echo.Context) error { return c.NoContent(204) }
	e.GET("/livez", ok)
	e.Group("/v1", httpserver.RequireToken(&tokens)).GET("/x", ok)

	expect := func(status int, path, code string, header ...string) {
		t.Helper()
		w := get(t, e, path, header...)
		if w.Code != status {
			t.Errorf("%s %q: %d, want %d", path, header, w.Code, status)
		}
		if status == 401 {
			if p := problem(t, w); p.Code != code {
				t.Errorf("%s %q: code %s, want %s", path, header, p.Code, code)
			}
			if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="m2mwatch"`) {
				t.Errorf("WWW-Authenticate %q", got)
			}
		}
	}
	expect(204, "/livez", "")
	expect(401, "/v1/x", "token_invalid", "Authorization", "Bearer one")
	tokens.Replace([]httpserver.Token{httpserver.NewToken("ci", "one"), httpserver.NewToken("ops", "two")})
	expect(204, "/v1/x", "", "Authorization", "Bearer one")
	expect(204, "/v1/x", "", "Authorization", "bearer  two")
	expect(401, "/v1/x", "token_missing")
	expect(401, "/v1/x", "token_missing", "Authorization", "Bearer ")
	expect(401, "/v1/x", "token_missing", "Authorization", "Basic one")
	expect(401, "/v1/x", "token_invalid", "Authorization", "Bearer on")
	expect(401, "/v1/nowhere", "token_missing") // what exists is not told either
	tokens.Replace([]httpserver.Token{httpserver.NewToken("ops", "two")})
	expect(401, "/v1/x", "token_invalid", "Authorization", "Bearer one")
	expect(204, "/v1/x", "", "Authorization", "Bearer two")

	if !strings.Contains(logs.String(), `"token_name":"ops"`) || strings.Contains(logs.String(), "two") {
		t.Errorf("the log names the token and does not hold it: %s", logs)
	}
}

func TestEmptyTokenIsNeverAllowed(t *testing.T) {
	e, _, _ := newEcho(t)
	var tokens httpserver.TokenSet
	tokens.Replace([]httpserver.Token{httpserver.NewToken("mistake", "")})
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) }, httpserver.RequireToken(&tokens))
	if w := get(t, e, "/x", "Authorization", "Bearer "); w.Code != 401 {
		t.Errorf("status %d, want 401", w.Code)
	}
}
