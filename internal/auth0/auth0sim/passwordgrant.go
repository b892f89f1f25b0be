package auth0sim

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// attemptsMax is after how many wrong passwords an address is blocked.
const attemptsMax = 10

// passwordGrant checks a request for a token of a user of a database connection.
func (x *exchange) passwordGrant() error {
	for _, needed := range [][2]string{{"client_id", x.req.ClientID}, {"username", x.req.Username}, {"password", x.req.Password}} {
		if needed[1] == "" {
			return &oauthError{status: http.StatusForbidden, code: "invalid_request", description: "Missing required parameter: " + needed[0]}
		}
	}
	if err := x.authenticate(false); err != nil {
		return err
	}
	if x.req.Audience != "" || x.settings.text("default_audience") != "" {
		if err := x.findServer(); err != nil {
			return err
		}
	}
	realm := cmp.Or(x.req.Realm, x.settings.text("default_directory"))
	if x.connections.find(having("name", realm)) == nil {
		return &oauthError{status: http.StatusForbidden, code: "invalid_request", description: "unknown or invalid realm"}
	}
	if err := x.signIn(realm); err != nil {
		return err
	}
	x.scopes = x.userScopes()
	return nil
}

// signIn finds the user and checks the password.
func (x *exchange) signIn(realm string) error {
	user := x.users.find(func(u document) bool {
		return connectionOf(u) == realm && (strings.EqualFold(u.text("email"), x.req.Username) || u.text("username") == x.req.Username)
	})
	wrong := &oauthError{status: http.StatusForbidden, code: "invalid_grant", description: "Wrong email or password."}
	if user == nil {
		return wrong
	}
	id := user.text("user_id")
	if x.attempts[id+" "+x.caller.ip] >= attemptsMax {
		return &oauthError{
			status: http.StatusTooManyRequests, code: "too_many_attempts",
			description: "Your account has been blocked after multiple consecutive login attempts. We've sent you a notification via your preferred contact method with instructions on how to unblock it.",
		}
	}
	if password, ok := x.passwords[id]; !ok || password != x.req.Password {
		if x.attempts[id+" "+x.caller.ip]++; x.attempts[id+" "+x.caller.ip] == attemptsMax {
			x.blocks[id] = append(x.blocks[id], x.caller.ip)
		}
		return wrong
	}
	if user.flag("blocked") {
		return &oauthError{status: http.StatusForbidden, code: "unauthorized", description: "user is blocked"}
	}
	delete(x.attempts, id+" "+x.caller.ip)
	user["last_login"], user["last_ip"], user["logins_count"] = x.date(), x.caller.ip, user.whole("logins_count", 0)+1
	x.user = user
	return nil
}

// userScopes are those of the request that the token gets: all of OpenID
// Connect, and of the API those that the user is permitted where it asks.
func (x *exchange) userScopes() []string {
	permitted := scopeValues(x.server)
	if x.server.flag("enforce_policies") {
		permitted = x.permissions()
	}
	asked := strings.Fields(x.req.Scope)
	if len(asked) == 0 {
		return permitted
	}
	openID := []string{"openid", "profile", "email", "offline_access"}
	return slices.DeleteFunc(asked, func(s string) bool { return !slices.Contains(openID, s) && !slices.Contains(permitted, s) })
}

// permissions are what the `permissions` claim holds: the granted scopes of a
// machine, what a user has directly or by a role.
func (x *exchange) permissions() []string {
	if x.user == nil {
		return x.scopes
	}
	names := make([]string, 0)
	for _, p := range x.permissionsOf(x.user.text("user_id")) {
		if name := p.text("permission_name"); p.text("resource_server_identifier") == x.req.Audience && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// addIDToken adds the token that says who signed in, where openid was asked for.
func (x *exchange) addIDToken(body, access document) error {
	if x.user == nil || !slices.Contains(x.scopes, "openid") {
		return nil
	}
	claims := x.user.only("name", "nickname", "picture", "email", "email_verified", "updated_at")
	claims.set(access.only("iss", "sub", "iat", "exp"))
	claims["aud"] = x.req.ClientID
	token, err := x.t.sign(claims, document{})
	body["id_token"] = token
	return err
}

// appendUserToken writes sepft.
func (t *Tenant) appendUserToken(dst []byte, r *rand.Rand, s *stamp, x *exchange, jti string) []byte {
	dst = open(dst, s, "sepft")
	dst = append(dst, `,"description":"Successful exchange","connection_id":""`...)
	dst = fieldQuoted(dst, "client_id", x.req.ClientID)
	dst = fieldQuoted(dst, "client_name", x.client.text("name"))
	dst = appendCaller(dst, x.caller, true)
	dst = append(dst, `,"details":{"access_token_jti":"`...)
	dst = append(dst, jti...)
	dst = append(dst, `","actions":{"executions":[]}}`...)
	dst = field(dst, "hostname", t.domain)
	dst = fieldQuoted(dst, "user_id", x.user.text("user_id"))
	dst = fieldQuoted(dst, "user_name", cmp.Or(x.user.text("email"), x.user.text("username")))
	dst = fieldQuoted(dst, "connection", connectionOf(x.user))
	dst = append(dst, `,"strategy":"auth0","strategy_type":"database"`...)
	dst = fieldQuoted(dst, "audience", x.req.Audience)
	dst = fieldQuoted(dst, "scope", strings.Join(x.scopes, " "))
	dst = appendTrace(dst, r, x.caller)
	return t.closing(dst, s, true)
}
