package nats

import (
	"errors"
	"testing"
)

// TestScrubTakesSecretsAndNothingElse has a configuration without a URL too:
// that of the embedded server.
func TestScrubTakesSecretsAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		cfg       Config
		err, want string
	}{
		{Config{}, "EOF", "EOF"},
		{Config{Password: "s3cret"}, "refused s3cret", "refused <secret>"},
		{Config{URL: "nats://me:s3cret@host"}, "dial nats://me:s3cret@host", "dial nats://me:<secret>@host"},
		{Config{URL: "nats://me:s3cret@%"}, "parse nats://me:s3cret@%", "parse <secret>"},
	} {
		if got := c.cfg.scrub(errors.New(c.err)).Error(); got != c.want {
			t.Errorf("scrub(%q) = %q, want %q", c.err, got, c.want)
		}
	}
}
