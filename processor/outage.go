package processor

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The wait between two attempts doubles from the first to the last of these.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// outage knows whether something outside is away. It logs once when that
// begins and once when it is over, not at each attempt.
type outage struct {
	what   string
	logger *slog.Logger
	up     prometheus.Gauge
	away   atomic.Bool

	mu    sync.Mutex
	since time.Time // guarded by mu
}

func newOutage(what string, logger *slog.Logger, up prometheus.Gauge) *outage {
	up.Set(1)
	return &outage{what: what, logger: logger, up: up}
}

// begin is called at each failed attempt.
func (o *outage) begin(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away.Swap(true) {
		return
	}
	o.since = time.Now()
	o.up.Set(0)
	o.logger.Warn(o.what+" is away: everything is kept and tried again", "error", err)
}

// end is called at each attempt that reached the other side.
func (o *outage) end() {
	if !o.away.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away.Swap(false) {
		o.up.Set(1)
		o.logger.Info(o.what+" is back", "away_seconds", time.Since(o.since).Seconds())
	}
}

// backoff is the wait before the next attempt.
type backoff time.Duration

func (b *backoff) next() time.Duration {
	*b = min(max(2**b, backoff(firstRetry)), backoff(lastRetry))
	return time.Duration(*b)
}

// wait returns false when done is closed first.
func wait(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// outlive returns a context that ends some time after ctx has: what is on its
// way may come to an end.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if wait(longer.Done(), by) {
			cancel()
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}
