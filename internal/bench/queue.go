package bench

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// groupLogs is how many logs one message carries.
const groupLogs = 500

// queue stands in for the broker: groups in memory, each handed out once.
type queue struct {
	messages chan schemas.Message
	open     atomic.Int64 // messages that are not acked
	settled  chan struct{}
	bytes    int64 // of the logs that were offered
}

func newQueue() *queue {
	return &queue{messages: make(chan schemas.Message, 16), settled: make(chan struct{}, 1)}
}

// offer puts logs into the queue, and returns when all are handed out.
func (q *queue) offer(ctx context.Context, logs iter.Seq[[]byte]) error {
	q.open.Add(1) // the offering itself
	defer q.close()
	send := func(group []byte) error {
		q.open.Add(1)
		select {
		case q.messages <- &message{q, group}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var group []byte
	n := 0
	for raw := range logs {
		if n == 0 {
			group = schemas.AppendGroupHeader(make([]byte, 0, groupLogs<<11), Tenant, schemas.SourceStream, time.Now().UTC())
		}
		group = schemas.AppendGroupLog(group, raw, false)
		q.bytes += int64(len(raw))
		if n++; n == groupLogs {
			if err := send(group); err != nil {
				return err
			}
			n = 0
		}
	}
	if n == 0 {
		return nil
	}
	return send(group)
}

func (q *queue) close() {
	if q.open.Add(-1) == 0 {
		q.settled <- struct{}{}
	}
}

// drained returns when everything that was offered is acked.
func (q *queue) drained(ctx context.Context) error {
	select {
	case <-q.settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fetch is that of processor.Source.
func (q *queue) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	var fetched []schemas.Message
	size := 0
	for len(fetched) < maxMessages && size < maxBytes {
		select {
		case m := <-q.messages:
			fetched = append(fetched, m)
			size += len(m.Data())
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
func (m *message) Nak(time.Duration) error   { return errors.New("a generated group is given back") }
func (m *message) Ack(context.Context) error { m.queue.close(); return nil }
