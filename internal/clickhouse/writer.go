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

// InsertEvents stores events.
func (w *Writer) InsertEvents(ctx context.Context, events []schemas.Event) error {
	for i := range events {
		if err := checkEvent(&events[i]); err != nil {
			return fmt.Errorf("insert %d events: %w", len(events), err)
		}
	}
	return insert(ctx, w.db, "events", eventColumns(), func(e *schemas.Event) int64 { return dayOf(e.Time) }, events)
}

// checkEvent refuses what the driver would store as something else.
func checkEvent(e *schemas.Event) error {
	return errors.Join(checkTime("time", e.Time), checkTime("ingested_at", e.IngestedAt), checkSource(e.Source))
}

// eventColumns are the columns of events that an insert fills; deleted and
// stored_at have their defaults.
func eventColumns() []column[schemas.Event] {
	type event = schemas.Event
	return []column[event]{
		{"tenant", func(e *event) any { return e.Tenant }},
		{"client_id", func(e *event) any { return e.ClientID }},
		{"time", func(e *event) any { return e.Time.UnixMilli() }},
		{"log_id", func(e *event) any { return e.LogID }},
		{"ver", func(e *event) any { return e.Ver }},
		{"type", func(e *event) any { return e.Type }},
		{"outcome", func(e *event) any { return string(e.Outcome) }},
		{"description", func(e *event) any { return e.Description }},
		{"identity", func(e *event) any { return e.Identity.ID }},
		{"identity_kind", func(e *event) any { return string(e.Identity.Kind) }},
		{"identity_reason", func(e *event) any { return e.Identity.Reason }},
		{"client_name", func(e *event) any { return e.ClientName }},
		{"user_id", func(e *event) any { return e.UserID }},
		{"ip", func(e *event) any { return e.IP }},
		{"network", func(e *event) any { return e.Network }},
		{"user_agent", func(e *event) any { return e.UserAgent }},
		{"audience", func(e *event) any { return e.Audience }},
		{"scopes", func(e *event) any { return e.Scopes }},
		{"organization_id", func(e *event) any { return e.OrganizationID }},
		{"hostname", func(e *event) any { return e.Hostname }},
		{"method", func(e *event) any { return e.Method }},
		{"path", func(e *event) any { return e.Path }},
		{"target", func(e *event) any { return e.Target }},
		{"source", func(e *event) any { return int8(e.Source) }},
		{"ingested_at", func(e *event) any { return e.IngestedAt.UnixMilli() }},
		{"raw", func(e *event) any { return e.Raw }},
		{"raw_masked", func(e *event) any { return flag(e.RawMasked) }},
	}
}

// InsertMatches stores matches.
func (w *Writer) InsertMatches(ctx context.Context, matches []schemas.Match) error {
	for i := range matches {
		m := &matches[i]
		if err := errors.Join(checkTime("time", m.Time), checkSource(m.Source)); err != nil {
			return fmt.Errorf("insert %d matches: %w", len(matches), err)
		}
	}
	return insert(ctx, w.db, "matches", matchColumns(), func(m *schemas.Match) int64 { return monthOf(m.Time) }, matches)
}

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
