package provision

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is an event of an application that a test makes up.
type seen struct {
	minute  int // after the rotation
	network string
	outcome string // success, refused, or failure by something else
}

// activity answers from made-up events.
type activity []seen

var rotation = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (a activity) within(w Window) (list []Sighting) {
	for _, s := range a {
		at := rotation.Add(time.Duration(s.minute) * time.Minute)
		if at.Before(w.From) || !w.To.IsZero() && !at.Before(w.To) || w.Network != "" && w.Network != s.network ||
			w.Refused && s.outcome != "refused" || w.Outcome == "success" && s.outcome != "success" {
			continue
		}
		list = append(list, Sighting{Time: at, Network: s.network})
	}
	slices.SortFunc(list, func(a, b Sighting) int { return b.Time.Compare(a.Time) })
	return list
}

func (a activity) Places(_ context.Context, w Window) (places []Place, err error) {
	for _, s := range a.within(w) {
		places = append(places, Place{Network: s.Network, Count: 1})
	}
	return places, nil
}

func (a activity) Newest(_ context.Context, w Window, limit int) ([]Sighting, error) {
	list := a.within(w)
	return list[:min(limit, len(list))], nil
}

func TestSourcesOfARotationAreToldByTheirNewestEvent(t *testing.T) {
	got, err := SourcesSince(t.Context(), activity{
		{-9, "192.0.2.0/24", "success"},
		{-8, "192.0.2.0/24", "success"},
		{-7, "198.51.100.0/24", "success"},
		{-6, "203.0.113.0/24", "success"},
		{-5, "10.1.0.0/24", "refused"},
		{-90, "10.2.0.0/24", "success"}, // before the window
		{1, "198.51.100.0/24", "refused"},
		{2, "198.51.100.0/24", "success"},
		{3, "198.51.100.0/24", "refused"},
		{4, "198.51.100.0/24", "failure"},
		{5, "192.0.2.0/24", "refused"},
		{6, "192.0.2.0/24", "success"},
		{7, "10.0.0.0/24", "refused"}, // it had never succeeded from there
	}, rotation, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	moment := func(minute int) *time.Time {
		at := rotation.Add(time.Duration(minute) * time.Minute)
		return &at
	}
	want := []Source{
		{Network: "198.51.100.0/24", Before: 1, Old: 2, New: 1, Last: moment(3), Uses: UsesOld},
		{Network: "192.0.2.0/24", Before: 2, Old: 1, New: 1, Last: moment(6), Uses: UsesNew},
		{Network: "203.0.113.0/24", Before: 1, Uses: UsesNothing},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if Moved(got) || !Moved(got[1:2]) {
		t.Error("not told whether all have moved")
	}
}
