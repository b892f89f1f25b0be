package httpserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/labstack/echo/v4"
)

// Tokens knows who may ask. Allowed must take the same time for every token
// that it refuses, and may be called concurrently.
type Tokens interface {
	Allowed(token string) (name string, ok bool)
}

// Token is one token that is accepted. Hash is the SHA-256 of it, which is all
// that is ever kept: a token is random, so a plain hash cannot be guessed.
type Token struct {
	Name string
	Hash [sha256.Size]byte
}

// NewToken hashes a token.
func NewToken(name, token string) Token {
	return Token{Name: name, Hash: sha256.Sum256([]byte(token))}
}

// TokenSet is a set of tokens that can be replaced while it is in use. The
// zero value refuses every token.
type TokenSet struct {
	tokens atomic.Pointer[[]Token]
}

// Replace makes tokens the ones that are accepted from now on.
func (s *TokenSet) Replace(tokens []Token) {
	own := append([]Token(nil), tokens...)
	s.tokens.Store(&own)
}

// Allowed compares token to every token of the set, in constant time.
func (s *TokenSet) Allowed(token string) (name string, ok bool) {
	tokens := s.tokens.Load()
	if tokens == nil {
		return "", false
	}
	hash := sha256.Sum256([]byte(token))
	for i := range *tokens {
		t := &(*tokens)[i]
		if subtle.ConstantTimeCompare(hash[:], t.Hash[:]) == 1 {
			name, ok = t.Name, true
		}
	}
	return name, ok
}

// RequireToken refuses requests without a bearer token of tokens. A server on
// a socket that the file system guards leaves it out.
func RequireToken(tokens Tokens) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token, given := bearer(c.Request())
			name, ok := tokens.Allowed(token)
			if !given || !ok {
				return refuseToken(c, given)
			}
			c.Set(tokenKey, name)
			return next(c)
		}
	}
}

func bearer(r *http.Request) (token string, given bool) {
	scheme, token, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}

func refuseToken(c echo.Context, given bool) error {
	challenge, e := `Bearer realm="m2mwatch"`, &Error{
		Status: http.StatusUnauthorized, Code: "token_missing",
		Message: "This needs a token: send the header Authorization: Bearer <token>.",
	}
	if given {
		challenge += `, error="invalid_token"`
		e.Code, e.Message = "token_invalid", "The token is not one of those that are accepted here."
	}
	c.Response().Header().Set(echo.HeaderWWWAuthenticate, challenge)
	return e
}
