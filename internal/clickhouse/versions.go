package clickhouse

import "github.com/m2mwatch/m2mwatch/schemas"

// versions says of each event which copy survives: see 023_versions.sql. A crash
// between an event and its version is mended by the repeat of both, as is one
// between an event and its matches.

func versionPartition(e *schemas.Event) int64 { return monthOf(e.Time) }

func versionColumns() []column[schemas.Event] {
	type event = schemas.Event
	return []column[event]{
		{"tenant", func(e *event) any { return e.Tenant }},
		{"client_id", func(e *event) any { return e.ClientID }},
		{"time", func(e *event) any { return e.Time.UnixMilli() }},
		{"log_id", func(e *event) any { return e.LogID }},
		{"ver", func(e *event) any { return e.Ver }},
	}
}
