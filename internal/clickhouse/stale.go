package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// touchStale touches, for the correlator, the keys and hours of matches that
// are believed no more. The flush of the copy that survived touched the keys
// that this copy matches by, and none where no selector selects it: what rests
// on the copy that lost would stay.
//
// Where all are too much for one query they go by a share of the clients, each
// with a flush of its own, as what one insert has of a flush must be all of it.
func (s *CountStore) touchStale(ctx context.Context, r schemas.Recount, shard, shards uint64) error {
	touches, err := s.staleMatches(ctx, r, shard, shards)
	switch {
	case errors.Is(err, schemas.ErrQueryTooLarge) && shards < maxShards:
		if err := s.touchStale(ctx, r, shard, shards*2); err != nil {
			return err
		}
		return s.touchStale(ctx, r, shard+shards, shards*2)
	case err != nil:
		return err
	}
	for some := range slices.Chunk(touches, maxTouches) {
		flush := r.NewFlush()
		at, err := flushTime(flush)
		if err != nil {
			return fmt.Errorf("touch %d keys of matches that lost: %w", len(some), err)
		}
		for i := range some {
			some[i].Flush = flush
		}
		oneDay := func(*schemas.Touch) int64 { return 0 }
		if err := insertFenced(ctx, s.fence, r.Ver>>32, "touches", touchColumns(map[string]time.Time{flush: at}), oneDay, some); err != nil {
			return err
		}
	}
	return nil
}

// staleMatches are the touches, without a flush.
func (s *CountStore) staleMatches(ctx context.Context, r schemas.Recount, shard, shards uint64) ([]schemas.Touch, error) {
	q := recountQuery(r, staleMatchesQuery, shard, shards)
	return collect(ctx, s.db.conn, "look for matches that lost", q, func(scan scanner) (schemas.Touch, error) {
		t := schemas.Touch{Tenant: r.Tenant}
		err := scan(&t.Selector, &t.Key, &t.Bucket)
		t.Bucket = t.Bucket.UTC()
		return t, err
	})
}

// A match is stale where its event is not there in the version that it is of;
// of copies with the same key the last counts, as for the server's merges. The
// keys of matches are not those of events, so this looks at all matches of the
// tenant's day.
const staleMatchesQuery = `SELECT DISTINCT selector, key, toStartOfHour(fromUnixTimestamp64Milli(toInt64(t), 'UTC')) AS hour
FROM (
    SELECT selector, key, client_id, t, log_id, max(ver) AS last_ver
    FROM matches
    WHERE tenant = {tenant:String} AND bucket = {day:Date}
      AND (client_id, toInt64(toUnixTimestamp(toStartOfHour(fromUnixTimestamp64Milli(toInt64(t), 'UTC'))))) IN (` + touchedUnits + `)
    GROUP BY selector, key, client_id, t, log_id
)
WHERE (client_id, t, log_id, last_ver) NOT IN (
    SELECT client_id, toUInt64(toUnixTimestamp64Milli(time)), log_id, ver
    FROM events FINAL
    WHERE ` + ofTheDay + ` AND client_id IN (` + touchedClients + `)
)` + withinPartitions
