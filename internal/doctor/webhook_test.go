package doctor

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

// webhook is the real one, over TLS, without a tenant, for the networks named.
func webhook(t *testing.T, allow ...netip.Prefix) *httptest.Server {
	t.Helper()
	list := &ingest.AllowList{}
	list.Replace(allow)
	in, err := ingest.New(ingest.Config{Tenants: &ingest.TenantSet{}, Allow: list, Publisher: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	e := httpserver.New(httpserver.Config{Name: "webhook"})
	in.Webhook(e)
	return serve(t, e)
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func TestWebhookTellsWhoAnswers(t *testing.T) {
	ours, strict := webhook(t), webhook(t, netip.MustParsePrefix("203.0.113.0/24"))
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/away":
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	gone := serve(t, http.NotFoundHandler())
	gone.Close()
	client := ours.Client() // httptest has one certificate for all
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for url, want := range map[string]struct {
		state State
		found string
	}{
		"":                            {StateSkip, "not tried"},
		"ftp://x":                     {StateFail, "no http or https URL"},
		ours.URL:                      {StateOK, "/v1/logs/acme is reached and refuses a wrong token"},
		ours.URL + "/v1/logs/acme":    {StateOK, "/v1/logs/acme is reached"},
		ours.URL + "/v1/logs/other":   {StateFail, "no tenant other is configured"},
		ours.URL + "/v1/custom/acme":  {StateFail, "takes custom events"},
		ours.URL + "/elsewhere":       {StateFail, "404 not_found"},
		strict.URL:                    {StateWarn, "403 address_not_allowed"},
		strict.URL + "/v1/logs/other": {StateFail, "no tenant other is configured"},
		other.URL:                     {StateFail, "another server answers"},
		other.URL + "/moved":          {StateFail, "redirects"},
		other.URL + "/away":           {StateFail, "answers 502"},
		gone.URL:                      {StateFail, "cannot connect"},
		"https://m2mwatch.invalid":    {StateFail, ""},
		"http" + strings.TrimPrefix(other.URL, "https"): {StateFail, "another server"},
	} {
		r := look(t, Config{Settings: settings(t), URL: url, HTTP: client}, "webhook")
		t.Run(url, func(t *testing.T) { wantNote(t, r, want.state, want.found) })
	}
	r := look(t, Config{Settings: settings(t), URL: ours.URL}, "webhook")
	wantNote(t, r, StateFail, "is not trusted")
	nobodys := settings(t)
	nobodys.Tenants = nil
	wantNote(t, look(t, Config{Settings: nobodys, URL: ours.URL, HTTP: client}, "webhook"), StateFail, "no tenants are configured")
}

// nobody takes what no test here delivers.
type nobody struct{ ingest.Publisher }

func (nobody) MaxGroup() int { return 1 << 20 }
