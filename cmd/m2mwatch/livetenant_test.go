//go:build live

package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// TestLive does in a development tenant what the commands can do, and in the
// simulated one, and tells where they disagree. See the README, and make test-live.
func TestLive(t *testing.T) {
	env := func(name string) string { return os.Getenv("AUTH0_LIVE_" + name) }
	if env("DOMAIN") == "" || env("CLIENT_ID") == "" || env("CLIENT_SECRET") == "" || env("TRANSCRIPT") == "" {
		t.Fatal("there is no tenant to compare with: make test-live, with AUTH0_LIVE_DOMAIN, AUTH0_LIVE_CLIENT_ID and AUTH0_LIVE_CLIENT_SECRET of a development tenant")
	}
	prefix := livePrefixOfRun()
	live := newLiveSide(t, "live", prefix, env("DOMAIN"), auth0.Credentials{ClientID: env("CLIENT_ID"), ClientSecret: env("CLIENT_SECRET")}, http.DefaultTransport)
	scopes, err := live.scopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if missing := provision.Missing(scopes, allScopes()); len(missing) > 0 {
		t.Logf("the application lacks %q: commands that need them are refused", missing)
	}
	simulated := simulatedSide(t, "simulated", prefix, auth0sim.Config{Seed: 1, Machines: 2, People: 1}, scopes)
	r := compareLive(t, live, simulated, liveSteps())
	t.Log(live.said.String() + simulated.said.String())
	for _, d := range r.disagreements {
		t.Log(d)
	}
	for _, line := range r.failed {
		t.Errorf("did well in the simulated tenant alone: %s", line)
	}
	t.Logf("seen live: %d of %d commands\n%s", len(r.seen), len(liveSteps()), strings.Join(r.seen, "\n"))
	t.Logf("%d calls compared, %d disagreements", r.calls, len(r.disagreements))
	if r.transcript != nil {
		if err := os.WriteFile(env("TRANSCRIPT"), r.transcript, 0o600); err != nil {
			t.Error(err)
		}
		t.Logf("what was said, without secrets: %s", env("TRANSCRIPT"))
	}
}
