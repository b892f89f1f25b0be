package auth0_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
)

func TestReadOnlyRefusesWhatChangesOrOpensATenant(t *testing.T) {
	if err := auth0.ReadOnly([]string{"read:logs", "read:clients", "read:client_grants"}); err != nil {
		t.Error(err)
	}
	if err := auth0.ReadOnly(nil); err != nil {
		t.Error(err)
	}
	for _, scope := range []string{"update:clients", "create:users", "delete:client_grants", "read:client_keys", "read:user_idp_tokens", "blacklist:tokens", "odd"} {
		err := auth0.ReadOnly([]string{"read:logs", scope})
		if !errors.Is(err, auth0.ErrNotReadOnly) || !strings.HasSuffix(err.Error(), ": "+scope) {
			t.Errorf("%s: got %v", scope, err)
		}
	}
}

// A token that must not be used is asked for again when somebody may have mended
// it, and never used.
func TestATokenThatMayDoMoreIsNeverUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &tenant{t: t, answers: []answer{ok(`{}`)}}
		scope := "read:logs update:clients"
		s.tokenDo = func(w http.ResponseWriter, _ *http.Request) {
			s.tokens++
			fmt.Fprintf(w, `{"access_token":"token-%d","scope":%q,"expires_in":86400}`, s.tokens, scope)
		}
		client := s.client(func(c *auth0.Config) { c.Accept, c.CacheDir = auth0.ReadOnly, t.TempDir() })
		for range 3 {
			if _, err := client.Get(t.Context(), auth0.Path{"clients"}, nil); !errors.Is(err, auth0.ErrNotReadOnly) {
				t.Errorf("got %v", err)
			}
		}
		if s.tokens != 1 || len(s.calls) != 0 {
			t.Errorf("%d tokens and %q, want one token that is not used", s.tokens, s.calls)
		}
		scope = "read:logs"
		time.Sleep(11 * time.Minute)
		if _, err := client.Get(t.Context(), auth0.Path{"clients"}, nil); err != nil {
			t.Errorf("after it was mended: %v", err)
		}
	})
}
