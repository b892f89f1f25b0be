package detect

import (
	"sync/atomic"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Live is a set of rules that may be replaced, as a whole, while it is used. It
// may be used by any number of goroutines.
type Live struct{ set atomic.Pointer[Set] }

// NewLive begins with a set.
func NewLive(s *Set) *Live {
	l := &Live{}
	l.Replace(s)
	return l
}

// Replace puts another set in the place of the one that is there.
func (l *Live) Replace(s *Set) { l.set.Store(s) }

// Set is the one that is in force.
func (l *Live) Set() *Set { return l.set.Load() }

// Match is Set.Match of the set in force.
func (l *Live) Match(dst []schemas.Match, e *schemas.Event) []schemas.Match {
	return l.Set().Match(dst, e)
}

// Correlations are those of the set in force.
func (l *Live) Correlations() []Correlation { return l.Set().Correlations() }
