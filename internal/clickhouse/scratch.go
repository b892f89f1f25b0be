package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Scratch is where a backtest makes matches of stored events, beside the table
// that holds those of what comes in. Its methods may be called concurrently.
type Scratch struct {
	db *DB
	// warms says that the matches are those of history for the table that holds
	// the others: of events that were not selected as they came in.
	warms bool
}

// NewScratch makes a Scratch of db, whose user must be allowed to read, insert
// and alter. db stays the caller's to close.
func NewScratch(db *DB) *Scratch { return &Scratch{db: db} }

// ClearScratch drops all that is in it.
func (s *Scratch) ClearScratch(ctx context.Context) error {
	if err := s.db.define(ctx, "TRUNCATE TABLE "+s.db.topology.stored("matches_scratch")+" "+s.db.topology.onCluster()); err != nil {
		return queryError(ctx, "drop the matches of a backtest", err)
	}
	return nil
}

// HistoryDays are the days with events in [from, to), the first first, of a
// tenant or of all, and about how many each has: copies count.
func (s *Scratch) HistoryDays(ctx context.Context, tenant string, from, to time.Time) ([]schemas.HistoryDay, error) {
	w := s.within(from, to)
	w.equal("tenant", tenant)
	q := w.query("SELECT tenant, toInt64(toUnixTimestamp(toStartOfDay(time))) AS day, count()\nFROM events\n", "GROUP BY tenant, day\nORDER BY tenant, day")
	return collect(ctx, s.db.conn, "count the events of each day", q, func(scan scanner) (d schemas.HistoryDay, err error) {
		var day int64
		err = scan(&d.Tenant, &day, &d.Events)
		d.Day = time.Unix(day, 0).UTC()
		return d, err
	})
}

// within is a range of times, as far as the retention has left it whole.
func (s *Scratch) within(from, to time.Time) where {
	return within(ceilMilli(later(from, s.db.edge("events"))), ceilMilli(to))
}

// ofSelecting keeps a selection of a day to some tens of megabytes: by default it holds
// a million rows or 256 MB on each core before it writes any, so that two days at once,
// of a million events and more, are all that the engine may have.
var ofSelecting = ch.Settings{"max_threads": 1, "max_insert_threads": 1, "max_block_size": 16384, "min_insert_block_size_rows": 131072, "min_insert_block_size_bytes": 32 << 20}

