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
