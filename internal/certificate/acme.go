package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEConfig says whose certificates to get, and from where.
type ACMEConfig struct {
	// Hosts are the names to get a certificate for, each one of its own. The
	// directory must reach the listener as port 443 of each. Who asks for
	// another name, or for none, is shown the certificate of the first.
	Hosts []string
	// Email is told to the directory, for what it has to say about a
	// certificate. Default none.
	Email string
	// Directory is the URL of the ACME server's directory, whose terms of
	// service are agreed to.
	Directory string
	// CAFile holds the authorities that the directory's own certificate is
	// trusted by, PEM. Default: those of the system.
	CAFile string
	// Cache is the folder for the account's key, certificates and their keys. It
	// is made, mode 0700, with a folder for each directory in it.
	Cache string
	// Logger hears of certificates that are there, and of those that are not.
	// Default: nothing is logged.
	Logger *slog.Logger
	// Registerer gets the time at which the first certificate expires. Nil means
	// that nothing is registered.
	Registerer prometheus.Registerer
	// Every is how often Run looks whether a certificate was renewed. Default
	// 1 min.
	Every time.Duration
}

// ACME are certificates that an ACME server gives, by TLS-ALPN-01: it connects
// to the listener and asks for the answer to its challenge in the handshake.
// They are renewed when a third of their time is left, of 30 days at most.
//
// A handshake is shown what is there and starts nothing: whoever connects
// neither waits for the directory nor uses up what it gives in an hour.
type ACME struct {
	cfg     ACMEConfig
	manager *autocert.Manager

	mu    sync.RWMutex
	certs map[string]*tls.Certificate // guarded by mu; by host
}

// After a failure Run waits for firstRetry, then twice as long each time, up to
// lastRetry. Let's Encrypt allows five failures of a host in an hour.
const (
	firstRetry = 2 * time.Minute
	lastRetry  = time.Hour
)

// NewACME makes the cache. It asks nobody for anything; Run does.
func NewACME(cfg ACMEConfig) (*ACME, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Every == 0 {
		cfg.Every = time.Minute
	}
	folder, err := cacheFolder(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make ACME cache: %w", err)
	}
	client, err := directoryClient(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	a := &ACME{cfg: cfg, certs: map[string]*tls.Certificate{}, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(folder), Email: cfg.Email,
		HostPolicy: autocert.HostWhitelist(cfg.Hosts...),
		Client:     &acme.Client{DirectoryURL: cfg.Directory, HTTPClient: client, UserAgent: "m2mwatch"},
	}}
	registerExpiry(cfg.Registerer, a.expiry)
	return a, nil
}

// cacheFolder is the folder of the directory: a certificate of one that was
// tried out must not be shown as that of another.
func cacheFolder(cfg ACMEConfig) (string, error) {
	u, err := url.Parse(cfg.Directory)
	if err != nil {
		return "", fmt.Errorf("ACME directory: %w", err)
	}
	name := strings.NewReplacer("/", "_", ":", "_").Replace(u.Host + u.Path)
	return filepath.Join(cfg.Cache, name), nil
}

// ACMEFile is where the certificate lies that is shown to who asks for no name,
// once it has come.
func ACMEFile(cfg ACMEConfig) (string, error) {
	folder, err := cacheFolder(cfg)
	return filepath.Join(folder, cfg.Hosts[0]), err
}

func directoryClient(caFile string) (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 30 * time.Second}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities of the ACME directory: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities of the ACME directory: %s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: time.Minute}, nil
}

// TLS is the configuration of a listener. As that of Files, it speaks HTTP/1.1
// alone.
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1", acme.ALPNProto},
		GetCertificate: a.certificate,
	}
}

func (a *ACME) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Equal(hello.SupportedProtos, []string{acme.ALPNProto}) {
		return a.manager.GetCertificate(hello) // the answer to a challenge, or an error
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if !slices.Contains(a.cfg.Hosts, name) {
		name = a.cfg.Hosts[0]
	}
	if cert := a.certs[name]; cert != nil {
		return cert, nil
	}
	return nil, fmt.Errorf("there is no certificate for %s yet", name)
}

// expiry is that of the certificate that expires first; zero without any.
func (a *ACME) expiry() time.Time {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var first time.Time
	for _, cert := range a.certs {
		if at := cert.Leaf.NotAfter; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// Run gets the certificates and renews them until ctx ends. The listeners have
// to accept connections by then.
func (a *ACME) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, host := range a.cfg.Hosts {
		all.Go(func() { a.keep(ctx, host) })
	}
	all.Wait()
	return nil
}

func (a *ACME) keep(ctx context.Context, host string) {
	retry := firstRetry
	var warned time.Time
	for {
		cert, err := a.get(ctx, host)
		pause := a.cfg.Every
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.cfg.Logger.Error("no certificate came from the ACME directory; it must reach this listener as port 443 of the host",
				"host", host, "directory", a.cfg.Directory, "error", err, "retry_in", retry)
			pause, retry = retry, min(2*retry, lastRetry)
		default:
			retry = firstRetry
			a.show(host, cert)
			if overdue(cert, time.Now()) && time.Since(warned) > 24*time.Hour {
				warned = time.Now()
				a.cfg.Logger.Warn("a certificate of the ACME directory is not renewed; it must reach this listener as port 443 of the host",
					"host", host, "directory", a.cfg.Directory, "not_after", cert.Leaf.NotAfter)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// get is the certificate of a host from memory, from the cache or else from the
// directory. The manager takes no context, so that one that is stopped leaves
// it to itself.
func (a *ACME) get(ctx context.Context, host string) (*tls.Certificate, error) {
	var cert *tls.Certificate
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// With a suite of ECDSA, or it would be a certificate for clients of old.
		cert, err = a.manager.GetCertificate(&tls.ClientHelloInfo{ServerName: host, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-done:
	}
	if err == nil && cert.Leaf == nil {
		err = errors.New("the certificate cannot be read")
	}
	return cert, err
}

func (a *ACME) show(host string, cert *tls.Certificate) {
	a.mu.Lock()
	before := a.certs[host]
	a.certs[host] = cert
	a.mu.Unlock()
	if before == nil || before.Leaf.SerialNumber.Cmp(cert.Leaf.SerialNumber) != 0 {
		a.cfg.Logger.Info("a certificate of the ACME directory is in use", "host", host, "directory", a.cfg.Directory, "not_after", cert.Leaf.NotAfter)
	}
}

// overdue reports whether a certificate should have been renewed for long:
// renewals begin when a third of its time is left.
func overdue(cert *tls.Certificate, now time.Time) bool {
	leaf := cert.Leaf
	return leaf.NotAfter.Sub(now) < min(leaf.NotAfter.Sub(leaf.NotBefore)/6, 15*24*time.Hour)
}
