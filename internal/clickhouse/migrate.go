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
type MigrateOptions struct{}

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
func Migrate(ctx context.Context, db *DB, fsys fs.FS, _ MigrateOptions) ([]string, error) {
	all, err := readMigrations(fsys)
	if err != nil {
		return nil, err
	}
	if err := db.createDatabase(ctx); err != nil {
		return nil, err
	}
	recorded, err := db.recordedMigrations(ctx)
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
		if err := db.apply(ctx, m); err != nil {
			return applied, err
		}
		applied = append(applied, m.name)
	}
	return applied, nil
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
func (db *DB) apply(ctx context.Context, m migration) error {
	statements, err := m.render(db.topology)
	if err != nil {
		return err
	}
	for i, statement := range statements {
		if err := db.define(ctx, statement); err != nil {
			return db.wrap(fmt.Sprintf("apply migration %s, statement %d, to", m.name, i+1), err)
		}
	}
	err = db.conn.Exec(ctx, "INSERT INTO schema_migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
		ch.Named("name", m.name), ch.Named("checksum", m.checksum))
	if err != nil {
		return db.wrap("record migration "+m.name+" in", err)
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
	statements, err := migration{name: "schema_migrations", text: recordsTable}.render(db.topology)
	if err != nil {
		return nil, err
	}
	for _, statement := range statements {
		if err := db.define(ctx, statement); err != nil {
			return nil, db.wrap("make the list of migrations in", err)
		}
	}
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
func (db *DB) createDatabase(ctx context.Context) error {
	for _, shard := range db.shards {
		if err := shard.createDatabase(ctx); err != nil {
			return err
		}
	}
	return withoutDatabase(ctx, db.options, "CREATE DATABASE IF NOT EXISTS "+db.database+" "+db.topology.onCluster())
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
	other := *o
	other.Auth.Database = "system"
	db, err := open(&other)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.conn.Exec(ctx, statement); err != nil {
		return db.wrap("run "+statement+" at", err)
	}
	return nil
}
