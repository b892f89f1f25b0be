package clickhouse

import (
	"context"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Ticks are up to when rules have looked for what time alone changes.
func (s *FindingStore) Ticks(ctx context.Context) ([]schemas.Tick, error) {
	q := schemas.Query{SQL: "SELECT rule, tenant, digest, until, ver FROM ticks FINAL ORDER BY rule, tenant"}
	return collect(ctx, s.db.conn, "read up to when rules have looked for what time changes", q, func(scan scanner) (t schemas.Tick, err error) {
		err = scan(&t.Rule, &t.Tenant, &t.Digest, &t.Until, &t.Ver)
		t.Until = t.Until.UTC()
		return t, err
	})
}

// InsertTicks stores them, of one epoch, Ver >> 32. Where a later epoch has begun none is
// stored, without an error.
func (s *FindingStore) InsertTicks(ctx context.Context, ticks []schemas.Tick) error {
	if len(ticks) == 0 {
		return nil
	}
	type tick = schemas.Tick
	columns := []column[tick]{
		{"rule", func(t *tick) any { return t.Rule }},
		{"tenant", func(t *tick) any { return t.Tenant }},
		{"digest", func(t *tick) any { return t.Digest }},
		{"until", func(t *tick) any { return t.Until.UnixMilli() }},
		{"ver", func(t *tick) any { return t.Ver }},
	}
	return insertFenced(ctx, s.fence, ticks[0].Ver>>32, "ticks", columns, func(*tick) int64 { return 0 }, ticks)
}
