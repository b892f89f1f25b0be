package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// DeadLetters are the logs that could not be read or stored. internal/nats has
// the ones in JetStream. An error that wraps schemas.ErrNotFound means that the
// named log is not there, and one that wraps schemas.ErrFull that what is
// replayed has no room yet.
type DeadLetters interface {
	// DeadLogs lists logs with an id below before (0: all), newest first and
	// without their bytes. next is the before of the page that follows, 0 at
	// the end; a page may be short, or empty, before that.
	DeadLogs(ctx context.Context, f schemas.DeadFilter, before uint64, limit int) (logs []schemas.Dead, next uint64, err error)
	// DeadLog is one log; its bytes are in it, or where WriteDead finds them.
	DeadLog(ctx context.Context, id uint64) (schemas.Dead, error)
	WriteDead(ctx context.Context, d schemas.Dead, w io.Writer) error
	// ReplayDead and DiscardDead do a part of a sweep in about half of the time
	// that ctx has. A log that is replayed is in LOGS, on disk, before it is
	// taken away; it may be in both after a crash or an error, and may be
	// replayed again. After an error they tell what was done until then.
	ReplayDead(ctx context.Context, s schemas.DeadSweep) (schemas.DeadSwept, error)
	DiscardDead(ctx context.Context, s schemas.DeadSweep) (schemas.DeadSwept, error)
}

const (
	// maxShown is how much of a log stands in an answer that is made in memory.
	maxShown = 1 << 20
	// writeTimeout is for the bytes of a log that is larger than that.
	writeTimeout = time.Minute

	typeBytes = "application/octet-stream"
)

