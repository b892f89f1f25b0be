package processor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

var errAway = errors.New("connection refused")

// TestMemoryIsBoundedWhileAFlushHangs claims that two batches are the most
// that is ever fetched and not acked.
func TestMemoryIsBoundedWhileAFlushHangs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(*Config, int)
	}{
		{"by messages", func(c *Config, _ int) { c.MaxHeld = 20 }},
		{"by bytes", func(c *Config, size int) { c.FlushBytes = 10 * size }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				release := make(chan struct{})
				r.store.away = func(context.Context, string) error { <-release; return nil }
				var messages []*fakeMessage
				for i := range 100 {
					messages = append(messages, r.put(i, 1, time.Now()))
				}
				tt.edit(&r.cfg, len(messages[0].data))
				r.run(t)
				time.Sleep(time.Minute + time.Second)
				if waiting, out, _ := r.queue.state(); out != 20 || waiting != 80 {
					t.Errorf("%d messages out and %d waiting, want 20 and 80", out, waiting)
				}
				for i, m := range messages[:20] {
					if got := m.reports(); got != 6 {
						t.Errorf("message %d was reported %d times in a minute, want every 10 s", i, got)
					}
				}
				close(release)
				time.Sleep(10 * time.Second)
				r.stop(t)
				if got := r.journal.count("ack"); got != 100 {
					t.Errorf("%d acks, want 100", got)
				}
			})
		})
	}
}

func TestStoreAwayLosesNothing(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"events", "matches", "touches"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				var logged bytes.Buffer
				r.cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
				registry := prometheus.NewRegistry()
				r.cfg.Registerer = registry
				began := time.Now()
				r.store.away = func(_ context.Context, on string) error {
					if on == table && time.Since(began) < 10*time.Minute {
						return errAway
					}
					return nil
				}
				first := r.put(0, 10, time.Now())
				r.run(t)
				time.Sleep(5 * time.Second)
				_, _, fetchesBefore := r.queue.state()
				second := r.put(10, 10, time.Now())
				time.Sleep(9 * time.Minute)

				if got := gauge(t, registry, "m2mwatch_processor_store_up"); got != 0 {
					t.Errorf("store_up %v while it is away, want 0", got)
				}
				if _, _, fetches := r.queue.state(); fetches-fetchesBefore > 1 {
					t.Errorf("%d fetches while the store is away, want none", fetches-fetchesBefore)
				}
				if first.reports() < 54 || second.deliveries() > 1 {
					t.Errorf("%d reports in nine minutes, want one every 10 s; attempt %d", first.reports(), second.deliveries())
				}
				if n := r.journal.count(table); n > 120+10 {
					t.Errorf("%d attempts in nine minutes, want one every 5 s", n)
				}
				time.Sleep(2 * time.Minute)
				r.stop(t)

				if r.store.count() != 20 || len(r.store.matches) != 20 || r.journal.count("ack") != 2 || r.journal.count("nak") != 0 {
					t.Errorf("%d events, %d matches, %d acks, %d naks: want 20, 20, 2, 0",
						r.store.count(), len(r.store.matches), r.journal.count("ack"), r.journal.count("nak"))
				}
				if table != "events" && r.journal.count("events") != 2 {
					t.Errorf("%d inserts of events, want one per flush", r.journal.count("events"))
				}
				if got := gauge(t, registry, "m2mwatch_processor_store_up"); got != 1 {
					t.Errorf("store_up %v when it is back, want 1", got)
				}
				if lines := strings.Count(logged.String(), "\n"); lines != 2 {
					t.Errorf("%d lines logged, want one at each end:\n%s", lines, &logged)
				}
				if delay := r.proc.Delay(); delay < 9*time.Minute-10*time.Second || delay > 11*time.Minute {
					t.Errorf("delay %s, want that of the outage", delay)
				}
			})
		})
	}
}

func TestDeadLettersAwayHoldBackTheAck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		began := time.Now()
		r.dead.away = func() error {
			if time.Since(began) < time.Minute {
				return errors.New("maximum bytes exceeded")
			}
			return nil
		}
		r.putRaw(time.Now(), failure(1, time.Now()), `[]`)
		r.run(t)
		time.Sleep(30 * time.Second)
		if r.journal.count("ack") != 0 || r.store.count() != 1 {
			t.Errorf("%d acks and %d events while DEAD is full, want 0 and 1", r.journal.count("ack"), r.store.count())
		}
		time.Sleep(time.Minute)
		r.stop(t)
		if r.journal.count("ack") != 1 || len(r.dead.all()) != 1 || r.journal.count("events") != 1 {
			t.Errorf("journal %q", r.journal.all())
		}
	})
}

func TestStopLetsTheFlushInFlightFinish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.store.away = func(ctx context.Context, table string) error {
			if table == "events" {
				time.Sleep(time.Second) // a slow insert
			}
			return ctx.Err()
		}
		r.put(0, 1, time.Now())
		r.run(t)
		time.Sleep(500 * time.Millisecond) // the insert is on its way
		r.putRaw(time.Now(), failure(1, time.Now()), failure(2, time.Now()))
		synctest.Wait()
		began := time.Now()
		r.stop(t)
		if took := time.Since(began); took > time.Second {
			t.Errorf("stopped after %s", took)
		}
		if r.journal.count("ack m1") != 1 || r.journal.count("nak m2") != 1 || r.journal.count("nak m1") != 0 {
			t.Errorf("journal %q, want the first acked and the second given back", r.journal.all())
		}
	})
}

func TestStopGivesUpAFlushThatHangs(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(context.Context, string) error{
		"insert hangs":  func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		"store is away": func(context.Context, string) error { return errAway },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.store.away = away
				r.put(0, 1, time.Now())
				r.run(t)
				time.Sleep(5 * time.Second)
				began := time.Now()
				r.stop(t)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("stopped after %s, want the shutdown timeout at most", took)
				}
				if r.journal.count("ack") != 0 || r.journal.count("nak") != 1 {
					t.Errorf("%d acks, %d naks, want 0 and 1", r.journal.count("ack"), r.journal.count("nak"))
				}
			})
		})
	}
}

func TestSourceAwayIsLoggedOnceAndHoldsNothingBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		var logged bytes.Buffer
		r.cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		source := &failingSource{fakeQueue: r.queue, until: time.Now().Add(time.Minute)}
		r.cfg.Source = source
		r.put(0, 1, time.Now())
		r.run(t)
		time.Sleep(30 * time.Second)
		if r.store.count() != 1 {
			t.Error("what was fetched before the outage is not stored")
		}
		if calls := source.calls.Load(); calls > 60 {
			t.Errorf("%d fetches in half a minute", calls)
		}
		time.Sleep(time.Minute)
		r.stop(t)
		if lines := strings.Count(logged.String(), "\n"); lines != 2 {
			t.Errorf("%d lines logged, want one at each end:\n%s", lines, &logged)
		}
	})
}

// failingSource gives one message and then errors for a while.
type failingSource struct {
	*fakeQueue
	until time.Time
	calls atomic.Int64
}

func (s *failingSource) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error) {
	if s.calls.Add(1) > 1 && time.Now().Before(s.until) {
		return nil, errors.New("no connection")
	}
	return s.fakeQueue.Fetch(ctx, maxMessages, maxBytes, wait)
}
