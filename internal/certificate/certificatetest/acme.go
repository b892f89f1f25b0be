package certificatetest

import (
	"crypto/x509"
	"encoding/pem"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// ACME is a Pebble, the ACME server of Let's Encrypt for tests, in process. All
// names resolve to 127.0.0.1.
type ACME struct {
	URL    string // of the directory
	CAFile string // what URL's certificate is trusted by

	lifetime uint64 // of certificates, in seconds
	resolver string
	reach    chan struct{} // closed by Reach
	once     sync.Once
	handler  http.Handler // set before reach is closed
	ca       *ca.CAImpl   // set before reach is closed
}

// NewACME starts a server whose certificates are valid for lifetime seconds; 0
// is Pebble's default of 90 days. Who asks it for anything waits until Reach
// was called. The test must not be parallel.
func NewACME(t *testing.T, lifetime uint64) *ACME {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	a := &ACME{lifetime: lifetime, resolver: loopbackResolver(t), reach: make(chan struct{})}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-a.reach:
			a.handler.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	server.Config.ErrorLog = log.New(t.Output(), "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	a.URL = server.URL + wfe.DirectoryPath
	a.CAFile = filepath.Join(t.TempDir(), "directory-ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(a.CAFile, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// Reach says at which port of each host the server connects to, as Let's
// Encrypt does to 443.
func (a *ACME) Reach(t *testing.T, port int) {
	t.Helper()
	a.once.Do(func() {
		logger, store := log.New(t.Output(), "", 0), db.NewMemoryStore()
		a.ca = ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "for tests", ValidityPeriod: a.lifetime}})
		validator := va.New(logger, 0, port, false, a.resolver, store)
		front := wfe.New(logger, store, validator, a.ca, []string{"pebble.example"}, false, false, 1, 1)
		a.handler = front.Handler()
		close(a.reach)
	})
}

// Pool trusts the certificates that the server gives.
func (a *ACME) Pool(t *testing.T) *x509.CertPool {
	t.Helper()
	<-a.reach
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(a.ca.GetRootCert(0).PEM()) {
		t.Fatal("no root certificate")
	}
	return pool
}

// loopbackResolver is a DNS server to which every name is on this machine.
func loopbackResolver(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		for _, q := range question.Question {
			if q.Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
			}
		}
		_ = w.WriteMsg(answer)
	})}
	var all sync.WaitGroup
	all.Go(func() { _ = server.ActivateAndServe() })
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return ln.Addr().String()
}
