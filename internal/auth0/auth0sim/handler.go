package auth0sim

import (
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ForwardedFor is the header by which a client of the simulated tenant says
// what address it calls from: all of them sit on one machine.
const ForwardedFor = "Auth0-Forwarded-For"

const (
	maxBody       = 64 << 10
	tokenLifetime = 24 * time.Hour
)

// Handler is the tenant's HTTP face: the token endpoint and a part of the
// Management API. Each call makes a log row, as the real one does.
func (t *Tenant) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", t.serveToken)
	mux.HandleFunc("GET /api/v2/clients/{id}", t.serveClient)
	mux.HandleFunc("POST /api/v2/clients/{id}/rotate-secret", t.serveRotateSecret)
	return mux
}

// tokenRequest is what POST /oauth/token reads, as JSON or as a form.
type tokenRequest struct {
	GrantType    string `json:"grant_type"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Audience     string `json:"audience"`
}

// serveToken issues a token by the client credentials grant.
func (t *Tenant) serveToken(w http.ResponseWriter, r *http.Request) {
	req, err := readTokenRequest(http.MaxBytesReader(w, r.Body, maxBody), r)
	if err != nil {
		answerOAuth(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	if req.GrantType != "client_credentials" {
		answerOAuth(w, http.StatusForbidden, "unsupported_grant_type", "Unsupported grant type: "+req.GrantType)
		return
	}
	m := t.machineOf(req.ClientID)
	if m == nil || !t.secretIs(m, req.ClientSecret) {
		t.refuse(w, r, req, m, http.StatusUnauthorized, "Unauthorized")
		return
	}
	switch {
	case !slices.ContainsFunc(t.apis, func(a *api) bool { return a.audience == req.Audience }):
		t.refuse(w, r, req, m, http.StatusForbidden, "Service not enabled within domain: "+req.Audience)
	case req.Audience != m.api.audience:
		t.refuse(w, r, req, m, http.StatusForbidden,
			`Client is not authorized to access "`+req.Audience+`". You need to create a "client-grant" associated to this API.`)
	default:
		t.issue(w, r, m)
	}
}

func readTokenRequest(body io.Reader, r *http.Request) (tokenRequest, error) {
	var req tokenRequest
	data, err := io.ReadAll(body)
	if err != nil {
		return req, errors.New("the body is too large")
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(data))
		if err != nil {
			return req, errors.New("the body is not a form")
		}
		req = tokenRequest{form.Get("grant_type"), form.Get("client_id"), form.Get("client_secret"), form.Get("audience")}
	} else if err := json.Unmarshal(data, &req); err != nil {
		return req, errors.New("the body is not JSON")
	}
	if id, secret, ok := r.BasicAuth(); ok {
		req.ClientID, req.ClientSecret = id, secret
	}
	return req, nil
}

func (t *Tenant) secretIs(m *machine, secret string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.secrets[m.index] == secret
}

// refuse answers that no token is issued and logs feccft.
func (t *Tenant) refuse(w http.ResponseWriter, r *http.Request, req tokenRequest, m *machine, status int, why string) {
	f := refusal{description: why, clientID: req.ClientID, clientName: `""`, audience: req.Audience, caller: callerOf(r, m), full: true}
	if m != nil {
		f.clientName = quote(m.name)
	}
	t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte { return t.appendRefusal(dst, r, s, &f) })
	answerOAuth(w, status, "access_denied", why)
}

// issue answers with a token and logs seccft.
func (t *Tenant) issue(w http.ResponseWriter, r *http.Request, m *machine) {
	c := callerOf(r, m)
	var token string
	t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte {
		token = t.newToken(r, m, s.at)
		return t.appendTokenFrom(dst, r, s, m, c)
	})
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "scope": strings.Join(m.scopes, " "), "expires_in": int(tokenLifetime / time.Second), "token_type": "Bearer",
	})
}

// newToken makes a token that has the form of a JWT but is opaque, and
// remembers it where this tenant will be asked to take it. The caller holds mu.
func (t *Tenant) newToken(r *rand.Rand, m *machine, now time.Time) string {
	b := append([]byte(nil), "eyJhbGciOiJub25lIn0."...)
	b = append(appendBase64(b, r, 96), '.')
	token := string(appendBase64(b, r, 43))
	if m.management() {
		for old, known := range t.tokens {
			if known.expires.Before(now) {
				delete(t.tokens, old)
			}
		}
		t.tokens[token] = apiToken{m.index, m.scopes, now.Add(tokenLifetime)}
	}
	return token
}

// actor is who calls the Management API: a machine, or else an administrator.
type actor struct {
	machine *machine
	admin   *person
	caller  *caller
}

// actorOf reads the bearer token and asks for a scope. It returns nil after it
// has answered 401 or 403.
func (t *Tenant) actorOf(w http.ResponseWriter, r *http.Request, scope string) *actor {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		answerAPI(w, http.StatusUnauthorized, "Unauthorized", "Missing authentication", "")
		return nil
	}
	if token == t.adminToken {
		admin := &t.people[0]
		return &actor{admin: admin, caller: &caller{ip: admin.ip, agent: admin.agent}}
	}
	t.mu.Lock()
	known, ok := t.tokens[token]
	t.mu.Unlock()
	if !ok || known.expires.Before(t.cfg.Now()) {
		answerAPI(w, http.StatusUnauthorized, "Unauthorized", "Invalid token", "invalid_token")
		return nil
	}
	if !slices.Contains(known.scopes, scope) {
		answerAPI(w, http.StatusForbidden, "Forbidden", "Insufficient scope, expected any of: "+scope, "insufficient_scope")
		return nil
	}
	m := t.machines[known.machine]
	return &actor{machine: m, caller: callerOf(r, m)}
}

// actorOnClient is who calls and the client that the path names; nil where the
// call has been refused.
func (t *Tenant) actorOnClient(w http.ResponseWriter, r *http.Request, scope string) (*actor, *machine) {
	by := t.actorOf(w, r, scope)
	if by == nil {
		return nil, nil
	}
	m := t.machineOf(r.PathValue("id"))
	if m == nil {
		answerAPI(w, http.StatusNotFound, "Not Found", "The client does not exist", "inexistent_client")
	}
	return by, m
}

// serveRotateSecret gives a client a new secret; the old one is void at once.
func (t *Tenant) serveRotateSecret(w http.ResponseWriter, r *http.Request) {
	by, m := t.actorOnClient(w, r, "update:client_keys")
	if m == nil {
		return
	}
	var body string
	t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte {
		t.secrets[m.index] = base62(r, 64)
		k := rotation(m, t.secrets[m.index])
		body = k.answer
		return t.appendCall(dst, r, s, &k, by.machine, by.admin, by.caller)
	})
	answerRaw(w, http.StatusOK, body)
}

// serveClient shows a client, with its secret to those who may read it, which is logged.
func (t *Tenant) serveClient(w http.ResponseWriter, r *http.Request) {
	by, m := t.actorOnClient(w, r, "read:clients")
	if m == nil {
		return
	}
	if by.machine != nil && !slices.Contains(by.machine.scopes, "read:client_keys") {
		answerRaw(w, http.StatusOK, m.describe(""))
		return
	}
	var body string
	t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte {
		body = m.describe(t.secrets[m.index])
		k := call{"Get a client", "get", "/api/v2/clients/" + m.id, `{}`, "200", body, `["client_secret"]`}
		return t.appendCall(dst, r, s, &k, by.machine, by.admin, by.caller)
	})
	answerRaw(w, http.StatusOK, body)
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

func answerOAuth(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]any{"error": code, "error_description": description})
}

func answerAPI(w http.ResponseWriter, status int, title, message, code string) {
	body := map[string]any{"statusCode": status, "error": title, "message": message}
	if code != "" {
		body["errorCode"] = code
	}
	answer(w, status, body)
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerRaw(w, status, string(data))
}

func answerRaw(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the caller has gone; its log row stays
}
