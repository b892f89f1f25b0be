package schemas

import "time"

// Log is one raw record as Auth0 sent it. Raw is byte for byte what arrived,
// except that the values of secrets are replaced by "***" where Masked is set.
type Log struct {
	Tenant     string
	Source     Source
	IngestedAt time.Time // arrival at ingest, UTC
	Raw        []byte
	Masked     bool
}

// Dead is a log that cannot be read or stored, with the reason. It lies in
// DEAD (or, where it is larger than a message may be, in the object store
// under Object) until somebody replays or discards it.
type Dead struct {
	Tenant string
	Source Source
	Time   time.Time // when it was given up, UTC
	Reason string    // one sentence: what is wrong and, where known, what to change
	Raw    []byte    // the whole log; empty when Object is set
	Masked bool
	Object string // name in BucketDead; empty when Raw holds the log
	Size   int64  // bytes of the whole log
}
