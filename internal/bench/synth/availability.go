package synth

import (
	"fmt"
	"time"
)

func percentText(percent int) string { return fmt.Sprintf("%d%%", percent) }

// issuanceSpike is a loop that asks for tokens.
func (g *generator) issuanceSpike(name string) {
	m := g.target(application)
	from, to := g.window(g.span(time.Minute, 3*time.Hour))
	all := g.moments(from, to, g.count(20, 2500))
	for _, at := range all {
		g.token(at, m, g.homeOf(m, at), m.softwareAt(at))
	}
	usual := m.rate / 24
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-14", "MI-15", "MI-16", "MI-19"}, From: from, To: last(all), Faint: densest(all, 10*time.Minute) < 50 || float64(densest(all, time.Hour)) < 4*usual})
}

// noCaching is a machine that asks for a token each time, from some day on.
func (g *generator) noCaching(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(2*time.Hour, 2*day))
	rate := g.logUniform(12, 90) // an hour
	home := g.homeAt(m, from, 0)
	for at := from; at.Before(to); at = at.Add(time.Duration(g.r.ExpFloat64() / rate * float64(time.Hour))) {
		g.token(at, m, home, m.softwareAt(at))
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-15", "MI-14", "MI-16", "MI-19"}, From: from, To: to, Faint: rate < 25 || to.Sub(from) < 2*time.Hour})
}

// quotaBurn is a machine that uses up its quota.
func (g *generator) quotaBurn(name string) {
	m := g.target(application)
	from, to := g.window(g.span(10*time.Minute, 20*time.Hour))
	peak := g.uniform(60, 130)
	quota := max(20, int(m.rate))
	steps := []int{60, 80, 100}
	end := from
	for i, percent := range steps {
		if float64(percent) > peak {
			break
		}
		end = from.Add(time.Duration(i) * to.Sub(from) / 4)
		g.quotaWarning(end, m, percent, quota)
	}
	if peak > 100 {
		for _, at := range g.moments(end.Add(time.Minute), to, g.count(1, 200)) {
			g.refusal(at, m, g.homeOf(m, at), m.softwareAt(at), overQuota)
			end = at
		}
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-16", "MI-01"}, From: from, To: end, Faint: peak < 80})
}

// rateLimited is a machine that runs into the rate limit for hours.
func (g *generator) rateLimited(name string) {
	m := g.target(func(m *machine) bool { return m.profile == provisioner || m.profile == traffic })
	from, to := g.window(g.span(40*time.Minute, day))
	all := g.moments(from, to, max(3, int(to.Sub(from).Hours()*g.logUniform(2, 200))))
	for _, at := range all {
		g.limited(at, m)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-17"}, From: from, To: last(all), Faint: densest(all, time.Hour) < 5 || to.Sub(from) < time.Hour})
}

// silent is a machine that stops.
func (g *generator) silent(name string) {
	m := g.target(func(m *machine) bool { return steady(m) && !m.week && m.profile != traffic && m.every < 24*time.Hour })
	from, to := g.window(g.span(30*time.Minute, 5*day))
	m.spells = append([]spell{{from: from, to: to, mute: true, part: 1}}, m.spells...)
	interval := time.Duration(24 * float64(time.Hour) / m.rate)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-18", "MI-20"}, From: from.Add(-interval), To: to, Faint: to.Sub(from) < max(6*interval, 2*time.Hour)})
}

// streamSilent is a stream that brings nothing for a while; what it held back comes
// late, or never.
func (g *generator) streamSilent(name string) {
	from, to := g.window(g.span(16*time.Minute, 8*time.Hour))
	g.gaps = append(g.gaps, gap{from, to, g.chance(0.5)})
	g.label(Label{Identity: g.tenantIdentity(), Kind: name, Rules: []string{"MI-37"}, From: from, To: to})
	g.label(Label{Identity: Anyone, Kind: name, Rules: []string{"MI-18", "MI-24"}, From: from, To: to.Add(day), Beside: true})
}

// gap is a time in which the stream brings nothing.
type gap struct {
	from, to time.Time
	lost     bool
}

// held applies the gaps to what was emitted.
func (g *generator) held() {
	kept := g.pending[:0]
	for _, p := range g.pending {
		lost := false
		for _, gap := range g.gaps {
			if p.delivered.After(gap.from) && p.delivered.Before(gap.to) {
				lost = gap.lost
				p.delivered = gap.to.Add(p.delivered.Sub(gap.from) / 100)
			}
		}
		if !lost {
			kept = append(kept, p)
		}
	}
	g.pending = kept
	for i := range g.labels {
		for _, gap := range g.gaps {
			l := &g.labels[i]
			if gap.lost && l.Kind != "stream_silent" && !l.From.Before(gap.from) && l.From.Before(gap.to) {
				l.Faint = true // of some of it nothing is left
			}
		}
	}
}

// unknownType is a type of event that is new at Auth0.
func (g *generator) unknownType(name string) {
	m := g.target(application)
	from, to := g.window(g.span(time.Second, day))
	code := "x" + g.text("abcdefghijklmnop", 6)
	all := g.moments(from, to, g.count(1, 30))
	for _, at := range all {
		rec := g.request(&record{Type: code, Description: "Something new", ClientID: m.id, ClientName: m.name}, g.homeOf(m, at), m.softwareAt(at))
		g.emit(at, rec)
	}
	g.label(Label{Identity: g.tenantIdentity(), Kind: name, Rules: []string{"MI-37"}, From: from, To: last(all)})
}