// DeadSelection is the parameters that select dead logs. It is exported because
// huma does not see into what is not.
type DeadSelection struct {
	Tenant string `query:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	Reason string `query:"reason" maxLength:"256" doc:"The code of the reason, or a part of its text in any case." example:"time"`
	Period
}

func (in *DeadSelection) filter(now time.Time) (schemas.DeadFilter, error) {
	f := schemas.DeadFilter{Tenant: in.Tenant, Reason: in.Reason}
	var err error
	f.From, f.To, err = in.resolve(now)
	return f, err
}

type deadLogsInput struct {
	DeadSelection
	Page
}

type deadLogsOutput struct {
	Next
	Body schemas.DeadPage
}

type deadLogInput struct {
	ID  uint64 `path:"id" minimum:"1" example:"42"`
	Raw bool   `query:"raw" doc:"Answer the bytes of the log alone."`
}

type changeDeadInput struct {
	DeadSelection
	Through uint64 `query:"through" doc:"Look at no higher id than this, as an answer has told it. Without it the highest that is there now." example:"1042"`
	Limit   int    `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"Do at most so many in one request."`
	Cursor  string `query:"cursor" maxLength:"1024" doc:"The value of next of the answer before."`
	DryRun  bool   `query:"dry_run" doc:"Do nothing: tell how many it would be."`
}

type changeDeadLogInput struct {
	ID     uint64 `path:"id" minimum:"1" example:"42"`
	DryRun bool   `query:"dry_run" doc:"Do nothing: tell whether it could be done."`
}

type changeDeadOutput struct {
	Body schemas.DeadChange
}

// The places in a listing and in a sweep.
type (
	deadPlace struct {
		Before uint64 `json:"before"`
	}
	sweepPlace struct {
		After   uint64 `json:"after"`
		Through uint64 `json:"through"`
	}
)

// deadVerb is what can be done to dead logs.
type deadVerb struct {
	name, summary, doc string
	of                 func(DeadLetters) sweep
}

type sweep = func(context.Context, schemas.DeadSweep) (schemas.DeadSwept, error)

func (a *API) registerDead(api huma.API) {
	const part = " One request does a part of what was there when the first of them began; go on with the cursor of each answer until one has none."
	huma.Register(api, operation("list-dead", "/dead", "List dead logs",
		"Logs that could not be read or stored, those last that were given up first; from and to bound their arrival. Their bytes are not listed: they may hold secrets.",
		http.StatusBadRequest, http.StatusConflict), a.deadLogs)
	show := operation("get-dead", "/dead/{id}", "Show one dead log",
		"A dead log with its bytes. They may hold secrets: what cannot be read could not be searched for them.", http.StatusNotFound, http.StatusConflict)
	detail := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[schemas.DeadDetail](), true, "DeadDetail")
	show.Responses[statusKey(http.StatusOK)] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		"application/json": {Schema: detail},
		typeBytes:          {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	huma.Register(api, show, a.deadLog)
	for _, v := range []deadVerb{
		{
			"replay", "Replay",
			"Publishes dead logs to LOGS once more, as they came, and takes them out of DEAD when that is on disk. What still cannot be read is given up again, as a new log.",
			func(d DeadLetters) sweep { return d.ReplayDead },
		},
		{
			"discard", "Discard",
			"Takes dead logs out of DEAD for good.",
			func(d DeadLetters) sweep { return d.DiscardDead },
		},
	} {
		all := operation(v.name+"-dead", "/dead/"+v.name, v.summary+" dead logs", v.doc+" Without parameters: all of them."+part, http.StatusBadRequest, http.StatusConflict)
		all.Method = http.MethodPost
		huma.Register(api, all, func(ctx context.Context, in *changeDeadInput) (*changeDeadOutput, error) {
			return a.changeDead(ctx, in, v)
		})
		one := operation(v.name+"-dead-log", "/dead/{id}/"+v.name, v.summary+" one dead log", v.doc, http.StatusNotFound, http.StatusConflict)
		one.Method = http.MethodPost
		huma.Register(api, one, func(ctx context.Context, in *changeDeadLogInput) (*changeDeadOutput, error) {
			return a.changeDeadLog(ctx, in, v)
		})
	}
}

// dead is where the dead logs are, or why they are not to be had here.
func (a *API) dead() (DeadLetters, error) {
	if a.cfg.Dead != nil {
		return a.cfg.Dead, nil
	}
	return nil, &httpserver.Error{
		Status: http.StatusConflict, Code: "no_broker",
		Message: "This process was told of no NATS, where the dead logs are: set nats.url (or NATS_URL) and start it again, or ask one that has it.",
	}
}

func (a *API) deadLogs(ctx context.Context, in *deadLogsInput) (*deadLogsOutput, error) {
	dead, err := a.dead()
	if err != nil {
		return nil, err
	}
	f, err := in.filter(a.cfg.Now())
	if err != nil {
		return nil, err
	}
	place, err := decodeCursor(in.Cursor, func(p deadPlace) bool { return p.Before > 0 })
	if err != nil {
		return nil, err
	}
	if place == nil {
		place = &deadPlace{}
	}
	page, err := ask(ctx, a, "broker", func(ctx context.Context) (schemas.DeadPage, error) {
		return a.deadPage(ctx, dead, f, place.Before, in.Limit)
	})
	if err != nil {
		return nil, err
	}
	return &deadLogsOutput{Next: in.next(page.Next), Body: page}, nil
}

// deadPage fills a page, in half of the time that there is at most.
func (a *API) deadPage(ctx context.Context, dead DeadLetters, f schemas.DeadFilter, before uint64, limit int) (page schemas.DeadPage, err error) {
	end := time.Now().Add(a.cfg.Timeout / 2)
	for {
		logs, next, err := dead.DeadLogs(ctx, f, before, limit-len(page.Dead))
		if err != nil {
			return page, err
		}
		for i := range logs {
			page.Dead = append(page.Dead, logs[i].View())
		}
		if next == 0 {
			return page, nil
		}
		if before = next; len(page.Dead) >= limit || time.Now().After(end) {
			page.Next = encodeCursor(deadPlace{Before: next})
			return page, nil
		}
	}
}

func (a *API) deadLog(ctx context.Context, in *deadLogInput) (*huma.StreamResponse, error) {
	dead, err := a.dead()
	if err != nil {
		return nil, err
	}
	d, err := ask(ctx, a, "broker", func(ctx context.Context) (schemas.Dead, error) { return dead.DeadLog(ctx, in.ID) })
	if err != nil {
		return nil, named(err, noDeadLog(in.ID))
	}
	if in.Raw {
		return &huma.StreamResponse{Body: func(c huma.Context) { a.writeDead(c, dead, d) }}, nil
	}
	body, err := deadDetail(d)
	if err != nil {
		return nil, fmt.Errorf("write dead log %d: %w", d.ID, err)
	}
	return &huma.StreamResponse{Body: func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		c.SetStatus(http.StatusOK)
		_, _ = c.BodyWriter().Write(body) // who hung up needs no answer
	}}, nil
}

func noDeadLog(id uint64) string {
	return fmt.Sprintf("No dead log has the id %d: it was replayed or discarded, or never was.", id)
}

// writeDead streams the bytes of a log. A client is told of an end that comes
// too early by the length that it was promised.
func (a *API) writeDead(c huma.Context, dead DeadLetters, d schemas.Dead) {
	ctx, cancel := context.WithTimeout(c.Context(), writeTimeout)
	defer cancel()
	w := &lateWriter{c: c, size: d.Size}
	err := dead.WriteDead(ctx, d, w)
	switch failed, ok := c.(*errorContext); {
	case err == nil:
		w.begin() // an empty log
	case !w.begun && ok:
		failed.failure = named(a.failed(c.Context(), ctx, "broker", err), "The bytes of this log are gone: a replay or a discard of it was interrupted.")
	default:
		a.cfg.Logger.WarnContext(ctx, "the answer with a dead log broke off", "id", d.ID, "error", err)
	}
}

// lateWriter begins the answer with the first bytes, so that what fails before
// is told as an error.
type lateWriter struct {
	c     huma.Context
	size  int64
	begun bool
}

func (w *lateWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	w.c.SetHeader("Content-Type", typeBytes)
	w.c.SetHeader("Content-Length", strconv.FormatInt(w.size, 10))
	w.c.SetStatus(http.StatusOK)
}

func (w *lateWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.c.BodyWriter().Write(p)
}

// deadDetail renders a log with its bytes. JSON is appended by hand: an encoder
// would take the spaces out of it.
func deadDetail(d schemas.Dead) ([]byte, error) {
	detail := schemas.DeadDetail{DeadView: d.View()}
	var err error
	switch {
	case d.Object != "" || len(d.Raw) > maxShown:
		detail.Encoding = schemas.DeadEncodingOmitted
	case jsontext.Value(d.Raw).IsValid(jsontext.AllowDuplicateNames(true)):
		detail.Encoding, detail.Raw = schemas.DeadEncodingJSON, d.Raw
	case utf8.Valid(d.Raw):
		detail.Encoding = schemas.DeadEncodingText
		detail.Raw, err = json.Marshal(string(d.Raw), jsonOptions)
	default:
		detail.Encoding = schemas.DeadEncodingBase64
		detail.Raw, err = json.Marshal(d.Raw, jsonOptions)
	}
	if err != nil {
		return nil, err
	}
	raw := detail.Raw
	detail.Raw = nil
	b, err := json.Marshal(detail, jsonOptions)
	if err != nil || raw == nil {
		return b, err
	}
	b = append(b[:len(b)-1], `,"raw":`...)
	return append(append(b, raw...), '}'), nil
}

func (a *API) changeDead(ctx context.Context, in *changeDeadInput, v deadVerb) (*changeDeadOutput, error) {
	dead, err := a.dead()
	if err != nil {
		return nil, err
	}
	s := schemas.DeadSweep{Through: in.Through, Limit: in.Limit, DryRun: in.DryRun}
	if s.DeadFilter, err = in.filter(a.cfg.Now()); err != nil {
		return nil, err
	}
	place, err := decodeCursor(in.Cursor, func(p sweepPlace) bool { return p.After < p.Through })
	if err != nil {
		return nil, err
	}
	if place != nil {
		s.After, s.Through = place.After, place.Through
	}
	out, err := a.sweep(ctx, v, dead, s)
	if err != nil {
		return nil, err
	}
	return &changeDeadOutput{Body: out}, nil
}

// sweep does a part of a sweep. One that broke off when it had done something
// is no failure: the next part begins where this one did, and meets what is
// wrong at once.
func (a *API) sweep(ctx context.Context, v deadVerb, dead DeadLetters, s schemas.DeadSweep) (schemas.DeadChange, error) {
	out, err := ask(ctx, a, "broker", func(ctx context.Context) (schemas.DeadChange, error) {
		swept, err := v.of(dead)(ctx, s)
		if swept.Done > 0 && !s.DryRun {
			a.cfg.Logger.InfoContext(ctx, "logs were taken out of DEAD", "by", v.name, "done", swept.Done, "tenant", s.Tenant, "reason", s.Reason, "through", swept.Through)
		}
		out := schemas.DeadChange{DryRun: s.DryRun, Done: swept.Done, Left: swept.Left, Through: swept.Through}
		if err != nil && swept.Done > 0 && !s.DryRun {
			a.cfg.Logger.WarnContext(ctx, "a sweep of DEAD broke off and is to be gone on with", "done", swept.Done, "error", err)
			out.Next = encodeCursor(sweepPlace{After: s.After, Through: swept.Through})
			return out, nil
		}
		out.Kept, out.Reason = swept.Kept, swept.Reason
		if swept.Next > 0 {
			out.Next = encodeCursor(sweepPlace{After: swept.Next, Through: swept.Through})
		}
		return out, err
	})
	if errors.Is(err, schemas.ErrFull) {
		return out, &httpserver.Error{
			Status: http.StatusServiceUnavailable, Code: "broker_full", Cause: err, RetryAfter: 5 * time.Second,
			Message: "LOGS is full: what is in it has to be stored first. What was not replayed is still in DEAD; try again.",
		}
	}
	return out, err
}

func (a *API) changeDeadLog(ctx context.Context, in *changeDeadLogInput, v deadVerb) (*changeDeadOutput, error) {
	dead, err := a.dead()
	if err != nil {
		return nil, err
	}
	out, err := a.sweep(ctx, v, dead, schemas.DeadSweep{After: in.ID - 1, Through: in.ID, Limit: 1, DryRun: in.DryRun})
	switch {
	case err != nil:
		return nil, err
	case out.Kept > 0:
		return nil, &httpserver.Error{Status: http.StatusConflict, Code: "not_replayable", Message: fmt.Sprintf("Dead log %d stays: %s.", in.ID, out.Reason)}
	case out.Done == 0:
		return nil, &httpserver.Error{Status: http.StatusNotFound, Code: "not_found", Message: noDeadLog(in.ID)}
	}
	return &changeDeadOutput{Body: out}, nil
}
