package identity_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/identity"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// signals are what a log may hold beside its type. Every log has a client id.
var signals = []struct {
	name string
	set  func(*identity.Facts)
}{
	{"none", func(*identity.Facts) {}},
	{"user", func(f *identity.Facts) { f.UserID = "auth0|user" }},
	{"machine_subject", func(f *identity.Facts) { f.UserID = "subject@clients" }},
	{"token_subject", func(f *identity.Facts) { f.Subject = "subject@clients" }},
	{"agent", func(f *identity.Facts) { f.UserID, f.AgentID = "auth0|user", "agent" }},
	{"actor", func(f *identity.Facts) { f.UserID, f.ActorSubject = "auth0|user", "auth0|actor" }},
	{"machine_actor", func(f *identity.Facts) { f.UserID, f.ActorSubject = "auth0|user", "actor@clients" }},
	{"api_channel", func(f *identity.Facts) { f.Channel = identity.ChannelAPI }},
	{"api_channel_user", func(f *identity.Facts) {
		f.Channel, f.AuthUser, f.AuthUserID = identity.ChannelAPI, true, "auth0|admin"
	}},
	{"dashboard", func(f *identity.Facts) {
		f.Channel, f.AuthUser, f.AuthUserID = identity.ChannelDashboard, true, "auth0|admin"
	}},
	{"management_token", func(f *identity.Facts) { f.Strategy = "jwt_api2_internal_token" }},
	{"api_explorer", func(f *identity.Facts) {
		f.ClientName, f.Audience = "API Explorer Application", "https://acme.eu.auth0.com/api/v2/"
	}},
	{"global_client", func(f *identity.Facts) { f.ClientName = "All Applications" }},
}

// TestEveryTypeIsClassifiedAsReviewed holds each type of the catalogue, and one
// that is not in it, with each signal against a file that was read line by
// line.
func TestEveryTypeIsClassifiedAsReviewed(t *testing.T) {
	t.Parallel()
	types := append(schemas.EventTypes().All(), schemas.EventType{Code: "brand_new", Outcome: schemas.OutcomeUnknown})
	var got strings.Builder
	got.WriteString("type\toutcome\tmachine\tsignal\tkind\tidentity\treason\n")
	for _, et := range types {
		for _, signal := range signals {
			f := identity.Facts{Type: et.Code, Outcome: et.Outcome, Machine: et.Machine, ClientID: "client"}
			signal.set(&f)
			id := identity.Classify(&f)
			fmt.Fprintln(&got, strings.Join([]string{
				et.Code, string(et.Outcome), string(et.Machine), signal.name, string(id.Kind), id.ID, id.Reason,
			}, "\t"))
		}
	}
	const path = "testdata/types.tsv"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("%s, to be rewritten with -update (-want +got):\n%s", path, diff)
	}
}

// TestAFailureNamesOnlyWhatItAlwaysDid: whoever fails may have made up every
// id in the log but those that Auth0 looked up.
func TestAFailureNamesOnlyWhatItAlwaysDid(t *testing.T) {
	t.Parallel()
	for _, et := range schemas.EventTypes().All() {
		if et.Outcome != schemas.OutcomeFailure || et.Code == "feccft" || et.Code == "fapi" {
			continue
		}
		id := identity.Classify(&identity.Facts{
			Type: et.Code, Outcome: et.Outcome, Machine: et.Machine, ClientID: "made-up", ClientName: "All Applications",
			AgentID: "made-up", ExternalAgentID: "made-up", ActorSubject: "made-up@clients", Strategy: "jwt_api2_internal_token",
			Channel: identity.ChannelAPI, Audience: "https://acme.eu.auth0.com/api/v2/",
		})
		if id.ID != "" {
			t.Errorf("%s: %+v, want nobody", et.Code, id)
		}
	}
}
