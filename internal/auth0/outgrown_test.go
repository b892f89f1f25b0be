package auth0_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

// grants is a tenant whose tokens have the scopes that are granted now.
func grants(s *tenant, scope *string) {
	s.tokenDo = func(w http.ResponseWriter, _ *http.Request) {
		s.tokens++
		fmt.Fprintf(w, `{"access_token":"token-%d","scope":%q,"expires_in":86400}`, s.tokens, *scope)
	}
}

var lacking = answer{status: http.StatusForbidden, body: `{"statusCode":403,"error":"Forbidden","message":"Insufficient scope, expected any of: read:logs","errorCode":"insufficient_scope"}`}

// A scope that is granted later is found without a restart, and one that never is
// costs no token at each call.
func TestAScopeThatIsGrantedLaterIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scope := "read:clients"
		s := &tenant{t: t, answers: []answer{lacking}}
		grants(s, &scope)
		client := s.client()
		get := func() error {
			_, err := client.Get(t.Context(), auth0.Path{"logs"}, nil)
			return err
		}
		for range 5 {
			if err := get(); len(auth0.MissingScopes(err)) == 0 {
				t.Errorf("got %v", err)
			}
		}
		if s.tokens != 1 {
			t.Errorf("%d tokens for five calls", s.tokens)
		}
		time.Sleep(11 * time.Minute)
		s.answers = []answer{lacking, ok(`[]`)}
		if err := get(); err != nil || s.tokens != 2 {
			t.Errorf("after it was granted: %v, with %d tokens", err, s.tokens)
		}
	})
}

// A token of a grant that has been narrowed since must not keep a server from
// starting for a day.
func TestAKeptTokenThatMayDoMoreIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scope, cache := "read:logs update:clients", t.TempDir()
		s := &tenant{t: t, answers: []answer{ok(`{}`)}}
		grants(s, &scope)
		if _, err := s.client(func(c *auth0.Config) { c.CacheDir = cache }).Scopes(t.Context()); err != nil {
			t.Fatal(err)
		}
		readOnly := func(c *auth0.Config) { c.CacheDir, c.Accept = cache, auth0.ReadOnly }
		if _, err := s.client(readOnly).Scopes(t.Context()); !errors.Is(err, auth0.ErrNotReadOnly) {
			t.Errorf("got %v", err)
		}
		scope = "read:logs"
		if scopes, err := s.client(readOnly).Scopes(t.Context()); err != nil || len(scopes) != 1 {
			t.Errorf("after it was narrowed: %q, %v", scopes, err)
		}
	})
}

// An answer need not say what it grants (RFC 6749, 5.1): the token does.
func TestScopesThatOnlyTheTokenTellsAreRead(t *testing.T) {
	s := &tenant{t: t, answers: []answer{ok(`{}`)}}
	s.tokenDo = func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"eyJhbGciOiJub25lIn0.eyJzY29wZSI6InVwZGF0ZTpjbGllbnRzIn0.","expires_in":86400}`)
	}
	_, err := s.client(func(c *auth0.Config) { c.Accept = auth0.ReadOnly }).Scopes(t.Context())
	if !errors.Is(err, auth0.ErrNotReadOnly) {
		t.Errorf("a token with update:clients: %v", err)
	}
}
