package clickhouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// fence keeps a holder of a lease that stalled and woke up from writing. A
// lease tells its holder that it is lost, but not a statement that the holder
// is just about to send. And a version alone does not help: a row whose key
// the new holder never writes would stay. So every epoch is recorded in the
// table epochs before its holder reads anything, and every statement of a
// holder writes only while no later epoch of its role is there. What was
// already running when the epoch was recorded is waited for.
type fence struct {
	db   *DB
	role string
}

// holds is the condition of a fenced statement: a scalar, computed when the
// statement begins.
const holds = "(SELECT max(epoch) FROM epochs WHERE role = {role:String}) <= {epoch:UInt64}"

// lastEpoch is the highest epoch that began, 0 where none has.
func (f fence) lastEpoch(ctx context.Context) (uint64, error) {
	q := schemas.Query{SQL: "SELECT max(epoch) FROM epochs WHERE role = {role:String}", Params: map[string]any{"role": f.role}}
	epochs, err := collect(ctx, f.db.conn, "read the last epoch", q, scanOne[uint64])
	if err != nil || len(epochs) == 0 {
		return 0, err
	}
	return epochs[0], nil
}

// begin records an epoch and returns when nothing of an earlier one can still
// write.
func (f fence) begin(ctx context.Context, epoch uint64) error {
	type begun struct{ epoch uint64 }
	columns := []column[begun]{
		{"role", func(*begun) any { return f.role }},
		{"epoch", func(b *begun) any { return b.epoch }},
	}
	if err := insert(ctx, f.db, "epochs", columns, func(*begun) int64 { return 0 }, []begun{{epoch}}); err != nil {
		return err
	}
	for {
		n, err := f.running(ctx, epoch)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d statements of earlier epochs: %w", n, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// queryID names a statement so that running finds it.
func (f fence) queryID(epoch uint64) string {
	return fmt.Sprintf("%s%d/%s", f.prefix(), epoch, rand.Text())
}

func (f fence) prefix() string { return "m2mwatch/" + f.db.database + "/" + f.role + "/" }

// running is how many statements of earlier epochs are still run, on whichever
// server of a cluster they were begun.
func (f fence) running(ctx context.Context, epoch uint64) (uint64, error) {
	q := schemas.Query{
		SQL: `SELECT count() FROM ` + f.db.topology.everywhere("system.processes") + `
WHERE startsWith(query_id, {prefix:String}) AND toUInt64OrZero(splitByChar('/', query_id)[4]) < {epoch:UInt64}`,
		Params: map[string]any{"prefix": f.prefix(), "epoch": epoch},
	}
	counts, err := collect(ctx, f.db.conn, "look for statements of earlier epochs", q, scanOne[uint64])
	if err != nil || len(counts) == 0 {
		return 0, err
	}
	return counts[0], nil
}

// exec runs a statement that has holds among its conditions.
func (f fence) exec(ctx context.Context, attempt string, epoch uint64, q schemas.Query, options ...ch.QueryOption) error {
	q.Params["role"], q.Params["epoch"] = f.role, epoch
	params, err := encodeParams(q.Params)
	if err != nil {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.db.insertTimeout)
	defer cancel()
	options = append(options, ch.WithParameters(params), ch.WithQueryID(f.queryID(epoch)))
	err = f.db.conn.Exec(ch.Context(ctx, options...), q.SQL)
	if e, ok := errors.AsType[*ch.Exception](err); ok && refusingCodes[e.Code] != "" {
		return fmt.Errorf("%s: %w: %s", attempt, schemas.ErrRefused, exceptionText(e))
	}
	if err != nil {
		return queryError(ctx, attempt, err)
	}
	return nil
}

// insertFenced is insert behind the fence: where a later epoch has begun it
// stores nothing, and that is no error.
func insertFenced[R any](ctx context.Context, f fence, epoch uint64, table string, columns []column[R], partition func(*R) int64, rows []R) error {
	for _, part := range splitPartitions(rows, partition, maxPartitions) {
		attempt := fmt.Sprintf("insert %d %s", len(part), table)
		incoming, err := f.incoming(ctx, table, columnNames(columns))
		if err != nil {
			return err
		}
		row := make([]any, len(columns))
		for i := range part {
			for c := range columns {
				row[c] = columns[c].value(&part[i])
			}
			if err := incoming.Append(row...); err != nil {
				return fmt.Errorf("%s: %w", attempt, err)
			}
		}
		names := strings.Join(columnNames(columns), ", ")
		q := schemas.Query{
			SQL:    "INSERT INTO " + table + " (" + names + ")\nSELECT " + names + " FROM incoming WHERE " + holds,
			Params: map[string]any{},
		}
		if err := f.exec(ctx, attempt, epoch, q, ch.WithExternalTable(incoming)); err != nil {
			return err
		}
	}
	return nil
}

// incoming is an empty table to send along with a statement, of the types that
// the columns have in table.
func (f fence) incoming(ctx context.Context, table string, names []string) (*ext.Table, error) {
	q := schemas.Query{
		SQL:    "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
		Params: map[string]any{"table": table},
	}
	types := map[string]string{}
	_, err := collect(ctx, f.db.conn, "read the columns of "+table, q, func(scan scanner) (struct{}, error) {
		var name, kind string
		err := scan(&name, &kind)
		types[name] = kind
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	columns := make([]func(*ext.Table) error, len(names))
	for i, name := range names {
		columns[i] = ext.Column(name, chcolumn.Type(types[name]))
	}
	incoming, err := ext.NewTable("incoming", columns...)
	if err != nil {
		return nil, fmt.Errorf("make a table like %s: %w", table, err)
	}
	return incoming, nil
}
