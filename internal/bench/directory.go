package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	schemasql "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// progress is what a fill has done, kept beside the data directory's own files:
// the same command goes on where it ended.
type progress struct {
	Seed    uint64        `json:"seed"`
	Events  int           `json:"events"`
	Span    int           `json:"span"` // in days
	To      time.Time     `json:"to"`
	More    []time.Time   `json:"more,omitempty"` // ends of what follows the last day, in order
	Days    int           `json:"days"`           // that are stored, and stretches behind them
	Bytes   int64         `json:"bytes"`
	Stored  time.Duration `json:"stored_ns"`
	Counted bool          `json:"counted"`
}

const progressFile = "bench.json"

// errNoData tells that there is no fill in a directory.
var errNoData = errors.New("no bench data here: make bench-data first")

func readProgress(dir string) (progress, error) {
	var p progress
	text, err := os.ReadFile(filepath.Join(dir, progressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("%s: %w", dir, errNoData)
	} else if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("read %s of %s: %w", progressFile, dir, err)
	}
	return p, nil
}

func (p *progress) write(dir string) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, progressFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (p *progress) generator() *Generator {
	return &Generator{Seed: p.Seed, Events: p.Events, Days: p.Span, To: p.To}
}

// left is how many days and stretches are not stored yet.
func (p *progress) left() int { return p.Span + len(p.More) - p.Days }

// end is that of all that is stored, or will be.
func (p *progress) end() time.Time { return append([]time.Time{p.To}, p.More...)[len(p.More)] }

// next yields the records of the first of those that are left.
func (p *progress) next() iter.Seq[[]byte] {
	bounds := append([]time.Time{p.To}, p.More...)
	if i := p.Days - p.Span; i >= 0 {
		return p.generator().Stretch(p.Days, bounds[i], bounds[i+1])
	}
	return p.generator().Day(p.Days)
}

// store is a data directory's engine, and connections to it.
type store struct {
	dir    *datadir.Dir
	engine *clickhouse.Engine
	app    clickhouse.Config
	db     *clickhouse.DB
}

// openStore opens the data directory as `up` does, and brings its schema to
// this program's.
func openStore(ctx context.Context, path string, memory int64) (*store, error) {
	library, err := clickhouse.FindLibrary("")
	if err != nil {
		return nil, err
	}
	s := &store{}
	if s.dir, err = datadir.Open(path, datadir.Live); err != nil {
		return nil, err
	}
	if err := s.open(ctx, library, memory); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) open(ctx context.Context, library string, memory int64) error {
	var err error
	s.engine, err = clickhouse.StartEngine(ctx, clickhouse.EngineConfig{
		Dir: s.dir.ClickHouse(), Library: library, MemoryLimit: memory,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	s.app = s.engine.Options(clickhouse.RoleApp)
	s.db, err = connect(ctx, s.app)
	return err
}

// connect makes the schema where it is missing.
func connect(ctx context.Context, c clickhouse.Config) (*clickhouse.DB, error) {
	db, err := clickhouse.Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := clickhouse.Migrate(ctx, db, schemasql.Migrations, clickhouse.MigrateOptions{}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (s *store) close() {
	if s.db != nil {
		s.db.Close()
	}
	if s.engine != nil {
		s.engine.Close()
	}
	s.dir.Close()
}
