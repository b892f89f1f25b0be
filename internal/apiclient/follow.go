package apiclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Follow calls f with events as they are stored, until ctx ends or f fails. A
// connection that breaks is made again, and what came just before may come again
// then; broken, which may be nil, hears of it. The first connection that cannot
// be made is an error. Of q the range, limit and cursor do not count.
func (c *Client) Follow(ctx context.Context, q EventQuery, since string, f func(schemas.EventView) error, broken func(error)) error {
	params := withConditions(q.Where, "text", q.Text, "since", since).Encode()
	lastID := ""
	for wait := time.Duration(0); ; wait = followAgain {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		resp, err := c.send(ctx, http.MethodGet, EventsPath+"/stream?"+params, http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {lastID}}, nil)
		if err == nil {
			err = readEvents(resp.Body, &lastID, f)
			resp.Body.Close()
		} else if wait == 0 {
			return err
		}
		if stop, ok := errors.AsType[*stopError](err); ok {
			return stop.cause
		}
		if ctx.Err() == nil && broken != nil {
			broken(err)
		}
	}
}

// followAgain is the wait before a connection that broke is made again.
const followAgain = 2 * time.Second

// stopError is that of Follow's f.
type stopError struct{ cause error }

func (e *stopError) Error() string { return e.cause.Error() }

// readEvents reads server-sent events until the connection ends.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func readEvents(r io.Reader, lastID *string, f func(schemas.EventView) error) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the stream of events ended: %w", err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			*lastID = value
		case "data":
			var e schemas.EventView
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				return fmt.Errorf("read an event: %w", err)
			}
			if err := f(e); err != nil {
				return &stopError{err}
			}
		}
	}
}
