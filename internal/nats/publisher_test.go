package nats_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	_ ingest.Publisher      = (*nats.Publisher)(nil)
	_ processor.DeadLetters = (*nats.Publisher)(nil)
	_ processor.Alerts      = (*nats.Publisher)(nil)
	_ processor.Source      = (*nats.Source)(nil)
	_ processor.Lease       = (*nats.Lease)(nil)
	_ query.Backlog         = (*nats.Conn)(nil)
)

func TestRepeatedGroupIsStoredOnce(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	for range 3 {
		publish(t, p, 1)
	}
	publish(t, p, 2)
	if msgs := messages(t, h.Conn, schemas.StreamLogs); msgs != 2 {
		t.Errorf("LOGS holds %d messages, want 2", msgs)
	}
}

func TestTraceparentGoesWithItsGroup(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	const want = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if err := p.PublishGroup(schemas.WithTraceparent(t.Context(), want), "acme", "1", groupOf("acme", "1")); err != nil {
		t.Fatal(err)
	}
	publish(t, p, 2)
	msgs := drain(t, h.Logs(t), 2)
	if got := msgs[0].Traceparent(); got != want {
		t.Errorf("traceparent %q, want %q", got, want)
	}
	if got := msgs[1].Traceparent(); got != "" {
		t.Errorf("traceparent of a group that was published in none: %q", got)
	}
}

func TestFullLogsRefusesAndKeepsWhatItHas(t *testing.T) {
	limits := natstest.Limits()
	limits.LogsBytes = 64 << 10
	h := natstest.New(t, natstest.WithLimits(limits))
	p := h.Publisher(t)
	accepted, err := 0, error(nil)
	for ; accepted < 1000; accepted++ {
		if err = p.PublishGroup(t.Context(), "acme", fmt.Sprint(accepted), groupOf("acme", fmt.Sprint(accepted), strings.Repeat("x", 4<<10))); err != nil {
			break
		}
	}
	if !errors.Is(err, schemas.ErrFull) {
		t.Fatalf("after %d groups: err = %v, want one that wraps ErrFull", accepted, err)
	}
	if accepted < 10 {
		t.Fatalf("only %d groups of 4 KiB fit into 64 KiB", accepted)
	}
	s := h.Logs(t)
	for i, m := range drain(t, s, accepted) {
		logs, err := schemas.DecodeGroup(nil, m.Data())
		if err != nil || string(logs[0].Raw) != fmt.Sprint(i) {
			t.Fatalf("message %d holds %.20q, %v", i, m.Data(), err)
		}
	}
	publish(t, p, 1000) // there is room again
}

func TestMaxGroupIsWhatTheServerTakes(t *testing.T) {
	h := natstest.New(t, natstest.WithMaxPayload(128<<10))
	p := h.Publisher(t)
	id := strings.Repeat("i", 64)
	tenant := strings.Repeat("t", 63)
	if err := p.PublishGroup(t.Context(), tenant, id, bytes.Repeat([]byte{'x'}, p.MaxGroup())); err != nil {
		t.Errorf("a group of MaxGroup: %v", err)
	}
	if err := p.PublishGroup(t.Context(), tenant, "other", bytes.Repeat([]byte{'x'}, p.MaxGroup()+1)); err == nil {
		t.Error("a group larger than MaxGroup was taken")
	}
	if low := 126 << 10; p.MaxGroup() < low {
		t.Errorf("MaxGroup() = %d, want at least %d of 128 KiB", p.MaxGroup(), low)
	}
}

func TestPublishRefusesTenantThatIsNoToken(t *testing.T) {
	p := natstest.New(t).Publisher(t)
	for _, tenant := range []string{"", "a.b", "*", ">", "a b"} {
		if err := p.PublishGroup(t.Context(), tenant, "1", group(1)); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
	}
}

