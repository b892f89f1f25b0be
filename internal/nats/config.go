package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// Config says which server to connect to: Server, or else URL. It prints
// without its secrets.
type Config struct {
	// Server is the embedded server. Where it is set, URL and what belongs to
	// it must be empty.
	Server *Server

	// URL names an outside server, or several of one cluster separated by
	// commas: nats://host:4222, tls://host:4222, wss://host:443. User and
	// password, or a token, may stand in it.
	URL string
	// User and Password, where they do not stand in the URL.
	User     string
	Password string
	// Token, where it does not stand in the URL.
	Token string
	// CredsFile is a file with a user's JWT and seed.
	CredsFile string
	// CAFile is a PEM file with the authorities that may have signed the
	// server's certificate. Default: those of the system. It makes TLS required.
	CAFile string
	// CertFile and KeyFile are the client's own certificate and key, PEM. They
	// make TLS required.
	CertFile string
	KeyFile  string

	// Name is shown in the server's monitoring. Default "m2mwatch".
	Name string
	// Logger receives losses of the connection. Default: none.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none.
	Registerer prometheus.Registerer
}

// Validate returns every problem of the configuration at once.
func (c Config) Validate() error {
	var errs []error
	if (c.Server == nil) == (c.URL == "") {
		errs = append(errs, errors.New("nats: want either an embedded server or a URL"))
	}
	if _, err := c.servers(); c.URL != "" && err != nil {
		errs = append(errs, err)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("nats: a certificate file and a key file belong together"))
	}
	if c.Password != "" && c.User == "" {
		errs = append(errs, errors.New("nats: a password without a user"))
	}
	return errors.Join(errs...)
}

// servers are the URLs in c.URL. The errors quote nothing: a URL that does not
// parse may hold a password anywhere.
func (c Config) servers() ([]*url.URL, error) {
	var servers []*url.URL
	for i, s := range strings.Split(c.URL, ",") {
		s = strings.TrimSpace(s)
		if s != "" && !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("nats: URL %d is not of the form nats://[user:password@]host:port", i+1)
		}
		servers = append(servers, u)
	}
	return servers, nil
}

// address is the URL as it may be shown.
func (c Config) address() string {
	if c.Server != nil {
		return "the embedded server"
	}
	servers, err := c.servers()
	if err != nil {
		return "an invalid URL"
	}
	shown := make([]string, 0, len(servers))
	for _, u := range servers {
		shown = append(shown, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	}
	return strings.Join(shown, ",")
}

// String is the address without secrets.
func (c Config) String() string { return c.address() }

// GoString is String: %#v must not print secrets either.
func (c Config) GoString() string { return c.address() }

// LogValue is what a logger shows of c.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.address()) }

// scrub cuts the secrets out of an error's text. The chain is cut as well: what
// lies in it could be printed.
func (c Config) scrub(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, secret := range c.secrets() {
		text = strings.ReplaceAll(text, secret, "<secret>")
	}
	return errors.New(text)
}

func (c Config) secrets() []string {
	var secrets []string
	add := func(s string) {
		if s != "" {
			secrets = append(secrets, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	add(c.Password)
	add(c.Token)
	servers, err := c.servers()
	if err != nil {
		add(c.URL)
		return secrets
	}
	for _, u := range servers {
		if password, ok := u.User.Password(); ok {
			add(password)
		} else {
			add(u.User.Username()) // a user alone is a token
		}
	}
	return secrets
}

// auth gives the options that stand for who connects.
func (c Config) auth() ([]nats.Option, error) {
	var opts []nats.Option
	if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.CredsFile != "" {
		if _, err := os.Stat(c.CredsFile); err != nil {
			return nil, fmt.Errorf("read the credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	return opts, nil
}

// tls gives the options for TLS; there are none where no file is named, and
// then the scheme of the URL and the server decide.
func (c Config) tls() ([]nats.Option, error) {
	if c.CAFile == "" && c.CertFile == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities: %s holds no certificate in PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return []nats.Option{nats.Secure(conf)}, nil
}
