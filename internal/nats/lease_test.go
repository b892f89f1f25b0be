package nats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// leaseTTL is short, and long enough for a slow machine to renew in.
const leaseTTL = 900 * time.Millisecond

func TestLeaseHasOneHolderAtATimeAndItsEpochGrows(t *testing.T) {
	h := natstest.New(t)
	a, b := lease(h.Conn, leaseTTL), lease(natstest.Connect(t, nats.Config{Server: h.Server}), leaseTTL)
	held, epochA, releaseA := acquire(t, a, 0)
	if epochA != 1 {
		t.Errorf("the first epoch is %d, want 1", epochA)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*leaseTTL)
	defer cancel()
	if _, _, _, err := b.Acquire(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("err = %v, want the deadline: another holds the lease", err)
	}
	if err := held.Err(); err != nil {
		t.Fatalf("the lease was lost while it was renewed: %v", context.Cause(held))
	}
	releaseA()
	if held.Err() == nil {
		t.Error("held goes on after release")
	}
	_, epochB, releaseB := acquire(t, b, 0)
	defer releaseB()
	if epochB <= epochA {
		t.Errorf("epoch %d after %d", epochB, epochA)
	}
}

func TestReleaseHandsOverAtOnce(t *testing.T) {
	h := natstest.New(t)
	const ttl = time.Minute // nothing but the release can hand over within the test
	a, b := lease(h.Conn, ttl), lease(natstest.Connect(t, nats.Config{Server: h.Server}), ttl)
	_, _, release := acquire(t, a, 0)
	next := make(chan uint64, 1)
	go func() {
		_, epoch, release, err := b.Acquire(context.Background(), 0)
		if err != nil {
			t.Error(err)
		}
		next <- epoch
		release()
	}()
	natstest.Eventually(t, "the one who waits", func() bool { return subscribed(h, "leases.freed.test") })
	begun := time.Now()
	release()
	release() // harmless
	if epoch := <-next; epoch != 2 {
		t.Errorf("epoch %d, want 2", epoch)
	}
	if took := time.Since(begun); took > ttl/10 {
		t.Errorf("took %s", took)
	}
}

func TestLeaseIsTakenOverAfterTheHolderHasStopped(t *testing.T) {
	h := natstest.New(t)
	lost := natstest.Connect(t, nats.Config{Server: h.Server})
	held, epochA, release := acquire(t, lease(lost, leaseTTL), 0)
	defer release()
	ended := make(chan time.Time, 1)
	go func() {
		<-held.Done()
		ended <- time.Now()
	}()
	if err := lost.Close(); err != nil { // its holder cannot renew any more
		t.Fatal(err)
	}
	_, epochB, releaseB := acquire(t, lease(h.Conn, leaseTTL), 0)
	defer releaseB()
	taken := time.Now()
	select {
	case at := <-ended:
		if at.After(taken) {
			t.Errorf("the first holder stopped %s after the second began", at.Sub(taken))
		}
	default:
		t.Error("the first holder goes on while the second holds the lease")
	}
	if cause := context.Cause(held); !errors.Is(cause, nats.ErrLeaseLost) {
		t.Errorf("cause = %v, want %v", cause, nats.ErrLeaseLost)
	}
	if epochB <= epochA {
		t.Errorf("epoch %d after %d", epochB, epochA)
	}
}

func TestLeaseEpochIsGreaterThanAtLeast(t *testing.T) {
	h := natstest.New(t)
	l := lease(h.Conn, leaseTTL)
	for _, c := range []struct{ atLeast, want uint64 }{{0, 1}, {41, 42}, {7, 43}, {43, 44}} {
		_, epoch, release := acquire(t, l, c.atLeast)
		release()
		if epoch != c.want {
			t.Errorf("Acquire(%d) gave epoch %d, want %d", c.atLeast, epoch, c.want)
		}
	}
}

func TestLeaseEpochGrowsOverRestart(t *testing.T) {
	h := natstest.New(t)
	_, before, _ := acquire(t, lease(h.Conn, leaseTTL), 10)
	h.Restart(t) // the holder is gone without a word
	_, after, release := acquire(t, lease(h.Conn, leaseTTL), 0)
	defer release()
	if after <= before {
		t.Errorf("epoch %d after %d", after, before)
	}
}

func TestLeaseSurvivesARenewalWhoseAnswerWasLost(t *testing.T) {
	h := natstest.New(t)
	held, _, release := acquire(t, lease(h.Conn, leaseTTL), 0)
	defer release()
	// The same value at a later revision is what such a renewal leaves behind.
	kv, err := h.Conn.JetStream().KeyValue(t.Context(), schemas.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := kv.Put(t.Context(), "test", entry.Value())
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "a renewal over it", func() bool {
		entry, err := kv.Get(t.Context(), "test")
		return err == nil && entry.Revision() > revision
	})
	if err := held.Err(); err != nil {
		t.Errorf("the lease was lost: %v", context.Cause(held))
	}
}

func TestLeaseThatAnotherTookEnds(t *testing.T) {
	h := natstest.New(t)
	held, _, release := acquire(t, lease(h.Conn, leaseTTL), 0)
	defer release()
	kv, err := h.Conn.JetStream().KeyValue(t.Context(), schemas.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "test", []byte(`{"id":"another","epoch":9}`)); err != nil {
		t.Fatal(err)
	}
	<-held.Done()
	release()
	entry, err := kv.Get(t.Context(), "test")
	if err != nil || string(entry.Value()) != `{"id":"another","epoch":9}` {
		t.Errorf("release wrote over another's lease: %s, %v", entry.Value(), err)
	}
}

func TestUnreadableLeaseRunsOut(t *testing.T) {
	h := natstest.New(t)
	kv, err := h.Conn.JetStream().KeyValue(t.Context(), schemas.BucketLeases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "test", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	_, epoch, release := acquire(t, lease(h.Conn, leaseTTL), 5)
	defer release()
	if epoch != 6 {
		t.Errorf("epoch %d, want 6", epoch)
	}
}

func lease(c *nats.Conn, ttl time.Duration) *nats.Lease {
	return nats.NewLease(c, nats.LeaseConfig{Name: "test", TTL: ttl})
}

func acquire(tb testing.TB, l *nats.Lease, atLeast uint64) (context.Context, uint64, func()) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), natstest.Wait)
	tb.Cleanup(cancel)
	held, epoch, release, err := l.Acquire(ctx, atLeast)
	if err != nil {
		tb.Fatal(err)
	}
	return held, epoch, release
}

// subscribed reports whether anybody listens to the subject.
func subscribed(h *natstest.Harness, subject string) bool {
	subs, err := h.Server.Inner().Subsz(&server.SubszOptions{Subscriptions: true, Test: subject})
	return err == nil && len(subs.Subs) > 0
}
