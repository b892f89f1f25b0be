package deteval

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// engine is a ClickHouse of its own, with a database for each run.
type engine struct {
	*clickhouse.Engine
	databases atomic.Int64
}

func startEngine(ctx context.Context, dir string) (*engine, error) {
	library, err := clickhouse.FindLibrary("")
	if err != nil {
		return nil, err
	}
	e, err := clickhouse.StartEngine(ctx, clickhouse.EngineConfig{
		Dir: dir, Library: library, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, fmt.Errorf("start a store: %w", err)
	}
	return &engine{Engine: e}, nil
}

// database makes an empty one; drop removes it.
func (e *engine) database(ctx context.Context) (db *clickhouse.DB, drop func() error, err error) {
	c := e.Options(clickhouse.RoleApp)
	c.Database = fmt.Sprintf("m2mwatch_deteval_%d", e.databases.Add(1))
	if db, err = clickhouse.Connect(ctx, c); err != nil {
		return nil, nil, err
	}
	if _, err := clickhouse.Migrate(ctx, db, migrations.Migrations, clickhouse.MigrateOptions{}); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, func() error {
		return errors.Join(db.Close(), clickhouse.DropDatabase(context.WithoutCancel(ctx), c))
	}, nil
}

// findings are all that hold, those that are over too.
func findings(ctx context.Context, r *clickhouse.Reader) ([]schemas.Finding, error) {
	const page = 1000
	filter := schemas.FindingFilter{Limit: page}
	var all []schemas.Finding
	for {
		some, err := r.Findings(ctx, filter)
		if err != nil {
			return nil, err
		}
		for i := range some {
			if some[i].State != schemas.StateWithdrawn {
				all = append(all, some[i])
			}
		}
		if len(some) < page {
			return all, nil
		}
		last := some[len(some)-1]
		filter.After = &schemas.FindingCursor{Last: last.Last, ID: last.ID}
	}
}
