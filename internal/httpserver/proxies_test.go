package httpserver_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

func TestClientsAddressIsTakenOnTheWordOfTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	var proxies httpserver.Proxies
	e := httpserver.New(httpserver.Config{Name: "test", Proxies: &proxies})
	e.GET("/who", func(c echo.Context) error { return c.String(200, httpserver.ClientAddr(c).String()) })
	who := func(remote string, header http.Header) string {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/who", nil)
		r.RemoteAddr = remote
		r.Header = header
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		return w.Body.String()
	}
	forwarded := func(values ...string) http.Header { return http.Header{"X-Forwarded-For": values} }
	const client, spoofed, none = "203.0.113.9", "198.51.100.1", "invalid IP"

	// Nobody is trusted: not loopback, not a private network.
	for remote, want := range map[string]string{"127.0.0.1:1": "127.0.0.1", "10.0.0.1:1": "10.0.0.1", "[::1]:1": "::1", "[fe80::1]:1": "fe80::1", "@": none} {
		if got := who(remote, forwarded(spoofed)); got != want {
			t.Errorf("nobody is trusted, %s: got %s, want %s", remote, got, want)
		}
	}

	proxies.Replace([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("127.0.0.1/32")})
	for name, tt := range map[string]struct {
		remote string
		header http.Header
		want   string
	}{
		"one proxy":                           {"10.0.0.1:1", forwarded(client), client},
		"two proxies":                         {"10.0.0.1:1", forwarded(client + ", 10.0.0.2"), client},
		"of both versions":                    {"[2001:db8::1]:1", forwarded(client + ",10.0.0.2"), client},
		"on this machine":                     {"127.0.0.1:1", forwarded(client), client},
		"in brackets":                         {"10.0.0.1:1", forwarded("[2001:db9::7]"), "2001:db9::7"},
		"mapped":                              {"10.0.0.1:1", forwarded("::ffff:203.0.113.9"), client},
		"nothing forwarded":                   {"10.0.0.1:1", nil, "10.0.0.1"},
		"direct":                              {client + ":1", nil, client},
		"mapped peer":                         {"[::ffff:203.0.113.9]:1", nil, client},
		"spoofed, direct":                     {client + ":1", forwarded(spoofed), client},
		"spoofed, direct, by way of a proxy":  {client + ":1", forwarded(spoofed + ", 10.0.0.2"), client},
		"spoofed, through a proxy":            {"10.0.0.1:1", forwarded(spoofed + ", " + client), client},
		"spoofed in a header of its own":      {"10.0.0.1:1", forwarded(spoofed, client), client},
		"spoofed with a proxy's address":      {"10.0.0.1:1", forwarded(spoofed + ", 10.0.0.2, " + client), client},
		"spoofed with text":                   {"10.0.0.1:1", forwarded("text, " + client), client},
		"spoofed in other headers":            {"10.0.0.1:1", http.Header{"X-Real-Ip": {spoofed}, "Forwarded": {"for=" + spoofed}, "True-Client-Ip": {spoofed}}, "10.0.0.1"},
		"a proxy that forwards text":          {"10.0.0.1:1", forwarded(client + ", unknown"), "10.0.0.1"},
		"from a neighbour, that is not named": {"10.0.1.1:1", forwarded(spoofed), "10.0.1.1"},
		"by the socket":                       {"@", forwarded(spoofed), none},
	} {
		if got := who(tt.remote, tt.header); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}

	proxies.Replace(nil)
	if got := who("10.0.0.1:1", forwarded(spoofed)); got != "10.0.0.1" {
		t.Errorf("no longer trusted: got %s", got)
	}
}

func TestLogNamesTheClientAndTheProxyBetween(t *testing.T) {
	t.Parallel()
	var proxies httpserver.Proxies
	logs := &logBuffer{}
	logger := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := httpserver.New(httpserver.Config{Name: "test", Logger: logger, Proxies: &proxies})
	e.GET("/x", func(c echo.Context) error { return c.NoContent(204) })
	get(t, e, "/x", "X-Forwarded-For", "203.0.113.9")
	proxies.Replace([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}) // httptest's peer
	get(t, e, "/x", "X-Forwarded-For", "203.0.113.9")
	lines := logs.lines(t)
	if lines[0]["remote"] != "192.0.2.1" || lines[0]["peer"] != nil {
		t.Errorf("untrusted: %v", lines[0])
	}
	if lines[1]["remote"] != "203.0.113.9" || lines[1]["peer"] != "192.0.2.1" {
		t.Errorf("trusted: %v", lines[1])
	}
}
