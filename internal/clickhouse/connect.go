package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// requiredSettings go with every query, whatever the URL says. async_insert: an
// insert's answer has to mean that its rows are on disk, and that a query
// started after it sees them; a server's own default may be otherwise.
// optimize_on_insert: else the server merges the rows of an insert by their key
// before it writes them, all 60 columns of an event, which was a quarter of its
// CPU. Whoever must not see a copy says FINAL, as copies come in other inserts too.
func requiredSettings() ch.Settings {
	return ch.Settings{"async_insert": 0, "optimize_on_insert": 0}
}

// DB is a pool of connections to one database. Its methods may be called
// concurrently. A connection that broke is replaced by the next call that needs
// one, so a DB outlives restarts of the server; a call that is under way when
// the server goes returns an error.
type DB struct {
	conn          driver.Conn
	options       *ch.Options
	database      string
	topology      Topology
	shards        []*DB // see Config.Shards
	retained      Retention
	now           func() time.Time
	insertTimeout time.Duration
	settings      atomic.Pointer[[]string] // see knownSettings
}

// Connect opens the pool and checks once that the server answers and takes the
// password. The database need not be there yet: Migrate makes it.
func Connect(ctx context.Context, c Config) (*DB, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	if err := c.Retention.Validate(); err != nil {
		return nil, err
	}
	if err := withoutDatabase(ctx, o, "SELECT 1"); err != nil {
		return nil, err
	}
	db, err := open(o)
	if err != nil {
		return nil, err
	}
	if c.InsertTimeout > 0 {
		db.insertTimeout = c.InsertTimeout
	}
	db.retained = c.Retention
	if c.Now != nil {
		db.now = c.Now
	}
	db.topology = Topology{Database: db.database, Cluster: c.Cluster, Unreplicated: len(c.Shards) > 0}
	return db, db.connectShards(ctx, c)
}

// connectShards opens a pool to each shard that statements go to one by one.
func (db *DB) connectShards(ctx context.Context, c Config) error {
	for _, shard := range c.Shards {
		shard.Database = db.database
		s, err := Connect(ctx, shard)
		if err != nil {
			return errors.Join(err, db.Close())
		}
		db.shards = append(db.shards, s)
	}
	return nil
}

// defaultInsertTimeout is for the largest insert on a slow disk; a usual one
// takes less than a second.
const defaultInsertTimeout = 2 * time.Minute

// open makes the pool; nothing is dialled yet.
func open(o *ch.Options) (*DB, error) {
	conn, err := ch.Open(o)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse connections: %s", scrub(err, o.Auth.Password))
	}
	return &DB{conn: conn, options: o, database: o.Auth.Database, now: time.Now, insertTimeout: defaultInsertTimeout}, nil
}

// Database is the name of the database that db is for.
func (db *DB) Database() string { return db.database }

// Close closes the connections; queries under way end with an error.
func (db *DB) Close() error {
	err := db.conn.Close()
	for _, shard := range db.shards {
		err = errors.Join(err, shard.Close())
	}
	return err
}

// Ping returns nil when the server answers and the database is there.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.conn.Ping(ctx); err != nil {
		return db.wrap("connect to", err)
	}
	return nil
}

// Version is the server's own, like 26.7.3.1.
func (db *DB) Version(ctx context.Context) (string, error) {
	var v string
	if err := db.conn.QueryRow(ctx, "SELECT version()").Scan(&v); err != nil {
		return "", db.wrap("ask the version of", err)
	}
	return v, nil
}

// wrap says what was attempted and where, and keeps the cause matchable.
func (db *DB) wrap(verb string, err error) error {
	where := strings.Join(db.options.Addr, ",")
	return &dbError{text: fmt.Sprintf("%s ClickHouse at %s: %s", verb, where, scrub(err, db.options.Auth.Password)), cause: err}
}

// dbError is an error whose text has lost its secrets.
type dbError struct {
	text  string
	cause error
}

func (e *dbError) Error() string { return e.text }
func (e *dbError) Unwrap() error { return e.cause }
