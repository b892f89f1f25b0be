package auth0

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ErrMaybeDone is wrapped by the error of a POST or PATCH whose answer was lost or
// was a 5xx: it may have been done, or not.
var ErrMaybeDone = errors.New("it may have been done; look before doing it again")

// APIError is a refusal by the Management API or the token endpoint.
type APIError struct {
	Status  int    // the HTTP status
	Code    string // errorCode of the Management API, error of the token endpoint; "" where there is none
	Message string
}

// Error implements error.
func (e *APIError) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text
}

// Is makes two APIErrors match by what the target sets: its Status, its Code.
func (e *APIError) Is(target error) bool {
	t, ok := target.(*APIError)
	return ok && (t.Status == 0 || t.Status == e.Status) && (t.Code == "" || t.Code == e.Code) && t.Message == ""
}

// MissingScopes are the scopes of which the call needed one (or, for the roles of
// a user, all), as the text of a 403 names them; nil for any other error.
func MissingScopes(err error) []string {
	var e *APIError
	if !errors.As(err, &e) || e.Code != "insufficient_scope" {
		return nil
	}
	_, names, ok := strings.Cut(e.Message, "expected ")
	if !ok {
		return nil
	}
	if _, names, ok = strings.Cut(names, ":"); !ok {
		return nil
	}
	return strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
}

// NotFound reports whether err says that what was asked for is not there. The
// Management API answers 204 to most deletes whether it was there or not, so only
// a GET's answer tells.
func NotFound(err error) bool { return errors.Is(err, &APIError{Status: http.StatusNotFound}) }

// maxMessage bounds what of a foreign text goes into an error.
const maxMessage = 500

// apiError reads the body of a refusal. The token endpoint has
// {error, error_description}, the Management API {statusCode, error, message,
// errorCode}, and what stands before them answers in HTML.
func apiError(status int, body []byte) *APIError {
	var b struct {
		Error            string `json:"error"`
		ErrorDescription string `json:"error_description"`
		Message          string `json:"message"`
		ErrorCode        string `json:"errorCode"`
	}
	e := &APIError{Status: status}
	if json.Unmarshal(body, &b) != nil {
		return e
	}
	switch {
	case b.ErrorDescription != "":
		e.Code, e.Message = b.Error, clip(b.ErrorDescription)
	case b.Message != "" || b.ErrorCode != "":
		e.Code, e.Message = b.ErrorCode, clip(b.Message)
	default:
		e.Code = b.Error
	}
	return e
}

// clip bounds a foreign text and keeps control characters from a terminal.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return s
}
