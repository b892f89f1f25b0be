package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNetworksAreRangesOrAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"203.0.113.0/24": "203.0.113.0/24", "203.0.113.7": "203.0.113.7/32", "2001:db8::/32": "2001:db8::/32",
		"2001:db8::1": "2001:db8::1/128", "::ffff:203.0.113.7": "203.0.113.7/32", " 10.0.0.0/8 ": "10.0.0.0/8",
	} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); err != nil || n.String() != want {
			t.Errorf("%q: got %v, %v, want %s", text, n, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "want an address", "proxy.example": "want an address", "203.0.113.0/33": "want an address", "fe80::1%eth0": "want an address",
		"::ffff:203.0.113.0/120": "want an address", "203.0.113.7/24": "203.0.113.0/24", "10.0.0.0/8, 10.1.0.0/16": "want an address",
	} {
		var n Network
		if err := n.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, %v, want %q", text, n, err, want)
		}
	}
}

func TestTrustedProxiesAreAListOfNetworks(t *testing.T) {
	file := write(t, "c.yaml", "trusted_proxies: [10.0.0.1, 192.0.2.0/24]")
	c, err := Load(Origin{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Prefixes(c.TrustedProxies)); got != "[10.0.0.1/32 192.0.2.0/24]" {
		t.Errorf("got %s", got)
	}
	c, err = Load(Origin{File: file, Environ: []string{"M2MWATCH_TRUSTED_PROXIES=[10.0.0.2]"}})
	if err != nil || fmt.Sprint(Prefixes(c.TrustedProxies)) != "[10.0.0.2/32]" {
		t.Errorf("got %v, %v", c, err)
	}
	_, err = Load(Origin{File: write(t, "c.yaml", "trusted_proxies: [10.0.0.1/8, proxy.example, 10.0.0.3]")})
	if err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") || !strings.Contains(err.Error(), "proxy.example") {
		t.Errorf("got %v, want both problems", err)
	}
	_, err = Load(Origin{File: write(t, "c.yaml", "trusted_proxies: [0.0.0.0/0, '::/0']")})
	if err == nil || strings.Count(err.Error(), "trusts everybody") != 2 {
		t.Errorf("got %v, want both problems", err)
	}
}
