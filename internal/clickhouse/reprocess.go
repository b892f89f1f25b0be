package clickhouse

import (
	"context"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ReprocessStore is what a reprocess reads and writes. What it writes is
// dropped, without an error, where a later epoch has begun. Its reads see every
// insert that has returned. Its methods may be called concurrently.
type ReprocessStore struct {
	*ReprocessJobs
	*Writer
	db    *DB
	fence fence
}

// roleReprocess is whose epochs fence a reprocess.
const roleReprocess = "reprocess"

// NewReprocessStore makes a ReprocessStore of db, whose user must be allowed to
// read and insert. db stays the caller's to close.
func NewReprocessStore(db *DB) *ReprocessStore {
	return &ReprocessStore{NewReprocessJobs(db), NewWriter(db), db, fence{db, roleReprocess}}
}

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *ReprocessStore) LastEpoch(ctx context.Context) (uint64, error) {
	return s.fence.lastEpoch(ctx)
}

// BeginEpoch records that a holder of the lease begins, before it reads
// anything, and returns when nothing of an earlier holder can be written any
// more.
func (s *ReprocessStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// SaveReprocess stores how far a job is, of one epoch, Ver >> 32.
func (s *ReprocessStore) SaveReprocess(ctx context.Context, job schemas.Reprocess) error {
	if err := checkReprocess(&job); err != nil {
		return fmt.Errorf("save a job: %w", err)
	}
	return insertFenced(ctx, s.fence, job.Ver>>32, "reprocess_jobs", reprocessColumns(), reprocessPartition, []schemas.Reprocess{job})
}

// RecordDays are the days that have records of a tenant in [from, to), the
// first first. It counts without FINAL: copies not yet merged count.
func (s *ReprocessStore) RecordDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.RecordDay, error) {
	w := s.within(from, to)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	q := w.query("SELECT toInt64(toUnixTimestamp(toStartOfDay(time))) AS day, countIf(deleted = 0)\nFROM events\n", "GROUP BY day\nORDER BY day")
	return collect(ctx, s.db.conn, "count the records of each day", q, func(scan scanner) (d schemas.RecordDay, err error) {
		var day int64
		err = scan(&day, &d.Count)
		d.Day = time.Unix(day, 0).UTC()
		return d, err
	})
}

// within is a range of times, as far as the retention has left it whole.
func (s *ReprocessStore) within(from, to time.Time) where {
	return within(ceilMilli(later(from, s.db.edge("events"))), ceilMilli(to))
}

// StoredRecords are the records of r in the order of the key, with their raw
// logs, and whether those are all. It takes the highest ver of each key by
// itself, and not by FINAL, which hides what was moved.
func (s *ReprocessStore) StoredRecords(ctx context.Context, r schemas.RecordRange) (records []schemas.StoredRecord, all bool, err error) {
	const attempt = "read stored records"
	// Once enough is read the rest of the answer is not wanted.
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	q := s.recordsQuery(r)
	params, err := encodeParams(q.Params)
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", attempt, err)
	}
	rows, err := s.db.conn.Query(ch.Context(ctx, ch.WithParameters(params), ch.WithSettings(recordSettings())), q.SQL)
	if err != nil {
		return nil, false, queryError(ctx, attempt, err)
	}
	defer rows.Close()
	defer enough() // before Close, which reads on
	scan, size := newEventScan(), 0
	for rows.Next() {
		var (
			cut     string
			deleted uint8
			record  schemas.StoredRecord
		)
		if record.Event, err = scan.row(rows.Scan, &cut, &deleted); err != nil {
			return nil, false, queryError(ctx, attempt, err)
		}
		record.Raw, record.Deleted = rebuildRaw(&record.Event, []byte(cut)), deleted != 0
		records = append(records, record)
		if size += len(record.Raw); size >= r.Bytes {
			return records, false, nil
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, queryError(ctx, attempt, err)
	}
	return records, len(records) < r.Rows, nil
}

