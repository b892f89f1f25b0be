package clickhouse_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// secured puts TLS before a server that has none, with a certificate for
// 127.0.0.1, and returns its address and who signed it.
func secured(t *testing.T, addr string) (string, *x509.CertPool) {
	t.Helper()
	certified := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(certified.Close)
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	t.Cleanup(func() { ln.Close(); relays.Wait() })
	relays.Go(func() {
		for {
			front, err := ln.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { passOn(front, addr) })
		}
	})
	return ln.Addr().String(), roots
}

func passOn(front net.Conn, addr string) {
	defer front.Close()
	back, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer back.Close()
	go func() {
		_, _ = io.Copy(back, front)
		back.Close()
	}()
	_, _ = io.Copy(front, back)
}

func TestConnectOverTLSChecksTheCertificate(t *testing.T) {
	plain := clickhousetest.Config(t)
	db := clickhousetest.Migrated(t, plain)
	u, err := url.Parse(plain.URL)
	if err != nil {
		t.Fatal(err)
	}
	addr, roots := secured(t, u.Host)
	secure := clickhouse.Config{URL: strings.Replace(plain.URL, u.Host, addr, 1) + "?secure=true", Database: db.Database()}
	if untrusted, err := clickhouse.Connect(t.Context(), secure); err == nil {
		untrusted.Close()
		t.Fatal("a certificate that nobody trusts was taken")
	}
	secure.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	over, err := clickhouse.Connect(t.Context(), secure)
	if err != nil {
		t.Fatal(err)
	}
	defer over.Close()
	events := make([]schemas.Event, 6000) // more than is sent at once
	for i := range events {
		events[i] = event(i, noon())
	}
	if err := clickhouse.NewWriter(over).InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	rows, err := clickhouse.NewReader(over).Stats(t.Context(), schemas.StatsFilter{By: []string{"source"}, Limit: 10})
	if err != nil || len(rows) != 1 || rows[0].Count != 6000 {
		t.Errorf("got %v, %v; want 6000 events", rows, err)
	}
}
