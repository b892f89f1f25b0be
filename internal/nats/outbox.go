package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Outbox is the queues of channels: one subject of OUTBOX for each, with a
// reader of its own. Its methods may be called concurrently.
type Outbox struct {
	conn      *Conn
	publisher *Publisher
	limits    Limits
}

// NewOutbox uses the stream that Declare has declared with these limits.
func NewOutbox(c *Conn, p *Publisher, l Limits) *Outbox { return &Outbox{c, p, l.withDefaults()} }

// Enqueue puts an alert into a channel's queue and returns nil when it is on
// disk. A repeat within ten minutes is stored once. An error that wraps
// schemas.ErrFull means that the channel, or OUTBOX, has no room.
func (o *Outbox) Enqueue(ctx context.Context, channel string, a schemas.Alert) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("queue alert %s for %s: %w", a.ID, channel, err)
	}
	msg := newMessage(schemas.StreamOutbox, schemas.SubjectOutbox(channel), data)
	msg.Header[jetstream.MsgIDHeader] = []string{headerText(channel+" "+a.ID, maxHeaderText)}
	err = o.publisher.publish(ctx, msg)
	if taken(err) {
		err = fmt.Errorf("%w: %d alerts wait for it", schemas.ErrFull, maxWaiting)
	}
	if err != nil {
		return fmt.Errorf("queue alert %s for %s: %w", a.ID, channel, err)
	}
	return nil
}

// Open declares the reader of a channel's queue and returns it. Over all
// processes it hands out one alert at a time, in their order: a finding that is
// withdrawn must not be told before it was told to be open.
func (o *Outbox) Open(ctx context.Context, channel string) (*Source, error) {
	name := schemas.ConsumerOutbox(channel)
	if err := o.conn.waitConnected(ctx); err != nil {
		return nil, fmt.Errorf("declare consumer %s: %w", name, err)
	}
	_, err := o.conn.js.CreateOrUpdateConsumer(ctx, schemas.StreamOutbox, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: schemas.SubjectOutbox(channel),
		AckPolicy:     jetstream.AckExplicitPolicy,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait:       o.limits.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("declare consumer %s of %s: %w", name, schemas.StreamOutbox, err)
	}
	s, err := newSource(o.conn, schemas.StreamOutbox, name)
	if err == nil {
		s.filter = schemas.SubjectOutbox(channel)
	}
	return s, err
}

// waiting is how many alerts wait for which channel, also for one that is
// configured no more.
func (c *Conn) waiting(ctx context.Context) (map[string]uint64, error) {
	stream, err := c.js.Stream(ctx, schemas.StreamOutbox)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // no process of this build has declared it yet
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of stream %s: %w", schemas.StreamOutbox, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schemas.SubjectOutbox("*")))
	if err != nil {
		return nil, fmt.Errorf("read the state of stream %s: %w", schemas.StreamOutbox, err)
	}
	waiting := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		waiting[strings.TrimPrefix(subject, schemas.SubjectOutbox(""))] = n
	}
	return waiting, nil
}
