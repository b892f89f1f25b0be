package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
)

// fixture is a folder with a certificate for a name and its key.
type fixture struct {
	authority *certificatetest.Authority
	cert, key string
	said      bytes.Buffer
	files     *Files
}

func tomorrow() time.Time  { return time.Now().Add(24 * time.Hour).Truncate(time.Second) }
func yesterday() time.Time { return time.Now().Add(-24 * time.Hour).Truncate(time.Second) }

func newFixture(t *testing.T, notAfter time.Time) *fixture {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{authority: certificatetest.New(t), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	f.write(t, notAfter, "one.example")
	return f
}

func (f *fixture) write(t *testing.T, notAfter time.Time, name string) {
	t.Helper()
	f.authority.Write(t, f.cert, f.key, notAfter, name)
}

func (f *fixture) config() Config {
	return Config{CertFile: f.cert, KeyFile: f.key, Logger: slog.New(slog.NewTextHandler(&f.said, nil))}
}

func (f *fixture) open(t *testing.T) {
	t.Helper()
	var err error
	if f.files, err = Open(f.config()); err != nil {
		t.Fatal(err)
	}
}

// shown is the name of the certificate that a new connection gets.
func (f *fixture) shown(t *testing.T) string {
	t.Helper()
	cert, err := f.files.TLS().GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.DNSNames[0]
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tomorrow())
	_, otherKey := f.authority.Sign(t, tomorrow(), "other.example")
	cert, key := f.authority.Sign(t, tomorrow(), "one.example")
	for name, tt := range map[string]struct {
		cert, key []byte
		want      []string
	}{
		"key of another": {cert, otherKey, []string{f.cert, f.key, "does not match"}},
		"no files":       {nil, nil, []string{f.cert + ": no such file", f.key + ": no such file"}},
		"swapped":        {key, cert, []string{f.cert, "certificate"}},
		"half":           {cert[:len(cert)/2], key, []string{f.cert}},
		"text":           {[]byte("text"), []byte("text"), []string{f.cert, "PEM"}},
	} {
		for path, content := range map[string][]byte{f.cert: tt.cert, f.key: tt.key} {
			if content == nil {
				if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				continue
			}
			put(t, path, content)
		}
		_, err := Open(f.config())
		if err == nil {
			t.Errorf("%s: opened", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", name, err, want)
			}
		}
		if strings.Contains(err.Error(), strings.Split(string(otherKey), "\n")[1]) {
			t.Errorf("%s: the error holds the key", name)
		}
	}
}

func TestAnExpiredCertificateIsAWarning(t *testing.T) {
	t.Parallel()
	for notAfter, want := range map[time.Time]string{
		yesterday():                     "has expired",
		tomorrow().Add(100 * time.Hour): "not valid yet",
		tomorrow():                      "level=INFO",
	} {
		f := newFixture(t, notAfter)
		f.open(t)
		if got := f.said.String(); !strings.Contains(got, want) || strings.Contains(got, "WARN") == strings.Contains(want, "INFO") {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
}

func TestAReplacedCertificateIsUsedAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tomorrow())
	f.open(t)
	look := func(name, words string) {
		t.Helper()
		f.said.Reset()
		f.files.look()
		if got := f.shown(t); got != name {
			t.Errorf("%s is shown, want %s", got, name)
		}
		if got := f.said.String(); words == "" && got != "" || !strings.Contains(got, words) {
			t.Errorf("logged %q, want %q", got, words)
		}
	}
	look("one.example", "")
	f.write(t, tomorrow(), "two.example")
	look("two.example", "a changed certificate is in use")
	look("two.example", "")

	cert, key := f.authority.Sign(t, tomorrow(), "three.example")
	put(t, f.cert, cert)
	look("two.example", "") // its key may be on the way
	put(t, f.key, key)
	look("three.example", "is in use")

	cert, _ = f.authority.Sign(t, tomorrow(), "four.example")
	put(t, f.cert, cert)
	look("three.example", "")
	look("three.example", "cannot be used, the old one stays")
	look("three.example", "") // said once
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	look("three.example", "")
	look("three.example", "no such file")

	f.write(t, yesterday(), "late.example")
	look("three.example", "")
	look("three.example", "expired at")
	f.write(t, tomorrow(), "five.example")
	look("five.example", "is in use")
}

func TestMetricTellsWhenTheCertificateExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tomorrow())
	cfg, registry := f.config(), prometheus.NewPedanticRegistry()
	cfg.Registerer = registry
	if _, err := Open(cfg); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetGauge().GetValue() != float64(tomorrow().Unix()) {
		t.Errorf("got %v, %v, want %d", families, err, tomorrow().Unix())
	}
}

// echoServer answers each byte with itself, over TLS.
func echoServer(t *testing.T, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return ln.Addr().String()
}

func (f *fixture) dial(t *testing.T, addr string, maxVersion uint16) (*tls.Conn, error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", addr, &tls.Config{RootCAs: f.authority.Pool(), ServerName: "one.example", MaxVersion: maxVersion})
	if err == nil {
		t.Cleanup(func() { conn.Close() })
	}
	return conn, err
}

// TestConnectionsOutliveTheCertificateTheyBeganWith also runs Run beside
// handshakes.
func TestConnectionsOutliveTheCertificateTheyBeganWith(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tomorrow())
	cfg := f.config()
	cfg.Every, cfg.Logger = time.Millisecond, nil
	var err error
	if f.files, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.files.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()

	addr := echoServer(t, f.files.TLS())
	first, err := f.dial(t, addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := first.ConnectionState().PeerCertificates[0].SerialNumber
	f.write(t, tomorrow(), "one.example")
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := f.dial(t, addr, 0)
		if err != nil {
			t.Fatal(err)
		}
		after := conn.ConnectionState().PeerCertificates[0].SerialNumber
		conn.Close()
		if after.Cmp(before) != 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new certificate is not shown")
		}
	}
	answer := make([]byte, 1)
	if _, err := first.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, answer); err != nil {
		t.Errorf("the first connection: %v", err)
	}
}

func TestNothingOlderThanTLS12IsSpoken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, tomorrow())
	f.open(t)
	addr := echoServer(t, f.files.TLS())
	for version, want := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		if _, err := f.dial(t, addr, version); (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}
