package processor

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// refusal says why a log goes to DEAD.
type refusal struct {
	code   schemas.DeadCode
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(code schemas.DeadCode, format string, args ...any) error {
	return &refusal{code: code, reason: fmt.Sprintf(format, args...)}
}

// clip shortens s to about n bytes and keeps it one line of valid UTF-8, for a reason.
func clip(s string, n int) string {
	cut := len(s) > n
	if cut {
		s = s[:n]
	}
	clean := bytes.ToValidUTF8(bytes.Join(bytes.Fields([]byte(s)), []byte(" ")), nil)
	if cut {
		return string(clean) + "…"
	}
	return string(clean)
}

// refusalOf returns the refusal that err is, or one of code json around it.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return &refusal{code: schemas.DeadCodeJSON, reason: clip(err.Error(), 160)}
}
