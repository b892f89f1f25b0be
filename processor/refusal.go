package processor

import (
	"bytes"
	"errors"
	"fmt"
)

// The classes of refusals, for a metric's label.
const (
	classJSON    = "json"    // not a JSON object
	classLogID   = "log_id"  // no log_id, or none that can be one
	classTime    = "time"    // no time, or one that cannot be
	classFraming = "framing" // the message is no group
	classStore   = "store"   // the store refuses the row
)

// refusal says why a log goes to DEAD.
type refusal struct {
	class  string
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(class, format string, args ...any) error {
	return &refusal{class: class, reason: fmt.Sprintf(format, args...)}
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

// refusalOf returns the refusal that err is, or one of class json around it.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return &refusal{class: classJSON, reason: clip(err.Error(), 160)}
}
