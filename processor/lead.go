package processor

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// leader is what one of many does, the one that holds the lease.
type leader struct {
	what   string // it does: "correlates"
	lease  Lease
	epochs Epochs
	// step does some of the work and tells whether more of it is there. It must
	// use no other context than the one it is given, so that what is on its way
	// ends with the lease. What was sent all the same is dropped by the store
	// once a later epoch has begun.
	step func(held context.Context, v *versions) (more bool, err error)
	// rest ends what step has begun and not waited for; nil where it waits for all.
	rest     func()
	interval time.Duration // between two looks for work
	// doze waits for that long, or less; nil waits.
	doze   func(done <-chan struct{}, d time.Duration)
	logger *slog.Logger
	store  *outage
	errors prometheus.Counter
	leads  prometheus.Gauge
	retry  backoff
	last   uint64 // epoch that it held
}

// run works whenever it holds the lease, until ctx ends.
func (l *leader) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.turn(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		l.errors.Inc()
		l.store.begin(err)
		wait(ctx.Done(), l.retry.next())
	}
}

// turn waits for the lease and works until it is lost, or to the first error. A
// statement that was not answered may still be run, by a store that was stopped
// and goes on, after what was computed anew in its place; only a later epoch
// keeps it from writing.
func (l *leader) turn(ctx context.Context) error {
	atLeast, err := l.epochs.LastEpoch(ctx)
	if err != nil {
		return fmt.Errorf("read the last epoch: %w", err)
	}
	held, epoch, release, err := l.lease.Acquire(ctx, atLeast)
	if err != nil {
		return fmt.Errorf("acquire the lease: %w", err)
	}
	defer release()
	if err := l.epochs.BeginEpoch(held, epoch); err != nil {
		return fmt.Errorf("begin epoch %d: %w", epoch, err)
	}
	return l.lead(held, &versions{epoch: epoch})
}

func (l *leader) lead(held context.Context, v *versions) error {
	l.leads.Set(1)
	defer l.leads.Set(0)
	if l.rest != nil {
		defer l.rest()
	}
	if l.last == 0 || v.epoch != l.last+1 { // else it goes on after an error
		l.logger.Info("this process "+l.what, "epoch", v.epoch)
	}
	l.last = v.epoch
	for held.Err() == nil {
		more, err := l.step(held, v)
		if held.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		l.store.end()
		l.retry = 0
		switch {
		case more:
		case l.doze != nil:
			l.doze(held.Done(), l.interval)
		default:
			wait(held.Done(), l.interval)
		}
	}
	return nil
}

// versions hands out the versions of what one holder of the lease writes.
type versions struct {
	epoch uint64
	seq   atomic.Uint64
}

// next is taken before the read that a row rests on: of two rows for the same
// thing, the one that rests on the later read wins.
func (v *versions) next() uint64 {
	return v.epoch<<32 | v.seq.Add(1)&0xffffffff
}
