package auth0

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// ErrOpaque says that a token is no JWT. Auth0 issues such a one where no audience
// was asked for: only the tenant's /userinfo can read it.
var ErrOpaque = errors.New("it is no JWT: an opaque token, or not all of one")

// JWT is what a token says of itself. Nothing of it is proven: see Verify.
type JWT struct {
	Header map[string]any `json:"header"`
	Claims map[string]any `json:"claims"`
}

// Decode reads a JWT in its compact form (RFC 7519) without verifying it.
func Decode(token string) (JWT, error) {
	parts := strings.Split(token, ".")
	switch len(parts) {
	case 3:
	case 5:
		return JWT{}, errors.New("it is encrypted (JWE): only the API that it is for can read it")
	default:
		return JWT{}, ErrOpaque
	}
	var t JWT
	if decodePart(parts[0], &t.Header) != nil || decodePart(parts[1], &t.Claims) != nil {
		return JWT{}, ErrOpaque
	}
	return t, nil
}

func decodePart(part string, into *map[string]any) error {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); *into == nil || !errors.Is(err, io.EOF) {
		return ErrOpaque
	}
	return nil
}

// Text is the claim of that name where it is a string, else "".
func (t JWT) Text(claim string) string {
	s, _ := t.Claims[claim].(string)
	return s
}

