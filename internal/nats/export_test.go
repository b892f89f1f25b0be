package nats

import (
	"context"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the library's view, for tests that look behind ours.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Raw is the library's connection.
func (c *Conn) Raw() *nats.Conn { return c.nc }

// Inner is the server itself.
func (s *Server) Inner() *server.Server { return s.inner }

// Streams are the names of the streams that Declare declares.
var Streams = []string{"LOGS", "DEAD", "ALERTS", "OUTBOX", streamLeases, streamCursors, streamDeadLarge}

// StreamState is what the server says about a stream.
func (c *Conn) StreamState(ctx context.Context, name string) (jetstream.StreamState, error) {
	return c.streamState(ctx, name)
}

// SetOrphanAge makes chunks orphans sooner.
func (p *Publisher) SetOrphanAge(d time.Duration) { p.orphanAge = d }

// HeaderText is headerText.
func HeaderText(s string, limit int) string { return headerText(s, limit) }

// SetWindow makes the windows of listings smaller, and how many logs one
// question looks at.
func (s *DeadStore) SetWindow(window, look int) { s.window, s.look = window, look }

// SetAfterPut sets what happens between the two steps of a large dead log.
func (p *Publisher) SetAfterPut(f func()) { p.afterPut = f }

// MaxWaiting is how many alerts wait for one channel at most.
const MaxWaiting = maxWaiting
