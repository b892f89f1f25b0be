package clickhouse

import (
	"context"
	"time"
)

const (
	firstDelay = 200 * time.Millisecond
	lastDelay  = 10 * time.Second
	// settled is how long a child lives before its death counts as the first.
	settled = 10 * time.Second
)

// supervise starts the child again whenever it has died, until ctx ends, and
// then ends the child.
func (e *Engine) supervise(ctx context.Context) {
	defer close(e.done)
	delay := firstDelay
	for {
		born := e.config.Now()
		if !e.watch(ctx) {
			return
		}
		if e.config.Now().Sub(born) >= settled {
			delay = firstDelay
		}
		var ok bool
		if delay, ok = e.restart(ctx, delay); !ok {
			return
		}
	}
}

// watch returns true when the child has died by itself.
func (e *Engine) watch(ctx context.Context) bool {
	c := e.current()
	select {
	case <-c.gone:
		e.config.Logger.Error("the ClickHouse engine died and is started again", "error", c.deathError())
		return true
	case <-ctx.Done():
		c.close()
		return false
	}
}

func (e *Engine) current() *child {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child
}

// restart tries until a child answers; each try waits twice as long as the one
// before. It returns the next delay, and false when ctx has ended.
func (e *Engine) restart(ctx context.Context, delay time.Duration) (time.Duration, bool) {
	for {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return delay, false
		}
		delay = min(2*delay, lastDelay)
		e.restarts.Inc()
		err := e.start(ctx)
		if err == nil {
			e.config.Logger.Info("the ClickHouse engine is back", "pid", e.PID())
			return delay, true
		}
		if ctx.Err() != nil {
			return delay, false
		}
		e.config.Logger.Error("start the ClickHouse engine again", "error", err, "next_try", delay)
	}
}
