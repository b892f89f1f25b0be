package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Cursors keeps in the bucket CURSORS how far each tenant has been pulled. Its
// methods may be called concurrently.
type Cursors struct{ conn *Conn }

// NewCursors makes the cursors of the bucket that Declare has declared.
func NewCursors(c *Conn) *Cursors { return &Cursors{c} }

// Load returns what was saved of a tenant last, and its revision; 0 where nothing
// was, or nobody who pulls has declared the bucket yet.
func (c *Cursors) Load(ctx context.Context, tenant string) (state []byte, revision uint64, err error) {
	kv, err := c.bucket(ctx)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	entry, err := kv.Get(ctx, tenant)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the cursor of %s: %w", tenant, err)
	}
	return entry.Value(), entry.Revision(), nil
}

// Save puts a state over the revision that was loaded or saved last, and returns the
// new one when it is on disk. An error that wraps schemas.ErrCursorMoved means that
// another has saved one meanwhile, or that the answer to a save was lost.
func (c *Cursors) Save(ctx context.Context, tenant string, state []byte, revision uint64) (uint64, error) {
	kv, err := c.bucket(ctx)
	if err != nil {
		return 0, err
	}
	if revision == 0 {
		revision, err = kv.Create(ctx, tenant, state)
	} else {
		revision, err = kv.Update(ctx, tenant, state, revision)
	}
	if wrongRevision(err) {
		err = fmt.Errorf("%w: %w", schemas.ErrCursorMoved, err)
	}
	if err != nil {
		return 0, fmt.Errorf("save the cursor of %s: %w", tenant, err)
	}
	return revision, nil
}

// All returns what was saved of each tenant. It asks for the subjects of the stream,
// not for its keys, which would take the right to make consumers.
func (c *Cursors) All(ctx context.Context) (states map[string][]byte, err error) {
	if err := c.conn.waitConnected(ctx); err != nil {
		return nil, err
	}
	const prefix = "$KV." + schemas.BucketCursors + "."
	stream, err := c.conn.js.Stream(ctx, streamCursors)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // nobody who pulls has been here yet
	}
	if err != nil {
		return nil, fmt.Errorf("list the cursors: %w", err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, fmt.Errorf("list the cursors: %w", err)
	}
	states = map[string][]byte{}
	for subject := range info.State.Subjects {
		tenant := strings.TrimPrefix(subject, prefix)
		state, revision, err := c.Load(ctx, tenant)
		if err != nil {
			return nil, err
		}
		if revision > 0 {
			states[tenant] = state
		}
	}
	return states, nil
}

func (c *Cursors) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	if err := c.conn.waitConnected(ctx); err != nil {
		return nil, err
	}
	kv, err := c.conn.js.KeyValue(ctx, schemas.BucketCursors)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", schemas.BucketCursors, err)
	}
	return kv, nil
}
