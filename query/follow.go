package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/go-json-experiment/json"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

type streamInput struct {
	Filter
	Text        string `query:"text" maxLength:"256" doc:"Any of the texts that an event shows has it, whatever its case." example:"terraform"`
	Since       string `query:"since" maxLength:"64" doc:"Begin with what was stored since: RFC 3339, or how long ago (10m). At most a day. Default: now." example:"10m"`
	LastEventID string `header:"Last-Event-ID" maxLength:"32" doc:"The last id that came: go on there. What was stored in the two minutes before comes again; of one that is older than a day, the last day alone."`
}

const typeSSE = "text/event-stream"

func (a *API) registerStream(api huma.API) {
	op := operation("follow-events", "/events/stream", "Follow events",
		"Events as they are stored, a late one too, as server-sent events: data is an event as list-events shows it, and an id for Last-Event-ID comes by itself, from time to time. A connection ends after 15 minutes or two million events, and its client goes on with another one. No log_id comes twice on one connection.")
	op.Responses["200"] = &huma.Response{
		Description: "OK",
		Content:     map[string]*huma.MediaType{typeSSE: {Schema: &huma.Schema{Type: huma.TypeString}}},
	}
	huma.Register(api, op, a.stream)
}

// How far a look reaches back behind the one before, since rows are seen when
// their insert has ended and carry the time at which it began. Most inserts take
// less than a second; the wide look finds those that took long.
const (
	narrowLook = 10 * time.Second
	wideLook   = 2 * time.Minute
	wideEvery  = 30 * time.Second

	// lookTogether bounds what one look holds in memory: what was stored in a
	// minute. lookAhead is for servers of a cluster whose clocks go before.
	lookTogether = time.Minute
	lookAhead    = time.Hour

	maxSince      = 24 * time.Hour
	maxStreams    = 16
	maxLooked     = 100_000   // logs that one connection knows not to fit; others are looked at again
	maxSent       = 2_000_000 // logs that one connection sends, since it has to know each: about 40 MB
	fetchTogether = 2000      // logs that are fetched together
	markEvery     = 15 * time.Second
	// maxStream is how long a connection lasts, and with it a token that is no
	// longer valid.
	maxStream   = 15 * time.Minute
	streamWrite = 30 * time.Second // for the client to take what is written
)

func (a *API) stream(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	filter, err := in.eventFilter()
	if err != nil {
		return nil, err
	}
	filter.Text = in.Text
	now, err := ask(ctx, a, "store", a.cfg.Store.Clock)
	if err != nil {
		return nil, err
	}
	start, last, err := in.start(now)
	if err != nil {
		return nil, err
	}
	select {
	case a.streams <- struct{}{}:
	default:
		return nil, &httpserver.Error{
			Status: http.StatusServiceUnavailable, Code: "too_many_streams", RetryAfter: 10 * time.Second,
			Message: fmt.Sprintf("%d clients follow events already, which is the most; end one of them, or list events by from and to.", maxStreams),
		}
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer func() { <-a.streams }()
		hctx.SetHeader("Content-Type", typeSSE)
		hctx.SetHeader("Cache-Control", "no-store")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx would hold events back
		hctx.SetStatus(http.StatusOK)
		w := humaecho.Unwrap(unwrapped(hctx)).Response()
		f := &follower{
			api: a, filter: filter, start: start, last: last, looked: newRecent(maxLooked), sent: map[uint64]struct{}{},
			w: w, conn: http.NewResponseController(w),
		}
		f.run(hctx.Context())
	}}, nil
}

// unwrapped is humaecho's own context.
func unwrapped(ctx huma.Context) huma.Context {
	if c, ok := ctx.(*errorContext); ok {
		return c.Unwrap()
	}
	return ctx
}

