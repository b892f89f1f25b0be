package nats_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestClusterOfThreeKeepsThePromises runs what the declared streams promise
// with three replicas, and goes on when one server is lost.
func TestClusterOfThreeKeepsThePromises(t *testing.T) {
	cluster := natstest.NewCluster(t)
	c := natstest.Connect(t, nats.Config{URL: cluster.URL()})
	limits := natstest.Limits()
	limits.Replicas, limits.LogsBytes = 3, 64<<10
	for range 2 {
		if err := c.Declare(t.Context(), limits); err != nil {
			t.Fatal(err)
		}
	}
	for name, cfg := range configs(t, c) {
		if cfg.Replicas != 3 {
			t.Errorf("%s has %d replicas", name, cfg.Replicas)
		}
	}
	p, err := nats.NewPublisher(c, nats.PublisherConfig{Timeout: natstest.Wait / 2})
	if err != nil {
		t.Fatal(err)
	}
	dead := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: []byte("{")}
	large := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: bytes.Repeat([]byte("large"), 1<<19)}
	for range 2 {
		for _, d := range []schemas.Dead{dead, large} {
			if err := p.PublishDead(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(t, p, 1)
	publish(t, p, 1)

	cluster.Servers[0].Shutdown()
	publish(t, p, 2)
	accepted := 2
	for ; err == nil && accepted < 100; accepted++ {
		err = p.PublishGroup(t.Context(), "acme", fmt.Sprint(accepted), groupOf("acme", string(make([]byte, 8<<10))))
	}
	if !errors.Is(err, schemas.ErrFull) {
		t.Errorf("err = %v, want one that wraps ErrFull", err)
	}
	natstest.Eventually(t, "what dead logs are stored in has a leader again", func() bool {
		_, err := c.StreamState(t.Context(), schemas.StreamDead)
		_, large := c.StreamState(t.Context(), "OBJ_"+schemas.BucketDead)
		return err == nil && large == nil
	})
	if n := len(deadLetters(t, c)); n != 2 {
		t.Errorf("DEAD holds %d logs, want 2", n)
	}
	s, err := nats.NewLogsSource(c)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range fetchAfterLoss(t, s, 2) {
		if !bytes.Equal(m.Data(), group(i+1)) {
			t.Errorf("message %d is %.40q", i, m.Data())
		}
	}
	_, epoch, release := acquire(t, lease(c, 5*time.Second), 3)
	defer release()
	if epoch != 4 {
		t.Errorf("epoch %d, want 4", epoch)
	}
}
