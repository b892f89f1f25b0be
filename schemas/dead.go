package schemas

import (
	"strings"
	"time"
)

// DeadCode is the class of a dead log's reason.
type DeadCode string

// The classes of reasons.
const (
	DeadCodeJSON    DeadCode = "json"    // not a JSON object
	DeadCodeSize    DeadCode = "size"    // larger than a message may be
	DeadCodeLogID   DeadCode = "log_id"  // no log_id, or none that can be one
	DeadCodeTime    DeadCode = "time"    // no time, or one that cannot be
	DeadCodeFraming DeadCode = "framing" // the message is no group
	DeadCodeStore   DeadCode = "store"   // the store refuses the row
)

// Dead is a log that cannot be read or stored, with the reason. It lies in
// DEAD (or, where it is larger than a message may be, in the object store
// under Object) until somebody replays or discards it.
type Dead struct {
	ID         uint64 // its number in DEAD; 0 on its way there
	Tenant     string
	Source     Source
	IngestedAt time.Time // arrival at ingest, UTC; Time where that is not known
	Time       time.Time // when it was given up, UTC
	Code       DeadCode  // "" where an earlier build has written it
	Reason     string    // one sentence: what is wrong and, where known, what to change
	Raw        []byte    // the whole log; empty when Object is set
	Masked     bool
	Object     string // name in BucketDead; empty when Raw holds the log
	Size       int64  // bytes of the whole log
	// Replay names the replay that the log came by; "" where it came by none.
	// It is what Message.Replay said: see SubjectDead.
	Replay string
}

// DeadFilter selects dead logs; what is empty does not narrow.
type DeadFilter struct {
	Tenant string
	Reason string // the code, or a part of the reason in any case
	From   time.Time
	To     time.Time // both of the arrival at ingest; To is the moment after the last
}

// Fits reports whether f selects d.
func (f *DeadFilter) Fits(d *Dead) bool {
	switch {
	case f.Tenant != "" && f.Tenant != d.Tenant,
		!f.From.IsZero() && d.IngestedAt.Before(f.From),
		!f.To.IsZero() && !d.IngestedAt.Before(f.To):
		return false
	}
	return f.Reason == "" || f.Reason == string(d.Code) ||
		strings.Contains(strings.ToLower(d.Reason), strings.ToLower(f.Reason))
}

// DeadSweep asks to replay or discard dead logs, oldest first.
type DeadSweep struct {
	DeadFilter
	After   uint64 // ids up to this one are not looked at
	Through uint64 // nor are those above; 0 is the last one that is there now
	Limit   int    // logs at most; DEAD may be larger than one request has time for
	DryRun  bool   // tell what would be done and do nothing
}

// DeadSwept is what one sweep did, or would do.
type DeadSwept struct {
	Done    uint64 // replayed or discarded, and gone from DEAD
	Kept    uint64 // fit, and cannot be replayed
	Reason  string // why the first of them is kept
	Left    uint64 // about how many are still to be looked at
	Through uint64 // of the sweep
	Next    uint64 // After of the next sweep; 0 where there is none
}
