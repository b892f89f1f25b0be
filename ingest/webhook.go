package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// How long a sender is asked to wait before it repeats a body.
const (
	retryOverloaded = 2 * time.Second
	retryNotStored  = 5 * time.Second
)

// Router is what Echo and its groups have in common.
type Router interface {
	POST(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route
	GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route
}

// Webhook mounts what faces the internet: POST /v1/logs/:tenant, where log
// streams deliver, and POST /v1/custom/:tenant, where custom events come in,
// guarded by Config.Allow and by the tenant's secrets.
func (in *Ingest) Webhook(r Router) {
	r.POST("/v1/logs/:tenant", in.counted(in.fromAllowed(in.postLogs)))
	r.GET("/v1/logs/:tenant", in.counted(in.fromAllowed(getLogs)))
	r.POST("/v1/custom/:tenant", in.counted(in.fromAllowed(in.postCustom)))
}

// Import mounts POST /v1/import/:tenant, where history comes in. It asks for
// no secret: guard checks the bearer token of the API, where one is needed.
func (in *Ingest) Import(r Router, guard ...echo.MiddlewareFunc) {
	r.POST("/v1/import/:tenant", in.counted(in.postImport), guard...)
}

func (in *Ingest) postLogs(c echo.Context) error {
	tenant := c.Param("tenant")
	secrets, known := in.cfg.Tenants.Secrets(tenant)
	if !authorized(secrets, known, c.Request().Header.Get(echo.HeaderAuthorization)) {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
		return &httpserver.Error{
			Status: http.StatusUnauthorized, Code: "unauthorized",
			Message: "The tenant is not configured here, or the Authorization header is none of its secrets. Compare the log stream's Authorization token with the tenant's secrets.",
		}
	}
	return in.receive(c, delivery{tenant: tenant, source: schemas.SourceStream, maxBody: in.cfg.Limits.MaxBody})
}

func (in *Ingest) postImport(c echo.Context) error {
	tenant := c.Param("tenant")
	if _, ok := in.cfg.Tenants.Secrets(tenant); !ok {
		return &httpserver.Error{
			Status: http.StatusNotFound, Code: "unknown_tenant",
			Message: "No tenant of this name is configured. Add it to tenants in the configuration.",
		}
	}
	return in.receive(c, delivery{tenant: tenant, source: schemas.SourceImport, maxBody: in.cfg.Limits.MaxBody})
}

func getLogs(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderAllow, http.MethodPost)
	return &httpserver.Error{
		Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
		Message: "This is the webhook of an Auth0 log stream: it takes POST. Create a log stream of the type Custom Webhook with this URL as its payload URL and the tenant's secret as its authorization token.",
	}
}

// delivery is what is known of a body before it is read.
type delivery struct {
	tenant  string
	source  schemas.Source
	maxBody int64 // compressed and decompressed
	// check says what is wrong with a record, a JSON object. Where it is set the
	// body is taken as a whole or refused as a whole, and nothing of it goes to
	// DEAD.
	check func(raw []byte) error
}

// received is what came in by a request.
type received struct {
	answer schemas.Accepted
	bytes  int64 // of the body that were read
}

// receive takes the body in and answers.
func (in *Ingest) receive(c echo.Context, d delivery) error {
	req := c.Request()
	if in.cfg.Tracer == nil {
		return in.accept(req.Context(), c, d, new(received))
	}
	ctx, end := in.cfg.Tracer.Request(req.Context(), c.Path(), d.tenant, d.source, req.Header.Get(schemas.HeaderTraceparent))
	var got received
	err := in.accept(ctx, c, d, &got)
	end(statusOf(err), got.answer, got.bytes)
	return err
}

// accept is receive in the context of the request's span.
func (in *Ingest) accept(ctx context.Context, c echo.Context, d delivery, got *received) error {
	leave, err := in.enter()
	if err != nil {
		return err
	}
	defer leave()
	req := c.Request()
	if req.ContentLength > d.maxBody {
		return in.refusal(ErrTooLarge, d.maxBody)
	}
	body := newTimedBody(req.Body, http.NewResponseController(c.Response()), in.cfg.Limits.ReadTimeout)
	got.answer, err = in.take(ctx, d, body)
	got.bytes = body.bytes
	if err != nil {
		return in.refusal(err, d.maxBody)
	}
	if dead := got.answer.Dead; dead > 0 {
		in.cfg.Logger.WarnContext(ctx, "records went to DEAD", "tenant", d.tenant, "source", d.source.String(), "dead", dead, "accepted", got.answer.Accepted)
	}
	in.cfg.At("before_answer")
	return c.JSON(http.StatusOK, got.answer)
}

