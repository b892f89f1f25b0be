package clickhouse

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InsertTouches stores the touches of a flush. All touches of one flush must
// come in one call, and go in one insert even where the server lacks the memory
// for it: a reader that saw some of them would mark the flush done.
func (w *Writer) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	flushes, err := flushTimes(touches, func(t *schemas.Touch) string { return t.Flush })
	if err != nil {
		return fmt.Errorf("insert %d touches: %w", len(touches), err)
	}
	for i := range touches {
		if err := checkTime("bucket", touches[i].Bucket); err != nil {
			return fmt.Errorf("insert %d touches: %w", len(touches), err)
		}
	}
	if len(touches) == 0 {
		return nil
	}
	return insertWithin(ctx, w.db, "touches", touchColumns(flushes), touches)
}

func touchColumns(flushes map[string]time.Time) []column[schemas.Touch] {
	type touch = schemas.Touch
	return []column[touch]{
		{"day", func(t *touch) any { return flushes[t.Flush] }},
		{"flush", func(t *touch) any { return t.Flush }},
		{"selector", func(t *touch) any { return t.Selector }},
		{"tenant", func(t *touch) any { return t.Tenant }},
		{"key", func(t *touch) any { return t.Key }},
		{"bucket", func(t *touch) any { return t.Bucket }},
		{"since", func(t *touch) any { return flushes[t.Flush] }},
		{"touched", func(t *touch) any { return flushes[t.Flush] }},
	}
}

// The names by which the two readers of touches mark what they have done.
const (
	ReaderCorrelate = "correlate"
	ReaderRecount   = "recount"
)

// readerOf is the expression for the reader of a touch.
const readerOf = "if(selector = '" + schemas.SelectorCounts + "', '" + ReaderRecount + "', '" + ReaderCorrelate + "')"

// undoneBy are the touches that a reader has not marked done.
const undoneBy = readerOf + ` = {reader:String}
  AND flush NOT IN (SELECT flush FROM touches_done WHERE reader = {reader:String})`

// maxTouches is how many touches are read at once, but for a flush that alone
// has more: whoever makes up client ids makes a touch with each.
const maxTouches = 100_000

// Touched returns the touches of up to maxFlushes flushes that the correlator
// has not marked done, oldest first, and the ids of those flushes. They are
// fewer where they have many touches. Those of history come when there are no
// others. Flushes that are known are left out.
func (s *FindingStore) Touched(ctx context.Context, maxFlushes int, known ...string) ([]schemas.Touch, []string, error) {
	q := schemas.Query{SQL: undoneTouches, Params: map[string]any{
		"reader": ReaderCorrelate, "known": slices.Concat([]string{}, known), "limit": max(maxFlushes, 0), "most": maxTouches,
	}}
	touches, err := collect(ctx, s.db.conn, "read touches", q, func(scan scanner) (t schemas.Touch, err error) {
		err = scan(&t.Flush, &t.Selector, &t.Tenant, &t.Key, &t.Bucket)
		t.Bucket = t.Bucket.UTC()
		return t, err
	})
	var flushes []string
	for i, t := range touches {
		if i > 0 && t.Flush == touches[i-1].Flush {
			continue
		}
		if i > 0 && schemas.IsHistoryFlush(t.Flush) != schemas.IsHistoryFlush(flushes[0]) {
			touches = touches[:i]
			break
		}
		flushes = append(flushes, t.Flush)
	}
	return touches, flushes, err
}

// A UUID is ordered by its second half here, toUInt128 by its first, where
// versions 7 and 8 have the time. Version 8 is of history.
const (
	undoneFirst = `FROM touches
WHERE ` + undoneBy + `
  AND flush NOT IN (SELECT arrayJoin({known:Array(UUID)}))
GROUP BY flush
ORDER BY substring(toString(flush), 15, 1), toUInt128(flush)
LIMIT {limit:UInt32}`

	undoneFlushesQuery = "SELECT toString(flush), count()\n" + undoneFirst

	// The first flush comes whatever it has, and others with it as long as there is room.
	undoneTouches = `SELECT DISTINCT toString(flush) AS id, selector, tenant, key, bucket
FROM touches
WHERE ` + readerOf + ` = {reader:String} AND flush IN (
    SELECT flush FROM (
        SELECT flush, n, sum(n) OVER (ORDER BY substring(toString(flush), 15, 1), toUInt128(flush)) AS upto FROM (
            SELECT flush, count() AS n ` + undoneFirst + `
        )
    )
    WHERE upto = n OR upto <= {most:UInt64}
)
ORDER BY substring(id, 15, 1), toUInt128(flush), selector, tenant, key, bucket`
)

// undoneFlushes are the oldest flushes that the reader has not marked done, but for
// those that are known.
func undoneFlushes(ctx context.Context, db *DB, reader string, limit int, known []string) ([]schemas.Flush, error) {
	q := schemas.Query{SQL: undoneFlushesQuery, Params: map[string]any{"reader": reader, "limit": max(limit, 0), "known": slices.Concat([]string{}, known)}}
	return collect(ctx, db.conn, "look for touches", q, func(scan scanner) (f schemas.Flush, err error) {
		err = scan(&f.ID, &f.Touches)
		return f, err
	})
}

