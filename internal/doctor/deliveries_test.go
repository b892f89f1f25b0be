package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

func TestDeliveriesThatWereRefusedAreTold(t *testing.T) {
	s := settings(t)
	wantNote(t, look(t, Config{Settings: s}, "deliveries"), StateSkip, "known to a running instance alone")
	i := &instance{}
	i.run(t, s)
	wantNote(t, look(t, Config{Settings: s}, "deliveries"), StateSkip, "of an earlier build")

	registry, tenants := prometheus.NewRegistry(), &ingest.TenantSet{}
	tenants.Store(map[string]ingest.TenantSecrets{"acme": {Stream: []string{goodSecret}}})
	in, err := ingest.New(ingest.Config{Tenants: tenants, Publisher: nobody{}, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	e := httpserver.New(httpserver.Config{Name: "api"})
	in.Webhook(e)
	e.GET("/metrics", httpserver.Metrics(registry))
	i.metrics = e
	wantNote(t, look(t, Config{Settings: s}, "deliveries"), StateOK, "none has come")

	deliver := func(secret string) {
		t.Helper()
		req := httptest.NewRequest(http.MethodPost, "/v1/logs/acme", strings.NewReader("[]"))
		req.Header.Set("Authorization", secret)
		e.ServeHTTP(httptest.NewRecorder(), req)
	}
	deliver(goodSecret)
	wantNote(t, look(t, Config{Settings: s}, "deliveries"), StateOK, "1 were taken")
	deliver("another")
	deliver("another")
	wantNote(t, look(t, Config{Settings: s}, "deliveries"), StateWarn, "2 were refused with 401 since the instance was started: a wrong token")
}
