package synth

import "time"

// failing is a label whose machine fails when it needs a token next, if it does
// before the label ends.
type failing struct {
	label   int // its place among the labels
	machine *machine
	least   int // refusals without which nobody could tell it from a normal day
}

func (g *generator) labelFailing(m *machine, least int, l Label) {
	g.failing = append(g.failing, failing{len(g.labels), m, least})
	g.label(l)
}

// failed marks as faint the labels of machines that hardly asked for a token
// while they lasted, now that it is known when each did: of a secret that expires
// between two requests, and is replaced in time, no log tells.
func (g *generator) failed() {
	for _, f := range g.failing {
		l, refusals := &g.labels[f.label], 0
		for i := range g.pending {
			p := &g.pending[i]
			if r := p.record; (r.Type == "feccft" && r.ClientID == f.machine.id || r.Type == "fepft" && r.UserID == f.machine.id) &&
				!p.at.Before(l.From) && !p.at.After(l.To) {
				refusals++
			}
		}
		l.Faint = l.Faint || refusals < f.least
	}
}

// failureBurst is a new instance with a wrong configuration, beside those that work.
func (g *generator) failureBurst(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(20*time.Second, time.Hour))
	all := g.moments(from, to, g.count(3, 400))
	home := g.world.host(g.homeAt(m, from, 0).net)
	why := pick(g, []string{wrongSecret, badAssertion, noAudience("https://staging.acme.example/")})
	for _, at := range all {
		g.refusal(at, m, home, m.softwareAt(at), why)
	}
	allowed := []string{"MI-01", "MI-02", "MI-03", "MI-06"}
	if why != wrongSecret && why != badAssertion {
		allowed = append(allowed, "MI-07")
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: allowed, From: from, To: last(all), Faint: densest(all, 5*time.Minute) < 5})
}

// credentialExpired is a machine that works no more: its secret or key has
// expired, or its grant is gone.
func (g *generator) credentialExpired(name string) {
	least := pick(g, []float64{2, 10, 10, 10}) // tokens a day
	m := g.target(func(m *machine) bool { return (steady(m) || programmatic(m)) && m.rate > least })
	from, to := g.window(g.span(20*time.Minute, 2*day))
	s := spell{from: from, to: to, part: 1, retries: g.logUniform(0.5, 20), why: pick(g, []string{wrongSecret, wrongSecret, badAssertion, noGrant(m.api.audience)})}
	m.spells = append([]spell{s}, m.spells...)
	allowed := []string{"MI-02", "MI-01", "MI-18", "MI-03", "MI-06"}
	switch {
	case m.user:
		allowed = append(allowed, "MI-32")
	case s.why != wrongSecret && s.why != badAssertion:
		allowed = append(allowed, "MI-07")
	}
	g.labelFailing(m, 6, Label{Identity: m.identity(), Kind: name, Rules: allowed, From: from, To: to, Faint: m.rate*7 < 55})
}

// guessing is an attacker who guesses a secret, and succeeds.
func (g *generator) guessing(name string) {
	m := g.target(application)
	from, to := g.window(g.span(20*time.Second, 3*time.Hour))
	home, with := g.attacker()
	all := g.moments(from, to, g.count(3, 1500))
	for _, at := range all {
		g.refusal(at, m, home, &with, wrongSecret)
	}
	got := last(all).Add(g.span(time.Second, 2*time.Minute))
	g.token(got, m, home, &with)
	before := densest(all[max(0, len(all)-3):], 13*time.Minute)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-03", "MI-01", "MI-06"), From: from, To: got, Faint: before < 3 && !g.known(m, from)})
}

// spraying is one source that tries many ids.
func (g *generator) spraying(name string) {
	from, to := g.window(g.span(time.Minute, 12*time.Hour))
	home, with := g.attacker()
	all := g.moments(from, to, g.count(4, 3000))
	part := g.uniform(0, 0.6)
	victims := map[string]bool{}
	for _, at := range all {
		if m := pick(g, g.machines); g.chance(part) && !m.user {
			g.stranger(at, m.id, m.name, home, &with)
			if !victims[m.id] {
				g.label(Label{Identity: m.identity(), Kind: name + "_victim", Rules: []string{"MI-01", "MI-04", "MI-06"}, From: from, To: last(all), Beside: true})
			}
			victims[m.id] = true
			continue
		}
		g.stranger(at, g.text(base62, 32), "", home, &with)
	}
	g.label(Label{Identity: g.tenantIdentity(), Kind: name, Rules: []string{"MI-04", "MI-01"}, From: from, To: last(all), Faint: densest(all, 10*time.Minute) < 5})
}

