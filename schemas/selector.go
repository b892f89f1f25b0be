package schemas

import "time"

// SelectorState is how much of history a selector has matched.
type SelectorState string

// The states of a selector.
const (
	SelectorWarming SelectorState = "warming" // history is being matched
	SelectorWarm    SelectorState = "warm"
	SelectorIdle    SelectorState = "idle" // no rule selects by it any more
)

// Selector is what is known of a selector's past: since when what it selects is
// matched as it comes in, and how much of what came before is.
type Selector struct {
	Selector string        `json:"selector"`
	State    SelectorState `json:"state" enum:"warming,warm,idle"`
	Since    time.Time     `json:"since"` // it is matched as events come in
	Reach    time.Duration `json:"reach"` // how far before Since rules look at it
	Done     uint64        `json:"done"`  // events of history that were matched
	Total    uint64        `json:"total"` // of about so many
	Ver      uint64        `json:"-"`
}

// KeySpan is a key of a selector, with the first and the last of its matches.
type KeySpan struct {
	Tenant, Key string
	First, Last time.Time
}
