package auth0sim

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// actor is who calls the Management API: a machine, or else an administrator.
type actor struct {
	machine *machine
	admin   *person
	caller  *caller
	scopes  []string // of a machine's token
	jti     string
}

// has tells whether the actor holds a scope; an administrator holds all.
func (a *actor) has(scope string) bool { return a.admin != nil || slices.Contains(a.scopes, scope) }

// actorOf reads the bearer token and asks for the operation's scopes. The actor
// is nil where the token is not taken.
func (t *Tenant) actorOf(r *http.Request, op *operation) (*actor, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, unauthorized("Missing authentication", "")
	}
	if token == t.adminToken {
		admin := &t.people[0]
		return &actor{admin: admin, caller: &caller{ip: admin.ip, agent: admin.agent}}, nil
	}
	claims, err := t.verify(token)
	if err != nil {
		return nil, err
	}
	m := t.machineNamed(claims.text("azp")+claims.text("client_id"), t.systemAudience(), strings.Fields(claims.text("scope")))
	by := &actor{machine: m, caller: callerOf(r, m), scopes: m.scopes, jti: claims.text("jti")}
	return by, by.allowed(op)
}

// allowed refuses an actor without the operation's scopes.
func (a *actor) allowed(op *operation) error {
	wanted := func(scope string) bool { return a.has(scope) }
	if len(op.scopes) == 0 || op.all && !slices.ContainsFunc(op.scopes, func(s string) bool { return !wanted(s) }) ||
		!op.all && slices.ContainsFunc(op.scopes, wanted) {
		return nil
	}
	which := "any"
	if op.all {
		which = "all"
	}
	return forbidden("insufficient_scope", "Insufficient scope, expected %s of: %s", which, strings.Join(op.scopes, ", "))
}

// callerOf tells where a request comes from: ForwardedFor, else the peer. One
// of the machine's own addresses brings the rest of what is known of it.
func callerOf(r *http.Request, m *machine) *caller {
	ip := r.Header.Get(ForwardedFor)
	if net.ParseIP(ip) == nil {
		ip, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	c := caller{ip: ip}
	if m != nil {
		for i := range m.callers {
			if m.callers[i].ip == ip {
				c = m.callers[i]
			}
		}
	}
	c.agent = r.UserAgent()
	return &c
}

// machineNamed is the machine that a client id names, with the API and the
// scopes of a token: one of the population as it is, one that the API made as
// much as is known of it.
func (t *Tenant) machineNamed(clientID, audience string, scopes []string) *machine {
	known := t.machineOf(clientID)
	s := t.api()
	s.mu.Lock()
	defer s.mu.Unlock()
	name := ""
	if client := s.clients.get(clientID); client != nil {
		name = client.text("name")
	}
	if known != nil && known.name == name && known.api.audience == audience && slices.Equal(known.scopes, scopes) {
		return known
	}
	return t.newMachine(known, clientID, name, audience, scopes)
}

// newMachine makes a machine of what the API knows. known lends its addresses.
func (t *Tenant) newMachine(known *machine, clientID, name, audience string, scopes []string) *machine {
	m := &machine{id: clientID, name: name, scopes: scopes, api: &api{audience: audience, management: audience == t.systemAudience()}}
	if known != nil {
		m.callers = known.callers
	}
	m.head = fieldQuoted(fieldQuoted(fieldQuoted(nil, "connection_id", ""), "client_id", clientID), "client_name", name)
	m.tail = fieldQuoted(nil, "hostname", t.domain)
	m.tail = append(m.tail, `,"user_id":"","user_name":""`...)
	m.tail = fieldQuoted(m.tail, "audience", audience)
	m.tail = fieldQuoted(m.tail, "scope", strings.Join(scopes, " "))
	return m
}
