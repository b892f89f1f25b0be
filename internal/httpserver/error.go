// Package httpserver is Echo as both APIs need it: errors, limits, logs,
// metrics, health and shutdown.
package httpserver

import (
	"fmt"
	"time"
)

// Error is an error with two texts: a code and a sentence for the caller, and
// the cause for the log. Handlers return it; one error handler writes it as an
// RFC 9457 problem.
type Error struct {
	Status     int           // HTTP status
	Code       string        // snake_case, stable, for programs
	Message    string        // one sentence for people: what is wrong and what to do
	Cause      error         // for the log only
	RetryAfter time.Duration // sent as Retry-After where it is not zero
}

func (e *Error) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message)
	}
	return fmt.Sprintf("%d %s: %s: %v", e.Status, e.Code, e.Message, e.Cause)
}

func (e *Error) Unwrap() error { return e.Cause }
