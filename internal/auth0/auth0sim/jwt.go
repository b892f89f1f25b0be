package auth0sim

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// issuer is what the tenant's tokens say they come from.
func (t *Tenant) issuer() string { return "https://" + t.domain + "/" }

// systemAudience is the Management API's.
func (t *Tenant) systemAudience() string { return t.issuer() + "api/v2/" }

// audience is the API that a request names. One that names the Management API
// by the host that the tenant is served at, as an SDK does that was pointed at
// it, means that of the tenant.
func (t *Tenant) audience(asked, host string) string {
	if u, err := url.Parse(asked); err == nil && u.Host == host && u.Path == "/api/v2/" {
		return t.systemAudience()
	}
	return asked
}

// sign makes a token of claims with the algorithm that an API wants.
func (t *Tenant) sign(claims document, server document) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	key, err := t.signingKey()
	if err != nil {
		return "", err
	}
	headers := jws.NewHeaders()
	typ := "JWT"
	if strings.HasPrefix(server.text("token_dialect"), "rfc9068") {
		typ = "at+jwt"
	}
	if err := headers.Set(jws.TypeKey, typ); err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	var alg jwa.SignatureAlgorithm
	var with any = key
	switch server.text("signing_alg") {
	case "HS256":
		alg, with = jwa.HS256(), []byte(server.text("signing_secret"))
	case "RS512":
		alg = jwa.RS512()
	case "PS256":
		alg = jwa.PS256()
	default:
		alg = jwa.RS256()
	}
	if alg != jwa.HS256() {
		if err := headers.Set(jws.KeyIDKey, keyID(&key.PublicKey)); err != nil {
			return "", fmt.Errorf("sign token: %w", err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(alg, with, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return string(signed), nil
}

// verify reads a token for the Management API.
func (t *Tenant) verify(token string) (document, error) {
	key, err := t.signingKey()
	if err != nil {
		return nil, err
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(jwa.RS256(), &key.PublicKey))
	if err != nil {
		return nil, unauthorized("Invalid token", "invalid_token")
	}
	v, err := readJSON(payload)
	claims, ok := v.(document)
	if err != nil || !ok || claims.text("iss") != t.issuer() || !slices.Contains(audiences(claims), t.systemAudience()) {
		return nil, unauthorized("Bad audience: "+strings.Join(audiences(claims), " "), "invalid_token")
	}
	if time.Unix(int64(claims.whole("exp", 0)), 0).Before(t.cfg.Now()) {
		return nil, unauthorized("Expired token received for JSON Web Token validation", "invalid_token")
	}
	return claims, nil
}

func audiences(claims document) []string {
	if one := claims.text("aud"); one != "" {
		return []string{one}
	}
	return claims.texts("aud")
}

// publicKeys is what verifies the tenant's tokens.
func (t *Tenant) publicKeys() (jwk.Set, error) {
	key, err := t.signingKey()
	if err != nil {
		return nil, err
	}
	public, err := jwk.Import(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make key set: %w", err)
	}
	for name, value := range map[string]any{jwk.KeyIDKey: keyID(&key.PublicKey), jwk.KeyUsageKey: "sig", jwk.AlgorithmKey: jwa.RS256()} {
		if err := public.Set(name, value); err != nil {
			return nil, fmt.Errorf("make key set: %w", err)
		}
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return nil, fmt.Errorf("make key set: %w", err)
	}
	return set, nil
}

// serveKeys serves /.well-known/jwks.json.
func (t *Tenant) serveKeys(w http.ResponseWriter, _ *http.Request) {
	set, err := t.publicKeys()
	write(w, reply{http.StatusOK, set}, err)
}

// serveConfiguration serves /.well-known/openid-configuration.
func (t *Tenant) serveConfiguration(w http.ResponseWriter, _ *http.Request) {
	at := t.issuer()
	write(w, reply{http.StatusOK, document{
		"issuer": at, "token_endpoint": at + "oauth/token", "jwks_uri": at + ".well-known/jwks.json",
		"authorization_endpoint": at + "authorize", "userinfo_endpoint": at + "userinfo", "revocation_endpoint": at + "oauth/revoke",
		"grant_types_supported":                            []string{"client_credentials", grantPassword, grantPasswordRealm},
		"response_types_supported":                         []string{"code", "token", "id_token"},
		"subject_types_supported":                          []string{"public"},
		"scopes_supported":                                 []string{"openid", "profile", "email"},
		"id_token_signing_alg_values_supported":            []string{"HS256", "RS256", "PS256"},
		"token_endpoint_auth_methods_supported":            []string{"client_secret_basic", "client_secret_post", "private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": []string{"RS256", "RS384", "PS256"},
	}}, nil)
}

// signingKey is made when it is first asked for.
func (t *Tenant) signingKey() (*rsa.PrivateKey, error) { return t.keys() }
