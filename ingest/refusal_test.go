package ingest

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestRefusedDeliveriesAreToldOnceAMinute: an operator must see that a stream's
// secret is wrong, and a stranger who knocks must not fill the log.
func TestRefusedDeliveriesAreToldOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 5 {
		f.post(t, "/v1/logs/acme", "a-wrong-secret", strings.NewReader(logA)).want(t, http.StatusUnauthorized)
	}
	if n := strings.Count(log.String(), "a delivery was refused"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), "a-wrong-secret") || !strings.Contains(log.String(), "tenant=acme") {
		t.Errorf("the line should name the tenant and not the secret:\n%s", log.String())
	}
}
