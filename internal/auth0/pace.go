package auth0

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// pacer holds calls of the Management API back before the tenant's bucket is empty,
// by what each answer says is left of it (X-RateLimit-Limit, -Remaining, -Reset): a
// bulk of calls then goes at the rate at which the bucket fills, instead of into a
// 429 each. A tenth of the bucket is left to the tenant's other callers.
//
// It promises no more than that 429s are rare: others drink from the same bucket.
// Source: Auth0, "Rate limit policy": Reset is when there is one call more.
type pacer struct {
	now func() time.Time

	mu      sync.Mutex    // guards what follows
	changed chan struct{} // closed by each answer
	told    bool          // an answer has told of the bucket, or that there is none
	left    int           // calls that may be made now
	reserve int           // of those that the bucket has
	flying  int           // calls without an answer yet
	opens   time.Time     // when there is one call more, where left is 0
	ahead   time.Duration // the tenant's clock before ours, the most that its answers prove
	synced  bool          // an answer had a date
}

func newPacer(now func() time.Time) *pacer {
	return &pacer{now: now, changed: make(chan struct{})}
}

// unlimited is what there is left where no answer speaks of a limit.
const unlimited = math.MaxInt32

// wait returns when a call may be made, which done must follow. It waits no longer
// than most at a time: who is told to wait longer is told by the 429.
func (p *pacer) wait(ctx context.Context, most time.Duration) error {
	for {
		p.mu.Lock()
		pause, until := p.take(most), p.opens
		changed := p.changed
		p.mu.Unlock()
		if pause == 0 {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			p.open(until)
		case <-changed:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// take takes a call, or tells how long to wait for one. Until the first answer
// there is one call at a time.
func (p *pacer) take(most time.Duration) (pause time.Duration) {
	if !p.told && p.flying > 0 {
		return callTimeout
	}
	if p.told && p.left <= 0 {
		pause = p.opens.Sub(p.now())
		if pause > 0 && pause <= most {
			return pause
		}
		p.left = 1 // of which the answer tells how many more there are
		p.opens = p.now().Add(unknownWait)
	}
	if p.told && p.left != unlimited {
		p.left--
	}
	p.flying++
	return 0
}

// open ends the wait until then, unless another call or an answer has: what a clock
// says that stands still is not waited for twice.
func (p *pacer) open(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opens.Equal(until) && until.After(p.now()) {
		p.opens = p.now()
	}
}

// done tells how a call has ended; h is nil where it has no answer.
func (p *pacer) done(h http.Header, throttled time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	close(p.changed)
	p.changed = make(chan struct{})
	if h == nil {
		return
	}
	p.told = true
	if throttled > 0 {
		p.left, p.opens = 0, p.now().Add(throttled)
		return
	}
	remaining, err := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	if err != nil {
		p.left = unlimited
		return
	}
	limit, _ := strconv.Atoi(h.Get("X-RateLimit-Limit")) // 0 where it is not told
	p.reserve = limit / 10
	// Those in flight may be counted in what remains, or not.
	p.left = max(remaining-p.flying-p.reserve, 0)
	p.opens = p.reset(h)
}

// reset is when there is one call more, by our clock. Both dates of an answer are
// in whole seconds, so one answer alone would have us wait a second too long; the
// tenant's clock is before ours by as much as any answer has proved.
func (p *pacer) reset(h http.Header) time.Time {
	now := p.now()
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		if ahead := date.Sub(now); !p.synced || ahead > p.ahead {
			p.ahead, p.synced = ahead, true
		}
	}
	return now.Add(max(untilUnix(h.Get("X-RateLimit-Reset"), now.Add(p.ahead)), 0))
}
