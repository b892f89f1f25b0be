package synth

import (
	"encoding/json"
	"fmt"
	"time"
)

// record is one log's data, in the fields that the stream sends.
type record struct {
	Date         string    `json:"date"`
	Type         string    `json:"type"`
	Description  string    `json:"description"`
	Connection   string    `json:"connection,omitempty"`
	ConnectionID string    `json:"connection_id"`
	ClientID     string    `json:"client_id"`
	ClientName   string    `json:"client_name"`
	IP           string    `json:"ip,omitempty"`
	ClientIP     string    `json:"client_ip,omitempty"`
	UserAgent    string    `json:"user_agent,omitempty"`
	Details      any       `json:"details,omitempty"`
	Hostname     string    `json:"hostname"`
	UserID       string    `json:"user_id"`
	UserName     string    `json:"user_name"`
	Organization string    `json:"organization_id,omitempty"`
	OrgName      string    `json:"organization_name,omitempty"`
	Audience     string    `json:"audience,omitempty"`
	Scope        any       `json:"scope,omitempty"`
	AgentID      string    `json:"agent_id,omitempty"`
	SDK          *sdk      `json:"auth0_client,omitempty"`
	TLS          *tls      `json:"security_context,omitempty"`
	References   *trace    `json:"references,omitempty"`
	Location     *location `json:"location_info,omitempty"`
	Schema       version   `json:"$event_schema"`
	LogID        string    `json:"log_id"`
	TenantName   string    `json:"tenant_name"`
	Environment  string    `json:"environment_name"`
}

type tls struct {
	JA3 string `json:"ja3"`
	JA4 string `json:"ja4"`
}

type trace struct {
	TraceID string `json:"trace_id"`
}

type location struct {
	CountryCode string `json:"country_code,omitempty"`
}

type version struct {
	Version string `json:"version"`
}

// envelope is the log as the stream sends it. seq tells apart the ids of one
// moment.
func (r *record) envelope(at time.Time, seq uint64, tenant string) []byte {
	r.Date = at.UTC().Format("2006-01-02T15:04:05.000Z")
	r.LogID = fmt.Sprintf("900%s%06d%021d%012d", at.UTC().Format("20060102150405"), at.Nanosecond()/1000, uint64(1223372037), seq)
	r.TenantName, r.Environment, r.Schema = tenant, "prod-eu-1", version{"1.0.0"}
	raw, err := json.Marshal(struct {
		LogID string  `json:"log_id"`
		Data  *record `json:"data"`
	}{r.LogID, r})
	if err != nil { // strings, numbers and maps of them always marshal
		panic(err)
	}
	return raw
}

// request fills what every request leaves in its log.
func (g *generator) request(rec *record, from host, with *software) *record {
	rec.IP, rec.ClientIP, rec.UserAgent, rec.Hostname = from.ip, from.ip, with.agent, g.domain
	rec.SDK = with.sdk
	if with.ja4 != "" {
		rec.TLS = &tls{with.ja3, with.ja4}
	}
	rec.References = &trace{g.text(hex, 32)}
	rec.Location = &location{}
	if !g.chance(0.03) {
		rec.Location.CountryCode = from.net.country
	}
	return rec
}

// token is an issued token of a machine, and returns its jti.
func (g *generator) token(at time.Time, m *machine, from host, with *software) (jti string) {
	return g.tokenAs(at, m, from, with, nil)
}

// tokenAs lets change fill in what is unusual about it.
func (g *generator) tokenAs(at time.Time, m *machine, from host, with *software, change func(*record)) (jti string) {
	jti = g.text(hex, 32)
	rec := g.request(&record{Details: map[string]any{"access_token_jti": jti, "actions": map[string]any{"executions": []string{}}}}, from, with)
	m.name1(rec)
	rec.Type, rec.Description = "seccft", "Client Credentials for Access Token"
	if m.user {
		rec.Type, rec.Description = "sepft", "Success exchange of Password for Access Token"
	}
	rec.Audience, rec.Organization, rec.OrgName, rec.AgentID = m.api.audience, m.org, m.org, m.agent
	rec.Scope = m.scopeText()
	if change != nil {
		change(rec)
	}
	g.emit(at, rec)
	return jti
}

// The causes of a refusal, as Auth0 words them.
const (
	wrongSecret  = "Unauthorized"
	badAssertion = "Failed client authentication"
	overQuota    = "Client quota exceeded"
	wrongUser    = "Wrong email or password."
	unavailable  = "Internal server error"
)

func noAudience(audience string) string { return "Service not enabled within domain: " + audience }

func noGrant(audience string) string {
	return fmt.Sprintf("Client is not authorized to access %q. You need to create a \"client-grant\" associated to this API.", audience)
}

func noScope(scope string) string { return "Client has not been granted scopes: " + scope }

// refusal is a token request of a machine that failed.
func (g *generator) refusal(at time.Time, m *machine, from host, with *software, why string) {
	rec := g.request(&record{}, from, with)
	m.name1(rec)
	rec.Type, rec.Description, rec.Audience, rec.AgentID = "feccft", why, m.api.audience, m.agent
	if m.user {
		rec.Type = "fepft"
		if why == wrongSecret || why == badAssertion {
			rec.Description = wrongUser
		}
	} else if why == badAssertion {
		rec.Details = map[string]any{"client_authentication_error": "'exp' claim must specify a time no more than 5 minutes after 'iat'"}
	}
	g.emit(at, rec)
}

// stranger is a refusal of an id that may be nobody's.
func (g *generator) stranger(at time.Time, id, name string, from host, with *software) {
	rec := g.request(&record{Type: "feccft", Description: wrongSecret, ClientID: id, ClientName: name, Audience: g.apis[0].audience}, from, with)
	g.emit(at, rec)
}
