package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// maxPartitions is how many partitions one insert touches at most. The server
// refuses 101.
const maxPartitions = 90

// column is one column of an insert: its name, and its value of a row.
type column[R any] struct {
	name  string
	value func(*R) any
}

func columnNames[R any](columns []column[R]) []string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	return names
}

// insert writes rows to a table and returns when they are synced. Rows of many
// partitions go in several inserts, and so do rows that the server has not the
// memory for at once, so that after an error some may be stored.
func insert[R any](ctx context.Context, db *DB, table string, columns []column[R], partition func(*R) int64, rows []R) error {
	for _, part := range splitPartitions(rows, partition, maxPartitions) {
		if err := insertHalving(ctx, db, table, columns, partition, part); err != nil {
			return err
		}
	}
	return nil
}

// insertHalving is insertWithin that cuts the rows in two where the server says
// that it lacks the memory for them: the same rows would meet the same limit at
// each attempt. What is left is a single row for which it has none, and that is
// an error like that of a server which is away.
func insertHalving[R any](ctx context.Context, db *DB, table string, columns []column[R], partition func(*R) int64, rows []R) error {
	err := insertWithin(ctx, db, table, columns, rows)
	if !errors.Is(err, errNoMemory) || len(rows) == 1 {
		return err
	}
	one, other := halve(rows, partition)
	if err := insertHalving(ctx, db, table, columns, partition, one); err != nil {
		return err
	}
	return insertHalving(ctx, db, table, columns, partition, other)
}

// halve cuts rows in two of about the same size, between two partitions as long
// as there are several: what an insert takes grows with them more than with rows.
func halve[R any](rows []R, partition func(*R) int64) (one, other []R) {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b R) int { return cmp.Compare(partition(&a), partition(&b)) })
	middle, edge := len(sorted)/2, 0
	for i := 1; i < len(sorted); i++ {
		if partition(&sorted[i-1]) != partition(&sorted[i]) && (edge == 0 || max(i-middle, middle-i) < max(edge-middle, middle-edge)) {
			edge = i
		}
	}
	if edge == 0 {
		edge = middle
	}
	return sorted[:edge], sorted[edge:]
}

// insertWithin is insertOnce with the deadline that every insert has.
func insertWithin[R any](ctx context.Context, db *DB, table string, columns []column[R], rows []R) error {
	ctx, cancel := context.WithTimeout(ctx, db.insertTimeout)
	defer cancel()
	if err := insertOnce(ctx, db.conn, table, columns, rows); err != nil {
		return insertError(ctx, fmt.Sprintf("insert %d %s", len(rows), table), err)
	}
	return nil
}

// flushRows is after how many rows a batch is sent on. The server makes one
// block of them again, far beyond any batch of ours; the client needs a fifth
// of the memory and half of the time.
const flushRows = 2500

// insertOnce sends rows as one insert. It appends row by row: by columns was no
// faster.
func insertOnce[R any](ctx context.Context, conn driver.Conn, table string, columns []column[R], rows []R) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" ("+strings.Join(columnNames(columns), ", ")+")")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Abort() }() // Close would send what is there
	row := make([]any, len(columns))
	for i := range rows {
		for c := range columns {
			row[c] = columns[c].value(&rows[i])
		}
		if err := batch.Append(row...); err != nil {
			return err
		}
		if (i+1)%flushRows == 0 && i+1 < len(rows) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := batch.Flush(); err != nil {
				return err
			}
		}
	}
	return batch.Send()
}

// splitPartitions cuts rows into slices of at most limit distinct partitions.
// Nearly always that is one slice, the rows as they are.
func splitPartitions[R any](rows []R, partition func(*R) int64, limit int) [][]R {
	if len(rows) == 0 {
		return nil
	}
	distinct := make(map[int64]struct{})
	for i := range rows {
		distinct[partition(&rows[i])] = struct{}{}
	}
	if len(distinct) <= limit {
		return [][]R{rows}
	}
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b R) int { return int(partition(&a) - partition(&b)) })
	return cutPartitions(sorted, partition, limit)
}

// cutPartitions is splitPartitions of rows in the order of their partitions.
func cutPartitions[R any](rows []R, partition func(*R) int64, limit int) [][]R {
	var parts [][]R
	start, seen := 0, 1
	for i := 1; i < len(rows); i++ {
		if partition(&rows[i]) == partition(&rows[i-1]) {
			continue
		}
		if seen++; seen > limit {
			parts = append(parts, rows[start:i])
			start, seen = i, 1
		}
	}
	return append(parts, rows[start:])
}

// The range of times that every column of time can hold; DateTime ends first.
// Outside of it the driver would store another time without an error.
var (
	minTime = time.Unix(0, 0).UTC()
	maxTime = time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC)
)

// checkTime refuses a time that the columns cannot hold.
func checkTime(what string, t time.Time) error {
	if t.Before(minTime) || !t.Before(maxTime) {
		return fmt.Errorf("%w: %s %s is not between 1970 and 2106", schemas.ErrRefused, what, t.UTC().Format(time.RFC3339))
	}
	return nil
}

// checkSource refuses a source that the columns have no name for.
func checkSource(s schemas.Source) error {
	if !s.Valid() {
		return fmt.Errorf("%w: unknown %s", schemas.ErrRefused, s)
	}
	return nil
}

// dayOf and monthOf number the partitions by day and by month.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

func monthOf(t time.Time) int64 {
	y, m, _ := t.UTC().Date()
	return int64(y)*12 + int64(m)
}
