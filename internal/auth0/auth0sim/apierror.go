package auth0sim

import (
	"fmt"
	"net/http"
)

// apiError is a refusal as the Management API words it.
type apiError struct {
	status  int
	message string
	code    string // left out where empty
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s", e.status, e.message) }

func (e *apiError) body() document {
	d := document{"statusCode": e.status, "error": http.StatusText(e.status), "message": e.message}
	if e.code != "" {
		d["errorCode"] = e.code
	}
	return d
}

func badRequest(code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...), code}
}

func unauthorized(message, code string) error {
	return &apiError{http.StatusUnauthorized, message, code}
}

func forbidden(code, format string, args ...any) error {
	return &apiError{http.StatusForbidden, fmt.Sprintf(format, args...), code}
}

func notFound(code, format string, args ...any) error {
	return &apiError{http.StatusNotFound, fmt.Sprintf(format, args...), code}
}

func conflict(code, format string, args ...any) error {
	return &apiError{http.StatusConflict, fmt.Sprintf(format, args...), code}
}
