package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// lifecycle is what a process has started, in order. It stops in reverse, all
// of it under one deadline.
type lifecycle struct {
	log   *slog.Logger
	steps []step

	once   sync.Once
	failed chan struct{} // closed at the first failure
	err    error         // it; set before failed is closed
}

type step struct {
	name string
	stop func(context.Context) error
}

func newLifecycle(log *slog.Logger) *lifecycle {
	return &lifecycle{log: log, failed: make(chan struct{})}
}

// onStop adds something to close.
func (l *lifecycle) onStop(name string, stop func(context.Context) error) {
	l.steps = append(l.steps, step{name, stop})
}

// closes adds something whose Close takes no context.
func (l *lifecycle) closes(name string, c interface{ Close() error }) {
	l.onStop(name, func(context.Context) error { return c.Close() })
}

// run starts a component that blocks until its context ends. When it returns
// before it was told to, the whole process stops.
func (l *lifecycle) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			l.fail(name, err)
		}
		done <- err
	}()
	l.onStop(name, func(stopping context.Context) error {
		cancel()
		select {
		case err := <-done:
			return ignoreCanceled(err)
		case <-stopping.Done():
			return stopping.Err()
		}
	})
}

func (l *lifecycle) fail(name string, err error) {
	if err == nil {
		err = errors.New("ended by itself")
	}
	l.once.Do(func() { // the first failure is the one to tell
		l.err = fmt.Errorf("%s: %w", name, err)
		close(l.failed)
	})
}

// wait returns when ctx ends, with nil, or when a component fails.
func (l *lifecycle) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.failed:
		return l.err
	}
}

// together runs several components as one: they stop at the same time, and
// when one of them ends all do.
func together(runs ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := make([]error, len(runs))
		var running sync.WaitGroup
		for i, run := range runs {
			running.Go(func() {
				defer cancel()
				errs[i] = run(ctx)
			})
		}
		running.Wait()
		return errors.Join(errs...)
	}
}

// stop takes everything down, last first. A component that does not stop in
// time is named and left: whatever was acknowledged is on disk.
func (l *lifecycle) stop(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, s := range slices.Backward(l.steps) {
		begun := time.Now()
		if err := s.stop(ctx); err != nil {
			l.log.Warn("stopping", "component", s.name, "error", err)
		}
		l.log.Debug("stopped", "component", s.name, "seconds", time.Since(begun).Seconds())
	}
	l.steps = nil
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
