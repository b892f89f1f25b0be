package schemas

import (
	"errors"
	"time"
)

// ErrCursorMoved means that a PullState was saved by another meanwhile.
var ErrCursorMoved = errors.New("the cursor has moved")

// PullState is how far a tenant's logs have been read through the Management API:
// what the puller keeps in CURSORS, as JSON. Each state that was ever saved is true:
// everything up to Live was published but for what Spans have, so that an older
// one in the place of a newer one has logs published again, and loses none.
type PullState struct {
	// Domain is the tenant's: of another one nothing has been read.
	Domain string `json:"domain"`
	// Live is the log_id behind which live logs come; "" where there was none. Of a
	// tenant whose live logs come by a log stream it stays where it was.
	Live string `json:"live,omitempty"`
	// Newest is the log_id of the newest log that was there when Live was read last:
	// Live itself may become something else that Auth0 makes.
	Newest string `json:"newest,omitempty"`
	// Followed tells that live logs come from there, and not by a log stream.
	Followed bool `json:"followed,omitempty"`
	// Again is when what came behind Live is to be looked for once more, after the
	// tenant went to a log stream; zero where it is not.
	Again time.Time `json:"again,omitzero"`
	// At is when Live had been read to its end last.
	At time.Time `json:"at,omitzero"`
	// Spans are what is still to be brought in beside Live; the last goes first.
	Spans []PullSpan `json:"spans,omitempty"`
	// Imported is when the history was there; zero while it is under way.
	Imported time.Time `json:"imported,omitzero"`

	// Missing is what may be lost: stretches that were older than Auth0's retention
	// when they were to be read; the newest few.
	Missing []PullMissing `json:"missing,omitempty"`

	// Reason and Error say why nothing can be read now, "" where it can; Since when.
	Reason string    `json:"reason,omitempty"`
	Error  string    `json:"error,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// PullSpan is a stretch of logs, by log_id: behind From ("": from the oldest) up to
// and with Until.
type PullSpan struct {
	Source Source `json:"source"` // SourceImport or SourceRepair
	From   string `json:"from,omitempty"`
	Until  string `json:"until"`
	// At is when it was read last, or what it follows was.
	At time.Time `json:"at"`
}

// View is the span as people see it: in times.
func (s PullSpan) View() PullSpanView {
	v := PullSpanView{Source: s.Source.String()}
	if at, ok := LogIDTime(s.From); ok {
		v.From = &at
	}
	if at, ok := LogIDTime(s.Until); ok {
		v.To = &at
	}
	return v
}

// PullMissing is a stretch of time of which Auth0 had no logs left, if there were
// any.
type PullMissing struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// The reasons why logs cannot be read.
const (
	PullReasonCredentials = "credentials" // the id, the secret or the key of the application
	PullReasonScope       = "scope"       // its grant of the Management API lacks read:logs
	PullReasonThrottled   = "throttled"   // Auth0 asks for a longer wait than a puller waits
	PullReasonUnreachable = "unreachable" // no answer, or none that is one
	PullReasonNotStored   = "not_stored"  // Auth0 answers, and LOGS or CURSORS do not
)
