package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// scanBatch is how many messages of a scan are asked for at a time.
	scanBatch = 512
	// scanIdle is after how long the server drops the consumer of a scan whose
	// process is gone.
	scanIdle = time.Minute
)

// scan calls visit for the logs of DEAD from an id on, oldest first, without
// their bytes, until it returns false or there are no more. behind is how many
// come after the log. It reads by a consumer of its own, which gets the headers
// alone.
func (s *DeadStore) scan(ctx context.Context, from uint64, visit func(d schemas.Dead, behind uint64) bool) error {
	consumer, err := s.conn.js.CreateConsumer(ctx, schemas.StreamDead, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1),
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: scanIdle,
	})
	if err != nil {
		return fmt.Errorf("read DEAD: %w", err)
	}
	info := consumer.CachedInfo()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.conn.js.DeleteConsumer(ctx, schemas.StreamDead, info.Name) // or the server does
	}()
	scan := deadScan{left: info.NumPending, visit: visit}
	for scan.left > 0 {
		before := scan.delivered
		if err := scan.fetch(consumer); err != nil {
			return fmt.Errorf("read DEAD: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if scan.delivered > before {
			continue
		}
		// Fewer came than were there: they have been removed meanwhile, or are late.
		if info, err = consumer.Info(ctx); err != nil {
			return fmt.Errorf("read DEAD: %w", err)
		}
		scan.left = info.NumPending
	}
	return nil
}

// deadScan is how far a scan is.
type deadScan struct {
	visit     func(d schemas.Dead, behind uint64) bool
	delivered uint64
	left      uint64 // messages not seen yet
}

func (s *deadScan) fetch(consumer jetstream.Consumer) error {
	batch, err := consumer.FetchNoWait(int(min(s.left, scanBatch)))
	if err != nil {
		return err
	}
	done := false
	for msg := range batch.Messages() {
		if done {
			continue // the library wants it read to its end
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if s.delivered++; meta.Sequence.Consumer != s.delivered {
			return errors.New("messages were lost on the way")
		}
		s.left = meta.NumPending
		d := readDead(&jetstream.RawStreamMsg{
			Subject: msg.Subject(), Sequence: meta.Sequence.Stream, Header: msg.Headers(), Time: meta.Timestamp,
		})
		done = !s.visit(d, meta.NumPending)
	}
	if done {
		s.left = 0
		return nil
	}
	return batch.Error()
}
