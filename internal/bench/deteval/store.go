package deteval

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// engine is a ClickHouse of its own, with a database for each run.
type engine struct {
	*clickhouse.Engine
	databases int
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
	e.databases++
	c := e.Options(clickhouse.RoleApp)
	c.Database = fmt.Sprintf("m2mwatch_deteval_%d", e.databases)
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

// findings are all that are open.
func findings(ctx context.Context, r *clickhouse.Reader) ([]schemas.Finding, error) {
	const page = 1000
	filter := schemas.FindingFilter{State: schemas.StateOpen, Limit: page}
	var all []schemas.Finding
	for {
		some, err := r.Findings(ctx, filter)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < page {
			return all, nil
		}
		last := some[len(some)-1]
		filter.After = &schemas.FindingCursor{Last: last.Last, ID: last.ID}
	}
}
