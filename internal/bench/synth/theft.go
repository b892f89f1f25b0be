package synth

import (
	"fmt"
	"time"
)

// use is tokens issued to somebody who has a machine's secret.
func (g *generator) use(m *machine, all []time.Time, home host, with *software, change func(*record)) {
	for _, at := range all {
		g.tokenAs(at, m, home, with, change)
	}
}

// uses draws when a thief uses a secret.
func (g *generator) uses(from, to time.Time) []time.Time { return g.moments(from, to, g.count(1, 120)) }

// victim is an application, or now and then a programmatic user, and the rules that
// may find its credential in strange hands.
func (g *generator) victim(first string) (*machine, []string) {
	if g.chance(0.2) {
		return g.target(programmatic), rules(first, "MI-32")
	}
	return g.target(application), rules(first)
}

// stolenNewNetwork is a thief who looks like the machine but for the network.
func (g *generator) stolenNewNetwork(name string) {
	m, allowed := g.victim("MI-08")
	from, to := g.window(g.span(time.Second, 2*day))
	at := g.homeAt(m, from, 0).net
	if len(m.pool) > 0 {
		at = m.pool[0]
	}
	home := g.world.host(g.world.network(pick(g, strange), at.country))
	all := g.uses(from, to)
	g.use(m, all, home, m.softwareAt(from), nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: allowed, From: from, To: last(all), Faint: !g.known(m, from)})
}

// stolenNewCountry is one who uses the machine's own cloud in another country.
func (g *generator) stolenNewCountry(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(time.Second, 2*day))
	at := g.homeAt(m, from, 0).net
	country := at.country
	for country == at.country {
		country = pick(g, []string{"BR", "SG", "JP", "ZA", "IN", "AU"})
	}
	home := g.world.host(g.world.network(operator{at.asn, at.owner, nil}, country))
	all := g.uses(from, to)
	g.use(m, all, home, m.softwareAt(from), nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-09"), From: from, To: last(all), Faint: !g.known(m, from)})
}

// newRuntime is another program at the machine's own address.
func (g *generator) newRuntime(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(time.Second, 2*day))
	with := g.runtime()
	for with.agent == m.softwareAt(from).agent {
		with = g.runtime()
	}
	all := g.uses(from, to)
	g.use(m, all, g.homeAt(m, from, 0), &with, nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-10"), From: from, To: last(all), Faint: !g.known(m, from)})
}

// stolenSecret is a thief of whom everything is new.
func (g *generator) stolenSecret(name string) {
	m, allowed := g.victim("MI-11")
	from, to := g.window(g.span(time.Second, 2*day))
	home, with := g.attacker()
	all := g.uses(from, to)
	g.use(m, all, home, &with, nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: allowed, From: from, To: last(all), Faint: !g.known(m, from)})
}

// newAudience is a machine that gets tokens for an API it never used.
func (g *generator) newAudience(name string) {
	m := g.target(application)
	from, to := g.window(g.span(time.Second, day))
	other := pick(g, g.apis)
	for other.audience == m.api.audience {
		other = pick(g, g.apis)
	}
	all := g.uses(from, to)
	g.use(m, all, g.homeOf(m, from), m.softwareAt(from), func(r *record) { r.Audience, r.Scope = other.audience, other.scopes[0] })
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-12", "MI-28", "MI-19", "MI-14"}, From: from, To: last(all), Faint: !g.known(m, from)})
}

// homeOf is an address that is usual for a machine.
func (g *generator) homeOf(m *machine, at time.Time) host {
	if len(m.pool) > 0 {
		return g.world.host(m.pool[0])
	}
	return g.homeAt(m, at, 0)
}

