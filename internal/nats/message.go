package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ackTimeout bounds the wait for the confirmation of an ack whose context has
// no deadline.
const ackTimeout = 10 * time.Second

// JetStream's answers to a delivery.
var (
	ackDone     = []byte("+ACK")
	ackProgress = []byte("+WPI")
)

// queueMessage is a schemas.Message of a work queue.
type queueMessage struct {
	nc      *nats.Conn
	data    []byte
	reply   string // where the answers go; it names the delivery
	attempt uint64

	replay, traceparent string
}

func newQueueMessage(nc *nats.Conn, m *nats.Msg) (*queueMessage, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("a message on %s is not of a work queue: %w", m.Subject, err)
	}
	return &queueMessage{
		nc: nc, data: m.Data, reply: m.Reply, attempt: meta.NumDelivered,
		replay: m.Header.Get(headerReplay), traceparent: m.Header.Get(schemas.HeaderTraceparent),
	}, nil
}

func (m *queueMessage) Data() []byte        { return m.data }
func (m *queueMessage) Attempt() uint64     { return m.attempt }
func (m *queueMessage) Replay() string      { return m.replay }
func (m *queueMessage) Traceparent() string { return m.traceparent }

// Ack waits for the server's confirmation: after it the message is gone from
// the queue. A repeat is harmless.
func (m *queueMessage) Ack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	if _, err := m.nc.RequestWithContext(ctx, m.reply, ackDone); err != nil {
		return fmt.Errorf("ack a message: %w", err)
	}
	return nil
}

func (m *queueMessage) Nak(delay time.Duration) error {
	body := fmt.Appendf(nil, `-NAK {"delay":%d}`, max(delay, 0).Nanoseconds())
	if err := m.nc.Publish(m.reply, body); err != nil {
		return fmt.Errorf("nak a message: %w", err)
	}
	return nil
}

func (m *queueMessage) InProgress() error {
	if err := m.nc.Publish(m.reply, ackProgress); err != nil {
		return fmt.Errorf("put off the redelivery of a message: %w", err)
	}
	return nil
}
