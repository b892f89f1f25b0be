package ingest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// slowPublisher takes as long as it is told and stores what its context lets it.
type slowPublisher struct {
	takes time.Duration
	begun func()
	dead  atomic.Int64 // logs stored
}

func (p *slowPublisher) MaxGroup() int { return 4 << 10 }

func (p *slowPublisher) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.takes):
		return nil
	}
}

func (p *slowPublisher) PublishGroup(ctx context.Context, _, _ string, _ []byte) error {
	return p.wait(ctx)
}

func (p *slowPublisher) PublishDead(ctx context.Context, _ schemas.Dead) error {
	if p.begun != nil {
		p.begun()
	}
	if err := p.wait(ctx); err != nil {
		return err
	}
	p.dead.Add(1)
	return nil
}

func newSlow(t *testing.T, p *slowPublisher) *Ingest {
	t.Helper()
	in, err := New(Config{Publisher: p, Tenants: new(TenantSet), Limits: Limits{PublishTimeout: 10 * time.Second, InFlight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// A broker that hangs must not keep a request for as long as all the groups
// before it take to time out one after another.
func TestGroupsInTheQueueTimeOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newSlow(t, &slowPublisher{takes: time.Hour})
		body := strings.Repeat(logA+"\n", 200) // a dozen groups, published one at a time
		start := time.Now()
		_, err := in.take(t.Context(), delivery{tenant: "acme", source: schemas.SourceStream, maxBody: DefaultMaxBody}, strings.NewReader(body))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want a timeout", err)
		}
		if err := in.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("the last group ended after %v, want the publish timeout", took)
		}
	})
}

// The sender's patience is not known. A log that takes longer to store would
// never be stored if each hanging up undid it.
func TestLargeDeadLogOutlivesItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, hangUp := context.WithCancel(t.Context())
		p := &slowPublisher{takes: 15 * time.Second, begun: hangUp}
		large := `{"log_id":"` + strings.Repeat("x", 8<<20) + `"}`
		in := newSlow(t, p)
		if _, err := in.take(ctx, delivery{tenant: "acme", source: schemas.SourceStream, maxBody: DefaultMaxBody}, strings.NewReader(large)); err != nil {
			t.Errorf("take: %v", err)
		}
		if p.dead.Load() != 1 {
			t.Error("the log is not stored")
		}
	})
}
