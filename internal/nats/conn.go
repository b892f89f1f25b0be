package nats

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	connectTimeout   = 5 * time.Second
	firstConnectWait = 100 * time.Millisecond
	maxConnectWait   = 5 * time.Second
	connectedPoll    = 20 * time.Millisecond
	drainTimeout     = 5 * time.Second
)

// Conn is a connection to JetStream. Once made it reconnects by itself, for
// ever. All methods may be called concurrently.
type Conn struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger
	metrics *metrics
	density density
}

// Connect connects to the server that cfg names. It tries until ctx ends, so
// that a server which starts later is found; what waiting cannot heal (wrong
// credentials, a certificate that is not trusted) ends it at once.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Conn{log: orDiscard(cfg.Logger), metrics: newMetrics(cfg.Registerer)}
	opts, err := c.options(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to nats at %s: %w", cfg.address(), err)
	}
	if err := c.dial(ctx, cfg, opts); err != nil {
		return nil, fmt.Errorf("connect to nats at %s: %w", cfg.address(), cfg.scrub(err))
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("connect to nats at %s: %w", cfg.address(), cfg.scrub(err))
	}
	return c, nil
}

func (c *Conn) options(cfg Config) ([]nats.Option, error) {
	auth, err := cfg.auth()
	if err != nil {
		return nil, err
	}
	tls, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	name := cfg.Name
	if name == "" {
		name = "m2mwatch"
	}
	opts := []nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.DrainTimeout(drainTimeout),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay),
		// The default gives up after two refusals, which a server that is
		// being reconfigured may well give.
		nats.IgnoreAuthErrorAbort(),
		// No buffer: what is published without a connection must fail there
		// and then, or its ack would be waited for in vain.
		nats.ReconnectBufSize(-1),
	}
	opts = append(opts, c.handlers(cfg)...)
	opts = append(opts, auth...)
	opts = append(opts, tls...)
	if cfg.Server != nil {
		opts = append(opts, nats.InProcessServer(cfg.Server))
	}
	return opts, nil
}

func (c *Conn) handlers(cfg Config) []nats.Option {
	address := cfg.address()
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.log.Warn("nats connection lost", "server", address, "error", cfg.scrub(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			c.metrics.reconnects.Inc()
			c.log.Info("nats connected again", "server", address)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.log.Warn("nats connection", "server", address, "error", cfg.scrub(err))
		}),
	}
}

// dial connects for the first time.
func (c *Conn) dial(ctx context.Context, cfg Config, opts []nats.Option) error {
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		nc, err := nats.Connect(cfg.URL, opts...)
		if err == nil {
			c.nc = nc
			return nil
		}
		if permanent(err) {
			return err
		}
		if attempt == 1 {
			c.log.Warn("nats is away, trying on", "server", cfg.address(), "error", cfg.scrub(err))
		}
		if pause(ctx, reconnectDelay(attempt)) != nil {
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}

// permanent reports whether trying again is in vain.
func permanent(err error) bool {
	var unknownAuthority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrSecureConnRequired) ||
		errors.Is(err, nats.ErrSecureConnWanted) ||
		errors.As(err, &unknownAuthority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

// reconnectDelay doubles from 100 ms to 5 s.
func reconnectDelay(attempts int) time.Duration {
	return min(firstConnectWait<<min(max(attempts-1, 0), 10), maxConnectWait)
}

// Connected reports whether the connection stands at this moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Version is the version of the server, as of the last connection.
func (c *Conn) Version() string { return c.nc.ConnectedServerVersion() }

// Close ends the connection. Whoever is publishing gets an error.
func (c *Conn) Close() error {
	c.nc.Close()
	return nil
}

// waitConnected returns when the connection stands, or when ctx ends.
func (c *Conn) waitConnected(ctx context.Context) error {
	for !c.nc.IsConnected() {
		if c.nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if err := pause(ctx, connectedPoll); err != nil {
			return fmt.Errorf("nats is away: %w", err)
		}
	}
	return nil
}

// pause waits for d, or less where ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
