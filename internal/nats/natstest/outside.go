package natstest

import (
	"crypto/tls"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Outside is a server that listens on the loopback interface, as one outside
// the process would, and wants a user and a password.
type Outside struct {
	User, Password string
	Host           string // host:port
	CAFile         string // of the authority that signed its certificate; empty without TLS

	opts  server.Options
	inner *server.Server
}

// NewOutside starts a server on a free port. It ends with the test.
func NewOutside(tb testing.TB) *Outside {
	tb.Helper()
	o := newOutside(tb)
	o.Start(tb)
	tb.Cleanup(o.Stop)
	return o
}

// NewOutsideTLS is NewOutside with TLS required, and a certificate of its own
// authority.
func NewOutsideTLS(tb testing.TB) *Outside {
	tb.Helper()
	o := newOutside(tb)
	cert, caFile := certificate(tb)
	o.CAFile = caFile
	o.opts.TLS, o.opts.TLSTimeout = true, Wait.Seconds()
	o.opts.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	o.Start(tb)
	tb.Cleanup(o.Stop)
	return o
}

func newOutside(tb testing.TB) *Outside {
	tb.Helper()
	o := &Outside{User: "m2mwatch", Password: "s3cret-of-test"}
	o.opts = server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		Username: o.User, Password: o.Password,
		JetStream: true, StoreDir: tb.TempDir(), SyncAlways: true, MaxPayload: 1 << 20,
		JetStreamMaxMemory: 16 << 20, JetStreamMaxStore: 16 << 30,
	}
	return o
}

// Start starts the server; after a Stop on the same port and files.
func (o *Outside) Start(tb testing.TB) {
	tb.Helper()
	opts := o.opts
	inner, err := server.NewServer(&opts)
	if err != nil {
		tb.Fatal(err)
	}
	inner.Start()
	if !inner.ReadyForConnections(Wait) {
		tb.Fatal("the outside server is not ready")
	}
	o.inner = inner
	o.Host = inner.Addr().String()
	if _, err := fmt.Sscanf(o.Host, "127.0.0.1:%d", &o.opts.Port); err != nil {
		tb.Fatal(err)
	}
}

// Stop stops the server.
func (o *Outside) Stop() {
	o.inner.Shutdown()
	o.inner.WaitForShutdown()
}

// SetMaxPayload sets the largest message from the next Start on.
func (o *Outside) SetMaxPayload(n int32) { o.opts.MaxPayload = n }

// Monitored makes the server serve its monitoring, and sync each write only
// where always says so, from the next Start on.
func (o *Outside) Monitored(always bool) {
	o.opts.HTTPHost, o.opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	o.opts.SyncAlways = always
}

// WithoutJetStream takes JetStream away from the next Start on.
func (o *Outside) WithoutJetStream() { o.opts.JetStream = false }

// MonitorURL is where the monitoring is.
func (o *Outside) MonitorURL() string { return "http://" + o.inner.MonitorAddr().String() }

// URL is the server's, with user and password in it.
func (o *Outside) URL() string {
	return fmt.Sprintf("nats://%s:%s@%s", o.User, o.Password, o.Host)
}
