package synth

import (
	"math"
	"time"
)

// visit is a moment in which a machine needs a token, and from where.
type visit struct {
	at   time.Time
	from host
}

// work lets every machine do what it does on its days, and what its spells make
// of it.
func (g *generator) work() {
	for _, m := range g.machines {
		for _, v := range g.visits(m) {
			if m.until.IsZero() || v.at.Before(m.until) {
				g.visit(m, v)
			}
		}
	}
}

func (g *generator) visits(m *machine) []visit {
	switch m.profile {
	case service:
		return g.renewals(m)
	case traffic, serverless, ci:
		return g.demand(m)
	case cron, endToEnd, rotator:
		return g.byTheClock(m)
	case provisioner:
		return g.renewals(m)
	case terraformer, developer:
		return g.sessions(m)
	case monthly:
		return g.calendar(m, 1)
	case quarterly:
		return g.calendar(m, 3)
	default:
		return g.longAgo(m)
	}
}

// renewals are those of instances that each keep a token and renew it in time.
func (g *generator) renewals(m *machine) []visit {
	var all []visit
	interval := time.Duration(float64(len(m.homes)) * 24 * float64(time.Hour) / m.rate)
	jitter := g.uniform(0.01, 0.15)
	for i := range m.homes {
		t := g.from.Add(time.Duration(g.r.Float64() * float64(interval)))
		for t.Before(g.to) {
			if !m.week || !weekend(t.In(m.zone)) {
				all = append(all, visit{t, g.homeAt(m, t, i)})
			}
			t = t.Add(time.Duration(float64(interval) * (1 + jitter*g.r.NormFloat64()*0.5)).Abs())
		}
	}
	for _, d := range m.doublets {
		for _, from := range d.homes {
			for t := d.from; t.Before(d.to); t = t.Add(interval) {
				all = append(all, visit{t.Add(time.Duration(g.uniform(0, 60) * float64(time.Second))), from})
			}
		}
	}
	return all
}

// demand is that of users: more by day than by night, less at weekends.
func (g *generator) demand(m *machine) []visit {
	var all []visit
	egress, until := host{}, time.Time{}
	for t := g.from; ; {
		t = t.Add(time.Duration(g.r.ExpFloat64() * 12 * float64(time.Hour) / m.rate))
		if !t.Before(g.to) {
			return all
		}
		if !g.chance(m.appetite(t)) {
			continue
		}
		switch m.profile {
		case serverless: // the same address for some hours
			if t.After(until) {
				egress, until = g.world.host(pick(g, m.pool)), t.Add(g.span(time.Hour, 15*time.Hour))
			}
			all = append(all, visit{t, egress})
		case ci: // an address each
			all = append(all, visit{t, g.world.host(pick(g, m.pool))})
		default:
			all = append(all, visit{t, g.homeAt(m, t, g.r.IntN(len(m.homes)))})
		}
	}
}

