// Package processor is the stage between LOGS and the store: it decodes,
// normalizes, classifies and matches logs, writes them in batches, and acks
// them when they are on disk. It keeps nothing that a restart would lose.
package processor

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// A flush is also due when the source has had nothing more for a fifth of the
// age at which it is due anyway: so a lone record does not wait for company,
// a small MaxAckPending, which lets no more come before an ack, costs a fifth
// and no deadlock, and a steady trickle still makes one flush per age.
const drainedPart = 5

// waitForSlot is the wait for messages while a flush is due and the one before
// it is on its way.
const waitForSlot = 20 * time.Millisecond

// Processor moves records from LOGS to the store, at least once: the store
// keeps one row per record. Any number of them, here and elsewhere, may share
// one consumer.
type Processor struct {
	cfg     Config
	metrics *processorMetrics
	held    *heldMessages
	store   *outage
	dead    *outage
	source  *outage
	delay   atomic.Int64 // nanoseconds

	// Of the loop that fills a batch.
	normalizer *Normalizer
	unknown    *unknownTypes
	logs       []schemas.Log
	fetched    []schemas.Message // held, and not yet in a batch: the last one was full

	// slot is full while a flush is in flight. It guards index and matching.
	slot  chan struct{}
	index map[place]int
	spare chan *batch // emptied batches, for another use
}

// New makes a Processor. Its errors are those of the configuration, all at once.
func New(cfg Config) (*Processor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	held := newHeldMessages()
	metrics, err := newProcessorMetrics(cfg.Registerer, func() float64 { return float64(held.count()) })
	if err != nil {
		return nil, err
	}
	return &Processor{
		cfg: cfg, metrics: metrics, held: held,
		store:      newOutage("the store", cfg.Logger, metrics.storeUp),
		dead:       newOutage("DEAD", cfg.Logger, metrics.deadUp),
		source:     newOutage("the work queue", cfg.Logger, metrics.sourceUp),
		normalizer: NewNormalizer(cfg.Catalogue, cfg.Places),
		unknown:    newUnknownTypes(metrics.unknownTypes, cfg.Logger),
		slot:       make(chan struct{}, 1),
		index:      map[place]int{},
		spare:      make(chan *batch, 2),
	}, nil
}

// Delay is how long the oldest record of the last flush took from ingest to
// the store.
func (p *Processor) Delay() time.Duration { return time.Duration(p.delay.Load()) }

// Run moves records until ctx ends, and returns nil. It fetches and decodes
// while a flush is on its way to the store; two batches are in memory at most.
// While the store or DEAD is away it keeps what it has and fetches nothing.
// At the end it lets the flush in flight finish, within ShutdownTimeout, and
// gives the rest back. Call it once.
func (p *Processor) Run(ctx context.Context) error {
	stop := make(chan struct{})
	defer close(stop)
	go p.held.keep(p.cfg.AckWait/3, stop)

	b := p.newBatch()
	var retry backoff
	for ctx.Err() == nil {
		if err := p.fetch(ctx, b); err != nil && ctx.Err() == nil {
			p.source.begin(err)
			wait(ctx.Done(), min(retry.next(), p.cfg.FlushAge))
		} else {
			p.source.end()
			retry = 0
		}
		if p.startFlush(ctx, b) {
			b = p.newBatch()
		}
	}
	p.slot <- struct{}{} // the flush in flight has ended
	p.giveBack(b.messages)
	p.giveBack(p.fetched)
	return nil
}

func (p *Processor) newBatch() *batch {
	select {
	case b := <-p.spare:
		return b
	default:
		return new(batch)
	}
}

// fetch fills b with what the source has. What was fetched and not yet put
// into a batch counts as a part of b: it is asked for no more than fits.
func (p *Processor) fetch(ctx context.Context, b *batch) error {
	if !p.waitWhileAway(ctx) {
		return nil
	}
	var err error
	if len(p.fetched) == 0 {
		p.fetched, err = p.cfg.Source.Fetch(ctx, p.cfg.MaxHeld/2-len(b.messages), p.cfg.FlushBytes-b.bytes, p.fetchWait(b))
		for _, m := range p.fetched {
			p.held.add(m)
		}
		b.drained = len(p.fetched) == 0 && !b.empty()
	}
	for len(p.fetched) > 0 && !b.full(&p.cfg) {
		p.addMessage(b, p.fetched[0])
		p.fetched = p.fetched[1:]
	}
	return err
}

// waitWhileAway waits for the flush in flight while it cannot get its rows
// stored, so that other processors, which may be better off, get the rest. It
// returns false when ctx has ended.
func (p *Processor) waitWhileAway(ctx context.Context) bool {
	if !p.store.away.Load() && !p.dead.away.Load() {
		return ctx.Err() == nil
	}
	select {
	case p.slot <- struct{}{}:
		<-p.slot
		return true
	case <-ctx.Done():
		return false
	}
}

// fetchWait is how long to wait for messages: long where there is nothing to
// flush, and else no longer than until the flush is due.
func (p *Processor) fetchWait(b *batch) time.Duration {
	if b.empty() {
		return p.cfg.FlushAge
	}
	left := p.cfg.FlushAge - time.Since(b.began)
	return max(min(left, p.cfg.FlushAge/drainedPart), waitForSlot)
}

// startFlush starts the flush of b where it is due, and says whether it did. A
// batch that is full waits for its turn; one that is only due goes on filling.
func (p *Processor) startFlush(ctx context.Context, b *batch) bool {
	switch {
	case b.empty():
		return false
	case b.full(&p.cfg):
		select {
		case p.slot <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	case b.due(&p.cfg):
		select {
		case p.slot <- struct{}{}:
		default:
			return false
		}
	default:
		return false
	}
	go p.runFlush(ctx, b)
	return true
}

// giveBack lets messages that will not be acked here come again, now rather
// than after the ack wait.
func (p *Processor) giveBack(messages []schemas.Message) {
	p.held.release(messages)
	for _, m := range messages {
		_ = m.Nak(0) // it comes again anyway, only later
	}
}
