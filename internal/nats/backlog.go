package nats

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// densityAge is how long a measured density is used.
	densityAge = 5 * time.Second
	// typicalLog is the size of a log where none could be measured.
	typicalLog = 1300
	// storeOverhead is about what the broker counts for a message of LOGS
	// beside its payload: subject, headers and the frame on disk.
	storeOverhead = 160
)

// Backlog tells what the broker holds. Pending is exact at zero: every log
// that was accepted has been stored and acked. Else it is an estimate: the
// bytes in LOGS over the mean size of the logs in its first and last message.
func (c *Conn) Backlog(ctx context.Context) (schemas.Backlog, error) {
	logs, err := c.streamState(ctx, schemas.StreamLogs)
	if err != nil {
		return schemas.Backlog{}, err
	}
	dead, err := c.streamState(ctx, schemas.StreamDead)
	if err != nil {
		return schemas.Backlog{}, err
	}
	alerts, err := c.streamState(ctx, schemas.StreamAlerts)
	if err != nil {
		return schemas.Backlog{}, err
	}
	b := schemas.Backlog{Dead: dead.Msgs, Alerts: alerts.Msgs, Version: c.Version()}
	if b.Waiting, err = c.waiting(ctx); err != nil {
		return schemas.Backlog{}, err
	}
	for _, n := range b.Waiting {
		b.Alerts += n
	}
	if logs.Msgs > 0 {
		b.Pending, b.Estimated = c.pending(ctx, logs), true
	}
	return b, nil
}

func (c *Conn) streamState(ctx context.Context, name string) (jetstream.StreamState, error) {
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("read the state of stream %s: %w", name, err)
	}
	return stream.CachedInfo().State, nil
}

// pending estimates the logs in LOGS; never none, since there are messages.
func (c *Conn) pending(ctx context.Context, state jetstream.StreamState) uint64 {
	payload := state.Bytes - min(state.Bytes, state.Msgs*storeOverhead)
	mean := c.density.get(time.Now(), func() (bytes, logs int) { return c.sample(ctx, state) })
	return max(uint64(float64(payload)/mean+0.5), 1)
}

// sample counts the logs in the first and the last message. Either may be
// acked and gone meanwhile; then it does not count.
func (c *Conn) sample(ctx context.Context, state jetstream.StreamState) (bytes, logs int) {
	stream, err := c.js.Stream(ctx, schemas.StreamLogs)
	if err != nil {
		return 0, 0
	}
	seqs := []uint64{state.FirstSeq, state.LastSeq}
	if state.FirstSeq == state.LastSeq {
		seqs = seqs[:1]
	}
	for _, seq := range seqs {
		msg, err := stream.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		group, err := schemas.DecodeGroup(nil, msg.Data)
		if errors.Is(err, schemas.ErrGroup) {
			continue
		}
		bytes, logs = bytes+len(msg.Data), logs+len(group)
	}
	return bytes, logs
}

// density is the mean bytes of a log in LOGS, measured now and then: a script
// that waits for zero asks often.
type density struct {
	mu   sync.Mutex // guards the rest
	mean float64
	at   time.Time
}

func (d *density) get(now time.Time, measure func() (bytes, logs int)) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mean > 0 && now.Sub(d.at) < densityAge {
		return d.mean
	}
	if bytes, logs := measure(); logs > 0 {
		d.mean, d.at = float64(bytes)/float64(logs), now
	}
	if d.mean == 0 {
		return typicalLog
	}
	return d.mean
}
