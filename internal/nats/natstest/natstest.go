// Package natstest runs real JetStream servers for tests.
package natstest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
)

// Wait is how long the helpers here wait for what must come: on a busy machine tens of
// thousands of keys take their time.
const Wait = time.Minute

// Harness is an embedded server on a temporary directory, with the streams
// declared, and a connection to it.
type Harness struct {
	Dir    string
	Limits nats.Limits
	Server *nats.Server
	Conn   *nats.Conn

	maxPayload int
}

// Option changes what New makes.
type Option func(*Harness)

// WithLimits declares the streams with other limits than Limits.
func WithLimits(l nats.Limits) Option { return func(h *Harness) { h.Limits = l } }

// WithMaxPayload sets the largest message of the server.
func WithMaxPayload(n int) Option { return func(h *Harness) { h.maxPayload = n } }

// WithDir puts the server's files into dir.
func WithDir(dir string) Option { return func(h *Harness) { h.Dir = dir } }

// Limits are small ones, for tests.
func Limits() nats.Limits {
	return nats.Limits{LogsBytes: 256 << 20, DeadBytes: 64 << 20, DeadLargeBytes: 256 << 20, AlertsBytes: 16 << 20}
}

// New starts a harness that ends with the test.
func New(tb testing.TB, opts ...Option) *Harness {
	tb.Helper()
	h := &Harness{Dir: tb.TempDir(), Limits: Limits()}
	for _, opt := range opts {
		opt(h)
	}
	h.start(tb)
	tb.Cleanup(h.stop)
	return h
}

// Restart stops the server and starts it again on the same files. Conn and
// Server are new ones afterwards.
func (h *Harness) Restart(tb testing.TB) {
	tb.Helper()
	h.stop()
	h.start(tb)
}

func (h *Harness) stop() {
	_ = h.Conn.Close()
	_ = h.Server.Close()
}

func (h *Harness) start(tb testing.TB) {
	tb.Helper()
	server, err := nats.StartServer(nats.ServerConfig{Dir: h.Dir, MaxPayload: h.maxPayload, Logger: logger(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	h.Server = server
	h.Conn = Connect(tb, nats.Config{Server: server})
	if err := h.Conn.Declare(context.Background(), h.Limits); err != nil {
		tb.Fatal(err)
	}
}

// Connect connects, or fails the test.
func Connect(tb testing.TB, cfg nats.Config) *nats.Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Wait)
	defer cancel()
	c, err := nats.Connect(ctx, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Publisher is a publisher on the harness's connection.
func (h *Harness) Publisher(tb testing.TB) *nats.Publisher {
	tb.Helper()
	p, err := nats.NewPublisher(h.Conn, nats.PublisherConfig{})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Logs reads LOGS.
func (h *Harness) Logs(tb testing.TB) *nats.Source {
	tb.Helper()
	s, err := nats.NewLogsSource(h.Conn)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Alerts reads ALERTS.
func (h *Harness) Alerts(tb testing.TB) *nats.Source {
	tb.Helper()
	s, err := nats.NewAlertsSource(h.Conn)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Outbox is the queues of channels.
func (h *Harness) Outbox(tb testing.TB) *nats.Outbox {
	tb.Helper()
	return nats.NewOutbox(h.Conn, h.Publisher(tb), h.Limits)
}

// Eventually polls until ok reports true, and fails the test where it does not.
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.NewTimer(Wait)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			tb.Fatalf("%s: not within %s", what, Wait)
		case <-tick.C:
		}
	}
}

// logger shows errors of the server in the test's output.
func logger(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
}
