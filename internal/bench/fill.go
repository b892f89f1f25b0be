package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// FillConfig says what to fill.
type FillConfig struct {
	Dir    string // a data directory, made where it is missing
	Events int
	Days   int // that they are spread over, 30 by default
	Seed   uint64
	Batch  int   // events per insert, more than live ones: this is an import
	Memory int64 // of the engine, in bytes
	// FlushAge is how long the processors wait for a batch to fill, and so for
	// more at the end of each day. Default 3 s.
	FlushAge time.Duration
	// Now has what followed the month until this minute stored, too, so that its
	// machines do not rest since it was filled.
	Now bool

	Progress io.Writer
}

// processors is how many fill side by side: while one waits for the store the
// other computes.
const processors = 2

// Fill stores the month in a data directory by way of the processor (decode,
// normalize, match, insert, touch), and then counts it as the recounter does.
// Webhook and broker are left out, and so is the correlator. Called again it
// goes on where it ended; a day that was begun is stored over itself.
func Fill(ctx context.Context, c FillConfig) error {
	c.Days = cmp.Or(c.Days, 30)
	p, err := readProgress(c.Dir)
	if errors.Is(err, errNoData) {
		p = progress{Seed: c.Seed, Events: c.Events, Span: c.Days, To: time.Now().UTC().Truncate(time.Minute)}
	} else if err != nil {
		return err
	}
	if p.Events != c.Events || p.Seed != c.Seed || p.Span != c.Days {
		return fmt.Errorf("%s holds %d events of %d days and seed %d: fill another directory", c.Dir, p.Events, p.Span, p.Seed)
	}
	s, err := openStore(ctx, c.Dir, c.Memory)
	if err != nil {
		return err
	}
	defer s.close()
	if err := p.write(c.Dir); err != nil { // before anything is stored: this month, or none, lies there
		return err
	}
	rules, err := detect.Parse(processor.Rules())
	if err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	// As an instance does that begins with an empty store: what it stores is matched.
	if err := processor.RegisterSelectors(ctx, clickhouse.NewSelectorStore(s.db), rules, time.Now()); err != nil {
		return fmt.Errorf("note what the rules select: %w", err)
	}
	f := &filling{config: c, progress: p, store: s, rules: rules}
	if now := time.Now().UTC().Truncate(time.Minute); c.Now && f.progress.left() == 0 && now.After(f.progress.end()) {
		f.progress.More, f.progress.Counted = append(f.progress.More, now), false
		if err := f.progress.write(c.Dir); err != nil {
			return err
		}
	}
	for f.progress.left() > 0 {
		if err := f.next(ctx); err != nil {
			return err
		}
	}
	return f.count(ctx)
}

// filling is a Fill under way.
type filling struct {
	config   FillConfig
	progress progress
	store    *store
	rules    *detect.Set
}

// next stores the next day, or the next stretch behind the last one.
func (f *filling) next(ctx context.Context) error {
	began := time.Now()
	queue := newQueue()
	stop, err := f.process(ctx, queue)
	if err != nil {
		return err
	}
	defer stop()
	if err := queue.offer(ctx, f.progress.next()); err != nil {
		return err
	}
	if err := queue.drained(ctx); err != nil {
		return err
	}
	f.progress.Days++
	f.progress.Bytes += queue.bytes
	f.progress.Stored += time.Since(began)
	if f.progress.Days > f.progress.Span {
		f.say("stored until %s", f.progress.More[f.progress.Days-f.progress.Span-1].Format(time.RFC3339))
	} else {
		events := f.progress.Events * f.progress.Days / f.progress.Span
		f.say("day %d of %d: %d events, %.0f/s", f.progress.Days, f.progress.Span, events, float64(events)/f.progress.Stored.Seconds())
	}
	return f.progress.write(f.config.Dir)
}

func (f *filling) say(format string, args ...any) {
	fmt.Fprintf(f.config.Progress, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// process starts the processors; stop waits for their end.
func (f *filling) process(ctx context.Context, queue *queue) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for range processors {
		p, err := processor.New(processor.Config{
			Source: queue, Store: clickhouse.NewWriter(f.store.db), Dead: refuseDead{f.config.Progress}, Matcher: f.rules,
			FlushRows: f.config.Batch, FlushBytes: f.config.Batch << 11, FlushAge: cmp.Or(f.config.FlushAge, 3*time.Second), MaxHeld: 4 * f.config.Batch / groupLogs,
		})
		if err != nil {
			cancel()
			return nil, err
		}
		running.Go(func() { _ = p.Run(ctx) }) // it always returns nil
	}
	return func() { cancel(); running.Wait() }, nil
}

func (f *filling) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(f.config.Progress, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// refuseDead tells of what the generator should not have made.
type refuseDead struct{ to io.Writer }

func (d refuseDead) PublishDead(_ context.Context, dead schemas.Dead) error {
	fmt.Fprintf(d.to, "a generated record is dead: %s\n", dead.Reason)
	return nil
}

// count runs the recounter until nothing is dirty.
func (f *filling) count(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := processor.NewRecounter(processor.RecounterConfig{
		Store: clickhouse.NewCountStore(f.store.db), Lease: soleLease{}, Logger: f.logger(),
		Interval: time.Second, Quiet: time.Second, Now: func() time.Time { return time.Now().Add(time.Minute) },
	})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }() // it always returns nil
	defer func() { cancel(); <-done }()
	reader := clickhouse.NewReader(f.store.db)
	for {
		dirty, err := reader.DirtyHours(ctx, Tenant, time.Time{}, time.Time{})
		if err != nil {
			return err
		}
		if dirty == 0 {
			f.say("counted in %s", time.Since(began).Round(time.Second))
			if err := f.store.dropTouches(ctx); err != nil {
				return err
			}
			f.progress.Counted = true
			return f.progress.write(f.config.Dir)
		}
		f.say("%d hours to count", dirty)
		select {
		case <-time.After(10 * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dropTouches leaves the queue of touches as it is a day after, when what its
// readers have done is dropped: a fill has no correlator that could have done its
// share, and one that is new to a month has a day's work.
func (s *store) dropTouches(ctx context.Context) error {
	raw, err := rawConnection(s.app)
	if err != nil {
		return err
	}
	defer raw.Close()
	for _, table := range []string{"touches", "touches_done"} {
		if err := raw.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			return err
		}
	}
	return nil
}

// soleLease is that of a process that has the data directory to itself.
type soleLease struct{}

func (soleLease) Acquire(ctx context.Context, atLeast uint64) (context.Context, uint64, func(), error) {
	held, release := context.WithCancel(ctx)
	return held, atLeast + 1, release, nil
}
