package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errOverloaded is wrapped when a place in memory was not free in time.
var errOverloaded = errors.New("overloaded")

// budget is a number of bytes that all requests share. Who finds it exhausted
// waits in line, for a bounded time.
type budget struct {
	size int
	wait time.Duration

	mu      sync.Mutex // guards used and waiting
	used    int
	waiting []*budgetWait
}

type budgetWait struct {
	n    int
	free chan struct{} // closed when n bytes are its own
}

// acquire takes n bytes, which must not be more than there are in all.
func (b *budget) acquire(ctx context.Context, n int) error {
	w := b.take(n)
	if w == nil {
		return nil
	}
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-w.free:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if b.leave(w) {
		return fmt.Errorf("%w: no memory free within %v", errOverloaded, b.wait)
	}
	return nil // it came free in the same moment
}

// take takes n bytes at once, or stands in line for them.
func (b *budget) take(n int) *budgetWait {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 && b.used+n <= b.size {
		b.used += n
		return nil
	}
	w := &budgetWait{n: n, free: make(chan struct{})}
	b.waiting = append(b.waiting, w)
	return w
}

// leave takes w out of the line; false means that it has been served.
func (b *budget) leave(w *budgetWait) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiting {
		if other == w {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.serve()
			return true
		}
	}
	return false
}

func (b *budget) release(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.serve()
}

// serve gives what is free to the first in line. mu is held.
func (b *budget) serve() {
	for len(b.waiting) > 0 && b.used+b.waiting[0].n <= b.size {
		b.used += b.waiting[0].n
		close(b.waiting[0].free)
		b.waiting = b.waiting[1:]
	}
}

func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// share is what one request holds of the budget, and of the one place for an
// oversize record. It implements memory.
type share struct {
	ctx    context.Context
	budget *budget
	large  chan struct{} // holds the one place
}

func (s *share) reserve(n int, large bool) error {
	if !large {
		return s.budget.acquire(s.ctx, n)
	}
	timer := time.NewTimer(s.budget.wait)
	defer timer.Stop()
	select {
	case s.large <- struct{}{}:
		return nil
	case <-timer.C:
	case <-s.ctx.Done():
	}
	return fmt.Errorf("%w: another oversize record is on its way", errOverloaded)
}

func (s *share) release(n int, large bool) {
	if large {
		<-s.large
		return
	}
	s.budget.release(n)
}