// Time is the claim of that name as a NumericDate (RFC 7519, 2); ok is false where
// it is none.
func (t JWT) Time(claim string) (at time.Time, ok bool) {
	n, isNumber := t.Claims[claim].(json.Number)
	if !isNumber {
		return at, false
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > 1e11 {
		return at, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// Audiences are those of the claim aud, which is a string or a list.
func (t JWT) Audiences() []string {
	switch aud := t.Claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, a := range aud {
			if s, ok := a.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// Check is one thing that was looked at in a token, and what is wrong with it.
type Check struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
	Err    error  `json:"-"`
}

// Expectation is what a token must be.
type Expectation struct {
	Issuer   string // with the slash, as Auth0 writes it: https://DOMAIN/
	Audience string // "" for any
	Now      time.Time
}

// clockSkew is how far the clocks of issuer and verifier may lie apart.
const clockSkew = time.Minute

// algorithms are those by which a tenant's keys sign. HS256 is not among them: who
// verifies with a shared secret can forge, and whoever takes it beside RS256 lets
// the public key be used as that secret. none is no signature.
func algorithms() []string { return []string{"RS256", "RS512", "PS256"} }

// Verify checks a token against the keys of its tenant (a JWK set, RFC 7517), its
// issuer, audience and times. It makes every check, so that all that is wrong is
// seen at once.
func Verify(token string, keys []byte, e Expectation) ([]Check, error) {
	t, err := Decode(token)
	if err != nil {
		return nil, err
	}
	checks := []Check{
		checkAlgorithm(t), checkSignature(token, t, keys), checkIssuer(t, e.Issuer), checkAudience(t, e.Audience), checkExpiry(t, e.Now),
	}
	if c, has := checkNotBefore(t, e.Now); has {
		checks = append(checks, c)
	}
	return checks, nil
}

// Failed joins what is wrong; nil where nothing is.
func Failed(checks []Check) error {
	var wrong []error
	for _, c := range checks {
		if c.Err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	return errors.Join(wrong...)
}

func checkAlgorithm(t JWT) Check {
	alg, _ := t.Header["alg"].(string)
	c := Check{Name: "algorithm", Detail: clip(alg)}
	switch {
	case slices.Contains(algorithms(), alg):
	case strings.HasPrefix(alg, "HS"):
		c.Err = errors.New("signed with a secret that is shared, not with the tenant's key: its API must use RS256")
	case strings.EqualFold(alg, "none"), alg == "":
		c.Err = errors.New("not signed at all")
	default:
		c.Err = fmt.Errorf("want %s", strings.Join(algorithms(), ", "))
	}
	return c
}

func checkSignature(token string, t JWT, keys []byte) Check {
	kid, _ := t.Header["kid"].(string)
	c := Check{Name: "signature", Detail: "key " + clip(kid)}
	alg, _ := t.Header["alg"].(string)
	if !slices.Contains(algorithms(), alg) {
		c.Err = errors.New("not looked at, because of the algorithm")
		return c
	}
	set, err := jwk.Parse(keys)
	if err != nil {
		c.Err = errors.New("the tenant's keys cannot be read")
		return c
	}
	key, found := set.LookupKeyID(kid)
	if !found {
		c.Err = errors.New("signed by a key that the tenant does not have (any more)")
		return c
	}
	algorithm, found := jwa.LookupSignatureAlgorithm(alg)
	if !found {
		c.Err = errors.New("the algorithm is not known")
		return c
	}
	if err := forSigning(key, alg); err != nil {
		c.Err = err
		return c
	}
	switch _, err := jws.Verify([]byte(token), jws.WithKey(algorithm, key), jws.WithCritValidation(true)); {
	case err != nil && t.Header["crit"] != nil:
		c.Err = errors.New("its header has what must be understood (crit) and is not, or it does not fit")
	case err != nil:
		c.Err = errors.New("does not fit: the token was altered, or signed by another key")
	}
	return c
}

// forSigning refuses a key that is for something else (RFC 7517, 4.2 and 4.4).
func forSigning(key jwk.Key, alg string) error {
	if use, ok := key.KeyUsage(); ok && use != "sig" {
		return fmt.Errorf("signed by a key that is for %q", clip(use))
	}
	if a, ok := key.Algorithm(); ok && a.String() != alg {
		return fmt.Errorf("signed by a key that is for %s", clip(a.String()))
	}
	return nil
}

func checkIssuer(t JWT, want string) Check {
	c := Check{Name: "issuer", Detail: clip(t.Text("iss"))}
	if t.Text("iss") != want {
		c.Err = fmt.Errorf("want %s", want)
	}
	return c
}

func checkAudience(t JWT, want string) Check {
	c := Check{Name: "audience", Detail: clip(strings.Join(t.Audiences(), ", "))}
	switch {
	case len(t.Audiences()) == 0:
		c.Err = errors.New("it is for no API")
	case want != "" && !slices.Contains(t.Audiences(), want):
		c.Err = fmt.Errorf("want %s", want)
	}
	return c
}

func checkExpiry(t JWT, now time.Time) Check {
	at, ok := t.Time("exp")
	c := Check{Name: "expiry", Detail: at.Format(time.RFC3339)}
	switch {
	case !ok:
		c.Detail, c.Err = "", errors.New("it has none")
	case !now.Before(at.Add(clockSkew)):
		c.Err = fmt.Errorf("it has expired %s ago", now.Sub(at).Round(time.Second))
	}
	return c
}

func checkNotBefore(t JWT, now time.Time) (c Check, has bool) {
	if _, has = t.Claims["nbf"]; !has {
		return c, false
	}
	at, ok := t.Time("nbf")
	c = Check{Name: "not before", Detail: at.Format(time.RFC3339)}
	switch {
	case !ok:
		c.Detail, c.Err = "", errors.New("it is no time")
	case now.Add(clockSkew).Before(at):
		c.Err = fmt.Errorf("it is not valid for another %s", at.Sub(now).Round(time.Second))
	}
	return c, true
}

// Keys returns the public keys by which a tenant signs, as a JWK set. Nobody needs
// a token to ask for them. A nil transport is http.DefaultTransport.
//
// Source: OpenID Connect Discovery 1.0, jwks_uri; Auth0 has it at
// /.well-known/jwks.json of the domain.
func Keys(ctx context.Context, transport http.RoundTripper, domain string) ([]byte, error) {
	keys, err := wellKnown(ctx, transport, domain, "jwks.json")
	if err != nil {
		return nil, fmt.Errorf("get the keys of %s: %w", clip(domain), err)
	}
	return keys, nil
}

// Issuer returns what a tenant calls itself in its tokens: https://DOMAIN/, and of
// a simulated tenant, which has no domain, what it says. See Keys.
func Issuer(ctx context.Context, transport http.RoundTripper, domain string) (string, error) {
	if scheme(domain) == "https" {
		return "https://" + domain + "/", nil
	}
	body, err := wellKnown(ctx, transport, domain, "openid-configuration")
	if err != nil {
		return "", fmt.Errorf("ask %s for its issuer: %w", clip(domain), err)
	}
	var configuration struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal(body, &configuration); err != nil || configuration.Issuer == "" {
		return "", fmt.Errorf("ask %s for its issuer: the answer names none", clip(domain))
	}
	return configuration.Issuer, nil
}

func wellKnown(ctx context.Context, transport http.RoundTripper, domain, name string) ([]byte, error) {
	if err := checkDomain(domain); err != nil {
		return nil, err
	}
	if transport == nil {
		transport = http.DefaultTransport
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme(domain)+"://"+domain+"/.well-known/"+name, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, apiError(response.StatusCode, body)
	}
	return body, nil
}
