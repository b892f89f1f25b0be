package auth0

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says which tenant, as whom, and how.
type Config struct {
	// Domain is the tenant's: acme.eu.auth0.com. A loopback address with a port is
	// spoken to over plain HTTP: that is a simulated tenant.
	Domain string
	// Credentials are those of the application that calls the Management API.
	Credentials Credentials
	// Audience of the Management API. Default https://DOMAIN/api/v2/; another one
	// where Domain is a custom domain, whose API keeps the tenant's own name.
	Audience string

	// CacheDir keeps tokens between runs, one file of mode 0600 each. Default none:
	// they live in memory.
	CacheDir string
	// MaxWait is how long the 429s of one call are waited out. Default 2 minutes; the
	// wait of a quota that is used up can be hours, and is an error.
	MaxWait time.Duration
	// OnWait is told of each wait for a 429 before it begins, for whoever shows
	// progress.
	OnWait func(time.Duration)

	// Accept judges the scopes of each token for the Management API before it is used;
	// its error is that of the call. Default all are used.
	Accept func(scopes []string) error

	// Transport sends. Default a clone of http.DefaultTransport.
	Transport http.RoundTripper
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Credentials prove who an application is: by its secret, or by its private key
// (private_key_jwt). They print as <credentials>.
type Credentials struct {
	ClientID     string
	ClientSecret string
	PrivateKey   *rsa.PrivateKey
}

// String keeps secrets out of every text.
func (c Credentials) String() string { return "<credentials>" }

// GoString keeps them out of %#v.
func (c Credentials) GoString() string { return c.String() }

// LogValue keeps them out of a log.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

const (
	defaultMaxWait = 2 * time.Minute
	callTimeout    = time.Minute // of one attempt
)

func (c Config) withDefaults() Config {
	if c.Audience == "" {
		c.Audience = "https://" + c.Domain + "/api/v2/"
	}
	if c.MaxWait == 0 {
		c.MaxWait = defaultMaxWait
	}
	if c.OnWait == nil {
		c.OnWait = func(time.Duration) {}
	}
	if c.Accept == nil {
		c.Accept = func([]string) error { return nil }
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate returns every problem at once.
func (c *Config) Validate() error {
	var problems []error
	if err := checkDomain(c.Domain); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(append(problems, c.Credentials.validate())...)
}

func (c *Credentials) validate() error {
	switch {
	case c.ClientID == "":
		return errors.New("the client id is missing: set AUTH0_CLIENT_ID")
	case c.ClientSecret == "" && c.PrivateKey == nil:
		return errors.New("the client secret is missing: set AUTH0_CLIENT_SECRET, or a private key")
	case c.ClientSecret != "" && c.PrivateKey != nil:
		return errors.New("there are a client secret and a private key: an application has one of them")
	}
	return nil
}

// checkDomain wants a bare host name: what else a URL has would be dropped in
// silence, or lead the secret elsewhere.
func checkDomain(domain string) error {
	if domain == "" {
		return errors.New("the tenant's domain is missing: set AUTH0_DOMAIN, like acme.eu.auth0.com")
	}
	u, err := url.Parse("https://" + domain)
	if err != nil || u.Host != domain || strings.ContainsAny(domain, "/?#@ ") {
		return fmt.Errorf("domain %q: want a host name alone, like acme.eu.auth0.com", clip(domain))
	}
	return nil
}

// scheme is https but for a loopback address with a port.
func scheme(domain string) string {
	host, _, err := net.SplitHostPort(domain)
	if err != nil {
		return "https"
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return "http"
	}
	return "https"
}
