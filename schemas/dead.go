package schemas

import "time"

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
