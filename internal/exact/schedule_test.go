package exact_test

import (
	"math/rand/v2"
	"time"
)

const (
	// together is how many histories share a schedule, a store and so each
	// flush, recount and correlation.
	together = 200
	rounds   = 4
	slots    = 2 // deliveries in a round

	day = 24 * time.Hour
	// kept is the retention of everything.
	kept = 30 * day
)

// schedule is what happens to the histories of a batch, round by round. It is a
// function of the batch's number, so that a history that runs alone meets the
// same.
type schedule struct {
	rounds [rounds]round
	end    time.Time
}

// round is a part of a schedule: what was logged meanwhile is delivered, then
// perhaps correlated and recounted, with a crash here and there.
type round struct {
	at    time.Time // of its deliveries
	slots [slots]delivery

	correlate    bool
	correlateDie crash
	quiet        time.Duration // before the recount
	recount      bool
	recountDie   crash
	expire       bool // the store drops what it may
	look         bool // the counts are compared in the middle
}

// delivery is how the groups of a slot get into the store.
type delivery struct {
	processors int // that run at once
	die        crash
	loseAcks   bool // some acks do not arrive
}

// crash is where a process dies: the nth time that it gets to a point. The
// empty point is nowhere. One that stalls wakes up when another has long taken
// its place, takes one more step, and dies then.
type crash struct {
	point string
	nth   int
	stall bool
}

var (
	flushPoints = []string{
		"", "", "before_events", "part_of_events", "events_inserted", "part_of_matches", "matches_inserted",
		"touches_inserted", "acked",
	}
	recountPoints   = []string{"", "recounted", "recounted", "folded"}
	correlatePoints = []string{"", "alert_published", "history_written", "findings_written", "touches_marked"}
)

func newSchedule(batch uint64) schedule {
	r := rand.New(rand.NewPCG(batch, 0x5c4ed))
	var s schedule
	months := []time.Time{
		time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC),
	}
	at := pick(r, months...).Add(pick(r, -9*time.Hour, -50*time.Minute, -time.Minute, 0, 20*time.Minute))
	for i := range s.rounds {
		x := &s.rounds[i]
		x.at = at
		for j := range x.slots {
			x.slots[j] = delivery{processors: 1 + r.IntN(2), die: crash{point: pick(r, flushPoints...), nth: 1}, loseAcks: chance(r, 4)}
		}
		x.correlate, x.correlateDie = !chance(r, 4), crash{pick(r, correlatePoints...), 1 + r.IntN(5), chance(r, 3)}
		x.quiet = pick(r, 0, 70*time.Second, 70*time.Second)
		x.recount, x.recountDie = chance(r, 2), crash{pick(r, recountPoints...), 1 + r.IntN(20), chance(r, 3)}
		x.look, x.expire = chance(r, 2), chance(r, 3)
		at = at.Add(x.quiet + pick(r, 3*time.Minute, 55*time.Minute, 55*time.Minute, 7*time.Hour, 26*time.Hour))
	}
	s.end = at
	return s
}
