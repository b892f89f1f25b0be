package certificate_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/certificate"
	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
)

// shakeHands is how a client fares with a listener that shows the certificate
// in certFile.
func shakeHands(t *testing.T, client *tls.Config, certFile, keyFile string) error {
	t.Helper()
	files, err := certificate.Open(certificate.Config{CertFile: certFile, KeyFile: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", files.TLS())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_ = conn.(*tls.Conn).HandshakeContext(t.Context()) // the client tells
			conn.Close()
		}
	}()
	dialer := tls.Dialer{Config: client}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestPeerIsKnownByItsCertificateAlone(t *testing.T) {
	dir, authority := t.TempDir(), certificatetest.New(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	authority.Write(t, in("cert.pem"), in("key.pem"), time.Now().Add(time.Hour), "m2mwatch.example.com")
	authority.Write(t, in("next.pem"), in("next-key.pem"), time.Now().Add(time.Hour), "m2mwatch.example.com")
	authority.Write(t, in("old.pem"), in("old-key.pem"), time.Now().Add(-time.Minute), "m2mwatch.example.com")
	next, err := os.ReadFile(in("next.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("chain.pem"), append(next, authority.PEM()...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ known, shown, want string }{
		{"cert", "cert", ""},
		{"old", "old", ""}, // an expired one is in use, too
		{"next", "cert", "is not that of"},
		{"chain", "cert", ""}, // replaced, and not in use yet
		{"chain", "old", "is not that of"},
	} {
		peer, err := certificate.Peer(in(c.known + ".pem"))
		if err != nil {
			t.Fatal(err)
		}
		key := "key.pem"
		if c.shown != "cert" {
			key = c.shown + "-" + key
		}
		err = shakeHands(t, peer, in(c.shown+".pem"), in(key))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s shown to who knows %s: %v", c.shown, c.known, err)
		}
	}
	for _, name := range []string{"key.pem", "nowhere.pem"} {
		if _, err := certificate.Peer(in(name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