// enter takes a place for a request, and never waits for one: who waits would
// take memory too.
func (in *Ingest) enter() (leave func(), err error) {
	if !in.draining.Load() {
		select {
		case in.requests <- struct{}{}:
			return func() { <-in.requests }, nil
		default:
		}
	}
	return nil, in.refusal(fmt.Errorf("%w: %d requests at once, or shutting down", errOverloaded, in.cfg.Limits.MaxRequests), 0)
}

// refusal makes the answer of an error. maxBody is what the body was held
// against.
func (in *Ingest) refusal(err error, maxBody int64) error {
	e := &httpserver.Error{Cause: err}
	var bad *eventError
	switch {
	case errors.As(err, &bad):
		e.Status, e.Code = http.StatusBadRequest, "invalid_event"
		e.Message = fmt.Sprintf("%v. Nothing of the body was stored.", bad)
	case errors.Is(err, ErrCloudEvent):
		e.Status, e.Code = http.StatusBadRequest, "event_stream"
		e.Message = "This is an event of Auth0's Event Streams, which carry no logins and no tokens. Create a log stream instead: Monitoring, Streams, Custom Webhook, with this URL."
	case errors.Is(err, ErrTooLarge):
		e.Status, e.Code = http.StatusRequestEntityTooLarge, "too_large"
		e.Message = fmt.Sprintf("The body is larger than %d bytes. Send it in parts.", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Status, e.Code = http.StatusRequestTimeout, "too_slow"
		e.Message = fmt.Sprintf("The body did not arrive within %v. Send it again, in smaller parts.", in.cfg.Limits.ReadTimeout)
	case errors.Is(err, ErrBody):
		e.Status, e.Code = http.StatusBadRequest, "body_incomplete"
		e.Message = "The body ends early or its compression is damaged. Send it again."
	case errors.Is(err, errOverloaded):
		e.Status, e.Code, e.RetryAfter = http.StatusServiceUnavailable, "overloaded", retryOverloaded
		e.Message = "Too much is arriving at once. Nothing is lost: send the body again."
	case errors.Is(err, errGone):
		return httpserver.ClientGone(err)
	case errors.Is(err, schemas.ErrFull):
		e.Status, e.Code, e.RetryAfter = http.StatusServiceUnavailable, "full", retryNotStored
		e.Message = "The store for records is full until what it holds is processed. Nothing is lost: send the body again."
	default:
		e.Status, e.Code, e.RetryAfter = http.StatusServiceUnavailable, "not_stored", retryNotStored
		e.Message = "The records could not be stored. Nothing is lost: send the body again."
	}
	return e
}

// tellEvery is how often a refused delivery is told: the operator must see
// that the stream's secret is wrong, and whoever knocks must not fill the log.
const tellEvery = time.Minute

func (in *Ingest) tellRefusal(c echo.Context, err error) {
	e, ok := errors.AsType[*httpserver.Error](err)
	if !ok {
		return
	}
	now, last := in.cfg.Now().UnixNano(), in.told.Load()
	if now-last < int64(tellEvery) || !in.told.CompareAndSwap(last, now) {
		return
	}
	attrs := []any{"status", e.Status, "code", e.Code, "remote", c.RealIP()}
	if tenant := c.Param("tenant"); schemas.CheckTenant(tenant) == nil {
		attrs = append(attrs, "tenant", tenant)
	}
	in.cfg.Logger.Warn("a delivery was refused; further ones within a minute are only counted", attrs...)
}

// counted counts the answers of a handler by status.
func (in *Ingest) counted(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := h(c)
		status := statusOf(err)
		in.metrics.requests.WithLabelValues(strconv.Itoa(status)).Inc()
		if status == http.StatusUnauthorized || status == http.StatusBadRequest {
			in.tellRefusal(c, err)
		}
		return err
	}
}

// statusOf is the status of the answer that a handler's error makes.
func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	if e, ok := errors.AsType[*httpserver.Error](err); ok {
		return e.Status
	}
	return http.StatusInternalServerError
}
