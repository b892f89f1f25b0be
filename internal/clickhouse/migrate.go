package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// ErrMigrations is wrapped when the database and the migrations of this build
// do not fit: a changed file, or a database that a newer build has migrated.
var ErrMigrations = errors.New("the database does not fit this build")

// MigrateOptions say how migrations are applied.
type MigrateOptions struct {
	// DryRun changes nothing: what would be applied is only told.
	DryRun bool
	// Tell, where it is set, is called with each migration before it is applied.
	Tell func(Migration)
}

// Migration is a file as it is applied. Two come before the first file where
// the database is new: "database" and "schema_migrations".
type Migration struct {
	Name       string   `json:"name"` // of the file, without .sql
	Statements []string `json:"statements"`
}

// migration is one file.
type migration struct {
	name     string // without .sql
	checksum string // of the template, so that it is the same on a cluster
	text     string
}

// Migrate makes the database and applies the files of fsys that it has not had,
// in the order of their names, and returns the names of those. Each file is a
// template (see render in template.go).
//
// A file is recorded after its last statement. A crash before that, or another
// process that migrates at the same time, makes its statements run again:
// each must be one that may (IF NOT EXISTS). Nothing is applied where what was
// recorded does not fit; the error then wraps ErrMigrations.
func Migrate(ctx context.Context, db *DB, fsys fs.FS, o MigrateOptions) ([]string, error) {
	all, err := readMigrations(fsys)
	if err != nil {
		return nil, err
	}
	recorded, err := db.prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := checkRecorded(all, recorded); err != nil {
		return nil, fmt.Errorf("migrate database %s: %w", db.database, err)
	}
	var applied []string
	for _, m := range all {
		if _, done := recorded[m.name]; done {
			continue
		}
		if err := db.apply(ctx, m, o); err != nil {
			return applied, err
		}
		applied = append(applied, m.name)
	}
	return applied, nil
}

// Schema is everything that Migrate would apply to a new database, from the
// first statement on.
func Schema(fsys fs.FS, to Topology) ([]Migration, error) {
	files, err := readMigrations(fsys)
	if err != nil {
		return nil, err
	}
	var all []Migration
	for _, m := range append(foundation(to), files...) {
		statements, err := m.render(to)
		if err != nil {
			return nil, err
		}
		all = append(all, Migration{m.name, statements})
	}
	return all, nil
}

// foundation is what every database begins with.
func foundation(to Topology) []migration {
	return []migration{
		{name: "database", text: "CREATE DATABASE IF NOT EXISTS " + to.Database + " {{on_cluster}}"},
		{name: "schema_migrations", text: recordsTable},
	}
}

// prepare lays the foundation and returns the checksums of what was applied,
// by name.
func (db *DB) prepare(ctx context.Context, o MigrateOptions) (map[string]string, error) {
	there, err := db.hasRecords(ctx)
	if err != nil {
		return nil, err
	}
	if !there {
		if err := db.layFoundation(ctx, o); err != nil || o.DryRun {
			return nil, err
		}
	}
	return db.recordedMigrations(ctx)
}

// hasRecords tells whether the list of migrations is there.
func (db *DB) hasRecords(ctx context.Context) (bool, error) {
	other, err := openSystem(db.options)
	if err != nil {
		return false, err
	}
	defer other.Close()
	var n uint64
	err = other.conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
		ch.Named("database", db.database)).Scan(&n)
	if err != nil {
		return false, db.wrap("look for the list of migrations in", err)
	}
	return n > 0, nil
}

