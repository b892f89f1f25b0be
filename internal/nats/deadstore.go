package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	// deadWindow is how many logs of DEAD are read at most to find the newest
	// of them, and deadLook how many one question may look at. Headers alone:
	// it is 20 MiB that passes by.
	deadWindow = 4096
	deadLook   = 50_000

	// firstWindow is where a listing begins to look.
	firstWindow = 256
)

// DeadStore is DEAD for those who look into it. It is a query.DeadLetters. Its
// methods may be called concurrently, and by several processes.
type DeadStore struct {
	conn      *Conn
	publisher *Publisher
	at        func(point string)

	window, look int
}

// NewDeadStore makes a DeadStore; what it replays goes by way of p. at may be
// nil; it is called between the steps of a replay, for tests that end the
// process there.
func NewDeadStore(c *Conn, p *Publisher, at func(point string)) *DeadStore {
	if at == nil {
		at = func(string) {}
	}
	return &DeadStore{conn: c, publisher: p, at: at, window: deadWindow, look: deadLook}
}

// DeadLogs lists up to limit logs with an id below before (0: all), newest
// first, without their bytes. next is the before of the page that follows, 0 at
// the end. It looks at a bounded number of logs, so that where few of them fit
// a page may be short, or empty, and not the last.
//
// JetStream reads forward only: the listing goes down in windows, each of which
// is read forward.
func (s *DeadStore) DeadLogs(ctx context.Context, f schemas.DeadFilter, before uint64, limit int) (logs []schemas.Dead, next uint64, err error) {
	state, err := s.conn.streamState(ctx, schemas.StreamDead)
	if err != nil {
		return nil, 0, err
	}
	high := state.LastSeq + 1
	if before > 0 {
		high = min(high, before)
	}
	widest, looked := uint64(s.window), 0
	span := min(firstWindow, widest)
	for high > state.FirstSeq && len(logs) < limit && looked < s.look {
		w := deadRange{low: max(state.FirstSeq, high-min(span, high)), high: high, most: limit - len(logs)}
		if err := s.readRange(ctx, &f, &w); err != nil {
			return nil, 0, err
		}
		looked += w.read
		if w.dense != 0 { // the numbers above it may have large gaps
			span = max((high-w.dense)/2, widest)
			continue
		}
		slices.Reverse(w.logs)
		logs = append(logs, w.logs...)
		high = w.low
		if w.more {
			high = w.logs[len(w.logs)-1].ID
		}
		if w.read*4 < int(span) {
			span *= 8
		} else {
			span = min(span*4, widest)
		}
	}
	if high <= state.FirstSeq || state.Msgs == 0 {
		high = 0
	}
	return logs, high, nil
}

// deadRange is a range of ids, and the last of the logs in it that fit.
type deadRange struct {
	low, high uint64 // high is the id after the last
	most      int

	logs  []schemas.Dead // oldest first, at most most
	more  bool           // others fit as well, older ones
	read  int
	dense uint64 // where reading was given up, with too many logs behind; 0 where it was not
}

func (s *DeadStore) readRange(ctx context.Context, f *schemas.DeadFilter, w *deadRange) error {
	err := s.scan(ctx, w.low, func(d schemas.Dead, _ uint64) bool {
		if d.ID >= w.high {
			return false
		}
		if w.read == s.window {
			w.dense = d.ID
			return false
		}
		w.read++
		if !f.Fits(&d) {
			return true
		}
		if w.logs = append(w.logs, d); len(w.logs) > 2*w.most {
			w.logs, w.more = slices.Delete(w.logs, 0, len(w.logs)-w.most), true
		}
		return true
	})
	if over := len(w.logs) - w.most; over > 0 {
		w.logs, w.more = w.logs[over:], true
	}
	return err
}

// DeadLog is one log, with its bytes unless they are in the object store. An
// error that wraps schemas.ErrNotFound means that there is none of that id.
func (s *DeadStore) DeadLog(ctx context.Context, id uint64) (schemas.Dead, error) {
	stream, err := s.conn.js.Stream(ctx, schemas.StreamDead)
	if err != nil {
		return schemas.Dead{}, fmt.Errorf("read DEAD: %w", err)
	}
	msg, err := stream.GetMsg(ctx, max(id, 1))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Sequence != id {
		return schemas.Dead{}, fmt.Errorf("dead log %d: %w", id, schemas.ErrNotFound)
	}
	if err != nil {
		return schemas.Dead{}, fmt.Errorf("read DEAD: message %d: %w", id, err)
	}
	return readDead(msg), nil
}

// WriteDead writes the bytes of a log that DeadLog has returned, also where
// they are in the object store, without holding all of them. An error that
// wraps schemas.ErrNotFound means that they are gone.
func (s *DeadStore) WriteDead(ctx context.Context, d schemas.Dead, w io.Writer) error {
	if d.Object == "" {
		_, err := w.Write(d.Raw)
		return err
	}
	store, err := s.conn.js.ObjectStore(ctx, schemas.BucketDead)
	if err != nil {
		return fmt.Errorf("open the object store: %w", err)
	}
	info, err := store.GetInfo(ctx, d.Object)
	if err != nil {
		return objectError(d.Object, err)
	}
	if _, err = io.Copy(w, s.conn.objectReader(ctx, info)); err != nil {
		return fmt.Errorf("read dead log %s: %w", d.Object, err)
	}
	return nil
}

func objectError(name string, err error) error {
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("dead log %s: %w", name, schemas.ErrNotFound)
	}
	return fmt.Errorf("read dead log %s: %w", name, err)
}

// remove takes a log out of DEAD. That it is gone already is success: its id is
// no other log's. The server overwrites what it removed when it next compacts
// the file; to have it do so at once takes 16 ms a log instead of 0.8.
//
// Its object goes first. A crash between the two leaves a message that names no
// object: it can be discarded, and a repeat of the log writes the object again.
// A repeat that does so while the message is still there is told that DEAD has
// the log, so that the object is looked for once more when it has not.
func (s *DeadStore) remove(ctx context.Context, d *schemas.Dead) error {
	if err := s.removeLog(ctx, d); err != nil {
		return fmt.Errorf("remove dead log %d: %w", d.ID, err)
	}
	return nil
}

func (s *DeadStore) removeLog(ctx context.Context, d *schemas.Dead) error {
	stream, err := s.conn.js.Stream(ctx, schemas.StreamDead)
	if err != nil {
		return err
	}
	if d.Object == "" {
		_, err := deleteMessage(ctx, stream, d.ID)
		return err
	}
	msg, err := stream.GetMsg(ctx, d.ID)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	// Somebody else may have removed the log, and it may have come again.
	needed := func(ctx context.Context) (bool, error) {
		last, err := stream.GetLastMsgForSubject(ctx, msg.Subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, nil
		}
		return err == nil && last.Sequence != d.ID, err
	}
	if err := s.dropObject(ctx, d.Object, needed); err != nil {
		return err
	}
	s.at("object_removed")
	if _, err := deleteMessage(ctx, stream, d.ID); err != nil {
		return err
	}
	return s.dropObject(ctx, d.Object, needed)
}
