package httpserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Health answers whether the process lives and whether it is ready. The zero
// value has no checks and is ready.
type Health struct {
	// Timeout bounds each check. Default 2 s.
	Timeout time.Duration

	mu     sync.Mutex // guards checks
	checks []*check
}

type check struct {
	name string
	run  func(context.Context) error

	mu      sync.Mutex // guards current
	current *checkRun  // nil while none is under way
}

// checkRun is one run of a check, which every look during it shares.
type checkRun struct {
	done chan struct{}
	err  error // set before done is closed
}

// Add registers a check, which is run at each look at /readyz, never twice at
// a time. Its error is shown to whoever asks: it must not hold a secret.
func (h *Health) Add(name string, run func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, &check{name: name, run: run})
}

// Register serves /livez and /readyz on e.
func (h *Health) Register(e *echo.Echo) {
	e.GET("/livez", func(c echo.Context) error {
		return c.String(http.StatusOK, "ok\n")
	})
	e.GET("/readyz", h.readyz)
}

// readyz is no error when it is 503: a process that is not ready is no news
// for the log at every look of an orchestrator.
func (h *Health) readyz(c echo.Context) error {
	answer := schemas.Readiness{Ready: true, Checks: h.runAll(c.Request().Context())}
	status := http.StatusOK
	for _, r := range answer.Checks {
		if !r.OK {
			answer.Ready, status = false, http.StatusServiceUnavailable
		}
	}
	return c.JSONPretty(status, answer, "  ")
}

func (h *Health) runAll(ctx context.Context) []schemas.ReadyCheck {
	h.mu.Lock()
	checks := slices.Clip(h.checks)
	h.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, orDefault(h.Timeout, 2*time.Second))
	defer cancel()
	results := make([]schemas.ReadyCheck, len(checks))
	var wg sync.WaitGroup
	for i, chk := range checks {
		wg.Go(func() { results[i] = chk.result(ctx) })
	}
	wg.Wait()
	return results
}

func (k *check) result(ctx context.Context) schemas.ReadyCheck {
	if err := k.bounded(ctx); err != nil {
		return schemas.ReadyCheck{Name: k.name, Error: clip(err.Error(), 200)}
	}
	return schemas.ReadyCheck{Name: k.name, OK: true}
}

// bounded returns when ctx ends, even where the check does not.
func (k *check) bounded(ctx context.Context) error {
	run := k.join(ctx)
	select {
	case <-run.done:
		return run.err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// join returns the run under way or starts one. A run belongs to nobody: it
// keeps its deadline when the one who started it hangs up.
func (k *check) join(ctx context.Context) *checkRun {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil {
		return k.current
	}
	run := &checkRun{done: make(chan struct{})}
	k.current = run
	deadline, _ := ctx.Deadline()
	go func() {
		ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
		defer cancel()
		run.err = k.run(ctx)
		k.mu.Lock()
		k.current = nil
		k.mu.Unlock()
		close(run.done)
	}()
	return run
}
