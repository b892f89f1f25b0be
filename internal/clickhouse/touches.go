package clickhouse

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// InsertTouches stores the touches of a flush. All touches of one flush must
// come in one call: a reader that saw some of them would mark the flush done.
func (w *Writer) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	days, err := flushDays(touches, func(t *schemas.Touch) string { return t.Flush })
	if err != nil {
		return fmt.Errorf("insert %d touches: %w", len(touches), err)
	}
	for i := range touches {
		if err := checkTime("bucket", touches[i].Bucket); err != nil {
			return fmt.Errorf("insert %d touches: %w", len(touches), err)
		}
	}
	partition := func(t *schemas.Touch) int64 { return dayOf(days[t.Flush]) }
	return insert(ctx, w.db, "touches", touchColumns(days), partition, touches)
}

func touchColumns(days map[string]time.Time) []column[schemas.Touch] {
	type touch = schemas.Touch
	return []column[touch]{
		{"day", func(t *touch) any { return days[t.Flush] }},
		{"flush", func(t *touch) any { return t.Flush }},
		{"selector", func(t *touch) any { return t.Selector }},
		{"tenant", func(t *touch) any { return t.Tenant }},
		{"key", func(t *touch) any { return t.Key }},
		{"bucket", func(t *touch) any { return t.Bucket }},
	}
}

// maxTouches is how many touches are read at once, but for a flush that alone
// has more: whoever makes up client ids makes a touch with each.
const maxTouches = 100_000

// Touched returns the touches of up to maxFlushes flushes that the reader has
// not marked done, oldest first, and the ids of those flushes. They are fewer
// where they have many touches.
func (s *FindingStore) Touched(ctx context.Context, reader string, maxFlushes int) ([]schemas.Touch, []string, error) {
	flushes, err := s.undone(ctx, reader, maxFlushes)
	if err != nil || len(flushes) == 0 {
		return nil, nil, err
	}
	q := schemas.Query{SQL: touchesOfFlushes, Params: map[string]any{"flushes": flushes}}
	touches, err := collect(ctx, s.db.conn, "read touches", q, func(scan scanner) (t schemas.Touch, err error) {
		err = scan(&t.Flush, &t.Selector, &t.Tenant, &t.Key, &t.Bucket)
		t.Bucket = t.Bucket.UTC()
		return t, err
	})
	return touches, flushes, err
}

// A UUID is ordered by its second half here, toUInt128 by its first, where
// version 7 has the time.
const (
	undoneFlushes = `SELECT toString(flush), count()
FROM touches
WHERE flush NOT IN (SELECT flush FROM touches_done WHERE reader = {reader:String})
GROUP BY flush
ORDER BY toUInt128(flush)
LIMIT {limit:UInt32}`

	touchesOfFlushes = `SELECT DISTINCT toString(flush), selector, tenant, key, bucket
FROM touches
WHERE flush IN (SELECT arrayJoin({flushes:Array(UUID)}))
ORDER BY toUInt128(flush), selector, tenant, key, bucket`
)

// undone are the oldest flushes that the reader has not marked done.
func (s *FindingStore) undone(ctx context.Context, reader string, limit int) ([]string, error) {
	type sized struct {
		flush   string
		touches uint64
	}
	q := schemas.Query{SQL: undoneFlushes, Params: map[string]any{"reader": reader, "limit": max(limit, 0)}}
	all, err := collect(ctx, s.db.conn, "look for touches", q, func(scan scanner) (f sized, err error) {
		err = scan(&f.flush, &f.touches)
		return f, err
	})
	var flushes []string
	touches := uint64(0)
	for _, f := range all {
		if touches += f.touches; touches > maxTouches && len(flushes) > 0 {
			break
		}
		flushes = append(flushes, f.flush)
	}
	return flushes, err
}

