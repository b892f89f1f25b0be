package synth

import (
	"maps"
	"net/url"
	"strings"
	"time"
)

// call is one of the Management API.
type call struct {
	description  string
	method, path string
	body, answer any
	status       int
	secrets      []string // that were read; none is a change
}

// admin is a person who may use the dashboard.
type admin struct {
	id, name string
	desk     host
	browser  software
}

// callBy is a call of a machine, with a token of this jti.
func (g *generator) callBy(at time.Time, m *machine, jti string, from host, with *software, c call) {
	rec := g.request(&record{ClientID: m.id}, from, with)
	auth := map[string]any{
		"user": map[string]any{}, "strategy": "jwt", "subject": m.id + "@clients",
		"credentials": map[string]any{"jti": jti, "scopes": m.scopes},
	}
	g.emitCall(at, rec, from, with, "api", auth, c)
}

// callFrom is a call of a person in the dashboard.
func (g *generator) callFrom(at time.Time, a *admin, c call) {
	rec := g.request(&record{ClientID: "dashboard" + g.cfg.Tenant, UserID: a.id}, a.desk, &a.browser)
	auth := map[string]any{
		"user": map[string]any{"user_id": a.id, "name": a.name, "email": a.name + "@acme.example"}, "strategy": "jwt",
		"credentials": map[string]any{"jti": g.text(hex, 32)},
	}
	g.emitCall(at, rec, a.desk, &a.browser, "https://manage.auth0.com/", auth, c)
}

func (g *generator) emitCall(at time.Time, rec *record, from host, with *software, channel string, auth map[string]any, c call) {
	rec.Type, rec.Description = "sapi", c.description
	request := map[string]any{
		"method": strings.ToLower(c.method), "path": c.path, "query": map[string]any{}, "body": orEmpty(c.body),
		"channel": channel, "auth": auth, "ip": from.ip, "userAgent": with.agent,
	}
	details := map[string]any{"request": request, "response": map[string]any{"statusCode": c.status, "body": orEmpty(c.answer)}}
	if len(c.secrets) > 0 {
		rec.Type = "mgmt_api_read"
		details["accessedSecrets"] = c.secrets
	}
	rec.Details = details
	g.emit(at, rec)
}

func orEmpty(body any) any {
	if body == nil {
		return map[string]any{}
	}
	return body
}

type object = map[string]any

func (m *machine) describe() object {
	return object{
		"client_id": m.id, "name": m.name, "app_type": "non_interactive", "grant_types": []string{"client_credentials"},
		"token_endpoint_auth_method": "client_secret_post", "jwt_configuration": object{"lifetime_in_seconds": 36000},
	}
}

func clientPath(id string) string { return "/api/v2/clients/" + id }

func rotateSecret(m *machine) call {
	return call{"Rotate a client secret", "POST", clientPath(m.id) + "/rotate-secret", nil, m.describe(), 200, nil}
}

func deleteClient(m *machine) call {
	return call{"Delete a client", "DELETE", clientPath(m.id), nil, nil, 204, nil}
}

func readSecret(m *machine) call {
	return call{"Get a client", "GET", clientPath(m.id), nil, m.describe(), 200, []string{"client_secret"}}
}

func createClient(m *machine) call {
	return call{"Create a client", "POST", "/api/v2/clients", object{"name": m.name, "app_type": "non_interactive"}, m.describe(), 201, nil}
}

func updateClient(m *machine, change object) call {
	answer := m.describe()
	maps.Copy(answer, change)
	return call{"Update a client", "PATCH", clientPath(m.id), change, answer, 200, nil}
}

func (g *generator) createGrant(m *machine, audience string, scopes []string) call {
	body := object{"client_id": m.id, "audience": audience, "scope": scopes}
	answer := object{"id": "cgr_" + g.text(base62, 16), "client_id": m.id, "audience": audience, "scope": scopes}
	return call{"Create client grant", "POST", "/api/v2/client-grants", body, answer, 201, nil}
}

// widenGrant adds scopes to the grant that a machine has.
func widenGrant(m *machine, added []string) call {
	scopes := append(append([]string(nil), m.scopes...), added...)
	answer := object{"id": m.grant, "client_id": m.id, "audience": m.api.audience, "scope": scopes}
	return call{"Update client grant", "PATCH", "/api/v2/client-grants/" + m.grant, object{"scope": scopes}, answer, 200, nil}
}

func userPath(id string) string { return "/api/v2/users/" + url.PathEscape(id) }

func (g *generator) person() string { return "auth0|" + g.text(hex, 24) }

func createUser(id string) call {
	return call{
		"Create a User", "POST", "/api/v2/users",
		object{"connection": "Username-Password-Authentication", "email": id[6:] + "@example.com", "password": "*****"},
		object{"user_id": id},
		201, nil,
	}
}

func updateUser(id string) call {
	return call{"Update a User", "PATCH", userPath(id), object{"app_metadata": object{"plan": "team"}}, object{"user_id": id}, 200, nil}
}

func deleteUser(id string) call {
	return call{"Delete a User", "DELETE", userPath(id), nil, nil, 204, nil}
}

// limited is a rate limit that a machine ran into; its log has no address.
func (g *generator) limited(at time.Time, m *machine) {
	g.emit(at, &record{
		Type: "api_limit", Description: "You passed the limit of allowed calls to /api/v2/users with the given parameters.",
		ClientID: m.id, UserAgent: m.soft.agent, Hostname: g.domain,
		Details: object{
			"limit":    object{"bucket": "Global (per second)", "global": true, "size": 16},
			"request":  object{"method": "GET", "path": "/api/v2/users"},
			"response": "Too Many Requests",
		},
	})
}

// quotaWarning says how much of its quota a machine has used.
func (g *generator) quotaWarning(at time.Time, m *machine, percent, quota int) {
	g.emit(at, &record{
		Type: "token_quota_consumption_warning", Description: percentText(percent) + " of client per_day quota consumed",
		ClientID: m.id, ClientName: m.name, IP: "xxxx", ClientIP: "xxxxx", UserAgent: "Other 0.0.0 / Other 0.0.0", Hostname: g.domain,
		Details: object{
			"bucket": "per_day", "entity_type": "client", "entity_id": m.id, "quota": quota,
			"quota_consumption_percentage": percent, "quota_consumption": quota * percent / 100,
		},
	})
}