// SelectInto makes the matches of an exact selection, in the server. A copy that
// lost matches, too; whoever reads matches looks for the event of their ver.
func (s *Scratch) SelectInto(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error {
	w := s.selected(sel, tenant, from, to)
	w.param("generations", uint64(schemas.MaxGeneration))
	table, source := "matches_scratch", "source"
	if s.warms {
		table, source = "matches", "'import'"
	}
	q := w.query(`INSERT INTO `+table+` (selector, tenant, bucket, key, t, log_id, value, client_id, ver, source, generation)
SELECT {selector:String}, tenant, toDate(time), `+sel.Key+`, toUInt64(toUnixTimestamp64Milli(time)), log_id, `+sel.Value+`, client_id, ver, `+source+`,
    toUInt16(bitAnd(ver, {generations:UInt64}))
FROM events
`, "")
	params, err := encodeParams(q.Params)
	if err != nil {
		return fmt.Errorf("select from history: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, longestDefinition)
	defer cancel()
	if err := s.db.conn.Exec(ch.Context(ctx, ch.WithParameters(params), ch.WithSettings(ofSelecting)), q.SQL); err != nil {
		return queryError(ctx, "select from history", err)
	}
	return nil
}

func (s *Scratch) selected(sel schemas.Selection, tenant string, from, to time.Time) where {
	w := s.within(from, to)
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.conditions = append(w.conditions, "deleted = 0", "("+sel.Where+")")
	maps.Copy(w.params, sel.Params)
	w.param("selector", sel.Selector)
	if s.warms {
		w.conditions = append(w.conditions, "NOT has(selectors, {selector:String})")
	}
	return w
}

// keyColumns are those that a match takes over from its event.
var keyColumns = []string{"tenant", "client_id", "time", "log_id", "ver", "source"}

// rawColumns are those whose values are cut out of raw.
var rawColumns = []string{"token_id", "used_token_id", "trace_id", "correlation_id", "ip", "client_ip"}

// EachSelected hands over the events for which a selection's Where holds, with
// its columns and, where it says so, their raw logs. Copies that lost may be
// among them. It stops at an error, and returns it.
func (s *Scratch) EachSelected(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error {
	const attempt = "read history"
	names := slices.Concat(keyColumns, sel.Columns)
	if sel.Raw {
		names = append(names, rawColumns...)
	}
	columns := slices.DeleteFunc(eventColumns(), func(c eventColumn) bool { return !slices.Contains(names, c.name) })
	fields := make([]string, len(columns), len(columns)+1)
	for i, c := range columns {
		fields[i] = c.name
	}
	if sel.Raw {
		fields = append(fields, "raw")
	}
	w := s.selected(sel, tenant, from, to)
	q := w.query("SELECT "+strings.Join(fields, ", ")+"\nFROM events\n", "")
	params, err := encodeParams(q.Params)
	if err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	ctx, enough := context.WithTimeout(ctx, longestDefinition)
	defer enough()
	rows, err := s.db.conn.Query(ch.Context(ctx, ch.WithParameters(params), ch.WithSettings(ch.Settings{"max_threads": 1, "max_block_size": 8192})), q.SQL)
	if err != nil {
		return queryError(ctx, attempt, err)
	}
	defer rows.Close()
	defer enough() // before Close, which reads on
	var (
		e    schemas.Event
		cut  string
		dest []any
	)
	for _, c := range columns {
		dest = append(dest, c.into(&e))
	}
	if sel.Raw {
		dest = append(dest, &cut)
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return queryError(ctx, attempt, err)
		}
		e.Time = e.Time.UTC()
		if sel.Raw {
			e.Raw = rebuildRaw(&e, []byte(cut))
		}
		if err := each(&e); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return queryError(ctx, attempt, err)
	}
	return nil
}

// InsertScratch stores matches that were made of EachSelected.
func (s *Scratch) InsertScratch(ctx context.Context, matches []schemas.Match) error {
	if err := checkMatches(matches); err != nil {
		return err
	}
	return insert(ctx, s.db, "matches_scratch", matchColumns(), matchPartition, matches)
}

// KeysOf are the keys that have so many matches of some selectors together in
// [from, to), or more, sorted. Copies count.
func (s *Scratch) KeysOf(ctx context.Context, table schemas.MatchTable, selectors []string, tenant string, from, to time.Time, least uint64) ([]string, error) {
	q := schemas.Query{SQL: `SELECT key FROM ` + string(table) + `
WHERE selector IN {selectors:Array(String)} AND tenant = {tenant:String}
  AND bucket >= toDate(fromUnixTimestamp64Milli({from:Int64}, 'UTC')) AND bucket <= toDate(fromUnixTimestamp64Milli({to:Int64}, 'UTC'))
  AND t >= {from:Int64} AND t < {to:Int64}
GROUP BY key HAVING count() >= {least:UInt64}
ORDER BY key`, Params: map[string]any{"selectors": selectors, "tenant": tenant, "from": ceilMilli(from), "to": ceilMilli(to), "least": least}}
	return collect(ctx, s.db.conn, "list the keys of a backtest", q, scanOne[string])
}

// ofMatches is where a compiled correlation reads them.
var ofMatches = regexp.MustCompile(`\b(FROM|JOIN)\s+matches\b`)

// CorrelateOver runs a compiled correlation over the matches of a table and returns
// its rows.
func (s *Scratch) CorrelateOver(ctx context.Context, table schemas.MatchTable, q schemas.Query) ([]schemas.CorrelationRow, error) {
	q.SQL = ofMatches.ReplaceAllString(q.SQL, "$1 "+string(table))
	return (&FindingStore{db: s.db}).Correlate(ctx, q)
}
