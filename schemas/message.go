package schemas

import (
	"context"
	"time"
)

// Message is one JetStream message on its way through a work queue. It comes
// again, here or at another process, unless Ack was reached.
type Message interface {
	Data() []byte
	// Attempt is 1 at the first delivery.
	Attempt() uint64
	// Replay names the replay from DEAD that it was published by; "" where it
	// was by none. What of it goes to DEAD again carries the name.
	Replay() string
	// Traceparent names the span that it was published in, as whoever may
	// publish has written it; "" where it is in none.
	Traceparent() string
	// Ack says that the message is done. It returns when the server has
	// confirmed it; after an error the message may come again.
	Ack(ctx context.Context) error
	// Nak asks for the message again after the delay.
	Nak(delay time.Duration) error
	// InProgress puts off redelivery. It must be called more often than the
	// consumer's AckWait (30 s) while the message is held.
	InProgress() error
}
