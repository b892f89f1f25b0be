package processor_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// countBench is a store with a recount on a clock of the test's own.
type countBench struct {
	t      *testing.T
	db     *clickhouse.DB
	broker *natstest.Harness
	now    atomic.Int64 // Unix seconds
	flush  int
}

func newCountBench(t *testing.T) *countBench {
	t.Helper()
	b := &countBench{t: t, db: clickhousetest.New(t), broker: natstest.New(t)}
	b.now.Store(moment.Unix())
	return b
}

func (b *countBench) clock() time.Time { return time.Unix(b.now.Load(), 0).UTC() }

func (b *countBench) pass(d time.Duration) { b.now.Add(int64(d / time.Second)) }

// insert stores events as a flush of this time does.
func (b *countBench) insert(events ...schemas.Event) {
	b.t.Helper()
	b.flush++
	ms := b.clock().UnixMilli()
	id := fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, b.flush)
	w := clickhouse.NewWriter(b.db)
	if err := w.InsertEvents(b.t.Context(), events); err != nil {
		b.t.Fatal(err)
	}
	if err := w.InsertTouches(b.t.Context(), schemas.CountTouches(id, events)); err != nil {
		b.t.Fatal(err)
	}
}

// run recounts until stop is called, or until it has reached a point.
func (b *countBench) run(until string) (stop func()) {
	b.t.Helper()
	return b.runOn(clickhouse.NewCountStore(b.db), until)
}

func (b *countBench) runOn(store processor.CountStore, until string) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := processor.NewRecounter(processor.RecounterConfig{
		Store: store, Lease: nats.NewLease(b.broker.Conn, nats.LeaseConfig{Name: "recount", TTL: time.Second}),
		Interval: 5 * time.Millisecond, Now: b.clock, Retention: 30 * 24 * time.Hour,
		Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil)),
		At: func(point string) {
			if point == until {
				cancel() // nothing behind this is written
			}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return sync.OnceFunc(func() {
		if until == "" {
			cancel()
		}
		if err := receive(b.t, done); err != nil {
			b.t.Error(err)
		}
	})
}

func (b *countBench) dirty() int {
	b.t.Helper()
	n, err := clickhouse.NewReader(b.db).DirtyHours(b.t.Context(), "", time.Time{}, time.Time{})
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *countBench) waitClean() {
	b.t.Helper()
	natstest.Eventually(b.t, "every hour is recounted", func() bool { return b.dirty() == 0 })
}

func (b *countBench) countOf(client string) uint64 {
	b.t.Helper()
	rows, err := clickhouse.NewReader(b.db).Stats(b.t.Context(), schemas.StatsFilter{By: []string{"client_id"}})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, row := range rows {
		if row.Values[0] == client {
			return row.Count
		}
	}
	return 0
}

func TestAnHourIsRecountedWhenItIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	earlier := exchange("a", 1, moment.Add(-3*time.Hour), true, schemas.SourceStream)
	b.insert(earlier)
	b.pass(2 * time.Minute)
	b.insert(exchange("b", 1, moment, true, schemas.SourceStream))
	stop := b.run("")
	defer stop()
	natstest.Eventually(t, "the hour that is quiet is recounted", func() bool { return b.dirty() == 1 })
	b.insert(earlier)
	natstest.Eventually(t, "a repeat makes it dirty", func() bool { return b.dirty() == 2 })
	b.pass(2 * time.Minute)
	b.waitClean()
	for client, want := range map[string]uint64{"a": 1, "b": 1} {
		if got := b.countOf(client); got != want {
			t.Errorf("%s counts %d, want %d", client, got, want)
		}
	}
}

func TestAnHourThatIsNeverLeftAloneIsRecountedOnceItIsOver(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	for i := range 80 { // an hour and a third, a flush a minute
		b.insert(exchange("busy", 1, moment.Add(time.Duration(i%60)*time.Minute), true, schemas.SourceStream))
		b.pass(59 * time.Second)
	}
	stop := b.run("")
	defer stop()
	b.waitClean()
	if got := b.countOf("busy"); got != 60 {
		t.Errorf("counts %d, want 60", got)
	}
}

func TestACrashBetweenRecountAndFoldIsDoneAgain(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"recounted", "folded"} {
		b := newCountBench(t)
		b.insert(exchange("a", 1, moment, true, schemas.SourceStream), exchange("a", 2, moment.Add(-30*time.Hour), true, schemas.SourceStream))
		b.pass(time.Hour)
		b.run(point)()
		b.insert(exchange("a", 3, moment.Add(-30*time.Hour), true, schemas.SourceStream))
		b.pass(time.Hour)
		stop := b.run("")
		b.waitClean()
		stop()
		if got := b.countOf("a"); got != 3 {
			t.Errorf("after a crash behind %s: counts %d, want 3", point, got)
		}
	}
}

func TestAnHourBeyondRetentionStaysAsItWasCounted(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	old := moment.Add(-30*24*time.Hour + time.Hour)
	b.insert(exchange("old", 1, old, true, schemas.SourceStream))
	b.pass(10 * time.Minute)
	stop := b.run("")
	defer stop()
	b.waitClean()
	b.pass(2 * time.Hour) // the edge is past it
	b.insert(exchange("old", 2, old, true, schemas.SourceStream))
	b.pass(10 * time.Minute)
	b.waitClean()
	if got := b.countOf("old"); got != 1 {
		t.Errorf("counts %d, want 1: events of that hour may be gone already", got)
	}
}

// Logs are taken up to the moment that retention ends at, which is within an
// hour. Whoever raises it later sees them, in lists and counts alike.
func TestTheHourThatRetentionEndsInIsRecounted(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	b.pass(20 * time.Minute)
	b.insert(exchange("edge", 1, b.clock().Add(-30*24*time.Hour+10*time.Minute), true, schemas.SourceStream))
	b.pass(5 * time.Minute)
	stop := b.run("")
	defer stop()
	b.waitClean()
	if got := b.countOf("edge"); got != 1 {
		t.Errorf("counts %d, want 1", got)
	}
}

func TestManyFlushesOfAnHourThatIsWrittenAreFolded(t *testing.T) {
	t.Parallel()
	b := newCountBench(t)
	stop := b.run("")
	defer stop()
	for i := range 100 {
		b.insert(exchange("a", i, moment, true, schemas.SourceStream))
	}
	natstest.Eventually(t, "few flushes are left", func() bool {
		flushes, err := clickhouse.NewCountStore(b.db).TouchedFlushes(t.Context(), 1000)
		return err == nil && len(flushes) > 0 && len(flushes) < 32
	})
	if got := b.countOf("a"); got != 100 {
		t.Errorf("counts %d, want 100", got)
	}
}
