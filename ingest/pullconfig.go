package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"
)

// LogSource has the logs that one tenant still keeps, in the order of their
// log_ids. internal/auth0 has the one for the Management API. An error may wrap a
// *PullError that names its reason; no error holds a secret.
type LogSource interface {
	// Logs returns what follows a log_id, oldest first, or all from the oldest where
	// from is "". next is where to go on. Nothing means that there is no more now.
	// A log_id that is not there any more is none to it: what follows is returned.
	Logs(ctx context.Context, from string) (logs []json.RawMessage, next string, err error)
	// NewestLog is the log_id of the newest log, "" where there is none.
	NewestLog(ctx context.Context) (string, error)
}

// Cursors keeps the schemas.PullState of tenants, as JSON. internal/nats has the
// one for JetStream.
type Cursors interface {
	// Load returns what was saved last, and its revision; 0 where nothing was.
	Load(ctx context.Context, tenant string) (state []byte, revision uint64, err error)
	// Save returns nil only when the state is on disk, and an error that wraps
	// schemas.ErrCursorMoved where the revision is not that of what was saved last.
	Save(ctx context.Context, tenant string, state []byte, revision uint64) (uint64, error)
}

// PullLease lets one of several processes pull a tenant. Nothing is lost and
// nothing double where two do: it saves their calls.
type PullLease interface {
	// Acquire blocks until the lease is held or ctx ends, and returns no other error
	// than ctx's. held ends with the lease.
	Acquire(ctx context.Context, atLeast uint64) (held context.Context, epoch uint64, release func(), err error)
}

// PullError is an error of a LogSource.
type PullError struct {
	Reason string // schemas.PullReason…
	Err    error
}

// Error implements error.
func (e *PullError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *PullError) Unwrap() error { return e.Err }

// PullConfig is what a Puller needs. All but the durations, Now, At and Logger
// is required.
type PullConfig struct {
	Tenant string
	// Domain is the tenant's: where it is another one than that of the cursor all
	// begins anew.
	Domain string
	// Live has live logs pulled. Else only the history that there is when the
	// tenant is added is brought in: live logs come by a log stream.
	Live bool
	// Closing has no more pulled, nor history, than what came until a tenant that
	// was followed no longer is: Run ends when that is there. It excludes Live.
	Closing bool
	Ingest  *Ingest
	Logs    LogSource
	Cursors Cursors
	Lease   PullLease
	Metrics *PullMetrics
	Logger  *slog.Logger

	// Interval is how often is looked for live logs when there are no more. Default
	// 5 s: an eighth of the 100 calls a minute that the smaller plans have for
	// reading logs.
	Interval time.Duration
	// Pace is the least time between two calls while there is more. Default 1 s,
	// which is 100 logs a second, and half of the calls that a free tenant has in
	// all: others call its Management API, too.
	Pace time.Duration
	// Gap is for how long live logs may not have been read until what is behind is
	// brought in as the repair of a gap, beside what is live again; and how long
	// after a tenant went to a log stream is looked for what came before that
	// delivered. Default 15 minutes.
	Gap time.Duration
	// Retention is how long the store keeps events: history that is older is left
	// out. Default: for ever.
	Retention time.Duration
	// LongestWait bounds the wait after errors, which doubles. Default 5 minutes.
	LongestWait time.Duration
	Now         func() time.Time // default time.Now
	// At is called at named points, for tests that crash there: "pull_begun" when
	// the state of a tenant that is new is on disk, "pull_published" when the logs
	// of a page are, "pull_noted" when the cursor is behind them.
	At func(point string)
}

func (c *PullConfig) setDefaults() error {
	if c.Tenant == "" || c.Domain == "" || c.Ingest == nil || c.Logs == nil || c.Cursors == nil || c.Lease == nil || c.Metrics == nil {
		return errors.New("pull: a tenant, its domain, Ingest, Logs, Cursors, Lease and Metrics are required")
	}
	if c.Live && c.Closing {
		return errors.New("pull: Live and Closing exclude each other")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.Interval, 5*time.Second)
	setDefault(&c.Pace, time.Second)
	setDefault(&c.Gap, 15*time.Minute)
	setDefault(&c.LongestWait, 5*time.Minute)
	c.Logger = c.Logger.With("tenant", c.Tenant, "domain", c.Domain)
	return nil
}
