package deteval

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/bench/synth"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	groupLogs = 500             // at most in a message
	groupSpan = 5 * time.Minute // within which the logs of one were delivered
)

// queue stands in for the broker: groups in memory, each handed out once.
type queue struct {
	tenant   string
	live     time.Time // what was delivered before is history that was imported
	messages chan schemas.Message
	open     sync.WaitGroup // messages that are not acked
}

// offer puts logs into the queue and returns when all of them are acked.
func (q *queue) offer(ctx context.Context, logs []synth.Log) error {
	for len(logs) > 0 {
		n := 1
		for n < len(logs) && n < groupLogs && logs[n].Delivered.Sub(logs[0].Delivered) < groupSpan {
			n++
		}
		source := schemas.SourceStream
		if logs[n-1].Delivered.Before(q.live) {
			source = schemas.SourceImport
		}
		group := schemas.AppendGroupHeader(nil, q.tenant, source, logs[n-1].Delivered)
		for _, log := range logs[:n] {
			group = schemas.AppendGroupLog(group, log.Raw, false)
		}
		logs = logs[n:]
		q.open.Add(1)
		select {
		case q.messages <- &message{q, group}:
		case <-ctx.Done():
			q.open.Done()
			return ctx.Err()
		}
	}
	acked := make(chan struct{})
	go func() { defer close(acked); q.open.Wait() }()
	select {
	case <-acked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fetch is that of processor.Source.
func (q *queue) Fetch(ctx context.Context, maxMessages, _ int, wait time.Duration) ([]schemas.Message, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var fetched []schemas.Message
	for len(fetched) < maxMessages {
		select {
		case m := <-q.messages:
			fetched = append(fetched, m)
		case <-timer.C:
			return fetched, nil
		case <-ctx.Done():
			return fetched, nil
		}
	}
	return fetched, nil
}

// message is a group on its way; it cannot come again.
type message struct {
	queue *queue
	data  []byte
}

func (m *message) Data() []byte              { return m.data }
func (m *message) Attempt() uint64           { return 1 }
func (m *message) Replay() string            { return "" }
func (m *message) Traceparent() string       { return "" }
func (m *message) InProgress() error         { return nil }
func (m *message) Nak(time.Duration) error   { return errors.New("a group is given back") }
func (m *message) Ack(context.Context) error { m.queue.open.Done(); return nil }
