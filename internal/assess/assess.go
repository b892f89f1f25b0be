// Package assess judges a tenant's machines by what stands in its inventory and in
// its logs: which fail, are unused, get far more tokens than they need, have no
// owner, or come from many networks. It is pure.
package assess

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// App is an application that may get tokens by client credentials.
type App struct {
	ID, Name string
	Owner    string   // as its metadata name it; "" where they do not
	Scopes   []string // of all of its grants
}

// Use is what the logs tell of one client id.
type Use struct {
	Tokens     uint64
	Audiences  map[string]uint64 // tokens by audience
	Networks   map[string]uint64 // tokens by network, /24 or /48
	Failures   uint64
	FailedFrom map[string]uint64 // failures by network
	Causes     map[string]uint64 // of the failures
	LastToken  time.Time         // zero where there is none
	LastFailed time.Time         // from a network of Own; zero where it did not
}

// Own are the networks that it got tokens from; nil where it got none, and then
// whoever fails may be it.
func (u *Use) Own() []string {
	return slices.Sorted(maps.Keys(u.Networks))
}

// own counts the failures that are its own: a client id is no secret, and anyone
// can fail with it.
func (u *Use) own() (n uint64) {
	if u.Tokens == 0 {
		return u.Failures
	}
	for network := range u.Networks {
		n += u.FailedFrom[network]
	}
	return n
}

// Input is what is known of a tenant.
type Input struct {
	From, To time.Time // of the logs
	Apps     []App
	Use      map[string]*Use // by client id, of others than Apps too
	// Lifetimes are for how long tokens are good, by audience. Of others
	// DefaultLifetime is taken.
	Lifetimes map[string]time.Duration
}

// DefaultLifetime is how long a token is good where nobody has said otherwise.
//
// Source: token_lifetime of a resource server at Auth0, 86,400 s by default.
const DefaultLifetime = 24 * time.Hour

// The least of what is told.
const (
	LeastFailures = 3   // of one application
	LeastTimes    = 10  // tokens to those it needs
	LeastTokens   = 100 // that are far too many
	LeastNetworks = 5
)

// Report is what was found, the worst first in each list.
type Report struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Machines int       `json:"machines"` // applications that may get tokens
	Used     int       `json:"used"`     // those that got any
	Tokens   uint64    `json:"tokens"`   // all of them

	Failing []Failing `json:"failing"`
	Unused  []Unused  `json:"unused"`
	Greedy  []Greedy  `json:"too_many_tokens"`
	Unowned []Machine `json:"without_owner"`
	Spread  []Spread  `json:"many_networks"`

	// Strangers are client ids that no application has.
	Strangers Strangers `json:"strangers"`
}

// Machine names an application.
type Machine struct {
	ID   string `json:"client_id"`
	Name string `json:"name"`
}

// Failing is an application that was refused tokens.
type Failing struct {
	Machine
	Failures uint64 `json:"failures"` // from networks that it got tokens from, or from all where it got none
	Others   uint64 `json:"others"`   // failures from elsewhere: maybe somebody else's
	Tokens   uint64 `json:"tokens"`
	// Down tells that it has not got a token since it failed last.
	Down       bool       `json:"down"`
	Cause      string     `json:"cause"` // the most frequent
	LastFailed *time.Time `json:"last_failed"`
	LastToken  *time.Time `json:"last_token"`
}

// Unused is an application that got no token.
type Unused struct {
	Machine
	Scopes []string `json:"scopes"` // that it may have
	Writes int      `json:"writes"` // those of them that do not read
}

// Greedy is an application that got far more tokens than it needs.
type Greedy struct {
	Machine
	Tokens uint64  `json:"tokens"`
	Needed uint64  `json:"needed"` // if each network kept its tokens until they expire
	Times  float64 `json:"times"`  // the one to the other
}

// Spread is an application that got tokens from many networks.
type Spread struct {
	Machine
	Networks int `json:"networks"`
}

// Strangers are client ids in the logs that no application has.
type Strangers struct {
	Failed   int    `json:"failed"`   // ids that failed and never got a token
	Failures uint64 `json:"failures"` // theirs
	Gone     int    `json:"gone"`     // ids that got a token: deleted since
}

