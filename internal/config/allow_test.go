package config

import (
	"strings"
	"testing"
)

func TestAllowListNeedsAWayToKnowTheAddress(t *testing.T) {
	const allow = "ingest: {allow: [203.0.113.7]}\n"
	for text, want := range map[string]string{
		"":                            "listen is 127.0.0.1:8080",
		"webhook_listen: localhost:1": "webhook_listen is localhost:1",
		"webhook_listen: '[::1]:1'":   "trusted_proxies (::1/128)",
		"listen: 0.0.0.0:1\nwebhook_listen: 127.0.0.1:2":           "webhook_listen is 127.0.0.1:2",
		"trusted_proxies: [10.0.0.1]":                              "trusted_proxies (127.0.0.0/8)",
		"trusted_proxies: ['::1']":                                 "trusted_proxies (127.0.0.0/8)",
		"webhook_listen: '[::1]:1'\ntrusted_proxies: [127.0.0.1]":  "trusted_proxies (::1/128)",
		"trusted_proxies: [127.0.0.1]":                             "",
		"trusted_proxies: [127.0.0.0/8]":                           "",
		"webhook_listen: localhost:1\ntrusted_proxies: ['::1']":    "",
		"webhook_listen: '[::1]:1'\ntrusted_proxies: ['::1']":      "",
		"webhook_listen: 0.0.0.0:1":                                "",
		"webhook_listen: :1":                                       "",
		"webhook_listen: 192.0.2.1:1\ntrusted_proxies: [10.0.0.1]": "",
	} {
		_, err := Load(Origin{File: write(t, "c.yaml", allow+text)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	if _, err := Load(Origin{File: write(t, "c.yaml", "ingest: {allow: []}")}); err != nil {
		t.Errorf("no list: %v", err)
	}
}
