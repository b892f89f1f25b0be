package bench

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// insertRows is how many events one insert has: what a flush has at most.
const insertRows = 25_000

// The databases that inserts are measured in; the store itself is left alone.
const (
	writerDatabase = clickhouse.DefaultDatabase + "_bench"
	bareTable      = writerDatabase + ".bare"
)

// inserts compares the processor's writer (the rows, every index of them and
// the tokens, synced) with a bare insert of the same rows into one table, in
// turns.
func (m *measuring) inserts(ctx context.Context, r *Report) error {
	c := m.store.app
	c.Database = writerDatabase
	const drop = "DROP DATABASE IF EXISTS " + writerDatabase
	if err := m.raw.Exec(ctx, drop); err != nil { // what a run that was killed has left
		return err
	}
	defer func() { _ = m.raw.Exec(context.WithoutCancel(ctx), drop) }()
	db, err := connect(ctx, c)
	if err != nil {
		return err
	}
	defer db.Close()
	events, err := m.someEvents(m.config.Rounds)
	if err != nil {
		return err
	}
	if err := m.raw.Exec(ctx, "CREATE TABLE "+bareTable+" AS "+writerDatabase+".events"); err != nil {
		return fmt.Errorf("make a bare table: %w", err)
	}
	writer := clickhouse.NewWriter(db)
	var written, bare time.Duration
	for i := range m.config.Rounds {
		round := events[i*insertRows : (i+1)*insertRows]
		began := time.Now()
		if err := writer.InsertEvents(ctx, round); err != nil {
			return err
		}
		written += time.Since(began)
		took, err := m.insertBare(ctx)
		if err != nil {
			return err
		}
		bare += took
	}
	rows := float64(m.config.Rounds * insertRows)
	r.Lines = append(r.Lines,
		Measurement{"insert by the processor's writer", fmt.Sprintf("%.0f rows/s", rows/written.Seconds()), ""},
		Measurement{"bare insert of the same rows, no index table", fmt.Sprintf("%.0f rows/s", rows/bare.Seconds()), ""},
		Measurement{"the first to the second", fmt.Sprintf("%.2f", bare.Seconds()/written.Seconds()), ""})
	return nil
}

// someEvents are normalized records of the last day.
func (m *measuring) someEvents(rounds int) ([]schemas.Event, error) {
	generator := *m.progress.generator()
	generator.Seed++ // so that it is no repeat
	generator.Events = max(generator.Events, generator.Days*rounds*insertRows)
	normalizer := processor.NewNormalizer(schemas.EventTypes(), nil)
	events := make([]schemas.Event, 0, rounds*insertRows)
	for raw := range generator.Day(generator.Days - 1) {
		log := schemas.Log{Tenant: Tenant, Source: schemas.SourceStream, IngestedAt: time.Now().UTC(), Raw: raw}
		e, err := normalizer.Normalize(&log)
		if err != nil {
			return nil, err
		}
		if events = append(events, e); len(events) == cap(events) {
			break
		}
	}
	return events, nil
}

// insertBare copies the rows that were written last, read back beforehand, by
// the driver alone.
func (m *measuring) insertBare(ctx context.Context) (time.Duration, error) {
	rows, err := m.raw.Query(ctx, "SELECT * FROM "+writerDatabase+".events WHERE stored_at = (SELECT max(stored_at) FROM "+writerDatabase+".events)")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	types := rows.ColumnTypes()
	var values [][]any
	for rows.Next() {
		into, row := make([]any, len(types)), make([]any, len(types))
		for i, t := range types {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		for i := range into {
			row[i] = reflect.ValueOf(into[i]).Elem().Interface()
		}
		values = append(values, row)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if len(values) != insertRows {
		return 0, fmt.Errorf("read back %d rows of the last insert, not %d", len(values), insertRows)
	}
	began := time.Now()
	batch, err := m.raw.PrepareBatch(ctx, "INSERT INTO "+bareTable)
	if err != nil {
		return 0, err
	}
	for _, row := range values {
		if err := batch.Append(row...); err != nil {
			return 0, err
		}
	}
	if err := batch.Send(); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}
