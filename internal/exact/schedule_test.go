package exact_test

import (
	"flag"
	"math/rand/v2"
	"time"
)

// together is how many histories share a schedule, a store and so each flush,
// recount and correlation. The fewer, the more schedules; the more, the less
// time a history takes, as most of the time goes by the statement. A history is
// one of its schedule too, so it has to be run again with the same number.
var together = flag.Uint64("together", 50, "how many histories share a schedule and a store")

const (
	rounds = 4
	slots  = 2 // deliveries in a round
	// correlations and recounts are in how many rounds there is one, beside
	// those at the end.
	correlations, recounts = 3, 2

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

// round is a part of a schedule: what was logged meanwhile is delivered, and
// perhaps correlated and recounted, with a crash here and there. The last slot
// is delivered behind the correlation, or before the next correlator where one
// stalls.
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
// its place, takes one more step, and dies then. One that comes to its point
// less often does not die.
type crash struct {
	point string
	nth   int
	stall bool
}

// Every crash is dealt, none drawn, so that few schedules have all of them:
// those of a flush in each schedule, those of a holder of the lease in turn, by
// the number of the schedule.
var (
	flushCrashes = []crash{
		{},
		{point: "before_events", nth: 1},
		{point: "part_of_events", nth: 1},
		{point: "events_inserted", nth: 1},
		{point: "part_of_matches", nth: 1},
		{point: "matches_inserted", nth: 1},
		{point: "touches_inserted", nth: 1},
		{point: "acked", nth: 1},
	}
	// nth is the most here; it is drawn.
	correlateCrashes = []crash{
		{},
		{"alert_published", 1, false},
		{"history_written", 2, true},
		{"findings_written", 2, false},
		{"touches_marked", 1, true},
		{"alert_published", 1, true},
		{"history_written", 2, false},
		{"findings_written", 2, true},
		{"touches_marked", 1, false},
	}
	recountCrashes = []crash{{}, {"recounted", 4, false}, {"folded", 1, true}, {"recounted", 4, true}, {"folded", 1, false}}
)

// deal gives the nth of some crashes, over and over.
func deal(r *rand.Rand, crashes []crash, n uint64) crash {
	c := crashes[n%uint64(len(crashes))]
	c.nth = 1 + r.IntN(max(1, c.nth))
	return c
}

func newSchedule(batch uint64) schedule {
	r := rand.New(rand.NewPCG(batch, 0x5c4ed))
	var s schedule
	months := []time.Time{
		time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 5, 13, 0, 0, 0, 0, time.UTC),
	}
	at := pick(r, months...).Add(pick(r, -9*time.Hour, -50*time.Minute, -time.Minute, 0, 20*time.Minute))
	flushes := r.Perm(len(flushCrashes))
	for i := range s.rounds {
		x := &s.rounds[i]
		x.at = at
		for j := range x.slots {
			die := deal(r, flushCrashes, uint64(flushes[(i*slots+j)%len(flushes)]))
			x.slots[j] = delivery{processors: 1 + r.IntN(2), die: die, loseAcks: chance(r, 4)}
		}
		x.quiet = pick(r, 0, 70*time.Second, 70*time.Second)
		x.look, x.expire = chance(r, 2), chance(r, 3)
		at = at.Add(x.quiet + pick(r, 3*time.Minute, 55*time.Minute, 55*time.Minute, 7*time.Hour, 26*time.Hour))
	}
	for n, i := range r.Perm(rounds)[:correlations] {
		s.rounds[i].correlate, s.rounds[i].correlateDie = true, deal(r, correlateCrashes, batch*correlations+uint64(n))
	}
	for n, i := range r.Perm(rounds)[:recounts] {
		s.rounds[i].recount, s.rounds[i].recountDie = true, deal(r, recountCrashes, batch*recounts+uint64(n))
	}
	s.end = at
	return s
}
