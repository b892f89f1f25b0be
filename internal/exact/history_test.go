package exact_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// history is what some clients and users of a tenant do, and when it is told.
// Histories share tenants, since a recount or a correlation takes all of a
// tenant's clients at once, and nothing else. What is of a history has its seed
// in its name.
type history struct {
	seed   uint64
	tenant string
	groups []group
	// sent are the copies that were sent up to now; see world.deliver.
	sent []arrival
}

// arrival is a copy with the time at which it reached the processor, and
// whether a correlator was stalled then that another had not followed yet.
type arrival struct {
	sent
	at     time.Time
	midway bool
}

// group is what arrives together.
type group struct {
	round, slot int
	source      schemas.Source
	former      bool
	logs        []sent
}

// newHistory makes up the history of a seed.
func newHistory(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0xe8ac7))
	g := generator{r: r, h: &history{seed: seed, tenant: tenantOf(seed)}, s: newSchedule(seed / *together)}
	for range 2 + r.IntN(2) {
		g.story()
	}
	for range 6 + r.IntN(10) {
		g.log(pick(r, "seccft", "feccft", "sapi", "s", "fp"), g.client(), g.someTime())
	}
	return g.h
}

// tenants is how many tenants the histories of a batch share. Each takes
// statements of its own, which is most of the time: two are the least that can
// be mixed up.
const tenants = 2

func tenantOf(seed uint64) string { return fmt.Sprintf("tenant-%d", seed%tenants) }

// generator makes a history.
type generator struct {
	r *rand.Rand
	h *history
	s schedule
	n int // logs so far
	// least is the first round in which what is made may come.
	least int
}

func (g *generator) client() string { return fmt.Sprintf("c%d-%d", g.h.seed, pick(g.r, 1, 1, 2)) }

func (g *generator) user() string { return userOf(g.h.seed, pick(g.r, 1, 1, 2)) }

func userOf(seed uint64, n int) string { return fmt.Sprintf("auth0|%d-%d", seed, n) }

// story is a client, or a user, that works and then does not, which may make a
// finding.
func (g *generator) story() {
	ok, bad := "seccft", "feccft"
	if chance(g.r, 3) {
		ok, bad = "s", "fp"
	}
	client := g.client()
	at := g.someTime()
	for range 2 + g.r.IntN(3) {
		g.log(ok, client, at)
		at = at.Add(time.Duration(g.r.IntN(90)) * time.Minute)
	}
	for range 1 + g.r.IntN(4) {
		at = at.Add(time.Duration(g.r.IntN(14)) * time.Minute)
		switch {
		case chance(g.r, 8):
			g.log(ok, client, at)
		case bad == "feccft" && chance(g.r, 3):
			g.superseded(client, at)
		}
		g.log(bad, client, at)
	}
	if chance(g.r, 2) { // what comes late takes a finding away
		g.least = min(g.born(at)+1+g.r.IntN(2), rounds-1)
		g.log(ok, client, at.Add(-time.Duration(g.r.IntN(20))*time.Minute))
		g.least = 0
	}
}

// superseded is a refusal whose first copy says more than the one that wins.
func (g *generator) superseded(client string, at time.Time) {
	g.n++
	f := anyFacts(g.r, g.h.tenant, g.h.seed, g.n, "feccft", client, "", at.Truncate(time.Millisecond))
	f.words = [3]string{"Client quota exceeded", "Unauthorized", "Unauthorized"}
	born := g.born(f.at)
	g.send(born, f.copyOf(formManaged, schemas.SourcePull, false))
	g.send(min(born+1, rounds-1), f.copyOf(formStream, schemas.SourceStream, false))
}

// someTime is a time that matters: lately, about a midnight, about the edge of
// what is kept, days ago, and rarely ahead of the clock.
func (g *generator) someTime() time.Time {
	r := g.r
	now := g.s.rounds[r.IntN(rounds)].at
	near := func(t time.Time) time.Time {
		return t.Add(pick[time.Duration](r, -1, 0, 1) * pick(r, time.Millisecond, time.Second, 20*time.Minute, time.Hour))
	}
	switch n := r.IntN(20); {
	case n < 2:
		return near(now.Truncate(day))
	case n < 3:
		return near(schemas.RetentionEdge(now, kept))
	case n < 4:
		return near(now.Add(-kept)) // of the day before the edge: taken, and not told
	case n < 5:
		return near(now.Add(-kept).Truncate(time.Hour))
	case n < 6:
		return near(now.Add(-3 * day))
	case n < 7:
		return near(now.Add(day)) // what is more than a day ahead is refused
	default:
		return now.Add(-time.Duration(r.IntN(150*60_000)) * time.Millisecond)
	}
}

// log makes a log and the ways in which it comes.
func (g *generator) log(kind, client string, at time.Time) {
	r := g.r
	user := ""
	switch kind {
	case "s", "fp":
		user = g.user()
		if chance(r, 3) {
			client = ""
		}
	case "seccft", "feccft":
		user = pick(r, "", "", g.user()) // seen in the wild, and not whose log it is
	}
	g.n++
	f := anyFacts(r, g.h.tenant, g.h.seed, g.n, kind, client, user, at.Truncate(time.Millisecond))
	born := max(g.born(f.at), g.least)
	live := f.copyOf(formStream, schemas.SourceStream, false)
	switch r.IntN(10) {
	case 0, 1, 2, 3, 4: // once, perhaps late
		g.send(born, live)
	case 5: // repeated
		g.send(born, live)
		g.send(born, live)
	case 6: // the Management API's copy too, before or after
		g.send(born, live)
		g.send(born, f.copyOf(formManaged, pick(r, schemas.SourcePull, schemas.SourceRepair, schemas.SourceImport), false))
	case 7: // an older normalization's
		g.send(born, live)
		g.send(born, f.copyOf(formStream, live.event.Source, true))
	case 8: // two that only their bytes rank
		g.send(born, live)
		g.send(born, f.copyOf(formReworded, live.event.Source, chance(r, 4)))
	default: // history alone
		g.send(born, f.copyOf(formManaged, schemas.SourceImport, chance(r, 3)))
	}
}

// born is the first round in which a log of this time can come.
func (g *generator) born(at time.Time) int {
	for i := range g.s.rounds {
		if !g.s.rounds[i].at.Before(at) {
			return i
		}
	}
	return rounds - 1 // of a clock that is ahead
}

// send puts a copy into a group of the round, or of a later one.
func (g *generator) send(born int, c sent) {
	at := born
	for at < rounds-1 && chance(g.r, 3) {
		at++
	}
	slot := g.r.IntN(slots)
	for i := range g.h.groups {
		x := &g.h.groups[i]
		if x.round == at && x.slot == slot && x.source == c.event.Source && x.former == c.former && !chance(g.r, 5) {
			i := g.r.IntN(len(x.logs) + 1)
			x.logs = append(x.logs[:i:i], append([]sent{c}, x.logs[i:]...)...)
			return
		}
	}
	g.h.groups = append(g.h.groups, group{at, slot, c.event.Source, c.former, []sent{c}})
}

// message is the group as it travels.
func (x *group) message(tenant string, at time.Time) []byte {
	data := schemas.AppendGroupHeader(nil, tenant, x.source, at)
	for i := range x.logs {
		data = schemas.AppendGroupLog(data, x.logs[i].event.Raw, false)
	}
	return data
}
