package exact_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// queue is a work queue in memory: a message is in it until it is acked, and
// comes again where whoever had it died. JetStream has tests of its own.
type queue struct {
	mu       sync.Mutex
	waiting  []*message
	out      int
	loseAcks bool
	acks     int
	changed  chan struct{} // closed when something has
}

func newQueue() *queue { return &queue{changed: make(chan struct{})} }

func (q *queue) put(data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, &message{queue: q, data: data})
}

// signal must be called with mu held.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// drained waits until every message is acked.
func (q *queue) drained(ctx context.Context) {
	for {
		q.mu.Lock()
		empty, changed := len(q.waiting) == 0 && q.out == 0, q.changed
		q.mu.Unlock()
		if empty {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// intake is a processor's way to a queue.
type intake struct {
	queue *queue
	had   []*message // that were given out and are not acked; guarded by queue.mu
	fresh bool       // something was given out since it was told that there is no more
}

func (i *intake) Fetch(ctx context.Context, maxMessages, _ int, wait time.Duration) ([]schemas.Message, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		messages, changed := i.take(maxMessages)
		if len(messages) > 0 {
			return messages, nil
		}
		if i.fresh {
			i.fresh = false
			return nil, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take gives each of two intakes about half of what there is.
func (i *intake) take(most int) ([]schemas.Message, <-chan struct{}) {
	q := i.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.waiting), max(1, len(q.waiting)*2/3))
	var messages []schemas.Message
	for _, m := range q.waiting[:n] {
		m.attempt++
		m.holder = i
		i.had = append(i.had, m)
		messages = append(messages, m)
		q.out++
	}
	q.waiting = q.waiting[n:]
	i.fresh = i.fresh || n > 0
	return messages, q.changed
}

// die gives back what is not acked.
func (i *intake) die() {
	q := i.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range i.had {
		if !m.acked {
			q.out--
			q.waiting = append(q.waiting, m)
		}
	}
	i.had = nil
	q.signal()
}

// ack acks all that was given out, for builds that do so too early.
func (i *intake) ack() {
	i.queue.mu.Lock()
	defer i.queue.mu.Unlock()
	for _, m := range i.had {
		i.queue.ack(m)
	}
}

// ack must be called with mu held.
func (q *queue) ack(m *message) {
	if !m.acked {
		m.acked = true
		q.out--
		q.signal()
	}
}

type message struct {
	queue   *queue
	data    []byte
	attempt uint64  // guarded by queue.mu
	acked   bool    // guarded by queue.mu
	holder  *intake // guarded by queue.mu
}

var errLost = errors.New("the ack was lost")

func (m *message) Data() []byte { return m.data }

func (m *message) Replay() string { return "" }

func (m *message) Traceparent() string { return "" }

func (m *message) Attempt() uint64 {
	m.queue.mu.Lock()
	defer m.queue.mu.Unlock()
	return m.attempt
}

func (m *message) Ack(context.Context) error {
	q := m.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.acks++
	if q.loseAcks && q.acks%3 == 0 && m.attempt < 3 {
		m.again()
		return errLost
	}
	q.ack(m)
	return nil
}

func (m *message) Nak(time.Duration) error {
	m.queue.mu.Lock()
	defer m.queue.mu.Unlock()
	if !m.acked {
		m.again()
	}
	return nil
}

// again must be called with mu held.
func (m *message) again() {
	h := m.holder
	for i := range h.had {
		if h.had[i] == m {
			h.had = append(h.had[:i], h.had[i+1:]...)
			m.queue.out--
			m.queue.waiting = append(m.queue.waiting, m)
			m.queue.signal()
			return
		}
	}
}

func (m *message) InProgress() error { return nil }