// idTried is somebody who fails with one machine's id, from elsewhere.
func (g *generator) idTried(name string) {
	m := g.target(application)
	from, to := g.window(g.span(10*time.Second, day))
	home, with := g.attacker()
	all := g.moments(from, to, g.count(3, 2000))
	for _, at := range all {
		g.stranger(at, m.id, m.name, home, &with)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-01", "MI-04", "MI-06"}, Also: []string{g.tenantIdentity()}, From: from, To: last(all), Faint: densest(all, 5*time.Minute) < 5})
}

// retiredCalling is a machine that was deleted and goes on.
func (g *generator) retiredCalling(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(2*time.Hour, 12*day))
	g.callFrom(from, pick(g, g.admins), deleteClient(m))
	retries := g.logUniform(0.1, 4)
	m.spells = append([]spell{{from: from, to: to, part: 1, why: wrongSecret, retries: retries}}, m.spells...)
	m.until = to
	g.labelFailing(m, 1, Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-05", "MI-01", "MI-02", "MI-18"}, From: from, To: to})
}

// oldSecretAtHome is a rotation of which a part of the machine was not told.
func (g *generator) oldSecretAtHome(name string) {
	m := g.target(func(m *machine) bool { return steady(m) && m.profile != cron && m.rate > 4 })
	from, to := g.window(g.span(3*time.Hour, 6*day))
	g.rotated(from, m)
	s := spell{from: from.Add(time.Duration(g.uniform(60, 3000)) * time.Second), to: to, part: g.uniform(0.2, 0.9), why: wrongSecret, retries: g.logUniform(0.2, 5)}
	m.spells = append([]spell{s}, m.spells...)
	g.labelFailing(m, 6, Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-06", "MI-01", "MI-02", "MI-03", "MI-18"}, From: from, To: to})
}

// oldSecretElsewhere is an attacker who holds a secret that was rotated.
func (g *generator) oldSecretElsewhere(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(time.Hour, 7*day))
	g.rotated(from, m)
	home, with := g.attacker()
	all := g.moments(from.Add(g.span(2*time.Minute, to.Sub(from)/2+3*time.Minute)), to, g.count(2, 200))
	for _, at := range all {
		g.refusal(at, m, home, &with, wrongSecret)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-06", "MI-01", "MI-04"}, From: all[0], To: last(all), Faint: len(all) < 3})
}

// rotated is a rotation by hand, which may be noticed too.
func (g *generator) rotated(at time.Time, m *machine) {
	g.callFrom(at, pick(g, g.admins), rotateSecret(m))
	g.label(Label{Identity: m.identity(), Kind: "rotation", Rules: []string{"MI-29"}, From: at, To: at, Beside: true})
}

// probing is a machine that asks for what it is not granted.
func (g *generator) probing(name string) {
	m := g.target(application)
	from, to := g.window(g.span(10*time.Second, 4*time.Hour))
	home, with := g.homeAt(m, from, 0), *m.softwareAt(from)
	allowed := []string{"MI-07", "MI-01", "MI-04"}
	if g.chance(0.5) {
		home, with = g.attacker()
	} else { // to whoever counts refusals it is a failure burst
		allowed = append(allowed, "MI-02")
	}
	all := g.moments(from, to, g.count(1, 40))
	for i, at := range all {
		audience := "https://" + names[(i*7)%len(names)] + ".internal.acme.example/"
		why := pick(g, []string{noAudience(audience), noGrant(audience), noScope("delete:" + names[i%len(names)])})
		aside := *m
		aside.api.audience = audience
		g.refusal(at, &aside, home, &with, why)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: allowed, From: from, To: last(all)})
}

// userGuessing is somebody who guesses the password of a programmatic user.
func (g *generator) userGuessing(name string) {
	m := g.target(programmatic)
	from, to := g.window(g.span(20*time.Second, 5*time.Hour))
	home, with := g.attacker()
	all := g.moments(from, to, g.count(3, 800))
	for _, at := range all {
		g.refusal(at, m, home, &with, wrongUser)
	}
	end := last(all)
	if g.chance(0.4) {
		end = end.Add(g.span(time.Second, 5*time.Minute))
		g.token(end, m, home, &with)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-32", "MI-01", "MI-03"), From: from, To: end, Faint: densest(all, 10*time.Minute) < 5})
}
