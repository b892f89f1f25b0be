package clickhouse

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
	migrations "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// Server is what a server says of itself.
type Server struct {
	Version string
	Now     time.Time // its clock when it answered
	// Denied are the rights that the user lacks and a processor needs.
	Denied []string
}

// InspectServer asks the server, and changes nothing. The database need not be
// there.
func InspectServer(ctx context.Context, db *DB) (Server, error) {
	other, err := openSystem(db.options)
	if err != nil {
		return Server{}, err
	}
	defer other.Close()
	var s Server
	if s.Version, err = other.Version(ctx); err != nil {
		return s, err
	}
	for _, right := range db.rights() {
		var granted uint8
		if err := other.conn.QueryRow(ctx, "CHECK GRANT "+right).Scan(&granted); err != nil {
			return s, other.wrap("ask for the right "+right+" at", err)
		}
		if granted == 0 {
			s.Denied = append(s.Denied, right)
		}
	}
	// Last, so that whoever compares it with another clock does so at once.
	if err := other.conn.QueryRow(ctx, "SELECT now64(6, 'UTC')").Scan(&s.Now); err != nil {
		return s, other.wrap("ask the time of", err)
	}
	return s, nil
}

// rights are what a processor needs. On a cluster it also fences statements on
// every server.
func (db *DB) rights() []string {
	var rights []string
	for _, right := range []string{"SELECT", "INSERT", "ALTER", "CREATE TABLE", "DROP TABLE"} {
		rights = append(rights, right+" ON "+db.database+".*")
	}
	rights = append(rights, "SELECT ON system.*")
	if db.topology.Cluster != "" {
		rights = append(rights, "CREATE TEMPORARY TABLE ON *.*", "REMOTE ON *.*")
	}
	return rights
}

// InspectSchema compares the tables with want, which Describe made of a
// database with all of these migrations. It changes nothing. On a cluster it
// looks at the tables with the rows, on the server that it is connected to. An
// error that wraps ErrMigrations means that another build made them.
func InspectSchema(ctx context.Context, db *DB, fsys fs.FS, want string) (schemas.TablesView, error) {
	var s schemas.TablesView
	var err error
	if s.Pending, err = Migrate(ctx, db, fsys, MigrateOptions{DryRun: true}); err != nil {
		return s, err
	}
	is, err := db.describe(ctx)
	if err != nil {
		return s, err
	}
	if s.Unsynced, err = db.unsynced(ctx); err != nil {
		return s, err
	}
	if len(s.Pending) == 0 {
		s.Missing, s.Differs = compareSchemas(is, parseSchema(want))
	}
	return s, nil
}

// Tables is InspectSchema with the migrations of this build.
func (r *Reader) Tables(ctx context.Context) (schemas.TablesView, error) {
	return InspectSchema(ctx, r.db, migrations.Migrations, migrations.Tables)
}

// Describe lists what the tables of a database are made of, one part a line. It
// is the same on one server and on a cluster, and leaves out what is
// configured: how long rows are kept.
func Describe(ctx context.Context, db *DB) (string, error) {
	parts, err := db.describe(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(&b, "%s\t%s\n", name, parts[name])
	}
	return b.String(), nil
}

func parseSchema(text string) map[string]string {
	parts := map[string]string{}
	for line := range strings.Lines(text) {
		if at := strings.LastIndex(line, "\t"); at > 0 {
			parts[line[:at]] = strings.TrimSuffix(line[at+1:], "\n")
		}
	}
	return parts
}

func compareSchemas(is, want map[string]string) (missing, differs []string) {
	words := func(name string) string { return strings.ReplaceAll(name, "\t", " ") }
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, ok := is[name]
		switch {
		case !ok:
			missing = append(missing, words(name))
		case got != want[name]:
			differs = append(differs, fmt.Sprintf("%s is %s, want %s", words(name), got, want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if _, ok := want[name]; !ok {
			differs = append(differs, words(name)+" is there and nothing here makes it")
		}
	}
	return missing, differs
}

// describeParts has the parts of all tables: what they are called and how they
// are defined. A tab never stands in a definition.
const describeParts = `SELECT name AS t, 'engine', engine_full FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'
UNION ALL SELECT name, 'partition by', partition_key FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'
UNION ALL SELECT name, 'order by', sorting_key FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree'
UNION ALL SELECT table, 'column ' || name, trimRight(type || ' ' || default_kind || ' ' || default_expression || ' ' || compression_codec)
FROM system.columns WHERE database = {database:String} AND table IN (SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree')
UNION ALL SELECT table, 'index ' || name, type_full || ' ' || expr || ' ' || toString(granularity)
FROM system.data_skipping_indices WHERE database = {database:String}`

// describe returns the definition of each part by "table\tpart".
func (db *DB) describe(ctx context.Context) (map[string]string, error) {
	rows, err := db.system(ctx, describeParts)
	if err != nil {
		return nil, err
	}
	parts := map[string]string{}
	for _, r := range rows {
		table, part, definition := r[0], r[1], strings.Join(strings.Fields(r[2]), " ")
		if db.topology.Cluster != "" {
			table = strings.TrimSuffix(table, "_local")
		}
		if part == "engine" {
			definition = engineOf(definition)
		}
		parts[table+"\t"+part] = definition
	}
	return parts, nil
}

// unsynced are those without a setting that makes an ack mean "on disk".
func (db *DB) unsynced(ctx context.Context) ([]string, error) {
	rows, err := db.system(ctx, "SELECT name, engine, engine_full FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range rows {
		for _, setting := range []string{"fsync_after_insert", "fsync_part_directory", "min_compressed_bytes_to_fsync_after_merge"} {
			if !strings.Contains(r[2], setting+" = 1") {
				names = append(names, r[0]+": "+setting)
			}
		}
	}
	return names, nil
}

var (
	engineEnd        = regexp.MustCompile(` (PARTITION BY|PRIMARY KEY|ORDER BY|SAMPLE BY|TTL|SETTINGS) .*$`)
	engineReplicated = regexp.MustCompile(`^Replicated(\w+)\('[^']*', '[^']*'(?:, )?(.*)\)$`)
)

// engineOf is the engine with its own arguments, without those of replication.
func engineOf(full string) string {
	engine := engineEnd.ReplaceAllString(full, "")
	m := engineReplicated.FindStringSubmatch(engine)
	switch {
	case m == nil:
		return engine
	case m[2] == "":
		return m[1]
	}
	return m[1] + "(" + m[2] + ")"
}

// system reads three columns of text about the database.
func (db *DB) system(ctx context.Context, query string) ([][3]string, error) {
	other, err := openSystem(db.options)
	if err != nil {
		return nil, err
	}
	defer other.Close()
	rows, err := other.conn.Query(ctx, query, ch.Named("database", db.database))
	if err != nil {
		return nil, other.wrap("look at the tables of "+db.database+" in", err)
	}
	defer rows.Close()
	var all [][3]string
	for rows.Next() {
		var r [3]string
		if err := rows.Scan(&r[0], &r[1], &r[2]); err != nil {
			return nil, other.wrap("look at the tables of "+db.database+" in", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, other.wrap("look at the tables of "+db.database+" in", err)
	}
	return all, nil
}
