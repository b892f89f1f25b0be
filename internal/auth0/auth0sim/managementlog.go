package auth0sim

import (
	"math/rand/v2"
	"strings"
)

// call is a Management API call as a record tells of it.
type call struct {
	description  string
	method, path string
	body         string // JSON
	status       string
	answer       string // JSON
	secrets      string // JSON array of what was read; left out where empty
	failed       bool
	jti          string // of the token that was used; made up where empty
}

// appendCall writes sapi, mgmt_api_read where a secret was read, or fapi. by is the
// application, or nil for the administrator who used the dashboard.
func (t *Tenant) appendCall(dst []byte, r *rand.Rand, s *stamp, k *call, by *machine, admin *person, c *caller) []byte {
	code := "sapi"
	if k.secrets != "" {
		code = "mgmt_api_read"
	}
	if k.failed {
		code = "fapi"
	}
	dst = open(dst, s, code)
	dst = fieldQuoted(dst, "description", k.description)
	if by != nil {
		dst = fieldQuoted(dst, "client_id", by.id)
		dst = append(dst, `,"client_name":""`...)
	} else {
		dst = field(dst, "client_id", t.dashboardID)
		dst = append(dst, `,"client_name":""`...)
	}
	dst = field(dst, "ip", c.ip)
	dst = fieldQuoted(dst, "user_agent", c.agent)
	dst = append(dst, `,"details":{"request":{`...)
	dst = appendRequest(dst, k, c)
	if by != nil {
		dst = appendMachineAuth(dst, r, by, k.jti)
	} else {
		dst = appendAdminAuth(dst, r, admin)
	}
	dst = append(dst, `},"response":{"statusCode":`...)
	dst = append(dst, k.status...)
	dst = append(dst, `,"body":`...)
	dst = append(dst, k.answer...)
	dst = append(dst, '}')
	if k.secrets != "" {
		dst = fieldJSON(dst, "accessedSecrets", k.secrets)
	}
	dst = append(dst, '}')
	if by == nil {
		dst = field(dst, "user_id", admin.id)
	}
	return t.closing(dst, s, true)
}

func appendRequest(dst []byte, k *call, c *caller) []byte {
	dst = append(dst, `"method":"`...)
	dst = append(dst, k.method...)
	dst = append(dst, '"')
	dst = fieldQuoted(dst, "path", k.path)
	dst = append(dst, `,"query":{},"body":`...)
	dst = append(dst, k.body...)
	dst = field(dst, "ip", c.ip)
	return fieldQuoted(dst, "userAgent", c.agent)
}

func appendMachineAuth(dst []byte, r *rand.Rand, m *machine, jti string) []byte {
	dst = append(dst, `,"channel":"api","auth":{"user":{},"strategy":"jwt","credentials":{"jti":"`...)
	if jti == "" {
		dst = appendHex(dst, r, 32)
	}
	dst = append(dst, jti...)
	dst = append(dst, `","scopes":`...)
	dst = append(dst, compact(anyList(m.scopes))...)
	dst = append(dst, `},"subject":"`...)
	dst = append(dst, m.id...)
	return append(dst, `@clients"}`...)
}

func appendAdminAuth(dst []byte, r *rand.Rand, admin *person) []byte {
	dst = append(dst, `,"channel":"https://manage.auth0.com/","auth":{"user":{"user_id":"`...)
	dst = append(dst, admin.id...)
	dst = append(dst, `","name":"`...)
	dst = append(dst, admin.name...)
	dst = append(dst, `","email":"`...)
	dst = append(dst, admin.email...)
	dst = append(dst, `"},"strategy":"jwt","credentials":{"jti":"`...)
	dst = appendHex(dst, r, 32)
	return append(dst, `"}}`...)
}

// appendManagementCall writes what a machine does to users.
func (t *Tenant) appendManagementCall(dst []byte, r *rand.Rand, s *stamp, m *machine) []byte {
	who := &t.people[r.IntN(len(t.people))]
	path := "/api/v2/users/" + strings.ReplaceAll(who.id, "|", "%7C")
	user := `{"user_id":"` + who.id + `","email":"` + who.email + `","email_verified":true,"name":"` + who.name +
		`","identities":[{"connection":"Username-Password-Authentication","provider":"auth0","user_id":"` + who.id[len("auth0|"):] + `","isSocial":false}],"app_metadata":{"plan":"team"}}`
	var k call
	switch r.IntN(5) {
	case 0:
		k = call{"Create a User", "post", "/api/v2/users", `{"connection":"Username-Password-Authentication","email":"` + who.email + `","password":"*****"}`, "201", user, "", false, ""}
	case 1:
		k = call{"Delete a User", "delete", path, `{}`, "204", `{}`, "", false, ""}
	case 2:
		k = call{"Assign roles to a user", "post", path + "/roles", `{"roles":["rol_` + base62(r, 16) + `"]}`, "204", `{}`, "", false, ""}
	default:
		k = call{"Update a User", "patch", path, `{"app_metadata":{"plan":"team","seats":12345678901234567890}}`, "200", user, "", false, ""}
	}
	return t.appendCall(dst, r, s, &k, m, nil, &m.callers[r.IntN(len(m.callers))])
}

// appendDashboard writes what an administrator does in the dashboard. The
// story's client is left alone.
func (t *Tenant) appendDashboard(dst []byte, r *rand.Rand, s *stamp, admin *person) []byte {
	m := t.machines[1+r.IntN(len(t.machines)-1)]
	path := "/api/v2/clients/" + m.id
	var k call
	switch r.IntN(7) {
	case 0:
		k = call{"Rotate a client secret", "post", path + "/rotate-secret", `{}`, "200", m.describe(base62(r, 64)), "", false, ""}
	case 1:
		k = call{"Get a client", "get", path, `{}`, "200", m.describe(base62(r, 64)), `["client_secret"]`, false, ""}
	case 2:
		k = call{"Update tenant settings", "patch", "/api/v2/tenants/settings", `{"friendly_name":"` + t.cfg.Name + `"}`, "200", `{"friendly_name":"` + t.cfg.Name + `","flags":{"disable_clickjack_protection_headers":false}}`, "", false, ""}
	case 3:
		k = call{"Create client grant", "post", "/api/v2/client-grants", `{"client_id":"` + m.id + `","audience":"` + m.api.audience + `","scope":["` + m.scopes[0] + `"]}`, "201", `{"id":"cgr_` + base62(r, 16) + `","client_id":"` + m.id + `"}`, "", false, ""}
	default:
		k = call{"Update a client", "patch", path, `{"description":"owned by the platform team"}`, "200", m.describe(""), "", false, ""}
	}
	return t.appendCall(dst, r, s, &k, nil, admin, &caller{ip: admin.ip, agent: admin.agent})
}

// describe is the application as the Management API answers it, with its
// secret unless that is empty.
func (m *machine) describe(secret string) string {
	b := append([]byte(nil), `{"client_id":"`...)
	b = append(b, m.id...)
	b = field(append(b, '"'), "name", m.name)
	if secret != "" {
		b = field(b, "client_secret", secret)
	}
	return string(append(b, `,"app_type":"non_interactive","grant_types":["client_credentials"],"token_endpoint_auth_method":"client_secret_post","is_first_party":true,"jwt_configuration":{"alg":"RS256","lifetime_in_seconds":36000,"secret_encoded":false}}`...))
}
