package clickhouse

import (
	"context"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// FindingStore is what the correlator reads and writes: touches, correlations
// over matches, findings and deliveries. Its reads see every insert that has
// returned. Its methods may be called concurrently.
type FindingStore struct {
	db    *DB
	fence fence
}

// NewFindingStore makes a FindingStore of db, whose user must be allowed to
// read, insert and alter. db stays the caller's to close.
func NewFindingStore(db *DB) *FindingStore {
	return &FindingStore{db, fence{db, ReaderCorrelate}}
}

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *FindingStore) LastEpoch(ctx context.Context) (uint64, error) { return s.fence.lastEpoch(ctx) }

// BeginEpoch records that a holder of the lease begins, before it reads
// anything, and returns when nothing of an earlier holder can be written any
// more.
func (s *FindingStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// WarmingSelectors are those for which history is not matched yet.
func (s *FindingStore) WarmingSelectors(ctx context.Context) (map[string]bool, error) {
	q := schemas.Query{SQL: "SELECT selector FROM selectors FINAL WHERE state = {state:String}", Params: map[string]any{"state": string(schemas.SelectorWarming)}}
	names, err := collect(ctx, s.db.conn, "look for selectors that are warming", q, scanOne[string])
	warming := make(map[string]bool, len(names))
	for _, n := range names {
		warming[n] = true
	}
	return warming, err
}

// Correlate runs a compiled correlation and returns its rows.
func (s *FindingStore) Correlate(ctx context.Context, q schemas.Query) ([]schemas.CorrelationRow, error) {
	settings := ch.Settings{}
	q.SQL = s.db.planning(ctx, q.SQL, settings)
	if q.Patient {
		settings["max_threads"], settings["os_thread_priority"] = 1, patientNice
	}
	return collect(ch.Context(ctx, ch.WithSettings(settings)), s.db.conn, "correlate", q, func(scan scanner) (r schemas.CorrelationRow, err error) {
		err = scan(&r.Key, &r.Period, &r.First, &r.Last, &r.Count, &r.Values, &r.LogIDs,
			&r.Imported, &r.Baseline, &r.BaselineDays, &r.LastSuccess, &r.Facts)
		if len(r.Facts) == 0 {
			r.Facts = nil
		}
		return r, err
	})
}

// patientNice is the nice value of the threads of a patient query, where the server may
// set one: it needs CAP_SYS_NICE for that, and says nothing where it has not. It is a
// small one, which leaves a third beside a thread of usual niceness: others' processes
// come before it, too, and what never has the processor holds its place for ever.
const patientNice = 5

// scanner takes the columns of one row.
type scanner func(dest ...any) error

// scanOne is the row of a query for one column.
func scanOne[V any](scan scanner) (v V, err error) {
	err = scan(&v)
	return v, err
}

// collect runs q and returns its rows.
func collect[R any](ctx context.Context, conn driver.Conn, attempt string, q schemas.Query, row func(scanner) (R, error)) ([]R, error) {
	params, err := encodeParams(q.Params)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", attempt, err)
	}
	rows, err := conn.Query(ch.Context(ctx, ch.WithParameters(params)), q.SQL)
	if err != nil {
		return nil, queryError(ctx, attempt, err)
	}
	defer rows.Close()
	var all []R
	for rows.Next() {
		r, err := row(rows.Scan)
		if err != nil {
			return nil, queryError(ctx, attempt, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, queryError(ctx, attempt, err)
	}
	return all, nil
}
