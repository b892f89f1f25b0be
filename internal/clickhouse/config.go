package clickhouse

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// DefaultDatabase is the database where neither the URL nor the configuration
// names one.
const DefaultDatabase = "m2mwatch"

// Config says which ClickHouse to use.
type Config struct {
	// URL is clickhouse://user:password@host:9440/database?secure=true. Several
	// hosts stand with commas between them and are tried in order. Settings of
	// ClickHouse may follow as further parameters. Compression is LZ4 unless
	// the URL says compress=….
	URL string
	// Database overrides the one in the URL; DefaultDatabase where neither
	// names one.
	Database string
	// Cluster makes the tables those of the cluster of this name in the servers'
	// configuration; see Topology. Default: plain tables on the one server.
	Cluster string
	// Shards are the servers of a cluster that has neither replicas nor a Keeper,
	// one per shard: ON CLUSTER needs one, so what makes and alters tables runs
	// on each of these instead. Default: the cluster's own ON CLUSTER.
	Shards []Config
	// Retention is how long rows are kept. ApplyRetention brings it into force,
	// and a Reader leaves out what is older. Default: for ever.
	Retention Retention
	// Now is the clock by which rows are too old to be read. Default: time.Now.
	Now func() time.Time
	// TLS replaces the TLS configuration that secure=true stands for: own
	// authorities, client certificates.
	TLS *tls.Config
	// MaxConns bounds the connections, 16 by default. A caller that finds them
	// all in use waits for the dial timeout, then gets an error.
	MaxConns int
	// InsertTimeout bounds one insert, 2 minutes by default: a server that is
	// gone without a word would else hold its caller for ever. What has not been
	// answered by then is an error like any other, though it may be stored. One
	// that is shorter than a healthy insert takes lets none through.
	InsertTimeout time.Duration
	// ReadTimeout bounds the wait for each answer where the caller's context has
	// no end. Default: the URL's read_timeout, or the driver's 5 minutes.
	ReadTimeout time.Duration
}

// String is the URL without its password: a Config may be printed.
func (c Config) String() string {
	return hidePassword(c.URL)
}

// GoString is String: %#v shows no password either.
func (c Config) GoString() string { return c.String() }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// databaseName is what may be put into a statement without quoting.
var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// DatabaseName is the database that the connection will be to.
func (c Config) DatabaseName() (string, error) {
	o, err := c.options()
	if err != nil {
		return "", err
	}
	return o.Auth.Database, nil
}

// options are the driver's, with the settings that the promises rest on.
func (c Config) options() (*ch.Options, error) {
	o, err := ch.ParseDSN(c.URL)
	if err != nil {
		return nil, errors.New("read the ClickHouse URL: " + scrub(err, passwordsOf(c.URL)...))
	}
	if o.Protocol != ch.Native {
		return nil, errors.New("read the ClickHouse URL: the scheme must be clickhouse://, the native protocol")
	}
	if c.Database != "" {
		o.Auth.Database = c.Database
	}
	if o.Auth.Database == "" {
		o.Auth.Database = DefaultDatabase
	}
	if !databaseName.MatchString(o.Auth.Database) {
		return nil, fmt.Errorf("read the ClickHouse URL: database %q: letters, digits and _ only", o.Auth.Database)
	}
	if c.TLS != nil {
		o.TLS = c.TLS
	}
	c.complete(o)
	limit := writeTimeout
	if c.InsertTimeout > 0 {
		limit = min(limit, c.InsertTimeout)
	}
	o.DialContext = dialer(o, limit)
	return o, nil
}

// complete fills in what the URL left open.
func (c Config) complete(o *ch.Options) {
	if o.Compression == nil {
		o.Compression = &ch.Compression{Method: ch.CompressionLZ4}
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	if c.ReadTimeout > 0 {
		o.ReadTimeout = c.ReadTimeout
	}
	if o.MaxOpenConns == 0 {
		o.MaxOpenConns = 16
		if c.MaxConns > 0 {
			o.MaxOpenConns = c.MaxConns
		}
	}
	if o.MaxIdleConns == 0 {
		o.MaxIdleConns = o.MaxOpenConns
	}
	maps.Copy(o.Settings, requiredSettings())
	if c.Cluster != "" {
		maps.Copy(o.Settings, clusterSettings())
	}
	o.ClientInfo.Products = append(o.ClientInfo.Products, struct{ Name, Version string }{Name: "m2mwatch"})
}
