package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Limits bound what one connection may take. A zero field means its default.
type Limits struct {
	// ReadHeader is the time for a request's header. Default 10 s.
	ReadHeader time.Duration
	// BodyPause is the longest pause while a body comes in; a body itself may
	// take as long as it needs. Default 60 s.
	BodyPause time.Duration
	// Write is the time from the last byte of a request to the end of its
	// answer. Default 60 s.
	Write time.Duration
	// Idle is how long a connection is kept between requests. Default 2 min.
	Idle time.Duration
	// MaxHeader is the size of a header, in bytes. Default 32 KiB.
	MaxHeader int
	// Shutdown is how long requests may go on after the end was asked for.
	// What is cut off then was not answered, so the client sends it again.
	// Default 2 s.
	Shutdown time.Duration
}

func (l Limits) withDefaults() Limits {
	l.ReadHeader = orDefault(l.ReadHeader, 10*time.Second)
	l.BodyPause = orDefault(l.BodyPause, time.Minute)
	l.Write = orDefault(l.Write, time.Minute)
	l.Idle = orDefault(l.Idle, 2*time.Minute)
	l.MaxHeader = orDefault(l.MaxHeader, 32<<10)
	l.Shutdown = orDefault(l.Shutdown, 2*time.Second)
	return l
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Serve serves e on ln until ctx ends, then lets requests finish for
// Limits.Shutdown and cuts off the rest. It closes ln. It returns nil when it
// stopped because ctx ended and every request was finished.
func Serve(ctx context.Context, e *echo.Echo, ln net.Listener, limits Limits) error {
	limits = limits.withDefaults()
	srv := newServer(e, limits)
	closeAtStop(srv)
	tellStop(srv)
	failed := make(chan error, 1)
	go func() {
		defer close(failed) // ln is closed then
		failed <- srv.Serve(ln)
	}()

	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Shutdown)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		srv.Close()
	}
	for range failed { // http.ErrServerClosed, always
	}
	if err != nil {
		return fmt.Errorf("stop serving on %s: requests still ran after %s and were cut off", ln.Addr(), limits.Shutdown)
	}
	return nil
}

func newServer(e *echo.Echo, limits Limits) *http.Server {
	return &http.Server{
		Handler:           limits.wrap(e),
		ReadHeaderTimeout: limits.ReadHeader,
		WriteTimeout:      limits.Write, // pushed on by each read of a body
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    limits.MaxHeader,
		ErrorLog:          e.StdLogger,
	}
}

// wrap replaces net/http's one deadline for a whole body by one for each read
// of it, so that a long body passes and a stalled one does not.
func (l Limits) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			b := &pacedBody{ReadCloser: r.Body, conn: http.NewResponseController(w), limits: l}
			b.extend()
			r.Body = b
		}
		h.ServeHTTP(w, r)
	})
}

// pacedBody is a request's body that moves the deadlines of its connection.
type pacedBody struct {
	io.ReadCloser
	conn   *http.ResponseController
	limits Limits
}

// extend ignores errors: only a connection that is no network's has no deadlines.
func (b *pacedBody) extend() {
	now := time.Now()
	_ = b.conn.SetReadDeadline(now.Add(b.limits.BodyPause))
	_ = b.conn.SetWriteDeadline(now.Add(b.limits.BodyPause + b.limits.Write))
}

// Read drops the read deadline at the end of the body: from there on net/http
// itself reads, to learn that the client hung up, and a deadline would look
// like that. After any other end the deadline stays, for net/http reads what is
// left of the body.
func (b *pacedBody) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}
