package ingest

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// portionBase is what a portion reserves of the budget when it is opened.
const portionBase = 64 << 10

// portion is what one request has framed and not yet handed over: a group that
// is still its own. No lock is needed for it.
type portion struct {
	data     []byte
	header   int // length of the group header at its front
	logs     int
	reserved int
	request  context.Context // whose records they are; nil where nobody follows
}

func (p *portion) add(raw []byte, masked bool) {
	p.data = schemas.AppendGroupLog(p.data, raw, masked)
	p.logs++
}

// group is the logs that become one message. It belongs to its committer until
// it is sealed, then to the goroutine that publishes it.
type group struct {
	portion
	deadline time.Time // its place in the queue counts as well
	lingered bool
	requests []context.Context // in the order in which they joined; none where nobody follows
	done     chan struct{}     // closed when err is final
	err      error
}

// committer makes groups of what arrives for one tenant and source. A lone
// portion is published at once. While groups are in flight others gather,
// until one of those returns or they have waited for linger; the more load,
// the larger the groups.
type committer struct {
	tenant string
	source schemas.Source
	out    *outlet

	mu       sync.Mutex // guards all below
	gather   *group     // what is being gathered; nil where there is nothing
	queue    []*group   // sealed, waiting for a place in flight
	inFlight int
}

// outlet is what all committers share.
type outlet struct {
	pub      Publisher
	linger   time.Duration
	timeout  time.Duration
	inFlight int // groups of one committer that may be published at once
	budget   *budget
	metrics  *metrics
	tracer   Tracer // nil where nobody follows
	at       func(string)
	wg       sync.WaitGroup // groups that are being published
}

// join hands a portion over and returns the group that it is now part of. It
// goes to disk soon, together with others or alone. maxGroup is the largest
// group that the publisher takes.
func (c *committer) join(p portion, maxGroup int) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	body := p.data[p.header:]
	if g := c.gather; g != nil && len(g.data)+len(body) <= maxGroup {
		g.data = append(g.data, body...)
		g.logs += p.logs
		g.reserved += p.reserved
		g.carries(p.request)
		return g
	}
	if c.gather != nil {
		c.seal()
	}
	g := &group{portion: p, deadline: time.Now().Add(c.out.timeout), done: make(chan struct{})}
	g.carries(p.request)
	c.gather = g
	if c.inFlight == 0 {
		c.seal()
	} else {
		time.AfterFunc(c.out.linger, func() { c.ripen(g) })
	}
	return g
}

// carries notes that g has records of a request.
func (g *group) carries(request context.Context) {
	if n := len(g.requests); request != nil && (n == 0 || g.requests[n-1] != request) {
		g.requests = append(g.requests, request)
	}
}

// ripen seals g when it has gathered long enough.
func (c *committer) ripen(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.lingered = true
	if c.gather == g && c.inFlight < c.out.inFlight {
		c.seal()
	}
}

// seal closes the group that gathers and publishes it, or queues it where
// enough are in flight. mu is held.
func (c *committer) seal() {
	g := c.gather
	c.gather = nil
	if c.inFlight >= c.out.inFlight {
		c.queue = append(c.queue, g)
		return
	}
	c.launch(g)
}

func (c *committer) launch(g *group) {
	c.inFlight++
	c.out.wg.Go(func() {
		c.out.publish(c.tenant, c.source, g)
		c.landed()
	})
}

// landed takes the next group into the place that has come free.
func (c *committer) landed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	switch {
	case len(c.queue) > 0:
		g := c.queue[0]
		c.queue = c.queue[1:]
		c.launch(g)
	case c.gather != nil && (c.inFlight == 0 || c.gather.lingered):
		c.seal()
	}
}

// publish stores the group and tells all whose logs are in it. Its context is
// that of no request: one that goes away must not fail the others. A group that
// waited out its time behind a broker that hangs fails at once.
func (o *outlet) publish(tenant string, source schemas.Source, g *group) {
	ctx, cancel := context.WithDeadline(context.Background(), g.deadline)
	defer cancel()
	ended := func(error) {}
	if o.tracer != nil {
		ctx, ended = o.tracer.Group(ctx, g.requests, tenant, source, g.logs, len(g.data))
	}
	o.at("before_publish")
	start := time.Now()
	g.err = o.pub.PublishGroup(ctx, tenant, rand.Text(), g.data)
	o.metrics.publishSeconds.Observe(time.Since(start).Seconds())
	o.at("published")
	ended(g.err)
	if g.err == nil {
		o.metrics.groups.WithLabelValues(source.String()).Inc()
	}
	o.budget.release(g.reserved)
	g.data = nil
	close(g.done)
}
