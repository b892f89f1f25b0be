package auth0sim

import (
	"context"
	"math/rand/v2"
	"sort"
	"time"
)

// liveTick is how often Live looks what is due.
const liveTick = 10 * time.Millisecond

// live chooses what happens next. It belongs to one call of Live.
type live struct {
	t       *Tenant
	r       *rand.Rand
	weights []float64 // running sums over the machines, by tokens a day
	calls   []int     // machines with the Management API
	queue   []action  // what must follow what has happened
	tokens  int       // of the flaky machine
}

// Live lets machines and people act at Config.Rate events a second overall
// until ctx ends, each as often as its cadence is among all. The story's client
// is not among them: it acts in Story.Run alone. A failure is followed by a
// success of the same machine, as in History.
func (t *Tenant) Live(ctx context.Context) {
	l := t.newLive()
	ticker := time.NewTicker(liveTick)
	defer ticker.Stop()
	start, made := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := int(time.Since(start).Seconds() * t.cfg.Rate)
		for ; made < due && ctx.Err() == nil; made++ {
			a := l.next(t.cfg.Now())
			t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte { return t.render(dst, r, s, &a) })
		}
	}
}

func (t *Tenant) newLive() *live {
	l := &live{t: t, r: newRand(t.cfg.Seed, sequenceLive<<8), calls: t.managementMachines()}
	var sum float64
	for _, m := range t.machines[1:] {
		sum += m.perDay()
		l.weights = append(l.weights, sum)
	}
	return l
}

// next is what happens next. Its time is now, whatever the action says.
func (l *live) next(now time.Time) action {
	if len(l.queue) == 0 {
		l.choose(now)
	}
	a := l.queue[0]
	l.queue = l.queue[1:]
	return a
}

// choose queues at least one action, in the proportions of a history.
func (l *live) choose(now time.Time) {
	t, one := l.t, func(k kind, actor int) { l.queue = append(l.queue, action{0, int32(actor), l.r.Uint32(), k}) }
	switch p := l.r.Float64(); {
	case p < shareGuesses/10: // one is about ten guesses
		l.queue = t.guesses(l.queue, l.r, now)
	case p < 0.01:
		one(kindRetired, l.r.IntN(len(t.retired)))
	case p < 0.025 && len(l.calls) > 0:
		one(kindManagementCall, pick(l.r, l.calls))
	case p < 0.027:
		one(kindDashboard, l.r.IntN(t.admins()))
	case p < 0.029:
		one(pick(l.r, []kind{kindQuota, kindLimit}), 1+l.r.IntN(len(t.machines)-1))
	case p < 0.03:
		one(kindOdd, l.r.IntN(len(t.websites)))
	case p < 0.12: // a visit is about two actions
		l.queue = t.visit(l.queue, l.r, now, l.r.IntN(len(t.people)))
	default:
		l.token(now)
	}
}

// token queues a token of some machine that works now, after a failure where
// it has one.
func (l *live) token(now time.Time) {
	m := l.machine()
	for tries := 0; tries < 8 && !m.works(now); tries++ {
		m = l.machine()
	}
	failures := 0
	if m.flaky {
		if l.tokens++; l.tokens%flakyEvery == 0 {
			failures = 3
		}
	} else if chance(l.r, m.retries) {
		failures = 1
	}
	for range failures {
		l.queue = append(l.queue, action{0, int32(m.index), 0, kindTokenRefused})
	}
	l.queue = append(l.queue, action{0, int32(m.index), 0, kindToken})
}

func (l *live) machine() *machine {
	u := l.r.Float64() * l.weights[len(l.weights)-1]
	return l.t.machines[1+min(sort.SearchFloat64s(l.weights, u), len(l.weights)-1)]
}
