package nats

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	defaultLeaseTTL = 10 * time.Second
	releaseTimeout  = 2 * time.Second
)

// ErrLeaseLost is the cause of a held context that ended because the lease
// could not be renewed or is another's.
var ErrLeaseLost = errors.New("the lease is lost")

// unknownHolder stands for whoever wrote what cannot be read: it runs out like
// any other holder.
const unknownHolder = "unknown"

var errReleased = errors.New("the lease was released")

// LeaseConfig configures a Lease.
type LeaseConfig struct {
	// Name of the lease: one holder per name. Default "correlator".
	Name string
	// Holder is shown to people who look into the bucket. Default: the host's name.
	Holder string
	// TTL is how long a lease stands without renewal; it is renewed three
	// times as often. Default 10 s.
	TTL time.Duration
	// Logger is told of gains and losses. Default: none.
	Logger *slog.Logger
}

// Lease is a key of the bucket LEASES, taken and renewed by compare and set.
//
// No clock is compared with another machine's. Its holder counts from before
// the last renewal that succeeded, and stops a tenth of the TTL early. Who
// waits counts from when it first saw a revision, which is later, and takes
// over when it has seen no other for a whole TTL. So where clocks run about
// equally fast a holder has stopped before the next begins. A machine that
// sleeps breaks this, which is why what a holder writes carries the epoch.
type Lease struct {
	conn *Conn
	cfg  LeaseConfig
}

// NewLease makes a lease; it is not held yet.
func NewLease(c *Conn, cfg LeaseConfig) *Lease {
	orElse(&cfg.Name, "correlator")
	orElse(&cfg.TTL, defaultLeaseTTL)
	if cfg.Holder == "" {
		cfg.Holder, _ = os.Hostname()
	}
	cfg.Logger = orDiscard(cfg.Logger)
	return &Lease{conn: c, cfg: cfg}
}

// leaseValue is what lies in the bucket. Expires is for people; nobody
// compares it with a clock.
type leaseValue struct {
	ID      string        `json:"id"` // of this acquisition; empty where the lease is free
	Holder  string        `json:"holder"`
	Epoch   uint64        `json:"epoch"`
	TTL     time.Duration `json:"ttl"`
	Expires time.Time     `json:"expires"`
}

// Acquire blocks until the lease is held or ctx ends, and returns no other
// error than ctx's. The epoch is greater than every one in the bucket before,
// and than atLeast. held ends with ctx, with the loss of the lease, or with
// release, which may be called more than once and should be called in any case.
func (l *Lease) Acquire(ctx context.Context, atLeast uint64) (held context.Context, epoch uint64, release func(), err error) {
	try := leaseTry{lease: l, id: rand.Text(), atLeast: atLeast}
	freed, stop := l.watchFreed()
	defer stop()
	warned := false
	for {
		h, err := try.once(ctx)
		if h != nil {
			held, release := h.start(ctx)
			return held, h.value.Epoch, release, nil
		}
		if err != nil && !wrongRevision(err) && !warned {
			l.cfg.Logger.Warn("lease not acquired, trying on", "lease", l.cfg.Name, "error", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			return nil, 0, nil, fmt.Errorf("acquire lease %s: %w", l.cfg.Name, ctx.Err())
		case <-freed:
		case <-time.After(l.cfg.TTL / 5):
		}
	}
}

// freedSubject is where the release of the lease is called out. The call may
// be missed; who waits looks every fifth of the TTL all the same.
func (l *Lease) freedSubject() string { return "leases.freed." + l.cfg.Name }

func (l *Lease) watchFreed() (<-chan *nats.Msg, func()) {
	freed := make(chan *nats.Msg, 16)
	sub, err := l.conn.nc.ChanSubscribe(l.freedSubject(), freed)
	if err != nil {
		return nil, func() {}
	}
	return freed, func() { _ = sub.Unsubscribe() }
}

// bucket opens the bucket.
func (l *Lease) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := l.conn.js.KeyValue(ctx, schemas.BucketLeases)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", schemas.BucketLeases, err)
	}
	return kv, nil
}

// read returns what lies in the bucket; revision 0 means nothing.
func (l *Lease) read(ctx context.Context, kv jetstream.KeyValue) (leaseValue, uint64, error) {
	entry, err := kv.Get(ctx, l.cfg.Name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return leaseValue{}, 0, nil
	}
	if err != nil {
		return leaseValue{}, 0, fmt.Errorf("read lease %s: %w", l.cfg.Name, err)
	}
	var v leaseValue
	if json.Unmarshal(entry.Value(), &v) != nil {
		v = leaseValue{ID: unknownHolder}
	}
	return v, entry.Revision(), nil
}

// write puts v where the bucket still has the revision, and returns the new one.
func (l *Lease) write(ctx context.Context, kv jetstream.KeyValue, v leaseValue, revision uint64) (uint64, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("write lease %s: %w", l.cfg.Name, err)
	}
	if revision == 0 {
		revision, err = kv.Create(ctx, l.cfg.Name, data)
	} else {
		revision, err = kv.Update(ctx, l.cfg.Name, data, revision)
	}
	if err != nil {
		return 0, fmt.Errorf("write lease %s: %w", l.cfg.Name, err)
	}
	return revision, nil
}

// leaseTry is one Acquire under way.
type leaseTry struct {
	lease   *Lease
	id      string
	atLeast uint64

	seen  uint64    // the revision seen last
	since time.Time // when it was seen first; by the monotonic clock
}

