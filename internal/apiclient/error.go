package apiclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Error is an answer that is a problem.
type Error struct {
	Status     int
	Code       string // stable, for programs
	Detail     string // for people
	RetryAfter time.Duration
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d %s)", e.Detail, e.Status, e.Code) }

// problemOf reads an answer that is not 2xx. What stands between client and
// server may answer in words of its own.
func problemOf(resp *http.Response, body []byte) *Error {
	var p schemas.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		p.Code = "unknown"
		p.Detail = "The answer is not one of m2mwatch: is the address right?"
	}
	e := &Error{Status: resp.StatusCode, Code: p.Code, Detail: p.Detail}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// NotRunningError says that nobody listens where the API should be.
type NotRunningError struct {
	cfg   Config
	cause error
}

func (e *NotRunningError) Error() string {
	switch {
	case e.cfg.Socket == "":
		return fmt.Sprintf("no m2mwatch answers at %s: %v", e.cfg.URL, e.cause)
	case e.cfg.DataDir == "":
		return fmt.Sprintf("no m2mwatch listens on %s: start it with `m2mwatch up`, or set M2MWATCH_URL and M2MWATCH_TOKEN", e.cfg.Socket)
	}
	return fmt.Sprintf("no m2mwatch runs in %s: start it with `m2mwatch up --data %s`, or set M2MWATCH_URL and M2MWATCH_TOKEN", e.cfg.DataDir, e.cfg.DataDir)
}

func (e *NotRunningError) Unwrap() error { return e.cause }

// unreachable words an error of the connection. A url.Error repeats the whole
// address, so its inside is taken.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return &NotRunningError{cfg: c.cfg, cause: err}
	}
	return fmt.Errorf("ask m2mwatch: %w", err)
}
