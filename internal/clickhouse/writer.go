package clickhouse

import (
	"context"
	"errors"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Writer stores what the processor makes of the logs. Each insert returns nil
// only when its rows are synced; after an error some of them may be stored.
// Repeating it is harmless, as rows are keyed. An error that wraps
// schemas.ErrRefused blames a row; every other means that the store is away or
// busy. Its methods may be called concurrently.
type Writer struct {
	db *DB
}

// NewWriter makes a Writer of db, whose user must be allowed to insert. db
// stays the caller's to close.
func NewWriter(db *DB) *Writer { return &Writer{db} }

// InsertEvents stores events, and before them where to find them: an event that
// a reader sees is in every index, and what a crash leaves of an index leads
// nowhere. Their versions follow: see versions.go.
func (w *Writer) InsertEvents(ctx context.Context, events []schemas.Event) error {
	for i := range events {
		if err := checkEvent(&events[i]); err != nil {
			return fmt.Errorf("insert %d events: %w", len(events), err)
		}
	}
	if err := w.insertIndexes(ctx, events); err != nil {
		return err
	}
	if err := insert(ctx, w.db, "events", insertedColumns(), func(e *schemas.Event) int64 { return dayOf(e.Time) }, events); err != nil {
		return err
	}
	return insert(ctx, w.db, "versions", versionColumns(), versionPartition, events)
}

// checkEvent refuses what the driver would store as something else.
func checkEvent(e *schemas.Event) error {
	return errors.Join(checkTime("time", e.Time), checkTime("ingested_at", e.IngestedAt), checkSource(e.Source))
}

// InsertMatches stores matches.
func (w *Writer) InsertMatches(ctx context.Context, matches []schemas.Match) error {
	if err := checkMatches(matches); err != nil {
		return err
	}
	return insert(ctx, w.db, "matches", matchColumns(), matchPartition, matches)
}

func checkMatches(matches []schemas.Match) error {
	for i := range matches {
		m := &matches[i]
		if err := errors.Join(checkTime("time", m.Time), checkSource(m.Source)); err != nil {
			return fmt.Errorf("insert %d matches: %w", len(matches), err)
		}
	}
	return nil
}

func matchPartition(m *schemas.Match) int64 { return monthOf(m.Time) }

func matchColumns() []column[schemas.Match] {
	type match = schemas.Match
	return []column[match]{
		{"selector", func(m *match) any { return m.Selector }},
		{"tenant", func(m *match) any { return m.Tenant }},
		{"bucket", func(m *match) any { return m.Day() }},
		{"key", func(m *match) any { return m.Key }},
		{"t", func(m *match) any { return uint64(m.Time.UnixMilli()) }},
		{"log_id", func(m *match) any { return m.LogID }},
		{"value", func(m *match) any { return m.Value }},
		{"client_id", func(m *match) any { return m.ClientID }},
		{"ver", func(m *match) any { return m.Ver }},
		{"generation", func(m *match) any { return uint16(m.Ver & schemas.MaxGeneration) }},
		{"source", func(m *match) any { return int8(m.Source) }},
	}
}

// flag is a bool as UInt8 has it.
func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
