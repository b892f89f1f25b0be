package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/certificate/certificatetest"
)

// said collects what is logged.
type said struct {
	mu  sync.Mutex
	all strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// runACME makes and runs one until the test ends or stop is called, and returns
// the address of a listener with it.
func runACME(t *testing.T, cfg ACMEConfig, change func(*ACME)) (a *ACME, addr string, stop func()) {
	t.Helper()
	cfg.Every = 10 * time.Millisecond
	a, err := NewACME(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(a)
	}
	addr = echoServer(t, a.TLS())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return a, addr, stop
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// shown is the certificate that a client gets who asks for a name.
func shown(t *testing.T, addr, name string) (*x509.Certificate, error) {
	t.Helper()
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	conn, err := tls.DialWithDialer(dialer, "tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// eventually polls for a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

func TestACMEGetsACertificateForEachHost(t *testing.T) {
	server, logs, registry := certificatetest.NewACME(t, 0), &said{}, prometheus.NewPedanticRegistry()
	cfg := ACMEConfig{
		Hosts: []string{"one.example", "two.example"}, Email: "ops@example.com", Directory: server.URL, CAFile: server.CAFile,
		Cache: filepath.Join(t.TempDir(), "acme"), Logger: slog.New(slog.NewTextHandler(logs, nil)), Registerer: registry,
	}
	_, addr, stop := runACME(t, cfg, nil)
	if cert, err := shown(t, addr, "one.example"); err == nil {
		t.Errorf("a certificate for %v before there is one", cert.DNSNames)
	}
	server.Reach(t, port(t, addr))
	for _, host := range cfg.Hosts {
		eventually(t, "certificate of "+host, func() bool { return strings.Contains(logs.String(), "is in use\" host="+host) })
		conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: host, RootCAs: server.Pool(t)})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != "" {
			t.Errorf("protocol %q", got)
		}
		conn.Close()
	}
	for name, want := range map[string]string{"TWO.example": "two.example", "unknown.example": "one.example", "": "one.example"} {
		if cert, err := shown(t, addr, name); err != nil || cert.DNSNames[0] != want {
			t.Errorf("%q: got %v, %v, want the certificate of %s", name, cert, err, want)
		}
	}
	families, err := registry.Gather()
	if err != nil || families[0].GetMetric()[0].GetGauge().GetValue() < float64(time.Now().Add(80*24*time.Hour).Unix()) {
		t.Errorf("metric %v, %v", families, err)
	}
	checkModes(t, cfg.Cache)
	before, err := shown(t, addr, "one.example")
	if err != nil {
		t.Fatal(err)
	}
	stop()

	// The next start asks for nothing that it has, and could not: it does not
	// trust the directory.
	cfg.CAFile, cfg.Registerer = "", nil
	_, addr, _ = runACME(t, cfg, nil)
	eventually(t, "the cached certificate", func() bool {
		after, err := shown(t, addr, "one.example")
		return err == nil && after.SerialNumber.Cmp(before.SerialNumber) == 0
	})
	if strings.Contains(logs.String(), "PRIVATE KEY") || strings.Contains(logs.String(), "level=ERROR") {
		t.Errorf("logged %s", logs)
	}
}

// checkModes fails for anything that others may read.
func checkModes(t *testing.T, folder string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if got := info.Mode().Perm(); got&0o077 != 0 {
			t.Errorf("%s has mode %o", path, got)
		}
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v; want the account's key and two certificates", files, err)
	}
}

func TestACMERenewsBeforeTheEnd(t *testing.T) {
	server := certificatetest.NewACME(t, 60)
	cfg := ACMEConfig{Hosts: []string{"one.example"}, Directory: server.URL, CAFile: server.CAFile, Cache: t.TempDir()}
	_, addr, _ := runACME(t, cfg, func(a *ACME) { a.manager.RenewBefore = 59 * time.Second }) // of 60: at once, or in six seconds
	server.Reach(t, port(t, addr))
	var first *x509.Certificate
	eventually(t, "the first certificate", func() bool {
		var err error
		first, err = shown(t, addr, "one.example")
		return err == nil
	})
	eventually(t, "another certificate", func() bool {
		next, err := shown(t, addr, "one.example")
		return err == nil && next.SerialNumber.Cmp(first.SerialNumber) != 0
	})
}

func TestACMETellsWhyThereIsNoCertificate(t *testing.T) {
	server, logs := certificatetest.NewACME(t, 0), &said{}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	server.Reach(t, port(t, nobody.Addr().String()))
	cfg := ACMEConfig{
		Hosts: []string{"one.example"}, Directory: server.URL, CAFile: server.CAFile, Cache: t.TempDir(),
		Logger: slog.New(slog.NewTextHandler(logs, nil)),
	}
	_, addr, _ := runACME(t, cfg, nil)
	eventually(t, "the error", func() bool { return strings.Contains(logs.String(), "level=ERROR") })
	for _, want := range []string{"host=one.example", "directory=" + server.URL, "as port 443", "retry_in=2m0s"} {
		if !strings.Contains(logs.String(), want) {
			t.Errorf("logged %s, want %q in it", logs, want)
		}
	}
	if n := strings.Count(logs.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	if _, err := shown(t, addr, "one.example"); err == nil {
		t.Error("a certificate out of nothing")
	}
}

func TestACMERefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, []byte("no certificate"))
	for want, cfg := range map[string]ACMEConfig{
		"no such file":         {CAFile: file + ".pem", Cache: t.TempDir()},
		"holds no certificate": {CAFile: file, Cache: t.TempDir()},
		"make ACME cache":      {Cache: file},
	} {
		cfg.Directory, cfg.Hosts = "https://directory.example/dir", []string{"one.example"}
		if _, err := NewACME(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestACMEKeepsDirectoriesApart: a certificate of a server for tryouts must not
// be shown when the real one is named.
func TestACMEKeepsDirectoriesApart(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	for _, directory := range []string{"https://staging.example:14000/dir", "https://real.example/acme/dir"} {
		if _, err := NewACME(ACMEConfig{Hosts: []string{"one.example"}, Directory: directory, Cache: cache}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(cache)
	if err != nil || len(entries) != 2 || entries[0].Name() != "real.example_acme_dir" || entries[1].Name() != "staging.example_14000_dir" {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestARenewalIsOverdueAtASixthOfTheTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		days, left int
		want       bool
	}{{90, 30, false}, {90, 16, false}, {90, 14, true}, {6, 2, false}, {6, 0, true}, {6, -1, true}, {365, 16, false}} {
		end := now.AddDate(0, 0, tt.left)
		cert := &tls.Certificate{Leaf: &x509.Certificate{NotBefore: end.AddDate(0, 0, -tt.days), NotAfter: end}}
		if got := overdue(cert, now); got != tt.want {
			t.Errorf("%d of %d days left: %t", tt.left, tt.days, got)
		}
	}
}
