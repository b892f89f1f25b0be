package httpserver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Keys of what the middlewares leave in Echo's context for one another.
const (
	errorKey = "m2mwatch.error"
	idKey    = "m2mwatch.request_id"
	tokenKey = "m2mwatch.token_name"
)

// observer writes the one log line of each request and counts it.
type observer struct {
	name    string
	logger  *slog.Logger
	metrics *metrics
	now     func() time.Time
}

func (o *observer) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := o.now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		took := o.now().Sub(start)
		failure, _ := c.Get(errorKey).(error)
		o.metrics.count(o.name, route(c, failure), c.Response().Status, took)
		o.log(c, failure, took)

		if p, ok := errors.AsType[*panicError](failure); ok && p.midway {
			// The answer has begun and will not be finished: cutting the
			// connection is how the client learns that.
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// log leaves out the headers and the query: both may hold secrets.
func (o *observer) log(c echo.Context, failure error, took time.Duration) {
	r, status := c.Request(), c.Response().Status
	attrs := []slog.Attr{
		slog.String("method", clip(r.Method, 16)),
		slog.String("path", clip(r.URL.Path, 200)),
		slog.Int("status", status),
		slog.Duration("took", took),
		slog.Int64("bytes", c.Response().Size),
		slog.String("remote", c.RealIP()),
		slog.String("request_id", RequestID(c)),
	}
	if proxy := peer(r); proxy != c.RealIP() {
		attrs = append(attrs, slog.String("peer", proxy))
	}
	if name, ok := c.Get(tokenKey).(string); ok {
		attrs = append(attrs, slog.String("token_name", name))
	}
	if failure != nil {
		attrs = append(attrs, slog.Any("error", failure))
	}
	if p, ok := errors.AsType[*panicError](failure); ok {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	o.logger.LogAttrs(r.Context(), level(c, failure), "request", attrs...)
}

// level is error for what the operator must know. A failure that a departed
// client caused is not that, nor is a 503 that a handler means as an answer.
func level(c echo.Context, failure error) slog.Level {
	if _, ok := errors.AsType[*panicError](failure); ok {
		return slog.LevelError
	}
	if failure != nil && c.Response().Status >= 500 && c.Request().Context().Err() == nil {
		return slog.LevelError
	}
	return slog.LevelDebug
}

// route is the pattern that served the request, which bounds the label.
func route(c echo.Context, failure error) string {
	if c.Path() == "" || errors.Is(failure, echo.ErrNotFound) {
		return "unmatched"
	}
	return c.Path()
}

// requestID is what a client's own id must look like to be taken over: it is
// written to the log.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// identify gives each request an id and each answer the headers it always has.
func identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(echo.HeaderXRequestID)
		if !requestID.MatchString(id) {
			id = rand.Text()
		}
		c.Set(idKey, id)
		h := c.Response().Header()
		h.Set(echo.HeaderXRequestID, id)
		h.Set(echo.HeaderXContentTypeOptions, "nosniff")
		h.Set(echo.HeaderCacheControl, "no-store") // unless a handler knows better
		return next(c)
	}
}

// decodeParams undoes the escapes in path parameters. Echo routes by the path
// as it was sent where that holds an escaped slash, and leaves its parameters
// as they were.
func decodeParams(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().URL.RawPath != "" {
			values := slices.Clone(c.ParamValues())
			for i, v := range values {
				if plain, err := url.PathUnescape(v); err == nil {
					values[i] = plain
				}
			}
			c.SetParamValues(values...)
		}
		return next(c)
	}
}

// RequestID is the id of the request, as the log and the answer's header
// X-Request-Id have it.
func RequestID(c echo.Context) string {
	id, _ := c.Get(idKey).(string)
	return id
}

// panicError is a panic on its way to the error handler.
type panicError struct {
	value  any
	stack  []byte
	midway bool // the answer had begun
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func catchPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler: // asks net/http to cut the connection
				panic(v)
			default:
				err = &panicError{value: v, stack: debug.Stack(), midway: c.Response().Committed}
			}
		}()
		return next(c)
	}
}

func codeLabel(status int) string { return strconv.Itoa(status) }
