package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Silences is the table of silences. Its reads see every insert that has returned.
// Its methods may be called concurrently.
type Silences struct {
	db *DB
}

// NewSilences makes a Silences of db, whose user must be allowed to read and insert.
// db stays the caller's to close.
func NewSilences(db *DB) *Silences { return &Silences{db} }

// SaveSilence stores a silence: a new one, or, with a later ver, one that is there.
func (s *Silences) SaveSilence(ctx context.Context, x schemas.Silence, ver uint64) error {
	if err := errors.Join(checkTime("made_at", x.MadeAt), checkTime("starts_at", x.StartsAt), checkTime("ends_at", x.EndsAt)); err != nil {
		return fmt.Errorf("save a silence: %w", err)
	}
	type silence = schemas.Silence
	columns := []column[silence]{
		{"id", func(s *silence) any { return s.ID }},
		{"tenant", func(s *silence) any { return s.Tenant }},
		{"rule_id", func(s *silence) any { return s.RuleID }},
		{"identity", func(s *silence) any { return s.Identity }},
		{"key", func(s *silence) any { return s.Key }},
		{"level", func(s *silence) any { return string(s.Level) }},
		{"owner", func(s *silence) any { return s.Owner }},
		{"made_by", func(s *silence) any { return s.By }},
		{"reason", func(s *silence) any { return s.Reason }},
		{"made_at", func(s *silence) any { return s.MadeAt.UnixMilli() }},
		{"starts_at", func(s *silence) any { return s.StartsAt.UnixMilli() }},
		{"ends_at", func(s *silence) any { return s.EndsAt.UnixMilli() }},
		{"expired_by", func(s *silence) any { return s.ExpiredBy }},
		{"ver", func(*silence) any { return ver }},
	}
	return insert(ctx, s.db, "silences", columns, func(*silence) int64 { return 0 }, []silence{x})
}

const selectSilences = `SELECT id, tenant, rule_id, identity, key, level, owner, made_by, reason, made_at, starts_at, ends_at, expired_by
FROM silences FINAL
`

// Silences are up to limit silences that end after a time, those that end last first.
func (s *Silences) Silences(ctx context.Context, after time.Time, limit int) ([]schemas.Silence, error) {
	return silencesAfter(ctx, s.db, after, limit)
}

// Silence is one of them.
func (s *Silences) Silence(ctx context.Context, id string) (schemas.Silence, error) {
	w := where{}
	w.and("id = {id:String}", "id", id)
	found, err := collect(ctx, s.db.conn, "read a silence", w.query(selectSilences, ""), scanSilence)
	switch {
	case err != nil:
		return schemas.Silence{}, err
	case len(found) == 0:
		return schemas.Silence{}, fmt.Errorf("silence %s: %w", clip(id, maxErrorQuoted), schemas.ErrNotFound)
	}
	return found[0], nil
}

// Silences are those that end after a time.
func (s *FindingStore) Silences(ctx context.Context, after time.Time) ([]schemas.Silence, error) {
	return silencesAfter(ctx, s.db, after, 10_000)
}

func silencesAfter(ctx context.Context, db *DB, after time.Time, limit int) ([]schemas.Silence, error) {
	w := where{}
	if !after.IsZero() {
		w.and("ends_at > "+milliseconds("after"), "after", after.UnixMilli())
	}
	w.param("limit", limit)
	return collect(ctx, db.conn, "list silences", w.query(selectSilences, "ORDER BY ends_at DESC, id\nLIMIT {limit:UInt32}"), scanSilence)
}

func scanSilence(scan scanner) (schemas.Silence, error) {
	var (
		s     schemas.Silence
		level string
	)
	err := scan(&s.ID, &s.Tenant, &s.RuleID, &s.Identity, &s.Key, &level, &s.Owner, &s.By, &s.Reason, &s.MadeAt, &s.StartsAt, &s.EndsAt, &s.ExpiredBy)
	s.Level = schemas.Level(level)
	for _, t := range []*time.Time{&s.MadeAt, &s.StartsAt, &s.EndsAt} {
		*t = t.UTC()
	}
	return s, err
}