// MarkTouched records that the reader has done these flushes.
func (s *FindingStore) MarkTouched(ctx context.Context, reader string, flushes []string) error {
	days, err := flushDays(flushes, func(f *string) string { return *f })
	if err != nil {
		return fmt.Errorf("mark %d flushes done: %w", len(flushes), err)
	}
	columns := []column[string]{
		{"day", func(f *string) any { return days[*f] }},
		{"reader", func(*string) any { return reader }},
		{"flush", func(f *string) any { return *f }},
	}
	return insert(ctx, s.db, "touches_done", columns, func(f *string) int64 { return dayOf(days[*f]) }, flushes)
}

// DropTouched drops the days before the given one whose flushes every reader
// has done. It drops parts and not whole partitions: a part never changes, so
// what a late flush writes between the look and the drop stays.
//
// The marks of a day go after its last touch. A crash between the two leaves
// marks without touches, which the next call drops; the other order would
// leave touches that every reader does once more.
func (s *FindingStore) DropTouched(ctx context.Context, readers []string, before time.Time) error {
	readers = slices.Compact(slices.Sorted(slices.Values(readers)))
	if len(readers) == 0 {
		return errors.New("drop touches: no reader is named, so none can have done them")
	}
	params := map[string]any{"readers": readers, "before": before.UTC().Format(time.DateOnly)}
	parts, err := collect(ctx, s.db.conn, "look for done touches", schemas.Query{SQL: doneParts, Params: params}, scanOne[string])
	if err != nil {
		return err
	}
	if err := s.drop(ctx, "ALTER TABLE touches DROP PART {name:String}", parts); err != nil {
		return err
	}
	marks, err := collect(ctx, s.db.conn, "look for marks without touches", schemas.Query{SQL: markPartitions, Params: params}, scanOne[string])
	if err != nil {
		return err
	}
	return s.drop(ctx, "ALTER TABLE touches_done DROP PARTITION ID {name:String}", marks)
}

const (
	doneParts = `SELECT _part
FROM touches
WHERE day < {before:Date}
GROUP BY _part
HAVING countIf(flush NOT IN (
    SELECT flush
    FROM touches_done
    WHERE day < {before:Date} AND reader IN {readers:Array(String)}
    GROUP BY flush
    HAVING uniqExact(reader) = length({readers:Array(String)})
)) = 0
ORDER BY _part`

	markPartitions = `SELECT DISTINCT _partition_id
FROM touches_done
WHERE day < {before:Date} AND day NOT IN (SELECT day FROM touches WHERE day < {before:Date})
ORDER BY _partition_id`
)

// drop runs statement for each name. A part that a merge has replaced is left
// for the next call.
func (s *FindingStore) drop(ctx context.Context, statement string, names []string) error {
	for _, name := range names {
		withName := ch.Context(ctx, ch.WithParameters(ch.Parameters{"name": name}))
		if err := s.db.conn.Exec(withName, statement); err != nil && !isException(err, codeNoSuchPart) {
			return queryError(ctx, "drop touches of "+name, err)
		}
	}
	return nil
}

// flushDays maps the flushes of rows to the UTC days that their ids carry.
func flushDays[R any](rows []R, flush func(*R) string) (map[string]time.Time, error) {
	days := make(map[string]time.Time)
	for i := range rows {
		id := flush(&rows[i])
		if _, ok := days[id]; ok {
			continue
		}
		day, err := flushDay(id)
		if err != nil {
			return nil, err
		}
		days[id] = day
	}
	return days, nil
}

// flushDay is the UTC day in the first 48 bits of a UUID version 7, which are
// Unix milliseconds.
func flushDay(flush string) (time.Time, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(flush, "-", ""))
	if err != nil || len(flush) != 36 || len(id) != 16 || id[6]>>4 != 7 {
		return time.Time{}, fmt.Errorf("%w: flush %q is not a UUID version 7", schemas.ErrRefused, clip(flush, maxErrorQuoted))
	}
	t := time.UnixMilli(int64(binary.BigEndian.Uint64(id) >> 16)).UTC()
	return t.Truncate(24 * time.Hour), checkTime("flush", t)
}
