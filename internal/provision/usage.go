package provision

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Activity is what a running m2mwatch has stored of one application. Its answers
// may lack what Auth0 has not delivered yet: seconds, as a rule.
type Activity interface {
	// Places counts events by where they came from, in no order.
	Places(ctx context.Context, w Window) ([]Place, error)
	// Newest reads the newest events of a window, the newest first, up to a limit.
	Newest(ctx context.Context, w Window, limit int) ([]Sighting, error)
}

// Window narrows the events of an application; what is empty does not.
type Window struct {
	Outcome  string // success or failure
	Types    string // event type codes, separated by commas
	Network  string
	Refused  bool // failures by a wrong secret or key alone
	From, To time.Time
	// Networks counts by network alone, which needs no look at the events.
	Networks bool
}

// Place is where events of an application came from.
type Place struct {
	Network string    `json:"network"`
	Runtime string    `json:"runtime"`
	API     string    `json:"api"`
	Count   uint64    `json:"count"`
	Last    time.Time `json:"last"` // the day, UTC
}

// Sighting is one event.
type Sighting struct {
	Time    time.Time `json:"time"`
	Network string    `json:"network"`
	Runtime string    `json:"runtime"`
	API     string    `json:"api"`
}

// Usage is how an application was used.
type Usage struct {
	Last   *Sighting `json:"last"`   // nil where nothing is stored
	Places []Place   `json:"places"` // since the beginning that was asked for, the most used first
}

// UsageOf tells where an application succeeded since a time, and when and from
// where it last did at all: anybody can fail with its id.
func UsageOf(ctx context.Context, a Activity, from time.Time) (Usage, error) {
	u := Usage{Places: []Place{}}
	newest, err := a.Newest(ctx, Window{Outcome: "success"}, 1)
	if err != nil {
		return u, err
	}
	if len(newest) == 0 {
		return u, nil
	}
	u.Last = &newest[0]
	places, err := a.Places(ctx, Window{Outcome: "success", From: from})
	if err != nil {
		return u, err
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.API, b.API))
	})
	u.Places = append(u.Places, places...)
	return u, nil
}

// What a network uses since a rotation, by its newest event.
const (
	UsesOld     = "old"
	UsesNew     = "new"
	UsesNothing = "not seen"
)

// Source is a network from which an application had succeeded before its secret
// or key was rotated.
type Source struct {
	Network string     `json:"network"`
	Before  uint64     `json:"before"` // successes before the rotation
	Old     uint64     `json:"old"`    // refused since, by a wrong secret or key
	New     uint64     `json:"new"`    // successes since
	Last    *time.Time `json:"last"`   // of the newest event since
	Uses    string     `json:"uses"`
}

// SourcesSince tells which networks still use the secret or key that was replaced
// at a time: those that succeeded in the window before it and are refused since.
func SourcesSince(ctx context.Context, a Activity, at time.Time, before time.Duration) ([]Source, error) {
	count := func(w Window) (map[string]uint64, error) {
		w.Networks = true
		places, err := a.Places(ctx, w)
		counts := map[string]uint64{}
		for _, p := range places {
			counts[p.Network] += p.Count
		}
		return counts, err
	}
	known, err := count(Window{Outcome: "success", From: at.Add(-before), To: at})
	if err != nil {
		return nil, err
	}
	refused, err := count(Window{Refused: true, From: at})
	if err != nil {
		return nil, err
	}
	succeeded, err := count(Window{Outcome: "success", From: at})
	if err != nil {
		return nil, err
	}
	list := []Source{}
	for network, n := range known {
		s := Source{Network: network, Before: n, Old: refused[network], New: succeeded[network], Uses: UsesNothing}
		if err := s.look(ctx, a, at); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Old, a.Old), cmp.Compare(b.Before, a.Before), cmp.Compare(a.Network, b.Network))
	})
	return list, nil
}

// look tells what a source uses by its newest event.
func (s *Source) look(ctx context.Context, a Activity, at time.Time) error {
	for _, w := range []struct {
		count uint64
		Window
		uses string
	}{
		{s.Old, Window{Refused: true}, UsesOld},
		{s.New, Window{Outcome: "success"}, UsesNew},
	} {
		if w.count == 0 {
			continue
		}
		w.Network, w.From = s.Network, at
		newest, err := a.Newest(ctx, w.Window, 1)
		if err != nil {
			return err
		}
		if len(newest) > 0 && (s.Last == nil || newest[0].Time.After(*s.Last)) {
			s.Last, s.Uses = &newest[0].Time, w.uses
		}
	}
	return nil
}

// Moved reports whether every source uses the new one.
func Moved(sources []Source) bool {
	return !slices.ContainsFunc(sources, func(s Source) bool { return s.Uses != UsesNew })
}
