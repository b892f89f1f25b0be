package auth0sim

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

const (
	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = 5 * time.Minute
)

// privateKey is the client's private_key_jwt method, nil where it has none.
func (x *exchange) privateKey() document {
	return x.client.child("client_authentication_methods").child("private_key_jwt")
}

// checkAssertion verifies the JWT by which a client that has a key says who it is.
func (x *exchange) checkAssertion() error {
	if x.req.AssertionType != assertionType || x.req.Assertion == "" {
		return errors.New("client_assertion is required")
	}
	for _, linked := range x.privateKey().documents("credentials") {
		credential := x.credentials.get(linked.text("id"))
		if credential == nil || x.expired(credential) {
			continue
		}
		if payload, err := verifyWith(credential, x.req.Assertion); err == nil {
			return x.checkAssertionClaims(payload)
		}
	}
	return errors.New("signature verification failed")
}

func (x *exchange) expired(credential document) bool {
	at, err := time.Parse(time.RFC3339, credential.text("expires_at"))
	return err == nil && at.Before(x.now())
}

func verifyWith(credential document, assertion string) ([]byte, error) {
	key, err := jwk.ParseKey([]byte(credential.text("pem")), jwk.WithPEM(true))
	if err != nil {
		return nil, fmt.Errorf("read credential: %w", err)
	}
	alg, ok := jwa.LookupSignatureAlgorithm(credential.text("alg"))
	if !ok {
		return nil, errors.New("read credential: unknown algorithm")
	}
	payload, err := jws.Verify([]byte(assertion), jws.WithKey(alg, key))
	if err != nil {
		return nil, fmt.Errorf("verify assertion: %w", err)
	}
	return payload, nil
}

func (x *exchange) checkAssertionClaims(payload []byte) error {
	v, err := readJSON(payload)
	claims, ok := v.(document)
	if err != nil || !ok {
		return errors.New("the assertion is no JSON object")
	}
	at := x.now()
	issued, expires := time.Unix(int64(claims.whole("iat", 0)), 0), time.Unix(int64(claims.whole("exp", 0)), 0)
	switch {
	case claims.text("iss") != x.req.ClientID || claims.text("sub") != x.req.ClientID:
		return errors.New("'iss' and 'sub' claims must be the client_id")
	case !slices.ContainsFunc(audiences(claims), x.isTenant):
		return errors.New("'aud' claim must be the tenant")
	case claims["iat"] != nil && expires.Sub(issued) > assertionLifetime:
		return errors.New("'exp' claim must specify a time no more than 5 minutes after 'iat'")
	case expires.Before(at):
		return errors.New("'exp' claim timestamp check failed")
	case issued.After(at.Add(time.Minute)):
		return errors.New("'iat' claim timestamp check failed")
	case claims.text("jti") == "":
		return errors.New("'jti' claim is required")
	}
	return nil
}

// isTenant tells whether an audience is the tenant or its token endpoint, by its
// domain or by the host that it is served at.
func (x *exchange) isTenant(audience string) bool {
	u, err := url.Parse(audience)
	return err == nil && (u.Host == x.t.domain || u.Host == x.host) && (u.Path == "/" || u.Path == "/oauth/token")
}

// claimedBy is the client that an assertion says it is of, before anything is
// verified: the request itself need not name it.
func claimedBy(assertion string) string {
	message, err := jws.Parse([]byte(assertion))
	if err != nil {
		return ""
	}
	v, err := readJSON(message.Payload())
	claims, ok := v.(document)
	if err != nil || !ok {
		return ""
	}
	return claims.text("sub")
}