// Assess judges.
func Assess(in *Input) *Report {
	r := &Report{
		From: in.From, To: in.To, Machines: len(in.Apps),
		Failing: []Failing{}, Unused: []Unused{}, Greedy: []Greedy{}, Unowned: []Machine{}, Spread: []Spread{},
	}
	known := map[string]bool{}
	for i := range in.Apps {
		known[in.Apps[i].ID] = true
		r.app(in, &in.Apps[i])
	}
	for id, u := range in.Use {
		switch {
		case known[id]:
		case u.Tokens > 0:
			r.Strangers.Gone++
		case u.Failures > 0:
			r.Strangers.Failed++
			r.Strangers.Failures += u.Failures
		}
	}
	r.sort()
	return r
}

func (r *Report) app(in *Input, a *App) {
	m := Machine{a.ID, a.Name}
	u := in.Use[a.ID]
	if u == nil {
		u = &Use{}
	}
	if a.Owner == "" {
		r.Unowned = append(r.Unowned, m)
	}
	if failures, down := u.own(), u.down(); failures >= LeastFailures || down {
		r.Failing = append(r.Failing, Failing{m, failures, u.Failures - failures, u.Tokens, down, most(u.Causes), known(u.LastFailed), known(u.LastToken)})
	}
	if u.Tokens == 0 {
		r.Unused = append(r.Unused, Unused{m, append([]string{}, a.Scopes...), writes(a.Scopes)})
		return
	}
	r.Used++
	r.Tokens += u.Tokens
	if needed := in.needed(u); u.Tokens >= LeastTokens && u.Tokens >= LeastTimes*needed {
		times := math.Round(10*float64(u.Tokens)/float64(needed)) / 10
		r.Greedy = append(r.Greedy, Greedy{m, u.Tokens, needed, times})
	}
	if len(u.Networks) >= LeastNetworks {
		r.Spread = append(r.Spread, Spread{m, len(u.Networks)})
	}
}

// down tells whether the last that was heard of it is a failure.
func (u *Use) down() bool { return u.own() > 0 && u.LastFailed.After(u.LastToken) }

// needed is how many tokens would do if each network that an application comes from
// kept those it has until they expire.
func (in *Input) needed(u *Use) uint64 {
	var sum float64
	for audience := range u.Audiences {
		lifetime := in.Lifetimes[audience]
		if lifetime <= 0 {
			lifetime = DefaultLifetime
		}
		sum += math.Ceil(float64(in.To.Sub(in.From)) / float64(lifetime))
	}
	return uint64(max(sum, 1)) * uint64(max(len(u.Networks), 1))
}

// writes counts the scopes that do more than read, by the names that Auth0's own
// and most have.
func writes(scopes []string) (n int) {
	for _, scope := range scopes {
		if verb, _, ok := strings.Cut(scope, ":"); !ok || verb != "read" {
			n++
		}
	}
	return n
}

// most is the value of the highest count.
func most(counts map[string]uint64) (value string) {
	for v, n := range counts {
		if n > counts[value] || n == counts[value] && v < value {
			value = v
		}
	}
	return value
}

// known is null for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (r *Report) sort() {
	byName := func(a, b Machine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
	downFirst := func(down bool) int { return map[bool]int{true: 0, false: 1}[down] }
	slices.SortFunc(r.Failing, func(a, b Failing) int {
		return cmp.Or(downFirst(a.Down)-downFirst(b.Down), cmp.Compare(b.Failures, a.Failures), byName(a.Machine, b.Machine))
	})
	slices.SortFunc(r.Unused, func(a, b Unused) int {
		return cmp.Or(cmp.Compare(b.Writes, a.Writes), cmp.Compare(len(b.Scopes), len(a.Scopes)), byName(a.Machine, b.Machine))
	})
	slices.SortFunc(r.Greedy, func(a, b Greedy) int {
		return cmp.Or(cmp.Compare(b.Tokens, a.Tokens), byName(a.Machine, b.Machine))
	})
	slices.SortFunc(r.Unowned, byName)
	slices.SortFunc(r.Spread, func(a, b Spread) int {
		return cmp.Or(cmp.Compare(b.Networks, a.Networks), byName(a.Machine, b.Machine))
	})
}
