package nats_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestOutsideServerIsUsedByURL(t *testing.T) {
	o := natstest.NewOutside(t)
	for name, cfg := range map[string]nats.Config{
		"user and password in the URL": {URL: o.URL()},
		"user and password beside it":  {URL: o.Host, User: o.User, Password: o.Password},
	} {
		t.Run(name, func(t *testing.T) {
			c := natstest.Connect(t, cfg)
			if err := c.Declare(t.Context(), natstest.Limits()); err != nil {
				t.Fatal(err)
			}
			if !c.Connected() || c.Version() != nats.EmbeddedVersion {
				t.Errorf("connected %v to version %q, want true and %q", c.Connected(), c.Version(), nats.EmbeddedVersion)
			}
		})
	}
}

func TestTLSIsCheckedAgainstTheAuthority(t *testing.T) {
	o := natstest.NewOutsideTLS(t)
	c := natstest.Connect(t, nats.Config{URL: o.URL(), CAFile: o.CAFile})
	if _, err := c.Raw().TLSConnectionState(); err != nil {
		t.Errorf("the connection is not TLS: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Wait)
	defer cancel()
	_, err := nats.Connect(ctx, nats.Config{URL: o.URL()})
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("err = %v, ctx %v; want a refusal of the certificate before the deadline", err, ctx.Err())
	}
}

func TestWrongPasswordFailsAtOnceAndStaysSecret(t *testing.T) {
	o := natstest.NewOutside(t)
	var log syncBuffer
	cfg := nats.Config{URL: fmt.Sprintf("nats://%s:wrong-hunter2@%s", o.User, o.Host), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Wait)
	defer cancel()
	_, err := nats.Connect(ctx, cfg)
	if err == nil || ctx.Err() != nil {
		t.Fatalf("err = %v, ctx %v; want a refusal before the deadline", err, ctx.Err())
	}
	shown := fmt.Sprintf("%v %+v %#v %v %s", err, cfg, cfg, []nats.Config{cfg}, log.String())
	if strings.Contains(shown, "hunter2") {
		t.Errorf("the password is shown: %s", shown)
	}
	if !strings.Contains(err.Error(), o.Host) {
		t.Errorf("err = %v, want one that names the server", err)
	}
}

func TestConnectWaitsForAServerThatComesLater(t *testing.T) {
	o := natstest.NewOutside(t)
	o.Stop()
	connected := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Wait)
	defer cancel()
	var log syncBuffer
	go func() {
		c, err := nats.Connect(ctx, nats.Config{URL: o.URL(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err == nil {
			_ = c.Close()
		}
		connected <- err
	}()
	natstest.Eventually(t, "a line in the log", func() bool { return strings.Contains(log.String(), "nats is away") })
	o.Start(t)
	if err := <-connected; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), o.Password) {
		t.Errorf("the password is in the log: %s", log.String())
	}
}

func TestConnectEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := nats.Connect(ctx, nats.Config{URL: addr}); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("err = %v, want one that names %s", err, addr)
	}
}

func TestReconnectsAfterRestartAndGoesOn(t *testing.T) {
	o := natstest.NewOutside(t)
	reg := prometheus.NewRegistry()
	c := natstest.Connect(t, nats.Config{URL: o.URL(), Registerer: reg})
	if err := c.Declare(t.Context(), natstest.Limits()); err != nil {
		t.Fatal(err)
	}
	p, err := nats.NewPublisher(c, nats.PublisherConfig{Timeout: natstest.Wait / 2})
	if err != nil {
		t.Fatal(err)
	}
	s, err := nats.NewLogsSource(c)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, p, 1)
	before := p.MaxGroup()
	o.Stop()
	natstest.Eventually(t, "the loss of the connection", func() bool { return !c.Connected() })

	published := make(chan error, 1)
	go func() { published <- p.PublishGroup(context.Background(), "acme", "id-2", group(2)) }()
	if msgs, err := s.Fetch(t.Context(), 10, 1<<20, 20*time.Millisecond); err == nil {
		t.Errorf("a fetch without a server gave %d messages and no error", len(msgs))
	}
	o.SetMaxPayload(512 << 10)
	o.Start(t)
	if err := <-published; err != nil {
		t.Errorf("a publish that waited for the server: %v", err)
	}
	natstest.Eventually(t, "two groups", func() bool { return messages(t, c, schemas.StreamLogs) == 2 })
	for i, m := range fetchAfterLoss(t, s, 2) {
		if !bytes.Equal(m.Data(), group(i+1)) {
			t.Errorf("message %d is %.40q", i, m.Data())
		}
	}
	if after := p.MaxGroup(); after >= before {
		t.Errorf("MaxGroup() = %d after the server takes half, was %d", after, before)
	}
	if n := count(t, reg, "m2mwatch_nats_reconnects_total"); n < 1 {
		t.Errorf("%v reconnects are counted", n)
	}
}

func TestPublishFailsWhileTheServerIsAway(t *testing.T) {
	o := natstest.NewOutside(t)
	c := natstest.Connect(t, nats.Config{URL: o.URL()})
	if err := c.Declare(t.Context(), natstest.Limits()); err != nil {
		t.Fatal(err)
	}
	o.Stop()
	p, err := nats.NewPublisher(c, nats.PublisherConfig{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.PublishGroup(t.Context(), "acme", "1", group(1)); err == nil {
		t.Error("a publish without a server succeeded")
	}
	if err := p.PublishDead(t.Context(), schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: []byte("x")}); err == nil {
		t.Error("a dead log without a server succeeded")
	}
}

func TestConfigSaysEverythingThatIsWrong(t *testing.T) {
	err := nats.Config{URL: "nats://u:hunter2%zz@h", CertFile: "c", Password: "hunter3"}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"URL 1", "key file", "without a user"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter") {
		t.Errorf("err = %v shows a password", err)
	}
	if (nats.Config{}).Validate() == nil {
		t.Error("neither a server nor a URL is no error")
	}
}

func TestMissingFilesAreNamed(t *testing.T) {
	for _, cfg := range []nats.Config{
		{URL: "h:1", CAFile: "/nowhere/ca.pem"},
		{URL: "h:1", CredsFile: "/nowhere/user.creds"},
		{URL: "h:1", CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/k.pem"},
	} {
		if _, err := nats.Connect(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "/nowhere/") {
			t.Errorf("err = %v, want one that names the file", err)
		}
	}
}

// fetchAfterLoss fetches n messages through errors.
func fetchAfterLoss(tb testing.TB, s *nats.Source, n int) []schemas.Message {
	tb.Helper()
	var msgs []schemas.Message
	natstest.Eventually(tb, fmt.Sprintf("%d messages after a loss", n), func() bool {
		got, err := s.Fetch(context.Background(), n-len(msgs), 1<<20, 100*time.Millisecond)
		if err == nil {
			msgs = append(msgs, got...)
		}
		return len(msgs) >= n
	})
	return msgs
}

func count(tb testing.TB, reg *prometheus.Registry, name string) float64 {
	tb.Helper()
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	tb.Fatalf("no metric %s", name)
	return 0
}

// syncBuffer is a buffer for a logger of several goroutines.
type syncBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
