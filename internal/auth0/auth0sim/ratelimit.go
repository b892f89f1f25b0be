package auth0sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limit is a token bucket: so many requests a second, and at once as many as
// Burst. The zero value limits nothing.
type Limit struct {
	PerSecond float64
	Burst     int
}

// bucket is what a limit has left.
type bucket struct {
	limit Limit

	mu     sync.Mutex // guards what follows
	tokens float64
	filled time.Time
}

// allowance is what the headers of an answer tell.
type allowance struct {
	allowed          bool
	limit, remaining int
	reset            time.Time // when there is one token more
}

func (b *bucket) take(now time.Time) allowance {
	if b.limit.PerSecond <= 0 {
		return allowance{true, 1000, 999, now.Add(time.Second)}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	most := float64(max(b.limit.Burst, 1))
	if b.filled.IsZero() {
		b.tokens = most
	} else {
		b.tokens = min(most, b.tokens+now.Sub(b.filled).Seconds()*b.limit.PerSecond)
	}
	b.filled = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	missing := math.Floor(b.tokens) + 1 - b.tokens
	return allowance{allowed, int(most), int(b.tokens), now.Add(time.Duration(missing / b.limit.PerSecond * float64(time.Second)))}
}

func (a allowance) tell(h http.Header) {
	h.Set("X-Ratelimit-Limit", strconv.Itoa(a.limit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(a.remaining))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(int64(math.Ceil(float64(a.reset.UnixMilli())/1000)), 10))
}

// limited takes a token for a request, or answers 429, which is logged.
func (t *Tenant) limited(w http.ResponseWriter, r *http.Request) bool {
	_, management := splitPath(r.URL.EscapedPath())
	b := &t.tokenBucket
	if management {
		b = &t.managementBucket
	}
	a := b.take(t.cfg.Now())
	a.tell(w.Header())
	if a.allowed {
		return false
	}
	t.refuseForNow(w, r, management)
	return true
}

func (t *Tenant) refuseForNow(w http.ResponseWriter, r *http.Request, management bool) {
	c := callerOf(r, nil)
	t.emit(func(dst []byte, _ *rand.Rand, s *stamp) []byte { return t.appendLimit(dst, s, r, c) })
	if management {
		write(w, reply{}, &apiError{http.StatusTooManyRequests, "Global limit has been reached", "too_many_requests"})
		return
	}
	answerOAuth(w, http.StatusTooManyRequests, "too_many_requests", "Global limit has been reached")
}

// appendLimit writes api_limit of a request that was refused.
func (t *Tenant) appendLimit(dst []byte, s *stamp, r *http.Request, c *caller) []byte {
	dst = open(dst, s, "api_limit")
	dst = fieldQuoted(dst, "description", fmt.Sprintf("You passed the limit of allowed calls to %s with the given parameters.", r.URL.Path))
	dst = append(dst, `,"client_id":"","client_name":""`...)
	dst = field(dst, "ip", c.ip)
	dst = fieldQuoted(dst, "user_agent", c.agent)
	dst = append(dst, `,"details":{"limit":{"bucket":"Global (per second)","global":true},"request":{"method":"`...)
	dst = append(dst, strings.ToUpper(r.Method)...)
	dst = append(dst, '"')
	dst = fieldQuoted(dst, "path", r.URL.Path)
	dst = append(dst, `},"response":{"statusCode":429,"error":"Too Many Requests"}}`...)
	dst = field(dst, "hostname", t.domain)
	return t.closing(dst, s, true)
}
