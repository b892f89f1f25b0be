package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// touchStale touches, for the correlator, the keys and hours of matches that
// are believed no more. The flush of the copy that survived touched the keys
// that this copy matches by, and none where no selector selects it: what rests
// on the copy that lost would stay. All go in one insert, as those of a flush.
func (s *CountStore) touchStale(ctx context.Context, r schemas.Recount) error {
	touches, err := s.staleMatches(ctx, r, 0, 1)
	if err != nil || len(touches) == 0 {
		return err
	}
	flushes, err := flushTimes(touches, func(t *schemas.Touch) string { return t.Flush })
	if err != nil {
		return fmt.Errorf("touch %d keys of matches that lost: %w", len(touches), err)
	}
	oneDay := func(*schemas.Touch) int64 { return 0 }
	return insertFenced(ctx, s.fence, r.Ver>>32, "touches", touchColumns(flushes), oneDay, touches)
}

// staleMatches are the touches; those of a share of the clients where all are
// too much for one query.
func (s *CountStore) staleMatches(ctx context.Context, r schemas.Recount, shard, shards uint64) ([]schemas.Touch, error) {
	q := recountQuery(r, staleMatchesQuery, shard, shards)
	touches, err := collect(ctx, s.db.conn, "look for matches that lost", q, func(scan scanner) (schemas.Touch, error) {
		t := schemas.Touch{Flush: r.Flush, Tenant: r.Tenant}
		err := scan(&t.Selector, &t.Key, &t.Bucket)
		t.Bucket = t.Bucket.UTC()
		return t, err
	})
	if !errors.Is(err, schemas.ErrQueryTooLarge) || shards >= maxShards {
		return touches, err
	}
	touches, err = s.staleMatches(ctx, r, shard, shards*2)
	if err != nil {
		return nil, err
	}
	more, err := s.staleMatches(ctx, r, shard+shards, shards*2)
	return append(touches, more...), err
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
