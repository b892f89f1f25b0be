package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ReprocessJobs is the table by which the API hands jobs to the processor. Its
// reads see every insert that has returned. Its methods may be called
// concurrently.
type ReprocessJobs struct {
	db *DB
}

// NewReprocessJobs makes a ReprocessJobs of db, whose user must be allowed to
// read and insert. db stays the caller's to close.
func NewReprocessJobs(db *DB) *ReprocessJobs { return &ReprocessJobs{db} }

// AddReprocess stores a new job.
func (s *ReprocessJobs) AddReprocess(ctx context.Context, job schemas.Reprocess) error {
	if err := checkReprocess(&job); err != nil {
		return fmt.Errorf("insert a job: %w", err)
	}
	return insert(ctx, s.db, "reprocess_jobs", reprocessColumns(), reprocessPartition, []schemas.Reprocess{job})
}

// CancelReprocess asks to cancel a job.
func (s *ReprocessJobs) CancelReprocess(ctx context.Context, id string) error {
	columns := []column[string]{{"id", func(id *string) any { return *id }}}
	return insert(ctx, s.db, "reprocess_cancels", columns, func(*string) int64 { return 0 }, []string{id})
}

// ReprocessCanceled tells whether somebody asked to cancel a job.
func (s *ReprocessJobs) ReprocessCanceled(ctx context.Context, id string) (bool, error) {
	q := schemas.Query{SQL: "SELECT count() FROM reprocess_cancels WHERE id = {id:String}", Params: map[string]any{"id": id}}
	counts, err := collect(ctx, s.db.conn, "look for a cancel", q, scanOne[uint64])
	return len(counts) > 0 && counts[0] > 0, err
}

func checkReprocess(job *schemas.Reprocess) error {
	for what, t := range map[string]time.Time{"from": job.From, "to": job.To, "created_at": job.CreatedAt, "updated_at": job.UpdatedAt} {
		if err := checkTime(what, t); err != nil {
			return err
		}
	}
	return nil
}

func reprocessPartition(job *schemas.Reprocess) int64 { return monthOf(job.CreatedAt) }

func reprocessColumns() []column[schemas.Reprocess] {
	type job = schemas.Reprocess
	return []column[job]{
		{"id", func(j *job) any { return j.ID }},
		{"tenant", func(j *job) any { return j.Tenant }},
		{"from_time", func(j *job) any { return j.From.UnixMilli() }},
		{"to_time", func(j *job) any { return j.To.UnixMilli() }},
		{"asked", func(j *job) any { return j.Asked }},
		{"dry_run", func(j *job) any { return flag(j.DryRun) }},
		{"state", func(j *job) any { return string(j.State) }},
		{"total", func(j *job) any { return j.Total }},
		{"done", func(j *job) any { return j.Done }},
		{"changed", func(j *job) any { return j.Changed }},
		{"moved", func(j *job) any { return j.Moved }},
		{"errors", func(j *job) any { return j.Errors }},
		{"position", func(j *job) any { return placeText(j.Position) }},
		{"begun", func(j *job) any { return placeText(j.Begun) }},
		{"basis", func(j *job) any { return j.Basis }},
		{"error", func(j *job) any { return j.Error }},
		{"created_at", func(j *job) any { return j.CreatedAt.UnixMilli() }},
		{"updated_at", func(j *job) any { return j.UpdatedAt.UnixMilli() }},
		{"ver", func(j *job) any { return j.Ver }},
	}
}

// storedPlace is a place on disk. The texts of a key may hold any bytes, which
// JSON keeps as base64.
type storedPlace struct {
	Time     int64  `json:"time"` // Unix milliseconds
	ClientID []byte `json:"client_id"`
	LogID    []byte `json:"log_id"`
}

func placeText(p *schemas.RecordPlace) string {
	if p == nil {
		return ""
	}
	text, err := json.Marshal(storedPlace{p.Time.UnixMilli(), []byte(p.ClientID), []byte(p.LogID)})
	if err != nil { // a struct of numbers and bytes always marshals
		panic(err)
	}
	return string(text)
}

func placeFromText(text string) (*schemas.RecordPlace, error) {
	if text == "" {
		return nil, nil
	}
	var p storedPlace
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("read a place: %w", err)
	}
	return &schemas.RecordPlace{Time: time.UnixMilli(p.Time).UTC(), ClientID: string(p.ClientID), LogID: string(p.LogID)}, nil
}

const selectReprocess = `SELECT id, tenant, from_time, to_time, asked, dry_run, state, total, done, changed, moved, errors,
    position, begun, basis, error, created_at, updated_at, ver
FROM reprocess_jobs FINAL
`

func scanReprocess(scan scanner) (schemas.Reprocess, error) {
	var (
		j                      schemas.Reprocess
		dryRun                 uint8
		state, position, begun string
	)
	err := scan(&j.ID, &j.Tenant, &j.From, &j.To, &j.Asked, &dryRun, &state, &j.Total, &j.Done, &j.Changed, &j.Moved, &j.Errors,
		&position, &begun, &j.Basis, &j.Error, &j.CreatedAt, &j.UpdatedAt, &j.Ver)
	if err != nil {
		return j, err
	}
	j.DryRun, j.State = dryRun != 0, schemas.ReprocessState(state)
	for _, t := range []*time.Time{&j.From, &j.To, &j.CreatedAt, &j.UpdatedAt} {
		*t = t.UTC()
	}
	if j.Position, err = placeFromText(position); err != nil {
		return j, err
	}
	j.Begun, err = placeFromText(begun)
	return j, err
}

// Reprocess is one job.
func (s *ReprocessJobs) Reprocess(ctx context.Context, id string) (schemas.Reprocess, error) {
	w := where{}
	w.and("id = {id:String}", "id", id)
	jobs, err := collect(ctx, s.db.conn, "read a job", w.query(selectReprocess, ""), scanReprocess)
	switch {
	case err != nil:
		return schemas.Reprocess{}, err
	case len(jobs) == 0:
		return schemas.Reprocess{}, fmt.Errorf("job %s: %w", clip(id, maxErrorQuoted), schemas.ErrNotFound)
	}
	return jobs[0], nil
}

// ReprocessList is up to limit jobs, the newest first, of a tenant or of all.
func (s *ReprocessJobs) ReprocessList(ctx context.Context, tenant string, limit int) ([]schemas.Reprocess, error) {
	w := where{}
	w.equal("tenant", tenant)
	w.param("limit", listingLimit(limit))
	return collect(ctx, s.db.conn, "list jobs", w.query(selectReprocess, "ORDER BY created_at DESC, id\nLIMIT {limit:UInt32}"), scanReprocess)
}

// OpenReprocess are the jobs that are not over, the oldest first.
func (s *ReprocessJobs) OpenReprocess(ctx context.Context) ([]schemas.Reprocess, error) {
	q := schemas.Query{SQL: selectReprocess + "WHERE state IN ('" + string(schemas.ReprocessPending) + "', '" + string(schemas.ReprocessRunning) + "')\nORDER BY created_at, id\nLIMIT 1000"}
	return collect(ctx, s.db.conn, "look for jobs", q, scanReprocess)
}
