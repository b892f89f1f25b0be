package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config is what Ingest needs. Publisher and Tenants are required.
type Config struct {
	Publisher  Publisher
	Tenants    Tenants
	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: metrics are kept and shown nowhere
	Now        func() time.Time      // default time.Now
	Limits     Limits
	// Allow are the networks that the webhook takes deliveries from. Default:
	// all. Imports are not bound by it.
	Allow *AllowList
	// Tracer follows requests and groups. Default: nobody does.
	Tracer Tracer

	// At is called at named points, for tests that crash there:
	// "before_publish" and "published" around each group, "before_answer" when
	// everything of a request is safe. It may be called concurrently. Default:
	// nothing.
	At func(point string)
}

// Limits bound what requests may take. Zero values mean the defaults.
type Limits struct {
	// MaxBody is the hard cap of one body in bytes, compressed and
	// decompressed; beyond it the answer is 413. Default 128 MiB.
	MaxBody int64
	// MaxGroup is the largest group in bytes. What the publisher takes bounds
	// it as well, and a quarter of Memory. A record that does not fit into a
	// group goes to DEAD. Default 1 MiB.
	MaxGroup int
	// Memory is how many bytes all requests may hold together: window, framed
	// records, groups in flight. When it is exhausted requests wait for Wait
	// and then get 503. One oversize record at a time is collected besides it,
	// up to MaxBody. Default 64 MiB.
	Memory int
	// MaxRequests is how many requests may run at once; more get 503 at once.
	// Default 256.
	MaxRequests int
	// Wait bounds the wait for memory. Default 2 s.
	Wait time.Duration
	// Linger is how long a group gathers while others are in flight. A lone
	// request never waits. Default 2 ms.
	Linger time.Duration
	// InFlight is how many groups of one tenant and source are published at
	// once. Default 4.
	InFlight int
	// ReadTimeout bounds the reading of one body, so that a slow sender does
	// not hold its share for long; beyond it the answer is 408. Default 2 min.
	ReadTimeout time.Duration
	// PublishTimeout bounds the wait for the broker, from when a group was
	// begun; beyond it the answer is 503. Default 10 s.
	PublishTimeout time.Duration
}

func (l *Limits) setDefaults() {
	setDefault(&l.MaxBody, DefaultMaxBody)
	setDefault(&l.MaxGroup, 1<<20)
	setDefault(&l.Memory, 64<<20)
	setDefault(&l.MaxRequests, 256)
	setDefault(&l.Wait, 2*time.Second)
	setDefault(&l.Linger, 2*time.Millisecond)
	setDefault(&l.InFlight, 4)
	setDefault(&l.ReadTimeout, 2*time.Minute)
	setDefault(&l.PublishTimeout, 10*time.Second)
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (c *Config) setDefaults() error {
	if c.Publisher == nil || c.Tenants == nil {
		return errors.New("ingest: Publisher and Tenants are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	c.Limits.setDefaults()
	if c.Limits.Memory < minMemory {
		return fmt.Errorf("ingest: memory of %d bytes: want at least %d", c.Limits.Memory, minMemory)
	}
	return nil
}

// minMemory lets one request through with groups of a quarter of it.
const minMemory = 1 << 20

// Ingest takes logs in and makes them durable. Mount it with Webhook and
// Import; it runs nothing of its own between requests.
type Ingest struct {
	cfg     Config
	metrics *metrics
	budget  *budget
	outlet  *outlet
	pools   splitPools

	requests  chan struct{} // holds a place per request
	large     chan struct{} // holds the place for an oversize record
	custom    chan struct{} // holds a place per body of custom events
	draining  atomic.Bool
	told      atomic.Int64 // when a refusal was logged last, Unix nanoseconds
	strangers strangers

	mu         sync.Mutex // guards committers
	committers map[committerKey]*committer
}

type committerKey struct {
	tenant string
	source schemas.Source
}

// New returns an Ingest.
func New(cfg Config) (*Ingest, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	l := cfg.Limits
	in := &Ingest{
		cfg:        cfg,
		budget:     &budget{size: l.Memory, wait: l.Wait},
		requests:   make(chan struct{}, l.MaxRequests),
		custom:     make(chan struct{}, maxCustomBodies),
		large:      make(chan struct{}, 1),
		committers: make(map[committerKey]*committer),
	}
	in.metrics = newMetrics(cfg.Registerer, in.budget)
	in.outlet = &outlet{
		pub: cfg.Publisher, linger: l.Linger, timeout: l.PublishTimeout, inFlight: l.InFlight,
		budget: in.budget, metrics: in.metrics, tracer: cfg.Tracer, at: cfg.At,
	}
	return in, nil
}

// Close refuses new requests with 503 and returns when those in flight have
// been answered and every group is published, or when ctx ends.
func (in *Ingest) Close(ctx context.Context) error {
	if in.draining.Swap(true) {
		return nil
	}
	for range cap(in.requests) {
		select {
		case in.requests <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("wait for requests in flight: %w", ctx.Err())
		}
	}
	published := make(chan struct{})
	go func() {
		in.outlet.wg.Wait()
		close(published)
	}()
	select {
	case <-published:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for groups in flight: %w", ctx.Err())
	}
}

// committer returns the committer of a tenant and source. There is one per
// configured tenant at most, since nobody else gets here.
func (in *Ingest) committer(tenant string, source schemas.Source) *committer {
	in.mu.Lock()
	defer in.mu.Unlock()
	key := committerKey{tenant, source}
	c := in.committers[key]
	if c == nil {
		c = &committer{tenant: tenant, source: source, out: in.outlet}
		in.committers[key] = c
	}
	return c
}

// maxGroup is the largest group that may be made now.
func (in *Ingest) maxGroup() int {
	return min(in.cfg.Limits.MaxGroup, in.cfg.Publisher.MaxGroup(), in.cfg.Limits.Memory/4)
}
