package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// orphanAge is how old the last chunk of an object without a name must be
// before it is taken for an orphan: nobody writes to one for longer.
const orphanAge = 2 * largeTimeout

// dropOrphans removes the chunks that no object names: what is left of a put
// that was killed, or ran out of time. Nothing else would ever remove them, and
// repeats of one log could fill the store for good. It reports whether there
// were any.
func (p *Publisher) dropOrphans(ctx context.Context, store jetstream.ObjectStore) (dropped bool, err error) {
	stream, err := p.conn.js.Stream(ctx, streamDeadLarge)
	if err != nil {
		return false, fmt.Errorf("look for orphans: %w", err)
	}
	// The chunks are listed before the names, or an object that is finished
	// between the two would look like an orphan.
	orphans, err := p.conn.subjects(ctx, streamDeadLarge, chunkSubject("*"))
	if err != nil {
		return false, fmt.Errorf("look for orphans: %w", err)
	}
	objects, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return false, fmt.Errorf("look for orphans: %w", err)
	}
	for _, o := range objects {
		delete(orphans, chunkSubject(o.NUID))
	}
	for subject := range orphans {
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if err != nil || time.Since(last.Time) < p.orphanAge {
			continue
		}
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return dropped, fmt.Errorf("drop orphans: %w", err)
		}
		dropped = true
	}
	return dropped, nil
}

// chunkSubject is where the library puts the chunks of an object.
func chunkSubject(nuid string) string { return "$O." + schemas.BucketDead + ".C." + nuid }

// nameSubject is where it puts the name of an object, and what belongs to it.
func nameSubject(name string) string {
	return "$O." + schemas.BucketDead + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}
