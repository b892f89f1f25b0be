package doctor

import (
	"context"
	"fmt"
	"time"
)

// State is how well a thing is.
type State string

// The states, from the one that matters least.
const (
	StateSkip State = "skip" // it was not looked at
	StateOK   State = "ok"
	StateWarn State = "warn"
	StateFail State = "fail"
)

// worse tells whether s matters more than o.
func (s State) worse(o State) bool { return s.rank() > o.rank() }

func (s State) rank() int {
	switch s {
	case StateOK:
		return 1
	case StateWarn:
		return 2
	case StateFail:
		return 3
	}
	return 0
}

// Note is one thing that a check found.
type Note struct {
	State  State  `json:"state"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do
}

// Result is what a check found. The zero value is a check that found nothing.
type Result struct {
	Notes []Note
}

// State is that of the worst note.
func (r Result) State() State {
	worst := StateSkip
	for _, n := range r.Notes {
		if n.State.worse(worst) {
			worst = n.State
		}
	}
	return worst
}

func (r *Result) ok(format string, args ...any) {
	r.Notes = append(r.Notes, Note{State: StateOK, Found: fmt.Sprintf(format, args...)})
}

func (r *Result) warn(advice, format string, args ...any) {
	r.Notes = append(r.Notes, Note{StateWarn, fmt.Sprintf(format, args...), advice})
}

func (r *Result) fail(advice, format string, args ...any) {
	r.Notes = append(r.Notes, Note{StateFail, fmt.Sprintf(format, args...), advice})
}

func (r *Result) skip(advice, format string, args ...any) {
	r.Notes = append(r.Notes, Note{StateSkip, fmt.Sprintf(format, args...), advice})
}

// Check is one thing to look at.
type Check struct {
	Name string
	// Run looks, and returns soon after ctx has ended. What it returns holds no
	// secret.
	Run func(ctx context.Context) Result
	// Timeout bounds Run. Default 10 s.
	Timeout time.Duration
}

// Report is the result of one check, by its name.
type Report struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Notes []Note `json:"notes"`
}

// Run runs the checks one after the other, each whatever became of those
// before, until ctx ends, and tells each as it ends. A check that does not
// return in its time has failed, and is left behind.
func Run(ctx context.Context, checks []Check, tell func(Report)) []Report {
	var reports []Report
	for _, c := range checks {
		r := c.bounded(ctx)
		if ctx.Err() != nil {
			break // what it found is that it was stopped
		}
		report := Report{Name: c.Name, State: r.State(), Notes: r.Notes}
		tell(report)
		reports = append(reports, report)
	}
	return reports
}

// grace is how long a check may take to notice that its time is over.
const grace = time.Second

func (c Check) bounded(ctx context.Context) Result {
	limit := c.Timeout
	if limit == 0 {
		limit = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan Result, 1)
	go func() { done <- c.Run(ctx) }()
	late := time.NewTimer(limit + grace)
	defer late.Stop()
	select {
	case r := <-done:
		return r
	case <-late.C:
		var r Result
		r.fail("look at what it waits for: a disk or a server that does not answer", "no answer within %s", limit)
		return r
	}
}
