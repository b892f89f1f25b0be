package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// statusClientGone is nginx's status for a client that hung up before the answer.
const statusClientGone = 499

// GetStatus makes Error a status error to huma, which passes it on whole.
func (e *Error) GetStatus() int { return e.Status }

// writeProblem is the error handler, the only place that writes an error. It
// leaves err in the context, where observe finds it for the log.
func writeProblem(err error, c echo.Context) {
	c.Set(errorKey, err)
	if c.Response().Committed {
		return // the status line is out: there is nothing left to say
	}
	e := asError(err, c.Request())
	if e.RetryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, retryAfter(e.RetryAfter))
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // people read "expected number <= 1000" in a terminal
	err = enc.Encode(schemas.Problem{
		Type: "about:blank", Title: title(e.Status), Status: e.Status, Code: e.Code, Detail: e.Message,
	})
	if err != nil { // a struct of strings and a number always marshals
		panic(err)
	}
	body := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if c.Request().Method == http.MethodHead {
		body = nil
	}
	// Set here, since Echo keeps a type that a handler has left behind.
	c.Response().Header().Set(echo.HeaderContentType, schemas.ProblemType)
	// Where this fails the client has gone, and the log line says what it was to get.
	_ = c.Blob(e.Status, schemas.ProblemType, body)
}

// ClientGone is the error of a request that ended because its client hung up.
// Nobody reads it; the log and the metrics tell it from a failure.
func ClientGone(cause error) *Error {
	return &Error{Status: statusClientGone, Code: "client_gone", Message: "The client closed the connection before the answer.", Cause: cause}
}

// retryAfter is whole seconds, rounded up: a client that comes early is refused again.
func retryAfter(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

func title(status int) string {
	if status == statusClientGone {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// asError finds the *Error in err, or words one for errors of Echo and of the
// standard library. Any other is a 500, whose text stays in the log.
func asError(err error, r *http.Request) *Error {
	var own *Error
	var routed *echo.HTTPError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &routed):
		return fromEcho(routed, r)
	case errors.As(err, &tooLarge):
		return &Error{
			Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Cause: err,
			Message: fmt.Sprintf("The body is larger than the %d bytes that are read here.", tooLarge.Limit),
		}
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		return ClientGone(err)
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Code: "timeout", Message: "The answer took too long.", Cause: err}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal", Message: "An unexpected error; the log has its cause.", Cause: err}
}

// fromEcho words the errors that Echo itself returns: no route, wrong method.
func fromEcho(err *echo.HTTPError, r *http.Request) *Error {
	e := &Error{Status: err.Code, Code: codeOf(err.Code), Cause: err.Internal}
	switch err.Code {
	case http.StatusNotFound:
		e.Message = "Nothing is served at this path."
	case http.StatusMethodNotAllowed:
		e.Message = fmt.Sprintf("This path does not take %s; the header Allow lists what it takes.", clip(r.Method, 16))
	default:
		e.Message = fmt.Sprint(err.Message)
	}
	return e
}

// codeOf makes a code of a status: 404 is not_found.
func codeOf(status int) string {
	words := strings.ToLower(title(status))
	if words == "" {
		return "status_" + strconv.Itoa(status)
	}
	return strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(words)
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
