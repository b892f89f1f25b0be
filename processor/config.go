package processor

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Config is what a Processor needs. Source, Store and Dead must be set; every
// other field has a default.
type Config struct {
	Source Source
	Store  Store
	Dead   DeadLetters
	// Matcher selects what the rules want to see. Default: nothing matches.
	Matcher Matcher
	// Catalogue knows the event types. Default: schemas.EventTypes().
	Catalogue *schemas.Catalogue
	// Places tells country and autonomous system of addresses. Default: nothing
	// is known beside the log.
	Places Places
	// Tracer follows messages. Default: nobody does.
	Tracer Tracer

	// Logger hears of outages, once at their beginning and once at their end,
	// and once of each type that is not in Catalogue. Default: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
	// Now is the clock that a record's time is held against. Default time.Now.
	Now func() time.Time

	// Retention is how far back a record's time may lie; what is older goes to
	// DEAD, since the store would drop it. Default 0: any time since 1970.
	Retention time.Duration

	// FlushRows, FlushBytes and FlushAge are when a flush is due: by its
	// records (default 25,000), by the bytes of its messages (32 MiB), or by
	// the time since its first message (1 s). Memory holds two flushes of that
	// size, one on its way to the store and one that fills.
	FlushRows  int
	FlushBytes int
	FlushAge   time.Duration
	// MaxHeld is how many messages are held without an ack; one flush has half
	// of them at most. More than the consumer's MaxAckPending is of no use.
	// Default 1000, at least 2.
	MaxHeld int
	// AckWait is the consumer's: within a third of it every message held is
	// reported as in progress. Default 30 s.
	AckWait time.Duration
	// ShutdownTimeout is how long the flush in flight may go on when the
	// processor is stopped. Default 2 s.
	ShutdownTimeout time.Duration

	// Stored is called when a flush is in the store, and its touches. It must not
	// block. Default: nobody hears of it.
	Stored func()

	// At is called behind each step of a flush, for tests that crash there:
	// events_inserted, matches_inserted, touches_inserted, acked.
	At func(point string)
}

// Validate returns every problem at once.
func (c *Config) Validate() error {
	var errs []error
	for _, part := range []struct {
		name string
		set  bool
	}{{"source", c.Source != nil}, {"store", c.Store != nil}, {"dead letters", c.Dead != nil}} {
		if !part.set {
			errs = append(errs, fmt.Errorf("processor: the %s: want one", part.name))
		}
	}
	for _, size := range []struct {
		name  string
		value int64
	}{
		{"retention", int64(c.Retention)},
		{"flush rows", int64(c.FlushRows)},
		{"flush bytes", int64(c.FlushBytes)},
		{"flush age", int64(c.FlushAge)},
		{"messages held", int64(c.MaxHeld)},
		{"ack wait", int64(c.AckWait)},
		{"shutdown timeout", int64(c.ShutdownTimeout)},
	} {
		if size.value < 0 {
			errs = append(errs, fmt.Errorf("processor: %s: want more than none", size.name))
		}
	}
	if c.MaxHeld == 1 {
		errs = append(errs, errors.New("processor: messages held: want at least 2, one in flight and one that fills"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Matcher == nil {
		c.Matcher = noMatcher{}
	}
	if c.Catalogue == nil {
		c.Catalogue = schemas.EventTypes()
	}
	if c.Tracer == nil {
		c.Tracer = noTracer{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Stored == nil {
		c.Stored = func() {}
	}
	if c.At == nil {
		c.At = func(string) {}
	}
	setDefault(&c.FlushRows, 25_000)
	setDefault(&c.FlushBytes, 32<<20)
	setDefault(&c.FlushAge, time.Second)
	setDefault(&c.MaxHeld, 1000)
	setDefault(&c.AckWait, 30*time.Second)
	setDefault(&c.ShutdownTimeout, 2*time.Second)
	return c
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// noMatcher is the matcher where there are no rules.
type noMatcher struct{}

func (noMatcher) Match(dst []schemas.Match, _ *schemas.Event) []schemas.Match { return dst }