func TestPublishWithoutStreamFails(t *testing.T) {
	h := natstest.New(t)
	if err := h.Conn.JetStream().DeleteStream(t.Context(), schemas.StreamLogs); err != nil {
		t.Fatal(err)
	}
	p, err := nats.NewPublisher(h.Conn, nats.PublisherConfig{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.PublishGroup(t.Context(), "acme", "1", group(1)); err == nil {
		t.Error("a publish into no stream succeeded")
	}
}

func TestLostAckIsRepeatedWithTheSameID(t *testing.T) {
	h := natstest.New(t)
	// Another responder takes the place of the stream: it never acks, until it
	// leaves and the stream is there again.
	if err := h.Conn.JetStream().DeleteStream(t.Context(), schemas.StreamLogs); err != nil {
		t.Fatal(err)
	}
	ids := make(chan string, 16)
	mute, err := h.Conn.Raw().Subscribe("logs.>", func(m *natsgo.Msg) { ids <- m.Header.Get("Nats-Msg-Id") })
	if err != nil {
		t.Fatal(err)
	}
	p, err := nats.NewPublisher(h.Conn, nats.PublisherConfig{AttemptTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.PublishGroup(context.Background(), "acme", "same", group(1)) }()
	for range 2 {
		if id := <-ids; id != "same" {
			t.Errorf("id %q, want that of the first attempt", id)
		}
	}
	if err := mute.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if err := h.Conn.Declare(t.Context(), h.Limits); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if msgs := messages(t, h.Conn, schemas.StreamLogs); msgs != 1 {
		t.Errorf("LOGS holds %d messages, want 1", msgs)
	}
}

func TestManyPublishAtOnce(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	const goroutines, each = 8, 25
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if err := p.PublishGroup(context.Background(), "acme", fmt.Sprintf("%d-%d", g, i), group(g*each+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, m := range drain(t, h.Logs(t), goroutines*each) {
		seen[string(m.Data())] = true
	}
	if len(seen) != goroutines*each {
		t.Errorf("%d distinct groups came, want %d", len(seen), goroutines*each)
	}
}

func TestAlertIsDeliveredOnceWithinTheWindow(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	a := schemas.Alert{ID: "f1/open/1", Finding: schemas.Finding{ID: "f1", Tenant: "acme", Title: "stopped"}}
	for range 2 {
		if err := p.PublishAlert(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := h.Conn.Backlog(t.Context()); err != nil || b.Alerts != 1 {
		t.Errorf("Backlog() = %+v, %v; want 1 alert", b, err)
	}
	got := drain(t, h.Alerts(t), 1)
	if !bytes.Contains(got[0].Data(), []byte(`"id":"f1/open/1"`)) {
		t.Errorf("the alert reads %s", got[0].Data())
	}
}

func messages(tb testing.TB, c *nats.Conn, stream string) uint64 {
	tb.Helper()
	state, err := c.StreamState(context.Background(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	return state.Msgs
}

// BenchmarkPublishGroup publishes groups of 100 logs of 1.3 KB from 8
// goroutines, synced always, and drops what is stored as it goes.
func BenchmarkPublishGroup(b *testing.B) {
	const logs, goroutines = 100, 8
	limits := natstest.Limits()
	limits.LogsBytes = 8 << 30
	h := natstest.New(b, natstest.WithLimits(limits))
	p := h.Publisher(b)
	g := schemas.AppendGroupHeader(nil, "acme", schemas.SourceStream, epoch)
	for range logs {
		g = schemas.AppendGroupLog(g, bytes.Repeat([]byte("0123456789abc"), 100), false)
	}
	b.SetBytes(int64(len(g)))
	b.ResetTimer()
	var wg sync.WaitGroup
	for worker := range goroutines {
		wg.Go(func() {
			for i := worker; i < b.N; i += goroutines {
				if err := p.PublishGroup(context.Background(), "acme", fmt.Sprint(b.N, "-", i), g); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*logs)/b.Elapsed().Seconds(), "events/s")
}
