package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// SelectorStore is what a warm-up reads and writes: the states of selectors, and
// the matches of history, which have the source import and so page nobody. What
// it says of a selector is dropped, without an error, where a later epoch has
// begun; matches need no fence, as they are right whoever makes them. Its methods
// may be called concurrently.
type SelectorStore struct {
	*Writer
	history Scratch
	db      *DB
	fence   fence
}

// roleWarm is whose epochs fence a warm-up.
const roleWarm = "warm"

// NewSelectorStore makes a SelectorStore of db, whose user must be allowed to read
// and insert. db stays the caller's to close.
func NewSelectorStore(db *DB) *SelectorStore {
	return &SelectorStore{NewWriter(db), Scratch{db: db, warms: true}, db, fence{db, roleWarm}}
}

// LastEpoch is the highest epoch that began, 0 where none has.
func (s *SelectorStore) LastEpoch(ctx context.Context) (uint64, error) { return s.fence.lastEpoch(ctx) }

// BeginEpoch records that a holder of the lease begins, before it reads
// anything, and returns when nothing of an earlier holder can be written any
// more.
func (s *SelectorStore) BeginEpoch(ctx context.Context, epoch uint64) error {
	return s.fence.begin(ctx, epoch)
}

// Selectors are all that are known, by name.
func (s *SelectorStore) Selectors(ctx context.Context) ([]schemas.Selector, error) {
	return s.history.Selectors(ctx)
}

// Selectors are all that are known, by name.
func (s *Scratch) Selectors(ctx context.Context) ([]schemas.Selector, error) {
	return readSelectors(ctx, s.db.conn)
}

func readSelectors(ctx context.Context, conn driver.Conn) ([]schemas.Selector, error) {
	q := schemas.Query{SQL: "SELECT selector, state, since, reach, done, total, ver FROM selectors FINAL ORDER BY selector"}
	return collect(ctx, conn, "read selectors", q, func(scan scanner) (r schemas.Selector, err error) {
		var (
			state string
			reach uint64
		)
		err = scan(&r.Selector, &state, &r.Since, &reach, &r.Done, &r.Total, &r.Ver)
		r.State, r.Since, r.Reach = schemas.SelectorState(state), r.Since.UTC(), time.Duration(reach)*time.Millisecond
		return r, err
	})
}

func selectorColumns() []column[schemas.Selector] {
	type selector = schemas.Selector
	return []column[selector]{
		{"selector", func(s *selector) any { return s.Selector }},
		{"state", func(s *selector) any { return string(s.State) }},
		{"since", func(s *selector) any { return s.Since.UnixMilli() }},
		{"reach", func(s *selector) any { return uint64(s.Reach.Milliseconds()) }},
		{"done", func(s *selector) any { return s.Done }},
		{"total", func(s *selector) any { return s.Total }},
		{"ver", func(s *selector) any { return s.Ver }},
	}
}

// AddSelectors stores selectors that come into force, whoever holds the lease.
func (s *SelectorStore) AddSelectors(ctx context.Context, selectors []schemas.Selector) error {
	return insert(ctx, s.db, "selectors", selectorColumns(), func(*schemas.Selector) int64 { return 0 }, selectors)
}

// SaveSelector stores how far one is, of one epoch, Ver >> 32.
func (s *SelectorStore) SaveSelector(ctx context.Context, selector schemas.Selector) error {
	return insertFenced(ctx, s.fence, selector.Ver>>32, "selectors", selectorColumns(), func(*schemas.Selector) int64 { return 0 }, []schemas.Selector{selector})
}

// HistoryDays are the days with events in [from, to).
func (s *SelectorStore) HistoryDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.HistoryDay, error) {
	return s.history.HistoryDays(ctx, tenant, from, to)
}

// SelectInto makes the matches of an exact selection of events that it has not
// selected as they came in.
func (s *SelectorStore) SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error {
	return s.history.SelectInto(ctx, sel, tenant, from, to)
}

// EachSelected hands over those events: see Scratch.EachSelected.
func (s *SelectorStore) EachSelected(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error {
	return s.history.EachSelected(ctx, sel, tenant, from, to, each)
}

// MatchedKeys are the keys that a selector has matches of in [from, to).
func (s *SelectorStore) MatchedKeys(ctx context.Context, selector string, from, to time.Time) ([]schemas.KeySpan, error) {
	q := schemas.Query{
		SQL: `SELECT tenant, key, toInt64(min(t)), toInt64(max(t)) FROM matches
WHERE selector = {selector:String} AND t >= {from:Int64} AND t < {to:Int64}
GROUP BY tenant, key
ORDER BY tenant, key`,
		Params: map[string]any{"selector": selector, "from": ceilMilli(from), "to": ceilMilli(to)},
	}
	spans, err := collect(ctx, s.db.conn, "list the keys of a selector", q, func(scan scanner) (k schemas.KeySpan, err error) {
		var first, last int64
		err = scan(&k.Tenant, &k.Key, &first, &last)
		k.First, k.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("selector %s: %w", selector, err)
	}
	return spans, nil
}
