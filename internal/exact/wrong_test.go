package exact_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestWrongBuildsAreCaught claims that the comparison sees what each promise of
// the pipeline is good for: without it something else is told than was sent.
// The histories are small, and made for it.
func TestWrongBuildsAreCaught(t *testing.T) {
	beforeEvents := crash{point: "before_events", nth: 1}
	midway := crash{point: "history_written", nth: 1, stall: true}
	for _, c := range []struct {
		name       string
		build      build
		flush      crash // of the first flush
		correlator crash // of the first correlation
		wrong      bool
	}{
		{"right", build{}, beforeEvents, midway, false},
		{"acks before it inserts", build{ackAt: "before_events"}, beforeEvents, crash{}, true},
		{"acks before it touches", build{ackAt: "matches_inserted"}, crash{point: "matches_inserted", nth: 1}, crash{}, true},
		{"writes without a fence", build{forget: fenced}, crash{}, midway, true},
		{"drops the recount", build{counts: func(s processor.CountStore) processor.CountStore { return idle{s} }}, crash{}, crash{}, true},
		{"forgets FINAL", build{forget: " FINAL"}, crash{}, crash{}, true},
		{"touches before it inserts", build{store: touchesFirst}, crash{}, crash{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := schedule{end: sentAt.Add(time.Hour)}
			for i := range s.rounds {
				s.rounds[i].at = sentAt.Add(time.Duration(i) * time.Minute)
				s.rounds[i].slots = [slots]delivery{{processors: 1, die: c.flush}, {processors: 1}}
				c.flush = crash{}
			}
			s.rounds[0].correlate, s.rounds[0].correlateDie = true, c.correlator
			w := newWorld(t, c.build, []*history{small(), brief()})
			found := w.run(s)
			if !c.wrong {
				for _, d := range found {
					t.Error(d.text)
				}
			}
			if c.wrong && len(found) == 0 {
				t.Error("the store tells what was sent, want a difference")
			}
		})
	}
}

var sentAt = time.Date(2026, 3, 1, 0, 10, 0, 0, time.UTC)

// small is a history of some logs that come several times, from the Management
// API after the stream, in different rounds, and of one that comes once.
func small() *history {
	h := &history{seed: 1, tenant: tenantOf(1)}
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 5 {
		f := anyFacts(r, h.tenant, h.seed, n, "seccft", "c1-1", "", sentAt.Add(-time.Duration(n)*7*time.Minute))
		if n == 0 {
			f.at = f.at.Add(-5 * time.Hour) // an hour of its own: no other log leads to its recount
		}
		for i, source := range []schemas.Source{schemas.SourceStream, schemas.SourcePull, schemas.SourceImport} {
			if n == 0 && i > 0 {
				break
			}
			h.groups = append(h.groups, group{i, 0, source, false, []sent{f.copyOf(form(min(i, 1)), source, false)}})
		}
	}
	return h
}

// brief is a history of a finding that holds until, while a correlator is about
// to write it, a log comes that takes it away. It is imported, so that nobody is
// alerted and the finding itself is all that can tell.
func brief() *history {
	h := &history{seed: 2, tenant: tenantOf(2)}
	r := rand.New(rand.NewPCG(2, 2))
	log := func(n, slot int, kind string, before time.Duration) {
		f := anyFacts(r, h.tenant, h.seed, n, kind, "c2-1", "", sentAt.Add(-before))
		f.ip, f.network, f.words = "198.51.1.1", "198.51.1.0/24", [3]string{"Unauthorized", "Unauthorized", "Unauthorized"}
		h.groups = append(h.groups, group{0, slot, schemas.SourceImport, false, []sent{f.copyOf(formManaged, schemas.SourceImport, false)}})
	}
	log(0, 0, "seccft", 3*time.Hour)
	log(1, 0, "seccft", 2*time.Hour)
	log(2, 0, "feccft", 8*time.Minute)
	log(3, 0, "feccft", 2*time.Minute)
	log(4, 1, "seccft", 5*time.Minute)
	return h
}

// fenced is by what a fenced statement lets the last epoch alone write. Without
// it what is left of the condition holds for every epoch.
const fenced = " <= {epoch:UInt64}"

// idle counts nothing, and says that it did.
type idle struct{ processor.CountStore }

func (idle) Recount(context.Context, schemas.Recount) error { return nil }

// touchesFirst makes a store that takes the events behind their touches, while
// a recount is quicker.
func touchesFirst(w *world, s processor.Store) processor.Store { return &hasty{Store: s, world: w} }

type hasty struct {
	processor.Store
	world  *world
	events []schemas.Event
}

func (s *hasty) InsertEvents(_ context.Context, events []schemas.Event) error {
	s.events = events
	return nil
}

func (s *hasty) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	if err := s.Store.InsertTouches(ctx, touches); err != nil {
		return fmt.Errorf("before the events: %w", err)
	}
	s.world.pass(2 * time.Minute)
	s.world.recount(crash{})
	return s.Store.InsertEvents(ctx, s.events)
}
