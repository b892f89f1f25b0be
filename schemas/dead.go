package schemas

import (
	"encoding/json"
	"iter"
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
	// Pieces is how many pieces of one body, or of one message, Raw joins, each
	// with a line end behind it; 0 where it is one log. See Join.
	Pieces  int
	Lengths []int // of the pieces, in bytes; empty where Raw is
}

// Nothing but junk must not cost a sync and a message per line: of one body, or of
// one message, DeadAlone pieces that cannot be read become a dead log each, and
// any more are joined into logs of up to MaxDeadJoined bytes.
const (
	DeadAlone      = 256
	MaxDeadJoined  = 64 << 10
	maxJoinedParts = 8192
)

// Join adds a piece to d, unless there is no room: false. It is replayed by
// itself, as it came.
func (d *Dead) Join(raw []byte, masked bool) bool {
	if len(d.Raw)+len(raw)+1 > MaxDeadJoined || d.Pieces == maxJoinedParts {
		return false
	}
	if d.Raw == nil {
		d.Raw = make([]byte, 0, MaxDeadJoined)
	}
	d.Raw = append(append(d.Raw, raw...), '\n')
	d.Pieces, d.Lengths = d.Pieces+1, append(d.Lengths, len(raw))
	d.Size, d.Masked = int64(len(d.Raw)), d.Masked || masked
	return true
}

// Logs are what Raw holds: itself, or its pieces.
func (d *Dead) Logs() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if len(d.Lengths) == 0 {
			yield(d.Raw)
			return
		}
		rest := d.Raw
		for _, n := range d.Lengths {
			if !yield(rest[:n:n]) {
				return
			}
			rest = rest[n+1:]
		}
	}
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

// DeadView is a dead log as the API lists it: without its bytes, which nobody
// could look through for secrets.
type DeadView struct {
	ID         uint64    `json:"id" doc:"Its number in DEAD. A log that is given up again gets another."`
	Tenant     string    `json:"tenant" doc:"Empty where a whole message could not be read." example:"acme"`
	Source     string    `json:"source" doc:"The way that it came." example:"stream"`
	IngestedAt time.Time `json:"ingested_at" doc:"When it arrived; time, where an earlier build did not write that down."`
	Time       time.Time `json:"time" doc:"When it was given up."`
	Code       DeadCode  `json:"code" doc:"The class of the reason: json, size, log_id, time, framing or store; empty where an earlier build has given it up." example:"time"`
	Reason     string    `json:"reason" doc:"What is wrong, and what to change where that is known."`
	Size       int64     `json:"size" doc:"Bytes."`
	Masked     bool      `json:"masked" doc:"Values of secrets are replaced by ***. Where a log cannot be read they may not all have been found."`
	Replayed   bool      `json:"replayed" doc:"It was replayed from DEAD and could not be read again."`
	Pieces     int       `json:"pieces" doc:"It joins so many pieces of one body, each with a line end behind it: of nothing but junk only the first are logs of their own. A replay sends each by itself, as it came. 0 where it is one log."`
}

// View is d as the API lists it.
func (d *Dead) View() DeadView {
	return DeadView{
		ID: d.ID, Tenant: d.Tenant, Source: d.Source.String(), IngestedAt: d.IngestedAt, Time: d.Time,
		Code: d.Code, Reason: d.Reason, Size: d.Size, Masked: d.Masked, Replayed: d.Replay != "", Pieces: d.Pieces,
	}
}

// DeadPage is one page of dead logs, the newest first.
type DeadPage struct {
	Dead []DeadView `json:"dead"`
	Next string     `json:"next,omitempty" doc:"The cursor of the next page; absent at the end. A page that is short, or empty, is not the last one while it has it."`
}

// The forms in which DeadDetail has the bytes of a log.
const (
	DeadEncodingJSON    = "json"
	DeadEncodingText    = "text"
	DeadEncodingBase64  = "base64"
	DeadEncodingOmitted = "omitted"
)

// DeadDetail is a dead log with its bytes.
type DeadDetail struct {
	DeadView
	Encoding string          `json:"encoding" enum:"json,text,base64,omitted" doc:"What raw is: the JSON value itself, a string of its text, or of its bytes in base64. It is omitted where it has more than 1 MiB: ask with raw=true."`
	Raw      json.RawMessage `json:"raw,omitempty" doc:"The log as it came, byte for byte, or a string."`
}

// DeadChange is what one request to replay or discard dead logs did. Where it
// has a cursor it is not at the end, and done and kept are of this part alone.
type DeadChange struct {
	DryRun  bool   `json:"dry_run" doc:"Nothing was done: the numbers tell what would be."`
	Done    uint64 `json:"done" doc:"Logs that were replayed, or discarded, and are gone from DEAD."`
	Kept    uint64 `json:"kept" doc:"Logs that fit and cannot be replayed; they stay."`
	Reason  string `json:"reason,omitempty" doc:"Why the first of them stays, and what to do."`
	Left    uint64 `json:"left" doc:"About how many logs are still to be looked at."`
	Through uint64 `json:"through" doc:"The highest id that this looks at: the last one that was there when it began."`
	Next    string `json:"next,omitempty" doc:"The cursor to go on with; absent at the end."`
}
