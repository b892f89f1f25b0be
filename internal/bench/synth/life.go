package synth

import "time"

// live draws what happens on normal days.
func (g *generator) live() {
	for _, m := range g.machines {
		g.deploys(m)
		if m.profile == dormant {
			m.every = g.span(5*24*time.Hour, 100*24*time.Hour) // since its last use
		}
		if (m.profile == service || m.profile == cron) && g.chance(0.05) {
			g.natMove(m)
		}
		if m.profile == service && g.chance(0.05) {
			g.monthEnd(m)
		}
	}
	g.office()
	g.outage()
}

// deploys are blue/green ones: for some minutes there are twice the instances,
// the new ones with the next version; now and then with a wrong secret first.
func (g *generator) deploys(m *machine) {
	if m.profile != service || m.user {
		return
	}
	soft := m.soft
	for t := g.from.Add(g.span(6*time.Hour, 12*24*time.Hour)); t.Before(g.to); t = t.Add(g.span(24*time.Hour, 14*24*time.Hour)) {
		if weekend(t) {
			continue
		}
		from := g.hosts(m.homes[0].net, len(m.homes))
		end := t.Add(g.span(4*time.Minute, 50*time.Minute))
		m.doublets = append(m.doublets, doublet{t, end, from})
		if g.chance(0.3) {
			soft = soft.upgraded()
			next := soft
			m.moves = append(m.moves, move{at: end, soft: &next})
		}
		if g.chance(0.025) {
			for i := range 1 + g.r.IntN(3) {
				g.refusal(t.Add(-time.Duration(3-i)*20*time.Second), m, from[0], m.softwareAt(t), wrongSecret)
			}
			g.note(m.identity(), t.Add(-time.Minute), end, "deploy with a wrong secret at first")
			continue
		}
		g.note(m.identity(), t, end, "deploy")
	}
}

// natMove gives a machine other addresses of the same operator and country.
func (g *generator) natMove(m *machine) {
	at := g.from.Add(g.span(24*time.Hour, time.Duration(g.cfg.Days)*24*time.Hour))
	old := m.homes[0].net
	n := g.world.network(operator{old.asn, old.owner, []string{old.country}}, "")
	m.moves = append(m.moves, move{at: at, homes: g.hosts(n, len(m.homes))})
	g.note(m.identity(), at, g.to, "moved to other addresses of its cloud at "+at.Format(time.DateTime))
}

// monthEnd is the work that comes with the last days of a month.
func (g *generator) monthEnd(m *machine) {
	last := time.Date(g.from.Year(), g.from.Month()+1, 0, g.r.IntN(20), 0, 0, 0, time.UTC)
	to := last.Add(g.span(2*time.Hour, 20*time.Hour))
	m.spells = append(m.spells, spell{from: last, to: to, part: 1, factor: g.uniform(1.5, 4)})
	g.note(m.identity(), last, to, "month-end work")
}

// outage is one of Auth0's: most requests fail for some minutes, of every
// machine. Nobody has to find it, and its failures are not false findings.
func (g *generator) outage() {
	from := g.from.Add(time.Duration(g.uniform(2, float64(g.cfg.Days)-1) * 24 * float64(time.Hour)))
	to := from.Add(g.span(4*time.Minute, time.Hour))
	part := g.uniform(0.5, 1)
	for _, m := range g.machines {
		m.spells = append(m.spells, spell{from: from, to: to, why: unavailable, retries: g.uniform(0, 5), part: part})
	}
	g.label(Label{Identity: Anyone, Kind: "auth0_outage", Beside: true, From: from, To: to})
	g.note(Anyone, from, to, "outage of Auth0")
}

// testRun makes users, and deletes them.
func (g *generator) testRun(m *machine, at time.Time, jti string, from host, soft *software) {
	users := make([]string, 8+g.r.IntN(40))
	for i := range users {
		users[i] = g.person()
		at = at.Add(g.span(200*time.Millisecond, 3*time.Second))
		g.callBy(at, m, jti, from, soft, createUser(users[i]))
	}
	for _, user := range users {
		at = at.Add(g.span(200*time.Millisecond, 2*time.Second))
		g.callBy(at, m, jti, from, soft, deleteUser(user))
	}
}

// rotation rotates the secrets of some machines, as each night; their holders
// are told in time.
func (g *generator) rotation(m *machine, at time.Time, jti string, from host, soft *software) {
	day := int(at.Sub(g.from) / (24 * time.Hour))
	for i, other := range g.machines {
		if other.profile != service || other.user || i%6 != day%6 || i%4 != 0 {
			continue
		}
		at = at.Add(g.span(time.Second, 20*time.Second))
		g.callBy(at, m, jti, from, soft, rotateSecret(other))
		g.note(other.identity(), at, at.Add(time.Hour), "secret rotated, as every sixth night")
	}
}

// plan is a run of Terraform: it reads what it manages, secrets among it, changes
// some of it, and may run into the rate limit.
func (g *generator) plan(m *machine, at time.Time, jti string, from host, soft *software) {
	managed := g.machines[len(g.machines)-1-len(g.machines)/10:]
	for _, other := range managed {
		if other.user {
			continue
		}
		at = at.Add(g.span(100*time.Millisecond, 2*time.Second))
		g.callBy(at, m, jti, from, soft, readSecret(other))
	}
	for range g.r.IntN(8) {
		at = at.Add(g.span(200*time.Millisecond, 5*time.Second))
		g.callBy(at, m, jti, from, soft, updateClient(managed[0], object{"description": "managed by Terraform"}))
	}
	if g.chance(0.3) {
		g.note(m.identity(), at, at.Add(10*time.Minute), "Terraform runs into the rate limit")
		for range g.count(1, 40) {
			at = at.Add(g.span(300*time.Millisecond, 10*time.Second))
			g.limited(at, m)
		}
	}
}

// office is what administrators do in the dashboard on working days, none of it
// of weight.
func (g *generator) office() {
	for day := range g.cfg.Days {
		midnight := g.from.AddDate(0, 0, day)
		if weekend(midnight) {
			continue
		}
		for range g.r.IntN(5) {
			at := midnight.Add(time.Duration(g.uniform(7, 18) * float64(time.Hour)))
			g.callFrom(at, pick(g, g.admins), pick(g, []call{
				updateClient(g.client(), object{"description": "owned by the platform team"}),
				updateClient(g.client(), object{"logo_uri": "https://acme.example/logo.png"}),
				{"Update tenant settings", "PATCH", "/api/v2/tenants/settings", object{"friendly_name": "Acme"}, object{"friendly_name": "Acme"}, 200, nil},
				createUser(g.person()),
				updateUser(g.person()),
				deleteUser(g.person()),
			}))
		}
	}
}
