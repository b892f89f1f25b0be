package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// writeTimeout bounds a single write to the server, where the driver sets no
// deadline of its own: it sets one around a query and none around a Flush.
const writeTimeout = 30 * time.Second

// dialer makes the driver's connections, so that every write has an end. The
// bound lies below TLS: the driver looks there whether a connection it has kept
// still stands.
func dialer(o *ch.Options, limit time.Duration) func(context.Context, string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: o.DialTimeout}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		bounded := &boundedConn{TCPConn: conn.(*net.TCPConn), limit: limit}
		if o.TLS == nil {
			return bounded, nil
		}
		return handshake(ctx, bounded, o.TLS, addr, o.DialTimeout)
	}
}

func handshake(ctx context.Context, conn net.Conn, c *tls.Config, addr string, limit time.Duration) (net.Conn, error) {
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		c = c.Clone()
		c.ServerName = host
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}

// boundedConn gives a write that has no deadline one.
type boundedConn struct {
	*net.TCPConn
	limit time.Duration
	set   atomic.Bool // the driver has set a deadline
}

func (c *boundedConn) Write(p []byte) (int, error) {
	if !c.set.Load() {
		if err := c.TCPConn.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
			return 0, err
		}
	}
	return c.TCPConn.Write(p)
}

func (c *boundedConn) SetDeadline(t time.Time) error {
	c.set.Store(!t.IsZero())
	return c.TCPConn.SetDeadline(t)
}

func (c *boundedConn) SetWriteDeadline(t time.Time) error {
	c.set.Store(!t.IsZero())
	return c.TCPConn.SetWriteDeadline(t)
}