func (db *DB) layFoundation(ctx context.Context, o MigrateOptions) error {
	for i, m := range foundation(db.topology) {
		statements, err := m.render(db.topology)
		if err != nil {
			return err
		}
		o.tell(Migration{m.name, statements})
		switch {
		case o.DryRun:
		case i == 0:
			err = db.createDatabase(ctx, statements[0])
		default:
			err = db.defineAll(ctx, m.name, statements)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o MigrateOptions) tell(m Migration) {
	if o.Tell != nil {
		o.Tell(m)
	}
}

// readMigrations lists the .sql files, by name.
func readMigrations(fsys fs.FS) ([]migration, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	slices.Sort(names)
	var all []migration
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", name, err)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{strings.TrimSuffix(name, ".sql"), hex.EncodeToString(sum[:]), string(text)})
	}
	return all, nil
}

// checkRecorded compares what the database has had with what this build knows.
func checkRecorded(all []migration, recorded map[string]string) error {
	known := make(map[string]string, len(all))
	for _, m := range all {
		known[m.name] = m.checksum
	}
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		checksum := recorded[name]
		want, ok := known[name]
		if !ok {
			return fmt.Errorf("%w: it has migration %s, which this build does not know: use the newer m2mwatch that made it", ErrMigrations, name)
		}
		if want != checksum {
			return fmt.Errorf("%w: migration %s was applied with another content (sha256 %.12s… then, %.12s… now): another build made it, so use that one, or begin with an empty data directory or database", ErrMigrations, name, checksum, want)
		}
	}
	return nil
}

// apply runs the statements of one file, then records it.
func (db *DB) apply(ctx context.Context, m migration, o MigrateOptions) error {
	statements, err := m.render(db.topology)
	if err != nil {
		return err
	}
	o.tell(Migration{m.name, statements})
	if o.DryRun {
		return nil
	}
	if err := db.defineAll(ctx, m.name, statements); err != nil {
		return err
	}
	err = db.conn.Exec(ctx, "INSERT INTO schema_migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
		ch.Named("name", m.name), ch.Named("checksum", m.checksum))
	if err != nil {
		return db.wrap("record migration "+m.name+" in", err)
	}
	return nil
}

func (db *DB) defineAll(ctx context.Context, name string, statements []string) error {
	for i, statement := range statements {
		if err := db.define(ctx, statement); err != nil {
			return db.wrap(fmt.Sprintf("apply migration %s, statement %d, to", name, i+1), err)
		}
	}
	return nil
}

// recordsTable holds one row per applied file; two processes that applied the
// same one at the same time leave one row.
const recordsTable = `CREATE TABLE IF NOT EXISTS {{table "schema_migrations"}} {{on_cluster}}
(
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{engine "ReplacingMergeTree"}}
ORDER BY (name, checksum)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
{{distributed "schema_migrations" "sipHash64(name)"}}`

// recordedMigrations returns the checksums of what was applied, by name.
func (db *DB) recordedMigrations(ctx context.Context) (map[string]string, error) {
	rows, err := db.conn.Query(ctx, "SELECT name, checksum FROM schema_migrations ORDER BY applied_at")
	if err != nil {
		return nil, db.wrap("read the list of migrations of", err)
	}
	defer rows.Close()
	recorded := make(map[string]string)
	for rows.Next() {
		var name, checksum string
		if err := rows.Scan(&name, &checksum); err != nil {
			return nil, db.wrap("read the list of migrations of", err)
		}
		recorded[name] = checksum
	}
	if err := rows.Err(); err != nil {
		return nil, db.wrap("read the list of migrations of", err)
	}
	return recorded, nil
}

// createDatabase goes through a connection of its own: one to a database that
// is not there is refused.
func (db *DB) createDatabase(ctx context.Context, statement string) error {
	for _, shard := range db.shards {
		if err := shard.createDatabase(ctx, statement); err != nil {
			return err
		}
	}
	return withoutDatabase(ctx, db.options, statement)
}

// DropDatabase removes the database that c names, with everything in it; the
// space is given back in the background. It is no error if it is not there.
func DropDatabase(ctx context.Context, c Config) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	return withoutDatabase(ctx, o, "DROP DATABASE IF EXISTS "+o.Auth.Database)
}

// withoutDatabase runs a statement on a connection that names none of ours.
func withoutDatabase(ctx context.Context, o *ch.Options, statement string) error {
	db, err := openSystem(o)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.conn.Exec(ctx, statement); err != nil {
		return db.wrap("run "+statement+" at", err)
	}
	return nil
}

// openSystem makes a pool to the database that is always there.
func openSystem(o *ch.Options) (*DB, error) {
	other := *o
	other.Auth.Database = "system"
	return open(&other)
}