// start is from when on, by the store's clock, what was stored is sent, and how far
// the client is: what was stored before last it has, but for what was seen late.
func (in *streamInput) start(now time.Time) (start, last time.Time, err error) {
	oldest := now.Add(-maxSince)
	if in.LastEventID != "" {
		ms, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil {
			return start, last, invalid("Last-Event-ID: want an id of this stream")
		}
		last = earlier(time.UnixMilli(ms), now)
		// A row that is seen late was stored before what was looked at.
		start = last.Add(-wideLook)
		if start.Before(oldest) {
			start, last = oldest, oldest
		}
		return start, last, nil
	}
	start = now
	if in.Since != "" {
		if start, err = parseTime("since", in.Since, now); err != nil {
			return start, last, err
		}
	}
	if start.Before(oldest) {
		return start, last, invalid("since: want a day ago at most; list-events has what is older")
	}
	start = earlier(start, now)
	return start, start, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// follower sends what is stored to one client.
type follower struct {
	api    *API
	filter schemas.EventFilter
	start  time.Time           // nothing that was stored before is sent
	last   time.Time           // the store's time at the last look that was answered
	wide   time.Time           // that of the last wide one
	looked *recent             // the highest ver of logs that were looked at lately and not sent
	sent   map[uint64]struct{} // all that were sent: a repeat may come at any time

	w      http.ResponseWriter
	conn   *http.ResponseController
	marked time.Time // when the client was told last how far it is
}

// run ends when the client goes, when it does not take what is written, or when
// the server stops.
func (f *follower) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxStream)
	defer cancel()
	go func() {
		select {
		case <-httpserver.Stopping(ctx):
			cancel() // a look that is under way, too
		case <-ctx.Done():
		}
	}()
	if f.write([]byte("retry: 2000\n\n")) != nil || f.mark() != nil {
		return
	}
	tick := time.NewTicker(f.api.cfg.Poll)
	defer tick.Stop()
	for {
		// An outage is no end: the next look reaches back to before it.
		err := f.look(ctx)
		if errors.Is(err, errSentAll) {
			_ = f.mark() // or the client goes on from where it was told last
			return
		}
		if ctx.Err() != nil || f.gone(err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gone keeps a quiet connection alive, and tells whether the client is gone.
func (f *follower) gone(err error) bool {
	if _, failed := errors.AsType[writeError](err); failed {
		return true
	}
	switch {
	case err != nil:
		return f.write([]byte(": the store does not answer; nothing is lost\n\n")) != nil
	case time.Since(f.marked) > markEvery:
		return f.mark() != nil
	}
	return false
}

// mark tells the client how far it is: what was stored before was looked at, but
// for what is seen late. An id without data is kept by the client, and shown to
// nobody.
func (f *follower) mark() error {
	f.marked = time.Now()
	return f.write(fmt.Appendf(nil, "id: %d\n\n", f.last.UnixMilli()))
}

// errSentAll is the end of a connection that has sent maxSent logs: one more it
// could not know again.
var errSentAll = errors.New("the connection has sent as many logs as it may")

// writeError means that the client is gone, or takes nothing.
type writeError struct{ error }

func (f *follower) write(b []byte) error {
	_ = f.conn.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := f.w.Write(b)
	if err == nil {
		err = f.conn.Flush()
	}
	if err != nil {
		return writeError{err}
	}
	return nil
}

// look sends what was stored since the last one.
func (f *follower) look(ctx context.Context) error {
	store := f.api.cfg.Store
	now, err := ask(ctx, f.api, "store", store.Clock)
	if err != nil {
		return err
	}
	since := f.last.Add(-narrowLook)
	wide := now.Sub(f.wide) >= wideEvery
	if wide {
		since = f.last.Add(-wideLook)
	}
	if since.Before(f.start) {
		since = f.start
	}
	for ; since.Before(now); since = since.Add(lookTogether) {
		until := since.Add(lookTogether)
		if !until.Before(now) {
			until = now.Add(lookAhead)
		}
		sent, err := f.lookBetween(ctx, since, until)
		if err != nil {
			return err
		}
		if until.After(f.last) && until.Before(now) {
			f.last = until
		}
		if sent {
			if err := f.mark(); err != nil {
				return err
			}
		}
	}
	f.last = now
	if wide {
		f.wide = now
	}
	return nil
}

// lookBetween sends what was stored in [since, until), and tells whether that was
// anything.
func (f *follower) lookBetween(ctx context.Context, since, until time.Time) (sent bool, err error) {
	store := f.api.cfg.Store
	stored, err := ask(ctx, f.api, "store", func(ctx context.Context) ([]schemas.Stored, error) {
		return store.Stored(ctx, f.filter, since, until)
	})
	if err != nil {
		return false, err
	}
	for part := range slices.Chunk(f.unseen(stored), fetchTogether) {
		events, err := ask(ctx, f.api, "store", func(ctx context.Context) ([]schemas.Event, error) {
			return store.EventsStored(ctx, f.filter, since, until, logsOf(part))
		})
		if err != nil {
			return sent, err
		}
		some, err := f.send(events)
		if sent = sent || some; err != nil {
			return sent, err
		}
		for _, s := range part {
			if _, sent := f.sent[s.Log]; !sent {
				f.looked.put(s.Log, s.Ver)
			}
		}
	}
	return sent, nil
}

// unseen are the logs of which there is a copy that was not looked at, each once.
func (f *follower) unseen(stored []schemas.Stored) []schemas.Stored {
	var unseen []schemas.Stored
	at := map[uint64]int{}
	for _, s := range stored {
		if _, sent := f.sent[s.Log]; sent {
			continue
		}
		if ver, looked := f.looked.get(s.Log); looked && ver >= s.Ver {
			continue
		}
		if i, twice := at[s.Log]; twice {
			unseen[i].Ver = max(unseen[i].Ver, s.Ver)
			continue
		}
		at[s.Log] = len(unseen)
		unseen = append(unseen, s)
	}
	return unseen
}

func logsOf(stored []schemas.Stored) []uint64 {
	logs := make([]uint64, len(stored))
	for i, s := range stored {
		logs[i] = s.Log
	}
	return logs
}

// send leaves out what had been stored before the start: a copy of it was stored
// now, and lost.
func (f *follower) send(events []schemas.Event) (some bool, err error) {
	var b bytes.Buffer
	var end error
	for i := range events {
		e := &events[i]
		if e.StoredAt.Before(f.start) {
			continue
		}
		if len(f.sent) >= f.api.maxSent {
			end = errSentAll
			break
		}
		data, err := json.Marshal(viewEvent(e), jsonOptions)
		if err != nil {
			return false, err
		}
		fmt.Fprintf(&b, "event: event\ndata: %s\n\n", data)
		f.sent[f.api.cfg.Store.LogHash(e.Tenant, e.LogID)] = struct{}{}
	}
	if b.Len() == 0 {
		return false, end
	}
	if err := f.write(b.Bytes()); err != nil {
		return true, err
	}
	return true, end
}
