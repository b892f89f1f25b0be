package schemas

import "time"

// Stored tells that a copy of a log was stored, and when by the store's clock.
type Stored struct {
	Log uint64 // a hash of tenant and log_id
	Ver uint64
	At  time.Time
}