// newOrganizations is a machine that goes through other customers' data.
func (g *generator) newOrganizations(name string) {
	m := g.target(func(m *machine) bool { return m.org != "" && m.rate > 2 })
	from, to := g.window(g.span(time.Second, day))
	for _, at := range g.moments(from, to, g.count(1, 40)) {
		org := "org_" + g.text(base62, 16)
		g.tokenAs(at, m, g.homeAt(m, at, 0), m.softwareAt(at), func(r *record) { r.Organization, r.OrgName = org, org })
		to = at
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-13", "MI-19", "MI-14"}, From: from, To: to, Faint: !g.known(m, from) || m.org == ""})
}

// offSchedule is a machine used at an hour that it never works, from its own
// address.
func (g *generator) offSchedule(name string) {
	m := g.target(func(m *machine) bool { return m.profile == cron && !m.user && m.every >= 6*time.Hour })
	from, to := g.window(g.span(time.Second, 40*time.Minute))
	for tries := 0; tries < 400 && (from.Sub(g.from) < 15*day || nearRun(m, from)); tries++ {
		from, to = g.window(to.Sub(from))
	}
	all := g.moments(from, to, g.count(1, 30))
	g.use(m, all, g.homeAt(m, from, 0), m.softwareAt(from), nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-19", "MI-14", "MI-15"}, From: from, To: last(all), Faint: from.Sub(g.from) < 14*day || nearRun(m, from)})
}

// nearRun reports whether a cron job runs within two hours of t.
func nearRun(m *machine, t time.Time) bool {
	local := t.In(m.zone)
	since := time.Duration(local.Hour()*60+local.Minute()-m.minute) * time.Minute
	since = ((since % m.every) + m.every) % m.every
	return since < 2*time.Hour || m.every-since < 2*time.Hour
}

// dormantWoke is a machine that is used after weeks.
func (g *generator) dormantWoke(name string) {
	m := g.target(func(m *machine) bool { return m.profile == dormant && m.every > 10*day })
	from, to := g.window(g.span(time.Second, 3*day))
	home, with := g.homeAt(m, from, 0), *m.softwareAt(from)
	if g.chance(0.5) {
		home, with = g.attacker()
	}
	all := g.uses(from, to)
	g.use(m, all, home, &with, nil)
	gap := from.Sub(g.from) + m.every
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-20"), From: from, To: last(all), Faint: gap < 31*day || m.profile != dormant})
}

// manyPlaces is a secret that many have.
func (g *generator) manyPlaces(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(10*time.Second, 2*time.Hour))
	all := g.moments(from, to, g.count(2, 40))
	for _, at := range all {
		home, with := g.attacker()
		g.token(at, m, home, &with)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-21"), From: from, To: last(all), Faint: !g.known(m, from) && densest(all, 10*time.Minute) < 4})
}

// usedByHand is a person who uses a machine's secret, from where it runs.
func (g *generator) usedByHand(name string) {
	m := g.target(steady)
	from, to := g.window(g.span(time.Second, 8*time.Hour))
	with := g.tool(byHand)
	all := g.moments(from, to, g.count(1, 20))
	g.use(m, all, g.homeAt(m, from, 0), &with, nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-22"), From: from, To: last(all), Faint: !g.known(m, from)})
}

// stolenToken is a token that is used elsewhere than it was issued.
func (g *generator) stolenToken(name string) {
	m := g.target(manages)
	from, to := g.window(g.span(time.Minute, 20*time.Hour))
	jti := g.token(from.Add(-g.span(time.Second, 3*time.Hour)), m, g.homeAt(m, from, 0), m.softwareAt(from))
	home, with := g.attacker()
	all := g.moments(from, to, g.count(1, 60))
	for _, at := range all {
		g.callBy(at, m, jti, home, &with, pick(g, []call{updateUser(g.person()), createUser(g.person()), readSecret(g.client())}))
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-23", "MI-25", "MI-26"}, From: from, To: last(all)})
}

// orphanToken is a token that nobody saw issued.
func (g *generator) orphanToken(name string) {
	m := g.target(manages)
	from, to := g.window(g.span(10*time.Second, 12*time.Hour))
	jti := g.text(hex, 32)
	all := g.moments(from, to, g.count(1, 60))
	for _, at := range all {
		g.callBy(at, m, jti, g.homeAt(m, at, 0), m.softwareAt(at), updateUser(g.person()))
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-24", "MI-23"}, From: from, To: last(all), Faint: densest(all, time.Hour) < 3})
}

// secretRead is somebody who reads secrets, of one machine or of many.
func (g *generator) secretRead(name string) {
	from, to := g.window(g.span(time.Second, 30*time.Minute))
	actor := g.actor()
	all := g.moments(from, to, g.count(1, 40))
	for _, at := range all {
		actor.call(at, readSecret(g.client()))
	}
	g.label(Label{Identity: actor.identity, Kind: name, Rules: []string{"MI-26"}, From: from, To: last(all)})
}

// secretReadThenUsed is one who reads a secret and then uses it.
func (g *generator) secretReadThenUsed(name string) {
	m := g.target(application)
	from, to := g.window(g.span(time.Minute, day))
	read := from.Add(-g.span(2*time.Minute, 8*day))
	actor := g.actor()
	actor.call(read, readSecret(m))
	g.label(Label{Identity: actor.identity, Kind: "secret_read", Rules: []string{"MI-26"}, From: read, To: read, Beside: true})
	home, with := g.attacker()
	all := g.uses(from, to)
	g.use(m, all, home, &with, nil)
	g.label(Label{Identity: m.identity(), Kind: name, Rules: rules("MI-27"), From: from, To: last(all), Faint: from.Sub(read) > 7*day && !g.known(m, from)})
}

// actor is who calls the Management API for an attack.
type actor struct {
	identity string
	call     func(at time.Time, c call)
}

// actor is an administrator, one whom nobody has seen before, or a machine.
func (g *generator) actor() actor {
	switch x := g.r.Float64(); {
	case x < 0.35:
		m := g.target(manages)
		var jti string
		var until time.Time
		return actor{m.identity(), func(at time.Time, c call) {
			home, with := g.homeAt(m, at, 0), m.softwareAt(at)
			if at.After(until) {
				jti, until = g.token(at.Add(-time.Minute), m, home, with), at.Add(20*time.Hour)
			}
			g.callBy(at, m, jti, home, with, c)
		}}
	case x < 0.7:
		a := pick(g, g.admins)
		return actor{"user:" + a.id, func(at time.Time, c call) { g.callFrom(at, a, c) }}
	default:
		a := g.newAdmin(fmt.Sprintf("mallory%d", g.r.IntN(100)))
		a.desk, a.browser = g.attacker()
		return actor{"user:" + a.id, func(at time.Time, c call) { g.callFrom(at, a, c) }}
	}
}
