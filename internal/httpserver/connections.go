package httpserver

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ConnectionLimit bounds the connections of one listener.
type ConnectionLimit struct {
	// Max is how many may be open at once. Further ones wait, in the kernel,
	// until one of them is closed. Zero means no limit.
	Max int
	// Name is that of the server, for the log and the metric.
	Name string
	// Logger is told when connections have to wait, once a minute; nil means
	// that nobody is.
	Logger *slog.Logger
	// Registerer gets the number of open connections; nil means nobody does.
	Registerer prometheus.Registerer
}

// LimitConnections accepts what ln accepts within a limit.
func LimitConnections(ln net.Listener, limit ConnectionLimit) net.Listener {
	if limit.Max <= 0 {
		return ln
	}
	if limit.Logger == nil {
		limit.Logger = slog.New(slog.DiscardHandler)
	}
	open := register(limit.Registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "m2mwatch_http_connections",
		Help: "Open connections, by server.",
	}, []string{"server"}))
	return &limitedListener{
		Listener: ln, limit: limit, open: open.WithLabelValues(limit.Name),
		places: make(chan struct{}, limit.Max), closed: make(chan struct{}),
	}
}

type limitedListener struct {
	net.Listener
	limit  ConnectionLimit
	open   prometheus.Gauge
	places chan struct{} // holds a place per connection, and one for the next
	told   atomic.Int64  // when it was said that all are taken, Unix nanoseconds

	closing sync.Once
	closed  chan struct{} // closed by Close
}

func (l *limitedListener) Accept() (net.Conn, error) {
	if err := l.takePlace(); err != nil {
		return nil, err
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	l.open.Inc()
	return &limitedConn{Conn: conn, leave: sync.OnceFunc(func() {
		l.open.Dec()
		<-l.places
	})}, nil
}

func (l *limitedListener) takePlace() error {
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	now, last := time.Now().UnixNano(), l.told.Load()
	if now-last >= int64(time.Minute) && l.told.CompareAndSwap(last, now) {
		l.limit.Logger.Warn("as many connections are open as may be; further ones wait", "server", l.limit.Name, "connections", l.limit.Max)
	}
	select {
	case l.places <- struct{}{}:
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

func (l *limitedListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn leaves its place when it is closed.
type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is what net/http closes with when it has not read a whole body, so
// that the client reads the answer before it hears that the connection is gone.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
