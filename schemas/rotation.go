package schemas

import "time"

// Rotation is a change of a credential of an identity that a command of m2mwatch
// made.
type Rotation struct {
	At       time.Time // before it was made, by the operator's clock
	Command  string
	Operator string
}

// The bounds of a warm identity: from then on what is usual for it is known.
const (
	WarmSuccesses = 20
	WarmHistory   = 7 * 24 * time.Hour
)

// WarmCount is how many identities are warm, of those that ever succeeded at an
// exchange.
type WarmCount struct{ Warm, Identities uint64 }
