package nats

import (
	"errors"
	"fmt"
	"time"
)

// ackWait is after how long without an answer a message comes again.
const ackWait = 30 * time.Second

// Limits are the sizes of what Declare declares. The zero value is the
// default of each.
type Limits struct {
	// LogsBytes bounds LOGS on disk: what was accepted and is not yet stored.
	// When it is full the webhook answers 503. Default 4 GiB.
	LogsBytes int64
	// DeadBytes bounds DEAD. When it is full, whatever cannot be read is
	// answered with 503. Default 1 GiB.
	DeadBytes int64
	// DeadLargeBytes bounds the object store of dead logs that are larger than
	// a message. Default: as DeadBytes.
	DeadLargeBytes int64
	// AlertsBytes bounds ALERTS, and OUTBOX as well. Default 64 MiB.
	AlertsBytes int64
	// MaxAckPending is how many messages of one queue are with its readers at
	// a time, over all of them. Too few hold a flush back that waits for its
	// age; memory is bounded by what a reader fetches. Default 1000.
	MaxAckPending int
	// Replicas is how many servers of a cluster keep each message: 1 or 3.
	// Default 1.
	Replicas int
	// AckWait is after how long a message that its reader is silent about
	// comes again. Default 30 s, which is what schemas.Message promises;
	// shorter for tests.
	AckWait time.Duration
}

// Validate returns every problem at once.
func (l Limits) Validate() error {
	var errs []error
	for _, size := range []struct {
		name  string
		bytes int64
	}{{"LOGS", l.LogsBytes}, {"DEAD", l.DeadBytes}, {"DEAD_LARGE", l.DeadLargeBytes}, {"ALERTS", l.AlertsBytes}} {
		if size.bytes < 0 {
			errs = append(errs, fmt.Errorf("nats: the size of %s is %d bytes: want more than none", size.name, size.bytes))
		}
	}
	if l.MaxAckPending < 0 {
		errs = append(errs, fmt.Errorf("nats: %d messages in work at a time: want at least 1", l.MaxAckPending))
	}
	if l.AckWait < 0 {
		errs = append(errs, fmt.Errorf("nats: an ack wait of %s: want more than none", l.AckWait))
	}
	if l.Replicas != 0 && l.Replicas != 1 && l.Replicas != 3 {
		errs = append(errs, fmt.Errorf("nats: %d replicas: want 1 or 3", l.Replicas))
	}
	return errors.Join(errs...)
}

func (l Limits) withDefaults() Limits {
	orElse(&l.LogsBytes, 4<<30)
	orElse(&l.DeadBytes, 1<<30)
	orElse(&l.DeadLargeBytes, l.DeadBytes)
	orElse(&l.AlertsBytes, 64<<20)
	orElse(&l.MaxAckPending, 1000)
	orElse(&l.Replicas, 1)
	orElse(&l.AckWait, ackWait)
	return l
}

// orElse sets *v where it is zero.
func orElse[T comparable](v *T, other T) {
	var zero T
	if *v == zero {
		*v = other
	}
}
