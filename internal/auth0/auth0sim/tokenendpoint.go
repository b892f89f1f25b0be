package auth0sim

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The grant types beside client_credentials.
const (
	grantCredentials   = "client_credentials"
	grantPassword      = "password"
	grantPasswordRealm = "http://auth0.com/oauth/grant-type/password-realm"
)

const tokenLifetime = 24 * time.Hour // where the API says nothing else

// oauthError is a refusal as the token endpoint words it.
type oauthError struct {
	status      int
	code        string
	description string
	logged      string // description in the log row, where it is another one
	details     string // JSON, of the log row
}

func (e *oauthError) Error() string { return e.code + ": " + e.description }

func denied(status int, description string) error {
	return &oauthError{status: status, code: "access_denied", description: description}
}

// exchange is a request for a token while it is served.
type exchange struct {
	*store
	t      *Tenant
	req    tokenRequest
	client document // as the store has it; nil where there is none
	server document // the API
	scopes []string
	org    document
	user   document // of a password grant
	caller *caller
	host   string // that the tenant is served at
}

// serveToken issues a token, or says why not; both are logged.
func (t *Tenant) serveToken(w http.ResponseWriter, r *http.Request) {
	req, err := readTokenRequest(http.MaxBytesReader(w, r.Body, maxBody), r)
	if err != nil {
		answerOAuth(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	req.Audience = t.audience(req.Audience, r.Host)
	x := &exchange{store: t.api(), t: t, req: req, caller: callerOf(r, t.machineOf(req.ClientID)), host: r.Host}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.client = x.clients.get(req.ClientID)
	switch req.GrantType {
	case grantCredentials:
		err = x.credentialsGrant()
	case grantPassword, grantPasswordRealm:
		err = x.passwordGrant()
	default:
		answerOAuth(w, http.StatusForbidden, "unsupported_grant_type", "Unsupported grant type: "+req.GrantType)
		return
	}
	var body document
	if err == nil {
		body, err = x.issue()
	}
	var refused *oauthError
	switch {
	case errors.As(err, &refused):
		x.logRefusal(refused)
		answerOAuth(w, refused.status, refused.code, refused.description)
	case err != nil:
		answerOAuth(w, http.StatusInternalServerError, "server_error", err.Error())
	default:
		answer(w, http.StatusOK, body)
	}
}

// credentialsGrant checks a request for the client credentials grant.
func (x *exchange) credentialsGrant() error {
	if err := x.authenticate(true); err != nil {
		return err
	}
	if err := x.findServer(); err != nil {
		return err
	}
	grant := x.grants.find(func(g document) bool {
		return g.text("client_id") == x.req.ClientID && g.text("audience") == x.req.Audience && g.text("subject_type") != "user"
	})
	if grant == nil {
		return denied(http.StatusForbidden,
			`Client is not authorized to access "`+x.req.Audience+`". You need to create a "client-grant" associated to this API.`)
	}
	x.scopes = grant.texts("scope")
	if grant.flag("allow_all_scopes") {
		x.scopes = scopeValues(x.server)
	}
	if asked := strings.Fields(x.req.Scope); len(asked) > 0 {
		x.scopes = slices.DeleteFunc(slices.Clone(x.scopes), func(s string) bool { return !slices.Contains(asked, s) })
	}
	return x.findOrganization(grant)
}

// authenticate checks who the client is and that it may use the grant.
// Without a secret being needed, a public client passes.
func (x *exchange) authenticate(confidential bool) error {
	if x.client == nil {
		return denied(http.StatusUnauthorized, "Unauthorized")
	}
	switch {
	case x.privateKey() != nil:
		if err := x.checkAssertion(); err != nil {
			return &oauthError{
				status: http.StatusUnauthorized, code: "invalid_client", description: "Client authentication failed",
				logged: "Failed client authentication", details: compact(document{"client_authentication_error": err.Error()}),
			}
		}
	case !confidential && x.client.text("token_endpoint_auth_method") == "none":
	case x.req.ClientSecret == "" || x.req.ClientSecret != x.client.text("client_secret"):
		return denied(http.StatusUnauthorized, "Unauthorized")
	}
	if !slices.Contains(x.client.texts("grant_types"), x.req.GrantType) {
		return &oauthError{status: http.StatusForbidden, code: "unauthorized_client", description: "Grant type '" + x.req.GrantType + "' not allowed for the client."}
	}
	return nil
}

// findServer looks up the API that is asked for, or the tenant's default one.
func (x *exchange) findServer() error {
	x.req.Audience = cmp.Or(x.req.Audience, x.settings.text("default_audience"))
	if x.req.Audience == "" {
		return denied(http.StatusForbidden, "No audience parameter was provided, and no default audience has been configured")
	}
	x.server = x.servers.find(having("identifier", x.req.Audience))
	if x.server == nil {
		return denied(http.StatusForbidden, "Service not enabled within domain: "+x.req.Audience)
	}
	return nil
}

// findOrganization checks that the grant may be used for the organization that
// is asked for, or without one.
func (x *exchange) findOrganization(grant document) error {
	usage := cmp.Or(grant.text("organization_usage"), "deny")
	if fallback := x.client.child("default_organization"); x.req.Organization == "" && usage != "deny" && slices.Contains(fallback.texts("flows"), grantCredentials) {
		x.req.Organization = fallback.text("organization_id")
	}
	switch {
	case x.req.Organization == "" && usage == "require":
		return &oauthError{status: http.StatusForbidden, code: "invalid_request", description: "An organization is required for this client-grant."}
	case x.req.Organization == "":
		return nil
	case usage == "deny":
		return &oauthError{status: http.StatusForbidden, code: "invalid_request", description: "This client-grant does not allow the use of organizations."}
	}
	x.org = x.organizationOf(x.req.Organization)
	linked := x.org != nil && slices.ContainsFunc(x.linked(relationOrganizationAPI, x.org.text("id")), func(l link) bool { return l.to == grant.text("id") })
	if x.org == nil || !linked && !grant.flag("allow_any_organization") {
		return denied(http.StatusForbidden, "Client is not authorized to access the organization "+x.req.Organization)
	}
	return nil
}

// organizationOf finds an organization by its id or its name.
func (s *store) organizationOf(idOrName string) document {
	if org := s.organizations.get(idOrName); org != nil {
		return org
	}
	return s.organizations.find(having("name", idOrName))
}

// issue makes the token and logs the exchange.
func (x *exchange) issue() (document, error) {
	lifetime := tokenLifetime
	if x.server != nil {
		lifetime = time.Duration(x.server.whole("token_lifetime", int(tokenLifetime/time.Second))) * time.Second
	}
	var claims document
	x.t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte {
		jti := hexString(r, 32)
		claims = x.claims(jti, s.at, lifetime)
		if x.user != nil {
			return x.t.appendUserToken(dst, r, s, x, jti)
		}
		return x.t.appendTokenFrom(dst, r, s, x.machine(), x.caller, jti)
	})
	body := document{"scope": strings.Join(x.scopes, " "), "expires_in": int(lifetime / time.Second), "token_type": "Bearer"}
	if x.server == nil {
		body["access_token"] = base62(x.rng, 64) // opaque: for /userinfo alone
	} else {
		token, err := x.t.sign(claims, x.server)
		if err != nil {
			return nil, err
		}
		body["access_token"] = token
	}
	return body, x.addIDToken(body, claims)
}

// machine is the client as log rows tell of it.
func (x *exchange) machine() *machine {
	known, name := x.t.machineOf(x.req.ClientID), x.client.text("name")
	if known != nil && known.name == name && known.api.audience == x.req.Audience && slices.Equal(known.scopes, x.scopes) && x.org == nil {
		return known
	}
	m := x.t.newMachine(known, x.req.ClientID, name, x.req.Audience, x.scopes)
	if x.org != nil {
		m.tail = fieldQuoted(m.tail, "organization_id", x.org.text("id"))
		m.tail = fieldQuoted(m.tail, "organization_name", x.org.text("name"))
	}
	return m
}

// claims are what the access token says.
func (x *exchange) claims(jti string, at time.Time, lifetime time.Duration) document {
	c := document{
		"iss": x.t.issuer(), "sub": x.req.ClientID + "@clients", "aud": x.req.Audience, "gty": "client-credentials",
		"iat": at.Unix(), "exp": at.Add(lifetime).Unix(), "jti": jti, "scope": strings.Join(x.scopes, " "),
	}
	if x.user != nil {
		c["sub"], c["gty"] = x.user.text("user_id"), "password"
	}
	dialect := x.server.text("token_dialect")
	if strings.HasPrefix(dialect, "rfc9068") {
		c["client_id"] = x.req.ClientID
	} else {
		c["azp"] = x.req.ClientID
	}
	if strings.HasSuffix(dialect, "_authz") && x.server.flag("enforce_policies") {
		c["permissions"] = x.permissions()
	}
	if x.org != nil {
		c["org_id"] = x.org.text("id")
		if x.settings.flag("allow_organization_name_in_authentication_api") {
			c["org_name"] = x.org.text("name")
		}
	}
	return c
}

// logRefusal writes feccft, or fepft of a password grant.
func (x *exchange) logRefusal(e *oauthError) {
	f := refusal{
		description: cmp.Or(e.logged, e.description), clientID: x.req.ClientID, clientName: `""`, audience: x.req.Audience,
		details: e.details, caller: x.caller, full: true,
	}
	if x.client != nil {
		f.clientName = quote(x.client.text("name"))
	}
	if x.req.GrantType != grantCredentials {
		f.kind, f.user = "fepft", x.req.Username
	}
	x.t.emit(func(dst []byte, r *rand.Rand, s *stamp) []byte { return x.t.appendRefusal(dst, r, s, &f) })
}
