package schemas

import "time"

// SelectorState is how much of history a selector has matched.
type SelectorState string

// The states of a selector.
const (
	SelectorWarming SelectorState = "warming" // history is being matched
	SelectorMatched SelectorState = "matched" // and what its rules find in it is judged anew
	SelectorWarm    SelectorState = "warm"
	SelectorIdle    SelectorState = "idle" // no rule selects by it any more
)

// Selector is what is known of a selector's past: since when what it selects is
// matched as it comes in, and how much of what came before is.
type Selector struct {
	Selector string        `json:"selector"`
	State    SelectorState `json:"state" enum:"warming,matched,warm,idle"`
	Since    time.Time     `json:"since"` // it is matched as events come in
	Reach    time.Duration `json:"reach"` // how far before Since rules look at it
	Done     uint64        `json:"done"`  // events of history that were matched
	Total    uint64        `json:"total"` // of about so many
	Ver      uint64        `json:"-"`
}

// Reaches reports whether all that the selector selects of the events from a time
// on is matched.
func (s *Selector) Reaches(from time.Time) bool {
	return s.State == SelectorWarm && (s.Reach >= AllHistory || !from.Before(s.Since.Add(-s.Reach)))
}

// AllHistory is the Reach of a selector that came into force where nothing was
// stored: there is no event that it has not looked at.
const AllHistory = 100 * 365 * 24 * time.Hour

// MatchTable is where matches stand.
type MatchTable string

// Matches are made as events come in, and of history for rules that are in force;
// MatchesScratch for one backtest.
const (
	Matches        MatchTable = "matches"
	MatchesScratch MatchTable = "matches_scratch"
)

// KeySpan is a key of a selector, with the first and the last of its matches.
type KeySpan struct {
	Tenant, Key string
	First, Last time.Time
}

// LatestMatch is when a key last had a match of a selector.
type LatestMatch struct {
	Selector, Tenant, Key string
	Last                  time.Time
}
