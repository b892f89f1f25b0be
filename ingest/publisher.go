package ingest

import (
	"context"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Publisher is the durable log that ingest writes to. internal/nats has the
// one for JetStream.
//
// Each call returns nil only when what it was given is synced to disk; after
// any error the caller must assume that it was not stored and must not answer
// 2xx for it. Calling again with the same content is harmless. All methods may
// be called concurrently.
type Publisher interface {
	// PublishGroup stores one framed group (schemas.AppendGroupHeader). id is
	// fresh for each group and guards repeats of this very call.
	PublishGroup(ctx context.Context, tenant, id string, group []byte) error

	// PublishDead stores one log that cannot be read. d.Raw may be of any size
	// up to the hard cap of a request: what is larger than a message goes to
	// the object store.
	PublishDead(ctx context.Context, d schemas.Dead) error

	// MaxGroup is the largest group, in bytes, that PublishGroup accepts now.
	MaxGroup() int
}
