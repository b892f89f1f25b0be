package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says which files there are.
type Config struct {
	// CertFile is the certificate with its chain, KeyFile its private key, both
	// PEM. They may be one file.
	CertFile, KeyFile string
	// Logger hears of files that were replaced, or could not be, and of a
	// certificate that is not valid today. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer gets the time at which the certificate expires. Nil means that
	// nothing is registered.
	Registerer prometheus.Registerer
	// Every is how often Run looks whether a file was replaced. Default 2 s.
	Every time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Every == 0 {
		c.Every = 2 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Files are a certificate and its key, which may be replaced while they are in
// use.
type Files struct {
	cfg     Config
	seen    digest // of Run alone, once it runs
	refused digest // the content that the last look could not use
	current atomic.Pointer[tls.Certificate]
}

// digest is over the content of both files. It is the content that is looked
// at and no event of the file system: mounted secrets are swapped by links.
type digest [sha256.Size]byte

// Open reads the files. A certificate that has expired is none the less in
// use, with a warning: who asks for it is told so by the handshake.
func Open(cfg Config) (*Files, error) {
	cfg.setDefaults()
	f := &Files{cfg: cfg}
	cert, seen, err := f.read()
	if err != nil {
		return nil, err
	}
	f.seen = seen
	f.current.Store(cert)
	f.tell("a certificate is in use", cert)
	registerExpiry(cfg.Registerer, func() time.Time { return f.current.Load().Leaf.NotAfter })
	return f, nil
}

// TLS is the configuration of a listener. It speaks HTTP/1.1 alone: the limits
// on a connection and on its number are meant for one request at a time.
func (f *Files) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil },
	}
}

// Run shows new connections the certificate that has replaced the one before on
// disk, until ctx ends. Where the new files cannot be used the old certificate
// stays.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

func (f *Files) look() {
	cert, seen, err := f.read()
	if seen == f.seen {
		return
	}
	if err == nil && f.expired(cert) && !f.expired(f.current.Load()) {
		err = fmt.Errorf("certificate %s expired at %s", f.cfg.CertFile, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if err != nil {
		// The two files are replaced one after the other: between them they do
		// not fit together. What is so at the next look, too, is told once.
		if seen == f.refused {
			f.seen = seen
			f.cfg.Logger.Error("a changed certificate cannot be used, the old one stays", "error", err)
		}
		f.refused = seen
		return
	}
	f.seen = seen
	f.current.Store(cert)
	f.tell("a changed certificate is in use", cert)
}

func (f *Files) expired(cert *tls.Certificate) bool { return f.cfg.Now().After(cert.Leaf.NotAfter) }

// read reads both files; the digest is of what there is, also with an error.
func (f *Files) read() (*tls.Certificate, digest, error) {
	certPEM, certErr := os.ReadFile(f.cfg.CertFile)
	keyPEM, keyErr := os.ReadFile(f.cfg.KeyFile)
	h := sha256.New()
	fmt.Fprintf(h, "%d %v %d %v\n", len(certPEM), certErr, len(keyPEM), keyErr)
	h.Write(certPEM)
	h.Write(keyPEM)
	seen := digest(h.Sum(nil))
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, seen, fmt.Errorf("read certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, seen, fmt.Errorf("certificate %s with key %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
	}
	return &cert, seen, nil
}

// tell logs which certificate it is, as a warning where it is not valid now.
func (f *Files) tell(what string, cert *tls.Certificate) {
	leaf := cert.Leaf
	attrs := []any{"path", f.cfg.CertFile, "names", leaf.DNSNames, "not_after", leaf.NotAfter}
	switch {
	case f.expired(cert):
		f.cfg.Logger.Warn(what+", and it has expired", attrs...)
	case f.cfg.Now().Before(leaf.NotBefore):
		f.cfg.Logger.Warn(what+", and it is not valid yet", append(attrs, "not_before", leaf.NotBefore)...)
	default:
		f.cfg.Logger.Info(what, attrs...)
	}
}

// Certificate is the one in use, its leaf parsed.
func (f *Files) Certificate() *tls.Certificate { return f.current.Load() }
