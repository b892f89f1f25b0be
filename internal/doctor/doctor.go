// Package doctor looks at what an instance of m2mwatch stands on and says what
// to do about what is wrong. It changes nothing; the one thing that it writes is
// a probe file in the data directory, which it removes.
package doctor

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/nats"
)

// Config says what to look at.
type Config struct {
	// Settings are what could be read, and Problem what was wrong with them.
	Settings *config.Config
	Problem  error
	// Origin is where they came from.
	Origin config.Origin

	// Broker is how to connect to the outside NATS, and Limits what its streams
	// should be; used where Settings name one.
	Broker nats.Config
	Limits nats.Limits
	// Monitors are the addresses of the monitoring of NATS servers, such as
	// http://nats-1:8222. Default none: how they sync is not known.
	Monitors []string

	// OpenStore connects to the store, and the function that it returns ends
	// that. Nil leaves the store out, since nobody but the instance that runs
	// can reach an embedded one.
	OpenStore func(context.Context) (*clickhouse.DB, func(), error)
	// StoreTimeout bounds the checks of the store. Default 20 s.
	StoreTimeout time.Duration

	// URL is where Auth0 delivers to: https://host, or with the webhook's path.
	// Default none: that is skipped.
	URL string
	// HTTP asks URL. Default: a client that follows no redirect.
	HTTP *http.Client

	// Built is when the program was built, as far as it knows.
	Built time.Time
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Doctor looks at one instance, running or not.
type Doctor struct {
	cfg     Config
	client  *apiclient.Client
	running bool // an instance answers on the socket of the data directory
}

// New finds out whether an instance runs. Close ends the Doctor.
func New(cfg Config) (*Doctor, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.StoreTimeout == 0 {
		cfg.StoreTimeout = 20 * time.Second
	}
	data := cfg.Settings.Data
	client, err := apiclient.New(apiclient.Config{Socket: datadir.Socket(data), DataDir: data})
	if err != nil {
		return nil, err
	}
	return &Doctor{cfg: cfg, client: client, running: listens("unix", datadir.Socket(data))}, nil
}

// Close gives up connections to the instance.
func (d *Doctor) Close() error { return d.client.Close() }

// Checks are all checks, in the order in which a reader would ask.
func (d *Doctor) Checks() []Check {
	return []Check{
		{Name: "configuration", Run: d.configuration},
		{Name: "secrets", Run: d.secrets},
		{Name: "tenants", Run: d.tenants},
		{Name: "deliveries", Run: d.deliveries},
		{Name: "instance", Run: d.instance},
		{Name: "data directory", Run: d.directory},
		{Name: "disk room", Run: d.room},
		{Name: "disk sync", Run: d.syncing},
		{Name: "ports", Run: d.ports},
		{Name: "certificate", Run: d.certificate},
		{Name: "clock", Run: d.clock},
		{Name: "nats", Run: d.broker},
		{Name: "nats sync", Run: d.brokerSync},
		{Name: "clickhouse", Run: d.store, Timeout: d.cfg.StoreTimeout},
		{Name: "enrichment", Run: d.enrichment},
		{Name: "webhook", Run: d.webhook},
	}
}

// listens tells whether somebody takes connections at an address.
func listens(network, address string) bool {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
