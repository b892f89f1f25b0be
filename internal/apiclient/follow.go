package apiclient

import (
	"bufio"
	"context"
	"crypto/sha256"
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
// connection that breaks is made again, and goes on where it was; broken, which
// may be nil, hears of it. The first connection that cannot be made is an error,
// and so is later one that is refused. Of q the range, limit and cursor do not
// count.
func (c *Client) Follow(ctx context.Context, q EventQuery, since string, f func(schemas.EventView) error, broken func(error)) error {
	params := withConditions(q.Where, "text", q.Text, "since", since).Encode()
	lastID := ""
	f = once(f)
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
		} else if wait == 0 || refused(err) {
			return err
		}
		if stop, ok := errors.AsType[*stopError](err); ok {
			return stop.cause
		}
		if ctx.Err() == nil && broken != nil && !errors.Is(err, errStreamEnded) {
			broken(err)
		}
	}
}

// refused tells whether asking again would be refused again.
func refused(err error) bool {
	problem, ok := errors.AsType[*Error](err)
	return ok && problem.Status >= 400 && problem.Status < 500 && problem.Status != http.StatusRequestTimeout && problem.Status != http.StatusTooManyRequests
}

// repeats is for how long, by the time of their insert, events are known at least
// to have come: a connection that is made anew begins two minutes before the end
// of the last one.
const repeats = 3 * time.Minute

// once keeps what comes again after a connection was made anew from f.
func once(f func(schemas.EventView) error) func(schemas.EventView) error {
	type log [16]byte
	young, old, since := map[log]struct{}{}, map[log]struct{}{}, time.Time{}
	return func(e schemas.EventView) error {
		sum := sha256.Sum256([]byte(e.Tenant + "\x00" + e.LogID))
		l := log(sum[:16])
		_, came := young[l]
		if _, before := old[l]; came || before {
			return nil
		}
		if e.StoredAt.Sub(since) > repeats {
			old, young, since = young, map[log]struct{}{}, e.StoredAt
		}
		young[l] = struct{}{}
		return f(e)
	}
}

// errStreamEnded is the end that a server makes: it bounds how long one lasts.
var errStreamEnded = errors.New("the stream of events ended")

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
		if errors.Is(err, io.EOF) {
			return errStreamEnded
		}
		if err != nil {
			return fmt.Errorf("follow events: %w", err)
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
