package nats_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	natsgo "github.com/nats-io/nats.go"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestMonitorTellsWhetherTheServerSyncsAlways(t *testing.T) {
	for _, always := range []bool{true, false} {
		o := natstest.NewOutside(t)
		o.Stop()
		o.Monitored(always)
		o.Start(t)
		m, err := nats.Monitor(t.Context(), o.MonitorURL())
		if err != nil {
			t.Fatal(err)
		}
		if !m.JetStream || m.SyncAlways != always || m.Version != nats.EmbeddedVersion || m.Now.IsZero() {
			t.Errorf("sync always %t: got %+v", always, m)
		}
	}
}

func TestMonitorRefusesWhatIsNoMonitoring(t *testing.T) {
	other := httptest.NewServer(nil)
	defer other.Close()
	if _, err := nats.Monitor(t.Context(), other.URL); err == nil || !strings.Contains(err.Error(), "no monitoring of NATS") {
		t.Errorf("another server: %v", err)
	}
	if _, err := nats.Monitor(t.Context(), "nats://127.0.0.1:4222"); err == nil || !strings.Contains(err.Error(), "http://host:8222") {
		t.Errorf("another scheme: %v", err)
	}
}

func TestInspectTellsHowStreamsDifferAndChangesNothing(t *testing.T) {
	o := natstest.NewOutside(t)
	c := natstest.Connect(t, nats.Config{URL: o.URL()})
	limits := natstest.Limits()
	states, err := c.Inspect(t.Context(), limits)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if !s.Missing || s.Err != nil {
			t.Errorf("before Declare %s: %+v", s.Name, s)
		}
	}
	js := client(t, o)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: schemas.StreamAlerts, Subjects: []string{"alerts.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: schemas.StreamLogs, Subjects: []string{"logs.>"}, Retention: jetstream.WorkQueuePolicy, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew,
	}); err != nil {
		t.Fatal(err)
	}
	if states, err = c.Inspect(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		switch differs := strings.Join(s.Differs, "; "); s.Name {
		case schemas.StreamLogs:
			if s.Missing || s.Err != nil || !strings.Contains(differs, "max_bytes is 1048576, want 268435456") || s.Now.IsZero() {
				t.Errorf("LOGS: %+v", s)
			}
		case schemas.StreamAlerts:
			if s.Err == nil {
				t.Errorf("ALERTS in memory: %+v", s)
			}
		default:
			if !s.Missing {
				t.Errorf("looking made %s", s.Name)
			}
		}
	}
	if err := js.DeleteStream(t.Context(), schemas.StreamAlerts); err != nil {
		t.Fatal(err)
	}
	if err := c.Declare(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	if states, err = c.Inspect(t.Context(), limits); err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Missing || s.Err != nil || len(s.Differs) > 0 {
			t.Errorf("after Declare %s: %+v", s.Name, s)
		}
	}
}

func TestInspectTellsThatThereIsNoJetStream(t *testing.T) {
	o := natstest.NewOutside(t)
	o.Stop()
	o.WithoutJetStream()
	o.Start(t)
	c := natstest.Connect(t, nats.Config{URL: o.URL()})
	if _, err := c.Inspect(t.Context(), natstest.Limits()); !errors.Is(err, nats.ErrNoJetStream) {
		t.Errorf("got %v", err)
	}
}

// client is JetStream as anybody else would use it.
func client(t *testing.T, o *natstest.Outside) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(o.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