// once looks, and takes the lease where it may. Neither a hold nor an error
// means that another holds it.
func (t *leaseTry) once(ctx context.Context) (*hold, error) {
	l := t.lease
	ctx, cancel := context.WithTimeout(ctx, l.cfg.TTL/3)
	defer cancel()
	if err := l.conn.waitConnected(ctx); err != nil {
		return nil, err
	}
	kv, err := l.bucket(ctx)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	v, revision, err := l.read(ctx, kv)
	if err != nil || !t.mayTake(v, revision, asked, time.Now()) {
		return nil, err
	}
	h := &hold{lease: l, kv: kv, value: leaseValue{ID: t.id, Holder: l.cfg.Holder, TTL: l.cfg.TTL, Epoch: max(v.Epoch, t.atLeast) + 1}}
	if err := h.renew(ctx, revision); err != nil {
		return nil, err
	}
	return h, nil
}

// mayTake reports whether the lease is free, ours by a write whose answer was
// lost, or expired: the same revision was seen, by a read asked for at asked,
// a whole TTL after a read that had been answered. The longer of the holder's
// TTL and ours counts.
func (t *leaseTry) mayTake(v leaseValue, revision uint64, asked, answered time.Time) bool {
	if v.ID == "" || v.ID == t.id {
		return true
	}
	if revision != t.seen || t.since.IsZero() {
		t.seen, t.since = revision, answered
		return false
	}
	return asked.Sub(t.since) >= max(v.TTL, t.lease.cfg.TTL)
}

// hold is a lease that is held.
type hold struct {
	lease *Lease
	kv    jetstream.KeyValue
	value leaseValue

	mu       sync.Mutex // guards what a renewal changes
	revision uint64
	until    time.Time // by the monotonic clock; the lease is not ours from then on
}

// renew writes the lease anew over the given revision.
func (h *hold) renew(ctx context.Context, revision uint64) error {
	begun := time.Now()
	v := h.value
	v.Expires = begun.Add(v.TTL).UTC()
	revision, err := h.lease.write(ctx, h.kv, v, revision)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.revision, h.until = revision, begun.Add(v.TTL-v.TTL/10)
	return nil
}

func (h *hold) state() (revision uint64, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revision, h.until
}

// start keeps the lease until it is lost, released, or ctx ends.
func (h *hold) start(ctx context.Context) (held context.Context, release func()) {
	held, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.keep(held, cancel)
	}()
	h.lease.cfg.Logger.Info("lease acquired", "lease", h.lease.cfg.Name, "epoch", h.value.Epoch)
	return held, sync.OnceFunc(func() {
		cancel(errReleased)
		<-done
		h.free()
	})
}

// keep renews the lease. The timer, not a renewal that failed, ends it: a
// renewal may hang for as long as the network does.
func (h *hold) keep(held context.Context, cancel context.CancelCauseFunc) {
	_, until := h.state()
	lost := time.AfterFunc(time.Until(until), func() { cancel(ErrLeaseLost) })
	defer lost.Stop()
	every := time.NewTicker(h.value.TTL / 3)
	defer every.Stop()
	for {
		select {
		case <-held.Done():
			if errors.Is(context.Cause(held), ErrLeaseLost) {
				h.lease.cfg.Logger.Warn("lease lost", "lease", h.lease.cfg.Name, "epoch", h.value.Epoch)
			}
			return
		case <-every.C:
		}
		switch err := h.renewOnce(held); {
		case err == nil:
			_, until := h.state()
			lost.Reset(time.Until(until))
		case errors.Is(err, ErrLeaseLost):
			cancel(ErrLeaseLost)
		default:
			h.lease.cfg.Logger.Debug("lease not renewed", "lease", h.lease.cfg.Name, "error", err)
		}
	}
}

// renewOnce renews, and where the bucket has another revision looks whose: ours
// by a renewal whose answer was lost, or another holder's.
func (h *hold) renewOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.value.TTL/3)
	defer cancel()
	revision, _ := h.state()
	err := h.renew(ctx, revision)
	if !wrongRevision(err) {
		return err
	}
	v, revision, err := h.lease.read(ctx, h.kv)
	switch {
	case err != nil:
		return err
	case v.ID != h.value.ID:
		return ErrLeaseLost
	}
	return h.renew(ctx, revision)
}

func wrongRevision(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// free marks the lease free and calls that out. It keeps the epoch, which a
// deletion would forget. Where it fails the lease runs out instead.
func (h *hold) free() {
	ctx, cancel := context.WithTimeout(context.Background(), min(releaseTimeout, h.value.TTL))
	defer cancel()
	revision, _ := h.state()
	free := leaseValue{Holder: h.value.Holder, Epoch: h.value.Epoch, TTL: h.value.TTL, Expires: time.Now().UTC()}
	_, err := h.lease.write(ctx, h.kv, free, revision)
	if wrongRevision(err) {
		var v leaseValue
		if v, revision, err = h.lease.read(ctx, h.kv); err == nil && v.ID == h.value.ID {
			_, err = h.lease.write(ctx, h.kv, free, revision)
		}
	}
	if err != nil {
		h.lease.cfg.Logger.Debug("lease not given back, it will run out", "lease", h.lease.cfg.Name, "error", err)
		return
	}
	_ = h.lease.conn.nc.Publish(h.lease.freedSubject(), nil)
}
