package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// A server that is killed can come back with messages in a work queue that its
// consumer has acked: the ack was written down, the removal was not. No
// consumer is ever given them again, and the queue never gets empty.
//
// They are handed out once more instead of purged. What was acked is stored,
// and storing it again changes nothing; and should the server have lost the
// stream's end and given its sequences to new messages, none of those is lost.

const (
	leftoverEvery = time.Second // between two looks of an idle source
	leftoverMost  = 100         // messages handed out at once
)

// leftovers are messages up to the consumer's ack floor that two looks in a row
// have found. One look may meet an ack whose removal is under way.
func (s *Source) leftovers(ctx context.Context, maxBytes int) ([]schemas.Message, error) {
	if time.Since(s.looked) < leftoverEvery {
		return nil, nil
	}
	s.looked = time.Now()
	stream, err := s.conn.js.Stream(ctx, s.stream)
	if err != nil {
		return nil, fmt.Errorf("look for leftovers of %s: %w", s.stream, err)
	}
	consumer, err := stream.Consumer(ctx, s.consumer)
	if err != nil {
		return nil, fmt.Errorf("look for leftovers of %s: %w", s.stream, err)
	}
	first, floor := stream.CachedInfo().State.FirstSeq, consumer.CachedInfo().AckFloor.Stream
	if stream.CachedInfo().State.Msgs == 0 || first > floor {
		s.leftover = 0
		return nil, nil
	}
	if s.filter != "" { // the stream's first message may be another consumer's, who waits for it
		raw, err := stream.GetMsg(ctx, first, jetstream.WithGetMsgSubject(s.filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > floor {
			s.leftover = 0
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look for leftovers of %s: %w", s.stream, err)
		}
		first = raw.Sequence
	}
	if s.leftover != first {
		s.leftover = first
		return nil, nil
	}
	s.leftover = 0
	return s.readLeftovers(ctx, stream, first, floor, maxBytes)
}

func (s *Source) readLeftovers(ctx context.Context, stream jetstream.Stream, first, floor uint64, maxBytes int) ([]schemas.Message, error) {
	var msgs []schemas.Message
	size := 0
	subject := s.filter
	if subject == "" {
		subject = ">"
	}
	for seq := first; len(msgs) < leftoverMost && (size < maxBytes || len(msgs) == 0); {
		raw, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject)) // the first from seq on
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > floor {
			break
		}
		if err != nil {
			if len(msgs) > 0 {
				break // the next look meets it again
			}
			return nil, fmt.Errorf("read what is left over from %d on: %w", seq, err)
		}
		size += len(raw.Data)
		msgs = append(msgs, &leftover{
			stream: stream, seq: raw.Sequence, data: raw.Data,
			replay: raw.Header.Get(headerReplay), traceparent: raw.Header.Get(schemas.HeaderTraceparent),
		})
		seq = raw.Sequence + 1
	}
	return msgs, nil
}

// leftover is a message that no consumer has any more: its ack removes it.
type leftover struct {
	stream jetstream.Stream
	seq    uint64
	data   []byte

	replay, traceparent string
}

func (l *leftover) Data() []byte            { return l.data }
func (l *leftover) Attempt() uint64         { return 2 }
func (l *leftover) Replay() string          { return l.replay }
func (l *leftover) Traceparent() string     { return l.traceparent }
func (l *leftover) Nak(time.Duration) error { return nil } // the next look finds it
func (l *leftover) InProgress() error       { return nil }

// Ack removes the message. Another reader may have done so.
func (l *leftover) Ack(ctx context.Context) error {
	err := l.stream.DeleteMsg(ctx, l.seq)
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return nil
	}
	return fmt.Errorf("remove leftover %d: %w", l.seq, err)
}
