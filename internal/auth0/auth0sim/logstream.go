package auth0sim

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Format is how a log stream writes a batch.
type Format string

// The formats of a custom webhook.
const (
	FormatJSONLines  Format = "JSONLINES"
	FormatJSONArray  Format = "JSONARRAY"
	FormatJSONObject Format = "JSONOBJECT"
)

// Stream is a custom webhook log stream.
type Stream struct {
	Endpoint      string
	Authorization string // sent as it is
	Format        Format // default JSONLINES
	ContentType   string // default application/json
	Header        http.Header
	Categories    []string // of what it delivers; none: of everything
}

// The states of a log stream. Only the tenant itself suspends one.
const (
	streamActive    = "active"
	streamPaused    = "paused"
	streamSuspended = "suspended"
)

// logStream delivers at least once and in about the order of what happened. A
// batch that is not answered with 2xx is sent again until that has lasted for
// Config.SuspendAfter; what is not sent then is kept.
type logStream struct {
	id   string
	cfg  *Config
	rng  *rand.Rand    // run's own
	gone chan struct{} // closed when the stream is deleted

	running bool // under the tenant's mu

	mu     sync.Mutex // guards what follows
	stream Stream
	status string
	queue  []delivery
	held   []heldDelivery // for a later batch: repeats and reordered ones
	batch  int            // number of the batch in the making
	open   int            // deliveries that were pushed or held and are not answered
	count  Deliveries

	wake chan struct{} // has a token when queue has grown
	done chan struct{} // closed and made anew when open falls to 0; under mu
}

type delivery struct {
	raw    []byte
	repeat bool
}

type heldDelivery struct {
	delivery
	due int // batch
}

func newLogStream(cfg *Config, s Stream, n int) *logStream {
	s.Format = cmp.Or(s.Format, FormatJSONLines)
	s.ContentType = cmp.Or(s.ContentType, "application/json")
	return &logStream{
		stream: s, cfg: cfg, rng: newRand(cfg.Seed, sequenceDelivery+uint64(n)<<8), status: streamActive,
		wake: make(chan struct{}, 1), done: make(chan struct{}), gone: make(chan struct{}),
	}
}

// push queues a log of a category.
func (l *logStream) push(raw []byte, category string) {
	l.mu.Lock()
	if len(l.stream.Categories) > 0 && !slices.Contains(l.stream.Categories, category) {
		l.mu.Unlock()
		return
	}
	l.queue = append(l.queue, delivery{raw: raw})
	l.open++
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *logStream) counts() Deliveries {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *logStream) drain(ctx context.Context) error {
	for {
		l.mu.Lock()
		open, done := l.open, l.done
		l.mu.Unlock()
		if open == 0 {
			return nil
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("drain log stream: %d logs not delivered: %w", open, ctx.Err())
		}
	}
}

// run delivers until ctx ends or the stream is gone.
func (l *logStream) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	for l.wait(ctx) {
		batch := l.take()
		if len(batch) == 0 {
			continue
		}
		if l.deliver(ctx, batch) {
			l.settle(batch)
		} else {
			l.putBack(batch)
		}
	}
}

// now is what the stream is to be told and whether it is at work.
func (l *logStream) now() (Stream, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream, l.status
}

// change replaces what the stream is to be told.
func (l *logStream) change(s Stream, status string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream, l.status = s, status
}

// wait returns true when a batch is full, or something is there and has waited
// its interval; false when ctx has ended.
func (l *logStream) wait(ctx context.Context) bool {
	timer := time.NewTimer(l.cfg.BatchInterval)
	defer timer.Stop()
	for {
		queued, held := l.waiting()
		if queued >= l.cfg.BatchSize {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-l.wake:
		case <-timer.C:
			if queued+held > 0 {
				return true
			}
			timer.Reset(l.cfg.BatchInterval)
		}
	}
}

func (l *logStream) waiting() (queued, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status != streamActive {
		return 0, 0
	}
	return len(l.queue), len(l.held)
}

// take makes the next batch: what was held for it, then the head of the queue,
// of which some are held back and some come again later.
func (l *logStream) take() []delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batch++
	batch := l.takeHeld(len(l.queue) == 0)
	n := min(len(l.queue), max(0, l.cfg.BatchSize-len(batch)))
	for _, d := range l.queue[:n] {
		if chance(l.rng, l.cfg.Reorder) {
			l.held = append(l.held, heldDelivery{d, l.batch + 1 + l.rng.IntN(3)})
			continue
		}
		if chance(l.rng, l.cfg.Duplicates) {
			l.held = append(l.held, heldDelivery{delivery{d.raw, true}, l.batch + 1 + l.rng.IntN(5)})
			l.open++
		}
		batch = append(batch, d)
	}
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	return batch
}

// takeHeld removes what is due, or all when nothing else is there.
func (l *logStream) takeHeld(all bool) []delivery {
	batch := make([]delivery, 0, l.cfg.BatchSize)
	rest := l.held[:0]
	for _, h := range l.held {
		if (all || h.due <= l.batch) && len(batch) < l.cfg.BatchSize {
			batch = append(batch, h.delivery)
		} else {
			rest = append(rest, h)
		}
	}
	clear(l.held[len(rest):])
	l.held = rest
	return batch
}

func (l *logStream) putBack(batch []delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(batch, l.queue...)
}

func (l *logStream) settle(batch []delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Posts++
	for _, d := range batch {
		if d.repeat {
			l.count.Repeated++
		} else {
			l.count.Delivered++
		}
	}
	l.open -= len(batch)
	if l.open == 0 {
		close(l.done)
		l.done = make(chan struct{})
	}
}

// deliver posts a batch until it is answered with 2xx; false when ctx has
// ended or the stream is no longer at work.
func (l *logStream) deliver(ctx context.Context, batch []delivery) bool {
	pause, since := l.cfg.RetryPause, l.cfg.Now()
	for {
		to, status := l.now()
		if status != streamActive {
			return false
		}
		err := l.post(ctx, to, batch)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		l.refused(since)
		l.cfg.Logger.Debug("log stream delivery refused", "logs", len(batch), "again_in", pause, "error", err)
		if !sleep(ctx, pause) {
			return false
		}
		pause = min(2*pause, l.cfg.RetryPauseMax)
	}
}

// refused counts a refusal and suspends the stream when they have gone on for long.
func (l *logStream) refused(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Retries++
	if l.status == streamActive && l.cfg.Now().Sub(since) >= l.cfg.SuspendAfter {
		l.status = streamSuspended
	}
}

func (l *logStream) post(ctx context.Context, to Stream, batch []delivery) error {
	body := to.body(batch)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	maps.Copy(req.Header, to.Header)
	req.Header.Set("Content-Type", to.ContentType)
	if to.Authorization != "" {
		req.Header.Set("Authorization", to.Authorization)
	}
	resp, err := l.cfg.Client.Do(req)
	if err != nil {
		return fmt.Errorf("post %d bytes: %w", len(body), err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post %d bytes: status %d", len(body), resp.StatusCode)
	}
	return nil
}

// body writes a batch in the stream's format.
func (s Stream) body(batch []delivery) []byte {
	before, between, after := "", "\n", "\n"
	switch s.Format {
	case FormatJSONArray:
		before, between, after = "[", ",", "]"
	case FormatJSONObject:
		before, between, after = `{"logs":[`, ",", "]}"
	}
	body := []byte(before)
	for i, d := range batch {
		if i > 0 {
			body = append(body, between...)
		}
		body = append(body, d.raw...)
	}
	return append(body, after...)
}

// sleep returns true after d, false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
