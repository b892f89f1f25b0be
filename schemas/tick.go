package schemas

import "time"

// Tick says up to when a rule has looked in a tenant for what time alone changes, and
// all of that was judged. It holds for rules of that digest.
type Tick struct {
	Rule   string // code
	Tenant string
	Digest string
	Until  time.Time
	Ver    uint64 // epoch << 32 and more
}
