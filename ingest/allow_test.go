package ingest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestOnlyAllowedAddressesDeliver(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	allow := &AllowList{}
	f := newFixture(t, func(c *Config, _ *memoryPublisher) {
		c.Allow, c.Logger = allow, slog.New(slog.NewTextHandler(&log, nil))
	})
	stored := 0
	taken := func() {
		t.Helper()
		f.send(t, logA).want(t, http.StatusOK)
		stored++
	}
	taken()
	allow.Replace(nil)
	taken()
	allow.Replace(prefixes("203.0.113.0/24", "2001:db8::/32"))
	for _, path := range []string{"/v1/logs/acme", "/v1/logs/nobody", "/v1/custom/acme"} {
		f.post(t, path, secret, strings.NewReader(logA), "X-Forwarded-For", "203.0.113.9", "X-Real-Ip", "203.0.113.9").
			want(t, http.StatusForbidden, "address_not_allowed", "ingest.allow", "trusted_proxies")
	}
	f.post(t, "/v1/import/acme", "", strings.NewReader(logA)).want(t, http.StatusOK) // the API's token guards it
	stored++
	allow.Replace(prefixes("203.0.113.0/24", "127.0.0.0/8"))
	taken()
	if got := len(f.pub.logs(t)); got != stored {
		t.Errorf("stored %d, want %d", got, stored)
	}
	if n := strings.Count(log.String(), "ingest.allow lacks its address"); n != 1 || !strings.Contains(log.String(), "remote=127.0.0.1 tenant=acme") {
		t.Errorf("told %d times, want once with address and tenant:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), secret) {
		t.Errorf("the log holds the secret:\n%s", log.String())
	}
	if got := f.metrics(t)["m2mwatch_ingest_requests_total 403"]; got != 3 {
		t.Errorf("counted %g refusals, want 3", got)
	}
}

func TestAnUnknownAddressIsOnNoList(t *testing.T) {
	t.Parallel()
	allow := &AllowList{}
	if !allow.allows(netip.Addr{}) {
		t.Error("refused without a list")
	}
	allow.Replace(prefixes("0.0.0.0/0", "::/0"))
	if allow.allows(netip.Addr{}) {
		t.Error("allowed by a list")
	}
}

func TestEachStrangerIsToldOnceInTenMinutes(t *testing.T) {
	t.Parallel()
	var s strangers
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	told := func(addr string, want bool) {
		t.Helper()
		a, _ := netip.ParseAddr(addr)
		if got := s.isNews(a, now); got != want {
			t.Errorf("%s: told %t, want %t", addr, got, want)
		}
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", ""} {
		told(addr, true)
		told(addr, false)
	}
	told("2001:db8::2", false)
	now = now.Add(strangerEvery - 1)
	told("192.0.2.1", false)
	now = now.Add(1)
	told("192.0.2.1", true)
	told("192.0.2.1", false)
}

func TestStrangersTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	var s strangers
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	knock := func() (told int) {
		for i := range 4 * maxStrangers {
			if s.isNews(netip.MustParseAddr(fmt.Sprintf("10.%d.%d.1", i>>8, i&255)), now) {
				told++
			}
		}
		if len(s.told) > maxStrangers {
			t.Errorf("%d are remembered", len(s.told))
		}
		return told
	}
	for _, want := range []int{maxStrangers, 0} {
		if got := knock(); got != want {
			t.Errorf("told %d, want %d", got, want)
		}
	}
	now = now.Add(strangerEvery)
	if got := knock(); got != maxStrangers {
		t.Errorf("told %d ten minutes later, want %d", got, maxStrangers)
	}
}
