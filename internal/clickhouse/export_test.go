package clickhouse

import (
	"context"
	"errors"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// RefusingCodes lets a test compare the codes with the server's names.
var RefusingCodes = refusingCodes

// RunFencedForever runs a statement of an epoch that ends with ctx alone.
func RunFencedForever(ctx context.Context, s *CountStore, epoch uint64) error {
	q := schemas.Query{SQL: "INSERT INTO epochs (role, epoch) SELECT 'other', sleepEachRow(1) FROM numbers(3600) WHERE " + holds + " SETTINGS max_block_size = 1", Params: map[string]any{}}
	return s.fence.exec(ctx, "sleep", epoch, q)
}

// RunningBefore is how many statements of epochs before this one run.
func RunningBefore(ctx context.Context, s *CountStore, epoch uint64) (uint64, error) {
	return s.fence.running(ctx, epoch)
}

// InsertEventsOnce is an insert of events that is not cut in two.
func InsertEventsOnce(ctx context.Context, db *DB, events []schemas.Event) error {
	return insertWithin(ctx, db, "events", insertedColumns(), events)
}

// IsNoMemory tells whether an insert met a limit of memory.
func IsNoMemory(err error) bool { return errors.Is(err, errNoMemory) }

// SipHash64 lets a test compare the hash with the server's.
var SipHash64 = sipHash64

// TouchStale is what a recount does last, of a share of the clients.
func TouchStale(ctx context.Context, s *CountStore, r schemas.Recount, shard, shards uint64) error {
	return s.touchStale(ctx, r, shard, shards)
}
