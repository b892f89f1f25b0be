package auth0sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// The shares of a history, before people fill what is left.
const (
	shareMachines = 0.82 // tokens, where the natural cadence would give far more or fewer
	shareGuesses  = 0.004
	shareRetired  = 0.006
	shareCalls    = 0.012
	shareAdmins   = 0.0015
	shareNotices  = 0.0015
	shareOdd      = 0.0015
)

// planner lays out who does what when in [from, to).
type planner struct {
	t        *Tenant
	r        *rand.Rand
	from, to time.Time
	events   int
	actions  []action
}

// plan returns exactly n actions in the order of time.
func (t *Tenant) plan(r *rand.Rand, from, to time.Time, n int) []action {
	from = from.Add(time.Millisecond - 1).Truncate(time.Millisecond).UTC() // what an action can tell
	if n <= 0 || !from.Before(to) {
		return nil
	}
	p := planner{t: t, r: r, from: from, to: to.UTC(), events: n, actions: make([]action, 0, n+n/16+64)}
	p.story()
	p.tokens()
	p.others()
	p.people()
	p.actions = p.actions[:n]
	slices.SortStableFunc(p.actions, func(a, b action) int { return cmp.Compare(a.at, b.at) })
	return p.actions
}

// add keeps an action that lies in the range.
func (p *planner) add(at time.Time, k kind, actor int, detail uint32) {
	if !at.Before(p.from) && at.Before(p.to) {
		p.actions = append(p.actions, action{at.UnixMilli(), int32(actor), detail, k})
	}
}

// story adds the story client's tokens at exactly its cadence, the last of
// them shortly before the end; of a small history they take at most a half.
func (p *planner) story() {
	at := p.t.story.LastToken(p.to)
	for n := 0; n < p.events/2 && !at.Before(p.from); n++ {
		p.add(at, kindToken, 0, 0)
		at = at.Add(-storyPeriod)
	}
}

// tokens adds the tokens of the other machines at their natural cadence, or
// stretched where that would not leave the right part to people.
func (p *planner) tokens() {
	spans := make([][]span, len(p.t.machines))
	natural := make([]float64, len(p.t.machines))
	var sum float64
	for i, m := range p.t.machines[1:] {
		spans[i+1] = m.windows(p.from, p.to)
		natural[i+1] = float64(length(spans[i+1])) / float64(m.period)
		sum += natural[i+1]
	}
	room := float64(p.events - len(p.actions))
	scale := 1.0
	if sum < 0.7*room || sum > 0.9*room {
		scale = shareMachines * room / max(sum, 1)
	}
	carry := 0.5
	for i, m := range p.t.machines[1:] {
		carry += scale * natural[i+1]
		n := int(carry)
		carry -= float64(n)
		p.machine(m, spans[i+1], n)
	}
}

func length(spans []span) time.Duration {
	var sum time.Duration
	for _, s := range spans {
		sum += s.to.Sub(s.from)
	}
	return sum
}

// machine spreads n tokens evenly over the machine's hours, with a little
// jitter, and puts ordinary failures before some of them.
func (p *planner) machine(m *machine, spans []span, n int) {
	step := float64(length(spans)) / float64(n)
	var passed time.Duration // in the spans that are used up
	for i := range n {
		into := time.Duration((float64(i)+m.phase+0.05*(p.r.Float64()-0.5))*step) - passed
		for len(spans) > 1 && into >= spans[0].to.Sub(spans[0].from) {
			used := spans[0].to.Sub(spans[0].from)
			into, passed, spans = into-used, passed+used, spans[1:]
		}
		at := spans[0].from.Add(into)
		p.failures(m, at, i, time.Duration(step))
		p.add(at, kindToken, m.index, 0)
	}
}

// failures adds what precedes the i-th token of a machine. An ordinary failure
// is a single one, or two, that a success follows at once, before the next
// failure: it is no outage. The flaky machine fails three times in a row before
// each 25th token, so that it is never a client that used to work.
func (p *planner) failures(m *machine, at time.Time, i int, step time.Duration) {
	if m.flaky {
		if i > 0 && i%flakyEvery == 0 {
			for _, share := range []time.Duration{9, 5, 1} {
				p.add(at.Add(-min(share*time.Minute, step*share/10)), kindTokenRefused, m.index, 0)
			}
		}
		return
	}
	before := min(20*time.Second, step/2)
	for n := 0; n < 2 && chance(p.r, m.retries*(1+29*float64(n))) && before > time.Millisecond; n++ {
		p.add(at.Add(-between(p.r, before/8, before)), kindTokenRefused, m.index, 0)
	}
}

// flakyEvery is how many tokens the flaky machine gets between two outages.
const flakyEvery = 25

// others adds guesses, retired clients, Management API calls and the rare rest.
func (p *planner) others() {
	share := func(s float64) int { return len(p.actions) + int(s*float64(p.events)) }
	for end := share(shareGuesses); len(p.actions) < end; {
		p.addAll(p.t.guesses(nil, p.r, p.anyTime()))
	}
	for end := share(shareRetired); len(p.actions) < end; {
		p.add(p.anyTime(), kindRetired, p.r.IntN(len(p.t.retired)), 0)
	}
	callers := p.t.managementMachines()
	for end := share(shareCalls); len(p.actions) < end && len(callers) > 0; {
		p.add(p.anyTime(), kindManagementCall, pick(p.r, callers), 0)
	}
	for end := share(shareAdmins); len(p.actions) < end; {
		p.add(p.daytime(), kindDashboard, p.r.IntN(p.t.admins()), 0)
	}
	for end := share(shareNotices); len(p.actions) < end; {
		p.add(p.anyTime(), pick(p.r, []kind{kindQuota, kindLimit}), 1+p.r.IntN(len(p.t.machines)-1), p.r.Uint32())
	}
	for end := share(shareOdd); len(p.actions) < end; {
		p.add(p.anyTime(), kindOdd, p.r.IntN(len(p.t.websites)), p.r.Uint32())
	}
}

func (p *planner) addAll(actions []action) {
	for i := range actions {
		a := &actions[i]
		p.add(a.time(), a.kind, int(a.actor), a.detail)
	}
}

// people fills what is left with visits: one of each person first, then more
// of those who come often.
func (p *planner) people() {
	n := len(p.t.people)
	var visit []action
	for i := 0; len(p.actions) < p.events; i++ {
		who := i
		if i >= n {
			u := p.r.Float64()
			who = int(u * u * u * float64(n))
		}
		visit = p.t.visit(visit[:0], p.r, p.daytime(), who)
		p.addAll(visit)
	}
}

func (p *planner) anyTime() time.Time {
	return p.from.Add(time.Duration(p.r.Int64N(int64(p.to.Sub(p.from)))))
}

// daytime is a time when people are about: most in working hours, some in the
// evening and at weekends, few at night.
func (p *planner) daytime() time.Time {
	for {
		at := p.anyTime()
		likely := 0.08
		switch hour := at.Hour(); {
		case hour >= 7 && hour < 18:
			likely = 1
		case hour >= 18 && hour < 23:
			likely = 0.4
		}
		if day := at.Weekday(); day == time.Saturday || day == time.Sunday {
			likely *= 0.4
		}
		if chance(p.r, likely) {
			return at
		}
	}
}

func (t *Tenant) managementMachines() []int {
	var list []int
	for _, m := range t.machines[1:] {
		if m.management() {
			list = append(list, m.index)
		}
	}
	return list
}
