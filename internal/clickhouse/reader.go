package clickhouse

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Reader answers the questions of the API. Its reads see every insert that has
// returned; a log_id is never returned or counted twice, and what is past the
// retention is not there. Its methods may be called concurrently and end when
// their context does.
type Reader struct {
	db   *DB
	conn driver.Conn
	on   Topology
	edge func(table string) time.Time // what is older is not read
}

// NewReader makes a Reader of db, whose user must be allowed to read its
// tables and system.parts. db stays the caller's to close.
func NewReader(db *DB) *Reader { return &Reader{db: db, conn: db.conn, on: db.topology, edge: db.edge} }

// within moves the beginning of a range to where all of these tables are whole.
func (r *Reader) within(from time.Time, tables ...string) time.Time {
	for _, table := range tables {
		from = later(from, r.edge(table))
	}
	return from
}

// tableSpan is what the server knows of the parts of events without reading a
// row. Copies not yet merged count.
type tableSpan struct {
	Rows        uint64
	First, Last time.Time // event times; zero where there is no row
}

func (r *Reader) span(ctx context.Context) (tableSpan, error) {
	q := schemas.Query{SQL: "SELECT count(), min(time), max(time) FROM events"}
	spans, err := collect(ctx, r.conn, "read the span of events", q, func(scan scanner) (s tableSpan, err error) {
		err = scan(&s.Rows, &s.First, &s.Last)
		s.First, s.Last = s.First.UTC(), s.Last.UTC()
		return s, err
	})
	if err != nil || len(spans) == 0 || spans[0].Rows == 0 {
		return tableSpan{}, err
	}
	return spans[0], nil
}
