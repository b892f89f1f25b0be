package notify_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestDigestGoesOutOnceAWeek(t *testing.T) {
	t.Parallel()
	limits := natstest.Limits()
	limits.AckWait = time.Second // the first process takes a message with it
	broker, rows, r, plain, clock := natstest.New(t, natstest.WithLimits(limits)), &ledger{}, newReceiver(t, 200), newReceiver(t, 200), newWatch()
	var asked atomic.Int32
	config := func() notify.Config {
		cfg := to(t, broker, rows, webhook(t, r.URL), named(t, "plain", plain.URL))
		cfg.Lanes[0].Digest, cfg.Now, cfg.LookEvery = true, clock.now, 20*time.Millisecond
		cfg.Digest = func(_ context.Context, from, to time.Time) (schemas.Digest, error) {
			asked.Add(1)
			return schemas.Digest{From: from, To: to, Owners: []schemas.OwnerDigest{{Owner: "billing", New: []schemas.DigestMachine{{ID: "app:a"}}}}}, nil
		}
		return cfg
	}
	stop := start(t, config()) // on a Friday
	natstest.Eventually(t, "the digest of the week before", func() bool { return len(r.got()) == 1 })
	empty(t, broker)
	if body := r.bodies[0]; !strings.Contains(body, `"type":"digest"`) || !strings.Contains(body, `"from":"2026-04-20T00:00:00Z","to":"2026-04-27T00:00:00Z"`) || !strings.Contains(body, `"app:a"`) {
		t.Errorf("body %s", body)
	}
	stop()
	// Another process looks at the record.
	start(t, config())
	clock.pass(3*24*time.Hour - 7*time.Hour) // Monday, 05:00
	natstest.Eventually(t, "a page behind several looks", func() bool {
		publish(t, broker, alert(1))
		return len(plain.got()) > 0
	})
	clock.pass(3*24*time.Hour - 6*time.Hour)
	digests := func() (ids []string) {
		for _, id := range r.got() {
			if strings.HasPrefix(id, "digest/") {
				ids = append(ids, id)
			}
		}
		return ids
	}
	natstest.Eventually(t, "the digest of this week", func() bool { return len(digests()) == 2 })
	empty(t, broker)
	if diff := cmp.Diff([]string{"digest/webhook/2026-04-20", "digest/webhook/2026-04-27"}, digests()); diff != "" || asked.Load() != 2 {
		t.Errorf("made %d times; digests (-want +got):\n%s", asked.Load(), diff)
	}
	for _, id := range plain.got() {
		if strings.HasPrefix(id, "digest/") {
			t.Errorf("a channel that wants none got %s", id)
		}
	}
}

// Of a week before m2mwatch was there nothing is sent.
func TestEmptyDigestIsNotSent(t *testing.T) {
	t.Parallel()
	broker, rows, r, clock := natstest.New(t), &ledger{}, newReceiver(t, 200), newWatch()
	cfg := to(t, broker, rows, webhook(t, r.URL))
	cfg.Lanes[0].Digest, cfg.Now, cfg.LookEvery = true, clock.now, 20*time.Millisecond
	made := make(chan struct{}, 10)
	cfg.Digest = func(_ context.Context, from, to time.Time) (schemas.Digest, error) {
		made <- struct{}{}
		d := schemas.Digest{From: from, To: to}
		if from.Equal(windowStart.Truncate(24*time.Hour).AddDate(0, 0, -4)) { // the week of windowStart
			d.Coverage.Machines = 1
		}
		return d, nil
	}
	start(t, cfg)
	<-made
	clock.pass(4 * 24 * time.Hour)
	natstest.Eventually(t, "the digest of a week with a machine", func() bool { return len(r.got()) > 0 })
	if diff := cmp.Diff([]string{"digest/webhook/2026-04-27"}, r.got()); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
}
