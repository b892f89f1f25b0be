package auth0

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// Grants of the token endpoint.
const (
	grantClientCredentials = "client_credentials"
	grantPasswordRealm     = "http://auth0.com/oauth/grant-type/password-realm"

	assertionType     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionLifetime = 2 * time.Minute
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Credentials  Credentials
	Audience     string
	Scopes       []string // those asked for; none: all that are granted
	Organization string   // org_…, or ""

	// User asks by the password-realm grant for a token of a user.
	User *UserCredentials
}

// UserCredentials are those of a user in a database connection. They print as
// <credentials>.
type UserCredentials struct {
	Username, Password string
	Realm              string // the connection's name; "": the tenant's default directory
}

// String keeps secrets out of every text.
func (c UserCredentials) String() string { return "<credentials>" }

// GoString keeps them out of %#v.
func (c UserCredentials) GoString() string { return c.String() }

// LogValue keeps them out of a log.
func (c UserCredentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Token is an access token as it was issued. It prints as <token>.
type Token struct {
	AccessToken string    `json:"access_token"`
	Scopes      []string  `json:"scopes,omitempty"` // those granted
	ExpiresAt   time.Time `json:"expires_at"`
}

// String keeps secrets out of every text.
func (t Token) String() string { return "<token>" }

// GoString keeps them out of %#v.
func (t Token) GoString() string { return t.String() }

// LogValue keeps them out of a log.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// renewBefore is how long before its end a token is no longer used: a call made
// with it has to get there.
const renewBefore = time.Minute

func (t Token) usable(now time.Time) bool {
	return t.AccessToken != "" && now.Add(renewBefore).Before(t.ExpiresAt)
}

// RequestToken asks the token endpoint, once, but for the waits of a 429. A
// refusal is an *APIError with the OAuth error as its Code (RFC 6749, 5.2).
func (c *Client) RequestToken(ctx context.Context, r TokenRequest) (Token, error) {
	token, err := c.requestToken(ctx, r)
	if err != nil {
		return Token{}, fmt.Errorf("get a token from %s: %w", c.cfg.Domain, err)
	}
	return token, nil
}

func (c *Client) requestToken(ctx context.Context, r TokenRequest) (Token, error) {
	var waited time.Duration
	for {
		form, err := c.tokenForm(&r) // anew each time: an assertion ends soon
		if err != nil {
			return Token{}, err
		}
		token, wait, err := c.askForToken(ctx, form)
		if wait == 0 {
			return token, err
		}
		waited += wait
		if err := c.waitThrottled(ctx, wait, waited, err); err != nil {
			return Token{}, err
		}
	}
}

// tokenForm is the body of a token request (RFC 6749, 4.4.2; RFC 7523, 2.2).
func (c *Client) tokenForm(r *TokenRequest) (url.Values, error) {
	form := url.Values{"grant_type": {grantClientCredentials}, "audience": {r.Audience}}
	if r.User != nil {
		form.Set("grant_type", grantPasswordRealm)
		form.Set("username", r.User.Username)
		form.Set("password", r.User.Password)
		if r.User.Realm == "" {
			form.Set("grant_type", "password")
		} else {
			form.Set("realm", r.User.Realm)
		}
	}
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(r.Scopes, " "))
	}
	if r.Organization != "" {
		form.Set("organization", r.Organization)
	}
	if r.Credentials.PrivateKey == nil {
		form.Set("client_id", r.Credentials.ClientID)
		form.Set("client_secret", r.Credentials.ClientSecret)
		return form, nil
	}
	assertion, err := c.assertion(r.Credentials.ClientID, r.Credentials.PrivateKey)
	if err != nil {
		return nil, err
	}
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion)
	return form, nil
}

// assertion is a JWT by which an application proves that it has the key. It names
// no key id, as Auth0 tries all of an application's keys.
func (c *Client) assertion(clientID string, key *rsa.PrivateKey) (string, error) {
	now := c.cfg.Now()
	token, err := jwt.NewBuilder().Issuer(clientID).Subject(clientID).Audience([]string{c.issuer()}).
		IssuedAt(now).Expiration(now.Add(assertionLifetime)).JwtID(newID()).Build()
	if err != nil {
		return "", fmt.Errorf("build the client assertion: %w", err)
	}
	token.Options().Enable(jwt.FlattenAudience)
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.RS256(), key))
	if err != nil {
		return "", fmt.Errorf("sign the client assertion: %w", err)
	}
	return string(signed), nil
}

// issuer is what the tenant calls itself, with the slash.
func (c *Client) issuer() string {
	return strings.TrimSuffix(c.cfg.Audience, "api/v2/")
}

// askForToken asks once. A wait above zero says after how long to ask again.
func (c *Client) askForToken(ctx context.Context, form url.Values) (t Token, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return t, 0, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent)
	asked := c.cfg.Now()
	response, err := c.cfg.Transport.RoundTrip(request)
	if err != nil {
		return t, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	switch {
	case err != nil:
		return t, 0, fmt.Errorf("read the answer: %w", err)
	case response.StatusCode == http.StatusTooManyRequests:
		return t, c.waitOf(response.Header), apiError(response.StatusCode, body)
	case response.StatusCode != http.StatusOK:
		return t, 0, apiError(response.StatusCode, body)
	}
	t, err = readToken(body, asked)
	return t, 0, err
}

func readToken(body []byte, asked time.Time) (Token, error) {
	var b struct {
		AccessToken string  `json:"access_token"`
		Scope       string  `json:"scope"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return Token{}, errors.New("the answer is not JSON: is the domain that of an Auth0 tenant?")
	}
	if b.AccessToken == "" {
		return Token{}, errors.New("the answer has no access_token: is the domain that of an Auth0 tenant?")
	}
	if b.Scope == "" { // it need not be told (RFC 6749, 5.1); a JWT tells it itself
		if t, err := Decode(b.AccessToken); err == nil {
			b.Scope, _ = t.Claims["scope"].(string)
		}
	}
	return Token{
		AccessToken: b.AccessToken, Scopes: strings.Fields(b.Scope),
		ExpiresAt: asked.Add(time.Duration(b.ExpiresIn * float64(time.Second))).UTC(),
	}, nil
}