// recordSettings bound what is on its way at once: a record may be large.
func recordSettings() ch.Settings {
	return ch.Settings{"max_block_size": 256, "optimize_read_in_order": 1, "max_threads": 2}
}

func (s *ReprocessStore) recordsQuery(r schemas.RecordRange) schemas.Query {
	w := s.within(r.From, r.To)
	w.and("tenant = {tenant:String}", "tenant", r.Tenant)
	if r.After != nil {
		at := milliseconds("after_time")
		w.and("(client_id > {after_client:String} OR client_id = {after_client:String} AND (time > "+at+" OR time = "+at+" AND log_id > {after_log:String}))",
			"after_time", r.After.Time.UnixMilli())
		w.param("after_client", r.After.ClientID)
		w.param("after_log", r.After.LogID)
	}
	w.param("limit", r.Rows)
	return w.query("SELECT "+eventFields()+", raw, deleted\nFROM events\n",
		"ORDER BY tenant, client_id, time, log_id, ver DESC\nLIMIT 1 BY tenant, client_id, time, log_id\nLIMIT {limit:UInt32}")
}

// LastGeneration is the highest generation that began and its basis, 0 where
// none has.
func (s *ReprocessStore) LastGeneration(ctx context.Context) (generation uint64, basis string, err error) {
	q := schemas.Query{SQL: "SELECT generation, basis FROM generations ORDER BY generation DESC LIMIT 1"}
	_, err = collect(ctx, s.db.conn, "read the last generation", q, func(scan scanner) (struct{}, error) {
		return struct{}{}, scan(&generation, &basis)
	})
	return generation, basis, err
}

// BeginGeneration records a generation, before anything is written by it.
func (s *ReprocessStore) BeginGeneration(ctx context.Context, epoch, generation uint64, basis string) error {
	columns := []column[uint64]{
		{"generation", func(n *uint64) any { return *n }},
		{"basis", func(*uint64) any { return basis }},
	}
	return insertFenced(ctx, s.fence, epoch, "generations", columns, func(*uint64) int64 { return 0 }, []uint64{generation})
}

// ReplaceMatches stores matches of events that are about to be replaced.
func (s *ReprocessStore) ReplaceMatches(ctx context.Context, epoch uint64, matches []schemas.Match) error {
	if err := checkMatches(matches); err != nil {
		return err
	}
	return insertFenced(ctx, s.fence, epoch, "matches", matchColumns(), matchPartition, matches)
}

// ReplaceRecords stores records in place of what they were, before them where to
// find those that are not deleted, and behind them their versions. Index rows need no fence: what
// leads to no event leads nowhere.
func (s *ReprocessStore) ReplaceRecords(ctx context.Context, epoch uint64, records []schemas.StoredRecord) error {
	var there []schemas.Event
	for i := range records {
		if err := checkEvent(&records[i].Event); err != nil {
			return fmt.Errorf("replace %d records: %w", len(records), err)
		}
		if !records[i].Deleted {
			there = append(there, records[i].Event)
		}
	}
	if err := s.insertIndexes(ctx, there); err != nil {
		return err
	}
	byDay := func(r *schemas.StoredRecord) int64 { return dayOf(r.Time) }
	if err := insertFenced(ctx, s.fence, epoch, "events", recordColumns(insertedColumns()), byDay, records); err != nil {
		return err
	}
	byMonth := func(r *schemas.StoredRecord) int64 { return versionPartition(&r.Event) }
	return insertFenced(ctx, s.fence, epoch, "versions", recordColumns(versionColumns()), byMonth, records)
}

func recordColumns(of []column[schemas.Event]) []column[schemas.StoredRecord] {
	columns := []column[schemas.StoredRecord]{{"deleted", func(r *schemas.StoredRecord) any { return flag(r.Deleted) }}}
	for _, c := range of {
		columns = append(columns, column[schemas.StoredRecord]{c.name, func(r *schemas.StoredRecord) any { return c.value(&r.Event) }})
	}
	return columns
}