// appetite is the share of its highest demand that a machine has at t, on
// average about a half.
func (m *machine) appetite(t time.Time) float64 {
	local := t.In(m.zone)
	hour := float64(local.Hour()) + float64(local.Minute())/60
	if m.profile == ci && (weekend(local) || hour < 7 || hour > 20) {
		return 0
	}
	byDay := 0.5 - 0.4*math.Cos((hour-2)/12*math.Pi)
	if weekend(local) {
		byDay *= 0.6
	}
	return byDay
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// byTheClock is by that on the wall, which moves when the clocks change.
func (g *generator) byTheClock(m *machine) []visit {
	var all []visit
	first := g.from.In(m.zone)
	for day := -1; day <= g.cfg.Days; day++ {
		for offset := time.Duration(m.minute) * time.Minute % m.every; offset < 24*time.Hour; offset += m.every {
			t := time.Date(first.Year(), first.Month(), first.Day()+day, 0, int(offset/time.Minute), 0, 0, m.zone)
			if t.Before(g.from) || m.week && weekend(t) {
				continue
			}
			t = t.Add(time.Duration(g.uniform(0, 40) * float64(time.Second)))
			all = append(all, visit{t.UTC(), g.homeAt(m, t, 0)})
		}
	}
	return all
}

// sessions are those of somebody who works with it for a while on some days.
func (g *generator) sessions(m *machine) []visit {
	var all []visit
	for day := range g.cfg.Days {
		midnight := g.from.AddDate(0, 0, day)
		if weekend(midnight) || !g.chance(0.5) {
			continue
		}
		from := g.homeAt(m, midnight, g.r.IntN(len(m.homes)))
		local := midnight.In(m.zone)
		t := time.Date(local.Year(), local.Month(), midnight.Day(), 9, g.r.IntN(8*60), 0, 0, m.zone).UTC()
		for range 1 + g.r.IntN(4) {
			all = append(all, visit{t, from})
			t = t.Add(g.span(time.Minute, 90*time.Minute))
		}
	}
	return all
}

// calendar is the last working day of every so many months, and before the
// first day as well.
func (g *generator) calendar(m *machine, months int) []visit {
	var all []visit
	last := time.Date(g.from.Year(), g.from.Month()+1, 1, 0, m.minute, 0, 0, time.UTC)
	for back := 2; back >= 0; back-- {
		t := last.AddDate(0, -back*months, -1)
		for weekend(t) {
			t = t.AddDate(0, 0, -1)
		}
		for range 1 + g.r.IntN(3) {
			all = append(all, visit{t, g.homeAt(m, t, 0)})
			t = t.Add(g.span(time.Minute, 20*time.Minute))
		}
	}
	return all
}

// longAgo is the last use of what nobody uses any more: two to fifteen weeks
// before the first day.
func (g *generator) longAgo(m *machine) []visit {
	last := g.from.Add(-m.every)
	all := make([]visit, 0, 25)
	for i := range 25 {
		t := last.Add(-time.Duration(24-i) * 3 * time.Hour)
		all = append(all, visit{t, g.homeAt(m, t, 0)})
	}
	return all
}

// homeAt is where an instance of a machine runs.
func (g *generator) homeAt(m *machine, at time.Time, instance int) host {
	homes := m.homes
	for i := range m.moves {
		if mv := &m.moves[i]; mv.homes != nil && !at.Before(mv.at) {
			homes = mv.homes
		}
	}
	return homes[instance%len(homes)]
}

func (m *machine) softwareAt(at time.Time) *software {
	soft := &m.soft
	for i := range m.moves {
		if mv := &m.moves[i]; mv.soft != nil && !at.Before(mv.at) {
			soft = mv.soft
		}
	}
	return soft
}

// visit is what comes of a need.
func (g *generator) visit(m *machine, v visit) {
	soft := m.softwareAt(v.at)
	times := 1
	for i := range m.spells {
		s := &m.spells[i]
		if v.at.Before(s.from) || !v.at.Before(s.to) || !g.chance(s.part) {
			continue
		}
		if s.factor > 0 {
			times = max(1, int(s.factor+g.r.Float64()))
			continue
		}
		if !s.mute {
			g.fail(m, v, soft, s)
		}
		return
	}
	if g.chance(0.0004) { // a request that fails by itself, and is tried again
		g.refusal(v.at.Add(-2*time.Second), m, v.from, soft, unavailable)
	}
	for i := range times {
		at := v.at.Add(time.Duration(i) * time.Duration(g.uniform(5, 600)*float64(time.Second)))
		g.run(m, at, g.token(at, m, v.from, soft), v.from, soft)
	}
}

// fail is a need that is refused, and tried again.
func (g *generator) fail(m *machine, v visit, soft *software, s *spell) {
	wait := g.span(time.Second, 40*time.Second)
	at := v.at
	for i := 0.0; i < 1+s.retries && at.Before(s.to); i++ {
		g.refusal(at, m, v.from, soft, s.why)
		at = at.Add(wait)
		wait += wait / 3
	}
}

// run is what a machine does with its token, as far as logs tell.
func (g *generator) run(m *machine, at time.Time, jti string, from host, soft *software) {
	switch m.profile {
	case provisioner:
		for range g.r.IntN(6) {
			at = at.Add(g.span(10*time.Second, 40*time.Minute))
			c := updateUser(g.person())
			if g.chance(0.3) {
				c = createUser(g.person())
			}
			g.callBy(at, m, jti, from, soft, c)
		}
	case endToEnd:
		g.testRun(m, at, jti, from, soft)
	case rotator:
		g.rotation(m, at, jti, from, soft)
	case terraformer:
		g.plan(m, at, jti, from, soft)
	}
}
