package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// maxPull is the longest that one pull request waits at the server. A
	// request is lost with its server: this is how long a wait goes on in vain.
	maxPull = 5 * time.Second
	// pullGrace is how much longer than the request its answer is waited for.
	pullGrace = time.Second
	// linger is how long the next message of a pull may take after one came.
	linger = 100 * time.Millisecond
	// emptyPause is before a pull is repeated that the server ended early.
	emptyPause = 50 * time.Millisecond
)

// Source reads one work queue by its durable consumer: LOGS for the processor,
// ALERTS for notify. It goes on by itself when the connection or the server
// comes back.
//
// It pulls, and only when asked: what has been delivered is in the caller's
// hands, so that the caller can keep it from being delivered again. Fetch
// serves one caller at a time; readers that run side by side take a Source
// each.
type Source struct {
	conn    *Conn
	subject string // of pull requests
	inbox   string

	mu    sync.Mutex // guards the rest, and is held by a running Fetch
	sub   *nats.Subscription
	pulls uint64

	stream, consumer string
	filter           string    // of the consumer; empty is all subjects
	looked           time.Time // for leftovers, last
	leftover         uint64    // the first that the last look found
}

// NewLogsSource reads LOGS as one of the processors.
func NewLogsSource(c *Conn) (*Source, error) {
	return newSource(c, schemas.StreamLogs, schemas.ConsumerProcessor)
}

// NewAlertsSource reads ALERTS as notify.
func NewAlertsSource(c *Conn) (*Source, error) {
	return newSource(c, schemas.StreamAlerts, schemas.ConsumerNotify)
}

func newSource(c *Conn, stream, consumer string) (*Source, error) {
	s := &Source{
		conn:    c,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		inbox:   c.nc.NewInbox(),
		stream:  stream, consumer: consumer,
	}
	sub, err := c.nc.SubscribeSync(s.inbox + ".*")
	if err != nil {
		return nil, fmt.Errorf("subscribe to what %s delivers: %w", stream, err)
	}
	// What may be pending is bounded by what is asked for.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to what %s delivers: %w", stream, err)
	}
	s.sub = sub
	return s, nil
}

// Fetch returns up to maxMessages messages whose sizes sum to at most maxBytes
// (one message alone may exceed it). It waits at most wait for the first and
// not at all for the others. No message and no error means that there was none.
// It may be called again after an error.
func (s *Source) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.Now().Add(wait)
	next := pullRequest{Batch: max(maxMessages, 1), MaxBytes: max(maxBytes, 1), NoWait: true}
	for {
		msgs, end, err := s.pull(ctx, next, time.Until(deadline))
		if len(msgs) > 0 {
			return msgs, nil // an error behind them is the next call's
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if end == endTooLarge {
			next.Batch, next.MaxBytes = 1, 0
			continue
		}
		if !time.Now().Add(emptyPause).Before(deadline) {
			return s.leftovers(ctx, maxBytes)
		}
		if end == endEarly && pause(ctx, emptyPause) != nil {
			return nil, ctx.Err()
		}
	}
}

// pullRequest is JetStream's request for messages. With NoWait and Expires the
// server answers at once with what is there, and where there is nothing with
// what comes first.
type pullRequest struct {
	Batch    int           `json:"batch"`
	MaxBytes int           `json:"max_bytes,omitempty"`
	Expires  time.Duration `json:"expires,omitempty"`
	NoWait   bool          `json:"no_wait,omitempty"`
}

// end is how a pull ended.
type end int

const (
	endWaited   end = iota // its time is over, or it was answered
	endEarly               // the server ended it before its time
	endTooLarge            // the next message is larger than MaxBytes
)

// pull makes one request and collects what it brings. A message that comes
// after its pull was given up stays with the subscription and is the next
// pull's.
func (s *Source) pull(ctx context.Context, req pullRequest, wait time.Duration) ([]schemas.Message, end, error) {
	req.Expires = min(max(wait, time.Millisecond), maxPull)
	ctx, cancel := context.WithTimeout(ctx, req.Expires+pullGrace)
	defer cancel()
	if !s.conn.Connected() {
		return nil, endEarly, s.awaitConnection(ctx, req.Expires)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return nil, endEarly, fmt.Errorf("ask for messages: %w", err)
	}
	s.pulls++
	reply := fmt.Sprintf("%s.%d", s.inbox, s.pulls)
	if err := s.conn.nc.PublishRequest(s.subject, reply, body); err != nil {
		return nil, endEarly, fmt.Errorf("ask for messages: %w", err)
	}
	return s.collect(ctx, req, reply)
}

// awaitConnection waits at most as long as the caller would have waited for a
// message, so that a caller in a loop does not spin.
func (s *Source) awaitConnection(ctx context.Context, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.conn.waitConnected(ctx)
}

func (s *Source) collect(ctx context.Context, req pullRequest, reply string) ([]schemas.Message, end, error) {
	var msgs []schemas.Message
	size := 0
	for {
		m, err := s.next(ctx, len(msgs) > 0)
		if err != nil {
			return msgs, endWaited, lost(err)
		}
		if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
			if m.Subject != reply || status == "100" {
				continue // of a pull that was given up, or a sign of life
			}
			return msgs, endOf(status, m.Header.Get("Description")), nil
		}
		msg, err := newQueueMessage(s.conn.nc, m)
		if err != nil {
			return msgs, endEarly, err
		}
		msgs = append(msgs, msg)
		size += m.Size()
		if len(msgs) == req.Batch || (req.MaxBytes > 0 && size >= req.MaxBytes) {
			return msgs, endWaited, nil
		}
	}
}

// next waits for the next message, and only briefly after the first.
func (s *Source) next(ctx context.Context, more bool) (*nats.Msg, error) {
	if !more {
		return s.sub.NextMsgWithContext(ctx)
	}
	return s.sub.NextMsg(linger)
}

// lost returns nil for the errors that only mean that no message came.
func lost(err error) error {
	if errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("wait for messages: %w", err)
}

// endOf reads the status with which the server ends a pull.
func endOf(status, description string) end {
	switch {
	case status == "409" && description == "Message Size Exceeds MaxBytes":
		return endTooLarge
	case status == "408" && description == "Request Timeout":
		return endWaited
	}
	return endEarly
}

// Close stops the reading and gives back what was delivered and not fetched.
func (s *Source) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		m, err := s.sub.NextMsg(time.Millisecond)
		if err != nil {
			break
		}
		if msg, err := newQueueMessage(s.conn.nc, m); err == nil {
			_ = msg.Nak(0)
		}
	}
	if err := s.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("stop reading: %w", err)
	}
	return nil
}
