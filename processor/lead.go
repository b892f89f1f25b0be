package processor

import (
	"context"
	"fmt"
)

// turn waits for the lease and lets lead work until it is lost. lead must use
// no other context than the one it is given, so that what is on its way ends
// with the lease. What was sent all the same is dropped by the store once a
// later epoch has begun.
//
// lead ends with its first error, unless a repeat writes the same rows. A
// statement that was not answered may still be run, by a store that was stopped
// and goes on, after what was computed anew in its place; only a later epoch
// keeps it from writing.
func turn(ctx context.Context, lease Lease, epochs Epochs, lead func(held context.Context, v *versions) error) error {
	atLeast, err := epochs.LastEpoch(ctx)
	if err != nil {
		return fmt.Errorf("read the last epoch: %w", err)
	}
	held, epoch, release, err := lease.Acquire(ctx, atLeast)
	if err != nil {
		return fmt.Errorf("acquire the lease: %w", err)
	}
	defer release()
	if err := epochs.BeginEpoch(held, epoch); err != nil {
		return fmt.Errorf("begin epoch %d: %w", epoch, err)
	}
	return lead(held, &versions{epoch: epoch})
}

// versions hands out the versions of what one holder of the lease writes.
type versions struct {
	epoch uint64
	seq   uint64
}

// next is taken before the read that a row rests on: of two rows for the same
// thing, the one that rests on the later read wins.
func (v *versions) next() uint64 {
	v.seq++
	return v.epoch<<32 | v.seq&0xffffffff
}
