package synth

import "time"

// destructiveBurst is a machine that deletes much at once.
func (g *generator) destructiveBurst(name string) {
	m := g.target(manages)
	from, to := g.window(g.span(20*time.Second, time.Hour))
	home, with := g.homeAt(m, from, 0), m.softwareAt(from)
	jti := g.token(from.Add(-g.span(time.Second, time.Hour)), m, home, with)
	all := g.moments(from, to, g.count(4, 400))
	for _, at := range all {
		c := deleteUser(g.person())
		if g.chance(0.1) {
			c = call{"Delete a role", "DELETE", "/api/v2/roles/rol_" + g.text(base62, 16), nil, nil, 204, nil}
		}
		g.callBy(at, m, jti, home, with, c)
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-25", "MI-17"}, From: from, To: last(all), Faint: densest(all, 10*time.Minute) < 10})
}

// privilegeEscalation is a machine that is granted more, and may use it.
func (g *generator) privilegeEscalation(name string) {
	m := g.target(application)
	actor := g.actor()
	if g.chance(0.3) {
		m = g.target(manages)
		home, with := g.homeAt(m, g.from, 0), m.softwareAt(g.from)
		actor.identity = m.identity()
		actor.call = func(at time.Time, c call) {
			g.callBy(at, m, g.token(at.Add(-time.Minute), m, home, with), home, with, c)
		}
	}
	from, to := g.window(g.span(time.Minute, day))
	added := pick(g, [][]string{{"delete:users"}, {"update:clients", "create:client_grants"}, {"read:client_keys"}, {"update:log_streams"}, {"admin:all"}})
	audience, c := m.api.audience, widenGrant(m, added)
	if g.chance(0.4) {
		audience = g.apis[0].audience
		c = g.createGrant(m, audience, added)
	}
	actor.call(from, c)
	end := from
	if g.chance(0.6) {
		for _, at := range g.moments(from.Add(g.span(time.Second, time.Hour)), to.Add(time.Hour), g.count(1, 20)) {
			g.tokenAs(at, m, g.homeOf(m, at), m.softwareAt(at), func(r *record) { r.Audience, r.Scope = audience, added[0] })
			end = at
		}
	}
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-28", "MI-12", "MI-19"}, From: from, To: end})
}

// credentialChange is somebody who makes a machine's credentials weaker, or adds
// one.
func (g *generator) credentialChange(name string) {
	m := g.target(application)
	actor := g.actor()
	from, _ := g.window(time.Minute)
	actor.call(from, pick(g, []call{
		updateClient(m, object{"token_endpoint_auth_method": "none"}),
		updateClient(m, object{"grant_types": []string{"client_credentials", "password"}}),
		updateClient(m, object{"token_endpoint_auth_method": "client_secret_post", "client_authentication_methods": nil}),
		{"Create a client credential", "POST", clientPath(m.id) + "/credentials", object{"credential_type": "public_key", "name": "key"}, object{"id": "cred_" + g.text(base62, 16)}, 201, nil},
		rotateSecret(m),
	}))
	g.label(Label{Identity: m.identity(), Kind: name, Rules: []string{"MI-29", "MI-28"}, From: from, To: from})
}

// blindingStream is somebody who takes away what watches.
func (g *generator) blindingStream(name string) {
	actor := g.actor()
	from, _ := g.window(time.Minute)
	stream := "/api/v2/log-streams/lst_0000000000002466"
	actor.call(from, pick(g, []call{
		{"Update a log stream", "PATCH", stream, object{"status": "paused"}, object{"id": "lst_0000000000002466", "status": "paused"}, 200, nil},
		{"Delete a log stream", "DELETE", stream, nil, nil, 204, nil},
		{"Update a log stream", "PATCH", stream, object{"filters": []object{{"type": "category", "name": "user.fail"}}}, object{"id": "lst_0000000000002466"}, 200, nil},
		{"Update Brute-force settings", "PATCH", "/api/v2/attack-protection/brute-force-protection", object{"enabled": false}, object{"enabled": false}, 200, nil},
		{"Delete a network ACL", "DELETE", "/api/v2/network-acls/acl_" + g.text(base62, 10), nil, nil, 204, nil},
		{"Update trigger bindings", "PATCH", "/api/v2/actions/triggers/credentials-exchange/bindings", object{"bindings": []object{}}, object{"bindings": []object{}}, 200, nil},
	}))
	g.label(Label{Identity: g.tenantIdentity(), Also: []string{actor.identity}, Kind: name, Rules: []string{"MI-30"}, From: from, To: from})
}

// shadowClient is an application that somebody makes beside the usual way.
func (g *generator) shadowClient(name string) {
	actor := g.actor()
	from, to := g.window(g.span(time.Minute, 2*day))
	made := g.newMachine(service, 4)
	actor.call(from, createClient(made))
	also := []string{actor.identity, g.tenantIdentity()}
	if g.chance(0.3) { // many at once
		for _, at := range g.moments(from, from.Add(g.span(time.Minute, time.Hour)), g.count(2, 40)) {
			other := g.newMachine(service, 4)
			actor.call(at, createClient(other))
			g.label(Label{Identity: other.identity(), Kind: name, Rules: []string{"MI-31"}, From: at, To: at, Beside: true})
		}
	}
	home, with := g.attacker()
	end := from
	for _, at := range g.moments(from.Add(time.Minute), to.Add(time.Hour), g.count(1, 20)) {
		g.token(at, made, home, &with)
		end = at
	}
	g.label(Label{Identity: made.identity(), Also: also, Kind: name, Rules: []string{"MI-31", "MI-28", "MI-20"}, From: from, To: end})
}
