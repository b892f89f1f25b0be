package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Backtests is the table by which the API hands backtests to the processor. Its
// reads see every insert that has returned. Its methods may be called
// concurrently.
type Backtests struct {
	db *DB
}

// NewBacktests makes a Backtests of db, whose user must be allowed to read and
// insert. db stays the caller's to close.
func NewBacktests(db *DB) *Backtests { return &Backtests{db} }

// AddBacktest stores a new job.
func (s *Backtests) AddBacktest(ctx context.Context, job schemas.Backtest) error {
	if err := checkTime("created_at", job.CreatedAt); err != nil {
		return fmt.Errorf("insert a backtest: %w", err)
	}
	return insert(ctx, s.db, "backtests", backtestColumns(), backtestPartition, []schemas.Backtest{job})
}

// Backtest is one job.
func (s *Backtests) Backtest(ctx context.Context, id string) (schemas.Backtest, error) {
	w := where{}
	w.and("id = {id:String}", "id", id)
	jobs, err := collect(ctx, s.db.conn, "read a backtest", w.query(selectBacktest, ""), scanBacktest)
	switch {
	case err != nil:
		return schemas.Backtest{}, err
	case len(jobs) == 0:
		return schemas.Backtest{}, fmt.Errorf("backtest %s: %w", clip(id, maxErrorQuoted), schemas.ErrNotFound)
	}
	return jobs[0], nil
}

// OpenBacktests are the jobs that are not over, the oldest first.
func (s *Backtests) OpenBacktests(ctx context.Context) ([]schemas.Backtest, error) {
	q := schemas.Query{SQL: selectBacktest + "WHERE state IN ('" + string(schemas.BacktestPending) + "', '" + string(schemas.BacktestRunning) + "')\nORDER BY created_at, id\nLIMIT 1000"}
	return collect(ctx, s.db.conn, "look for backtests", q, scanBacktest)
}

// CancelBacktest asks to cancel a job. Ids are random, so that cancels of all jobs are
// in one table.
func (s *Backtests) CancelBacktest(ctx context.Context, id string) error {
	return NewReprocessJobs(s.db).CancelReprocess(ctx, id)
}

// BacktestCanceled tells whether somebody asked to cancel a job.
func (s *Backtests) BacktestCanceled(ctx context.Context, id string) (bool, error) {
	return NewReprocessJobs(s.db).ReprocessCanceled(ctx, id)
}

const selectBacktest = "SELECT job, ver FROM backtests FINAL\n"

func scanBacktest(scan scanner) (job schemas.Backtest, err error) {
	var (
		text string
		ver  uint64
	)
	if err := scan(&text, &ver); err != nil {
		return job, err
	}
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		return job, fmt.Errorf("read a backtest: %w", err)
	}
	job.Ver = ver
	return job, nil
}

func backtestPartition(job *schemas.Backtest) int64 { return monthOf(job.CreatedAt) }

func backtestColumns() []column[schemas.Backtest] {
	type job = schemas.Backtest
	return []column[job]{
		{"id", func(j *job) any { return j.ID }},
		{"state", func(j *job) any { return string(j.State) }},
		{"job", func(j *job) any { return backtestText(j) }},
		{"created_at", func(j *job) any { return j.CreatedAt.UnixMilli() }},
		{"ver", func(j *job) any { return j.Ver }},
	}
}

func backtestText(job *schemas.Backtest) string {
	text, err := json.Marshal(job)
	if err != nil { // a struct of strings, numbers and times always marshals
		panic(err)
	}
	return string(text)
}

// BacktestStore is what a backtest reads and writes. What it says of a job is
// dropped, without an error, where a later epoch has begun; the matches that it
// makes need no fence, as they are right whoever makes them. Its methods may be
// called concurrently.
type BacktestStore struct {
	*Backtests
	*Scratch
	fence fence
}

// roleBacktest is whose epochs fence a backtest.
const roleBacktest = "backtest"

// NewBacktestStore makes a BacktestStore of db, whose user must be allowed to
// read, insert and alter. db stays the caller's to close.
func NewBacktestStore(db *DB) *BacktestStore {
	return &BacktestStore{NewBacktests(db), NewScratch(db), fence{db, roleBacktest}}
}

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *BacktestStore) LastEpoch(ctx context.Context) (uint64, error) { return s.fence.lastEpoch(ctx) }

// BeginEpoch records that a holder of the lease begins, before it reads
// anything, and returns when nothing of an earlier holder can be written any
// more.
func (s *BacktestStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// SaveBacktest stores how far a job is, of one epoch, Ver >> 32.
func (s *BacktestStore) SaveBacktest(ctx context.Context, job schemas.Backtest) error {
	return insertFenced(ctx, s.fence, job.Ver>>32, "backtests", backtestColumns(), backtestPartition, []schemas.Backtest{job})
}
