package nats_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestDeclareIsIdempotent(t *testing.T) {
	h := natstest.New(t)
	publish(t, h.Publisher(t), 1)
	before := configs(t, h.Conn)
	var wg sync.WaitGroup
	for range 4 {
		c := natstest.Connect(t, nats.Config{Server: h.Server})
		wg.Go(func() {
			if err := c.Declare(context.Background(), h.Limits); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(before, configs(t, h.Conn)); diff != "" {
		t.Error(diff)
	}
	if n := messages(t, h.Conn, schemas.StreamLogs); n != 1 {
		t.Errorf("LOGS holds %d messages, want 1", n)
	}
}

func TestManyDeclareAtFirstStart(t *testing.T) {
	s, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var wg sync.WaitGroup
	for i := range 4 {
		c := natstest.Connect(t, nats.Config{Server: s})
		limits := natstest.Limits()
		limits.LogsBytes += int64(i) << 20
		wg.Go(func() {
			if err := c.Declare(context.Background(), limits); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestNothingThatWasAcceptedEverExpires(t *testing.T) {
	h := natstest.New(t)
	for name, cfg := range configs(t, h.Conn) {
		if cfg.Discard != jetstream.DiscardNew {
			t.Errorf("%s drops what is old when it is full", name)
		}
		if cfg.MaxAge != 0 || cfg.MaxMsgs != -1 || cfg.MaxBytes <= 0 {
			t.Errorf("%s: max age %s, max messages %d, max bytes %d; want a limit of bytes alone", name, cfg.MaxAge, cfg.MaxMsgs, cfg.MaxBytes)
		}
	}
	dead := configs(t, h.Conn)[schemas.StreamDead]
	if !dead.DiscardNewPerSubject || dead.MaxMsgsPerSubject != 1 {
		t.Errorf("DEAD lets a log be stored twice: %+v", dead)
	}
	for stream, name := range map[string]string{schemas.StreamLogs: schemas.ConsumerProcessor, schemas.StreamAlerts: schemas.ConsumerNotify} {
		consumer, err := h.Conn.JetStream().Consumer(t.Context(), stream, name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := consumer.CachedInfo().Config
		if cfg.MaxDeliver != -1 || cfg.AckPolicy != jetstream.AckExplicitPolicy || cfg.AckWait != 30*time.Second || cfg.MaxAckPending != map[string]int{schemas.StreamLogs: 1000, schemas.StreamAlerts: -1}[stream] {
			t.Errorf("%s: %+v", name, cfg)
		}
	}
}

func TestChangedLimitsAreTakenOver(t *testing.T) {
	h := natstest.New(t)
	h.Limits = nats.Limits{LogsBytes: 7 << 20, DeadBytes: 8 << 20, DeadLargeBytes: 9 << 20, AlertsBytes: 10 << 20, MaxAckPending: 11}
	h.Restart(t)
	got := map[string]int64{}
	for name, cfg := range configs(t, h.Conn) {
		got[name] = cfg.MaxBytes
	}
	want := map[string]int64{"LOGS": 7 << 20, "DEAD": 8 << 20, "ALERTS": 10 << 20, "OUTBOX": 10 << 20, "OBJ_DEAD_LARGE": 9 << 20, "KV_LEASES": 8 << 20, "KV_CURSORS": 16 << 20}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	consumer, err := h.Conn.JetStream().Consumer(t.Context(), schemas.StreamLogs, schemas.ConsumerProcessor)
	if err != nil || consumer.CachedInfo().Config.MaxAckPending != 11 {
		t.Errorf("MaxAckPending is not 11: %+v, %v", consumer.CachedInfo().Config, err)
	}
}

func TestObjectStoreOfDeadIsAsLargeAsDead(t *testing.T) {
	h := natstest.New(t, natstest.WithLimits(nats.Limits{DeadBytes: 8 << 20}))
	if got := configs(t, h.Conn)["OBJ_DEAD_LARGE"].MaxBytes; got != 8<<20 {
		t.Errorf("the object store takes %d bytes, DEAD 8 MiB", got)
	}
}

func TestLowerLimitDropsNothing(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	const groups = 20
	for i := range groups {
		publish(t, p, i)
	}
	if err := p.PublishDead(t.Context(), schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: make([]byte, 10<<10)}); err != nil {
		t.Fatal(err)
	}
	h.Limits.LogsBytes, h.Limits.DeadBytes = 1<<10, 1<<10
	h.Restart(t)
	if n := len(deadLetters(t, h.Conn)); n != 1 {
		t.Errorf("DEAD holds %d logs, want 1", n)
	}
	drain(t, h.Logs(t), groups)
}

func TestAnotherStreamOfTheNameIsAConflict(t *testing.T) {
	for name, cfg := range map[string]jetstream.StreamConfig{
		"retention":   {Name: "LOGS", Subjects: []string{"logs.>"}},
		"storage":     {Name: "LOGS", Subjects: []string{"logs.>"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.MemoryStorage},
		"subjects":    {Name: "LOGS", Subjects: []string{"logs.a"}, Retention: jetstream.WorkQueuePolicy},
		"per subject": {Name: "DEAD", Subjects: []string{"dead.>"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			c := natstest.Connect(t, nats.Config{Server: s})
			if _, err := c.JetStream().CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			err = c.Declare(t.Context(), natstest.Limits())
			if err == nil || !strings.Contains(err.Error(), cfg.Name) || !strings.Contains(err.Error(), name) {
				t.Errorf("err = %v, want one that names %s and its %s", err, cfg.Name, name)
			}
		})
	}
}

func TestStreamThatDropsIsMadeToRefuse(t *testing.T) {
	s, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := natstest.Connect(t, nats.Config{Server: s})
	_, err = c.JetStream().CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "LOGS", Subjects: []string{"logs.>"}, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardOld, MaxAge: time.Hour, MaxMsgs: 5, Metadata: map[string]string{"team": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Declare(t.Context(), natstest.Limits()); err != nil {
		t.Fatal(err)
	}
	cfg := configs(t, c)["LOGS"]
	if cfg.Discard != jetstream.DiscardNew || cfg.MaxAge != 0 || cfg.MaxMsgs != -1 || cfg.Metadata["team"] != "x" {
		t.Errorf("LOGS is %+v", cfg)
	}
}

func TestReplicasNeedACluster(t *testing.T) {
	s, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := natstest.Connect(t, nats.Config{Server: s})
	if err := c.Declare(t.Context(), nats.Limits{Replicas: 3}); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("err = %v, want one about replicas", err)
	}
	if err := (nats.Limits{Replicas: 2, LogsBytes: -1}).Validate(); err == nil || !strings.Contains(err.Error(), "2 replicas") || !strings.Contains(err.Error(), "LOGS") {
		t.Errorf("err = %v, want one that names both faults", err)
	}
}

func configs(tb testing.TB, c *nats.Conn) map[string]jetstream.StreamConfig {
	tb.Helper()
	all := map[string]jetstream.StreamConfig{}
	for _, name := range nats.Streams {
		s, err := c.JetStream().Stream(context.Background(), name)
		if err != nil {
			tb.Fatal(err)
		}
		all[name] = s.CachedInfo().Config
	}
	return all
}