// MarkTouched records that the correlator has done these flushes, unless a
// later epoch has begun.
func (s *FindingStore) MarkTouched(ctx context.Context, epoch uint64, flushes []string) error {
	return markTouched(ctx, s.fence, epoch, ReaderCorrelate, flushes)
}

func markTouched(ctx context.Context, f fence, epoch uint64, reader string, flushes []string) error {
	times, err := flushTimes(flushes, func(f *string) string { return *f })
	if err != nil {
		return fmt.Errorf("mark %d flushes done: %w", len(flushes), err)
	}
	columns := []column[string]{
		{"day", func(f *string) any { return times[*f] }},
		{"reader", func(*string) any { return reader }},
		{"flush", func(f *string) any { return *f }},
	}
	return insertFenced(ctx, f, epoch, "touches_done", columns, func(f *string) int64 { return dayOf(times[*f]) }, flushes)
}

// DropTouched drops the days before the given one whose touches their reader
// has done. It drops parts and not whole partitions: a part never changes, so
// what a late flush writes between the look and the drop stays.
//
// The marks of a day go after its last touch. A crash between the two leaves
// marks without touches, which the next call drops; the other order would
// leave touches that their reader does once more.
func (s *FindingStore) DropTouched(ctx context.Context, before time.Time) error {
	params := map[string]any{"before": before.UTC().Format(time.DateOnly)}
	if err := s.dropDone(ctx, params); err != nil {
		return err
	}
	marks, err := collect(ctx, s.db.conn, "look for marks without touches", schemas.Query{SQL: markPartitions, Params: params}, scanOne[string])
	if err != nil {
		return err
	}
	return s.drop(ctx, "touches_done", "DROP PARTITION ID {name:String}", marks)
}

func (s *FindingStore) dropDone(ctx context.Context, params map[string]any) error {
	if s.db.topology.Cluster != "" {
		return s.deleteDone(ctx, params)
	}
	parts, err := collect(ctx, s.db.conn, "look for done touches", schemas.Query{SQL: doneParts, Params: params}, scanOne[string])
	if err != nil {
		return err
	}
	return s.drop(ctx, "touches", "DROP PART {name:String}", parts)
}

// deleteDone is dropDone on a cluster, where a part's name means another part
// on each shard. What it deletes goes in the background; until then the next
// call deletes it once more.
func (s *FindingStore) deleteDone(ctx context.Context, params map[string]any) error {
	done, err := collect(ctx, s.db.conn, "look for done touches", schemas.Query{SQL: doneFlushes, Params: params}, scanOne[string])
	if err != nil || len(done) == 0 {
		return err
	}
	if err := s.db.alter(ctx, "touches", "DELETE WHERE ("+readerOf+", flush) IN ("+strings.Join(done, ", ")+")"); err != nil {
		return queryError(ctx, fmt.Sprintf("delete the touches of %d flushes", len(done)), err)
	}
	return nil
}

const (
	isDone = "(" + readerOf + ", flush) IN (SELECT reader, flush FROM touches_done WHERE day < {before:Date})"

	doneParts = `SELECT _part
FROM touches
WHERE day < {before:Date}
GROUP BY _part
HAVING countIf(NOT ` + isDone + `) = 0
ORDER BY _part`

	// Pairs as they stand in a statement. That has to stay short, so some wait
	// for the next call.
	doneFlushes = `SELECT DISTINCT concat('(\'', ` + readerOf + `, '\', \'', toString(flush), '\')') AS pair
FROM touches
WHERE day < {before:Date} AND ` + isDone + `
ORDER BY pair
LIMIT 4096`

	markPartitions = `SELECT DISTINCT _partition_id
FROM touches_done
WHERE day < {before:Date} AND day NOT IN (SELECT day FROM touches WHERE day < {before:Date})
ORDER BY _partition_id`
)

// drop alters a table for each name. A part that a merge has replaced is left
// for the next call.
func (s *FindingStore) drop(ctx context.Context, table, action string, names []string) error {
	for _, name := range names {
		withName := ch.Context(ctx, ch.WithParameters(ch.Parameters{"name": name}))
		if err := s.db.alter(withName, table, action); err != nil && !isException(err, codeNoSuchPart) {
			return queryError(ctx, "drop touches of "+name, err)
		}
	}
	return nil
}

// flushTimes maps the flushes of rows to the times that their ids carry.
func flushTimes[R any](rows []R, flush func(*R) string) (map[string]time.Time, error) {
	times := make(map[string]time.Time)
	for i := range rows {
		id := flush(&rows[i])
		if _, ok := times[id]; ok {
			continue
		}
		at, err := flushTime(id)
		if err != nil {
			return nil, err
		}
		times[id] = at
	}
	return times, nil
}

// flushTime is what the first 48 bits of a UUID version 7, or of ours of version
// 8, say, which are Unix milliseconds, cut to the second.
func flushTime(flush string) (time.Time, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(flush, "-", ""))
	if err != nil || len(flush) != 36 || len(id) != 16 || (id[6]>>4 != 7 && id[6]>>4 != 8) {
		return time.Time{}, fmt.Errorf("%w: flush %q is not a UUID version 7 or 8", schemas.ErrRefused, clip(flush, maxErrorQuoted))
	}
	t := time.UnixMilli(int64(binary.BigEndian.Uint64(id) >> 16)).UTC()
	return t.Truncate(time.Second), checkTime("flush", t)
}
