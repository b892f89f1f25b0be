package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// errorTexts describe the error answers in the OpenAPI document.
var errorTexts = map[int]string{
	http.StatusBadRequest:          "The cursor is not one that this API gave.",
	http.StatusUnauthorized:        "The token is missing or wrong.",
	http.StatusNotFound:            "There is no such thing.",
	http.StatusConflict:            "It cannot be done as things are; the detail says what to change.",
	http.StatusUnprocessableEntity: "A parameter is wrong; the detail says which and why.",
	http.StatusServiceUnavailable:  "The store or the broker is away; try again after Retry-After seconds.",
	http.StatusGatewayTimeout:      "The question took too long; narrow it.",
}

func statusKey(status int) string { return strconv.Itoa(status) }

// wrapped is huma.Context under a name that its own method Context leaves free.
type wrapped = huma.Context

// errorContext keeps an error that huma wants to write, and what huma writes
// of it away from the response.
type errorContext struct {
	wrapped
	failure error
}

// catchErrors hands every error of huma and of the operations to Echo, whose
// one error handler words and writes them all alike.
func catchErrors(ctx huma.Context, next func(huma.Context)) {
	if err := checkParameters(ctx); err != nil {
		humaecho.Unwrap(ctx).Error(err)
		return
	}
	c := &errorContext{wrapped: ctx}
	next(c)
	if c.failure != nil {
		humaecho.Unwrap(ctx).Error(c.failure)
	}
}

// checkParameters refuses a parameter that is given twice: all but one would be
// passed over without a word. Where something is changed it refuses an empty one
// too, as a variable that was never set makes it: it would select everything.
func checkParameters(ctx huma.Context) error {
	u := ctx.URL()
	for name, values := range u.Query() {
		problem := ""
		switch {
		case len(values) > 1:
			problem = "given " + strconv.Itoa(len(values)) + " times; give it once."
		case ctx.Method() != http.MethodGet && values[0] == "" && name != "cursor":
			problem = "it is empty; give it a value, or leave it out."
		default:
			continue
		}
		return &httpserver.Error{Status: http.StatusUnprocessableEntity, Code: "parameter_invalid", Message: clip(name, 64) + ": " + problem}
	}
	return nil
}

// Unwrap gives humaecho its own context.
func (c *errorContext) Unwrap() huma.Context { return c.wrapped }

// SetStatus commits the response, unless that is left to the error handler.
func (c *errorContext) SetStatus(status int) {
	if c.failure == nil {
		c.wrapped.SetStatus(status)
	}
}

// BodyWriter swallows huma's wording of an error.
func (c *errorContext) BodyWriter() io.Writer {
	if c.failure != nil {
		return io.Discard
	}
	return c.wrapped.BodyWriter()
}

// keepError is the transformer that huma runs before it writes anything. What
// it returns in place of an error is written to nowhere.
func keepError(ctx huma.Context, _ string, v any) (any, error) {
	c, ok := ctx.(*errorContext)
	if !ok {
		return v, nil
	}
	switch e := v.(type) {
	case *huma.ErrorModel:
		c.failure = fromHuma(e)
	case huma.StatusError:
		c.failure = e
	default:
		return v, nil
	}
	return struct{}{}, nil
}

// unknownContentType begins huma's message of a body that is no JSON.
const unknownContentType = "unknown content type: "

// fromHuma words what huma found wrong with a request: "limit: expected …".
func fromHuma(m *huma.ErrorModel) error {
	texts := make([]string, 0, len(m.Errors))
	for _, d := range m.Errors {
		_, name, ok := strings.Cut(d.Location, ".") // query.limit
		if !ok {
			name = d.Location
		}
		texts = append(texts, clip(name, 64)+": "+d.Message)
	}
	switch {
	case m.Status < 400 || m.Status > 499: // no fault of the request
		return fmt.Errorf("%d %s: %s", m.Status, m.Detail, strings.Join(texts, "; "))
	case len(m.Errors) == 1 && strings.HasPrefix(m.Errors[0].Message, unknownContentType):
		sent := strings.TrimPrefix(m.Errors[0].Message, unknownContentType)
		return invalid(fmt.Sprintf("body: its content type is %s; send JSON, and say so: Content-Type: application/json", clip(sent, 64)))
	case len(texts) > 0 && m.Status != http.StatusUnprocessableEntity: // the body cannot be read at all
		return invalid(strings.Join(texts, "; "))
	case m.Status != http.StatusUnprocessableEntity:
		return invalid("body: " + m.Detail)
	}
	return invalid(strings.Join(texts, "; "))
}

func invalid(detail string) *httpserver.Error {
	return &httpserver.Error{Status: http.StatusUnprocessableEntity, Code: "parameter_invalid", Message: detail}
}

// ask runs one question under the time limit and words its failure; what names
// who was asked, store or broker.
func ask[T any](ctx context.Context, a *API, what string, question func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	answer, err := question(limited)
	if err != nil {
		var none T
		return none, a.failed(ctx, limited, what, err)
	}
	return answer, nil
}

func (a *API) failed(ctx, limited context.Context, what string, err error) error {
	switch {
	case errors.Is(err, schemas.ErrNotFound):
		return &httpserver.Error{Status: http.StatusNotFound, Code: "not_found", Message: "There is no such thing.", Cause: err}
	case ctx.Err() != nil:
		return httpserver.ClientGone(err)
	case limited.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return &httpserver.Error{
			Status: http.StatusGatewayTimeout, Code: "query_timeout", Cause: err,
			Message: fmt.Sprintf("The answer took longer than %s: narrow the question by tenant and by time (from, to).", a.cfg.Timeout),
		}
	case errors.Is(err, schemas.ErrRefused):
		return &httpserver.Error{
			Status: http.StatusInternalServerError, Code: "internal", Cause: err,
			Message: "An unexpected error; the log has its cause.",
		}
	}
	return &httpserver.Error{
		Status: http.StatusServiceUnavailable, Code: what + "_unavailable", Cause: err, RetryAfter: 5 * time.Second,
		Message: fmt.Sprintf("The %s does not answer; nothing is lost, try again.", what),
	}
}

// named replaces the sentence of a not_found by one that names the thing.
func named(err error, sentence string) error {
	if e, ok := errors.AsType[*httpserver.Error](err); ok && e.Status == http.StatusNotFound {
		e.Message = sentence
	}
	return err
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
