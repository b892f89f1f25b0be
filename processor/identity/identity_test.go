package identity_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/processor/identity"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestClassifyTellsWhoActed(t *testing.T) {
	t.Parallel()
	const admin = "google-oauth2|1052"
	machine := func(id, reason string) schemas.Identity {
		return schemas.Identity{ID: id, Kind: schemas.KindMachine, Reason: reason}
	}
	human := func(id, reason string) schemas.Identity {
		return schemas.Identity{ID: id, Kind: schemas.KindHuman, Reason: reason}
	}
	nobody := schemas.Identity{Kind: schemas.KindUnknown, Reason: "no_signal"}
	for _, tt := range []struct {
		name string
		f    identity.Facts
		want schemas.Identity
	}{
		{"token issued", identity.Facts{Type: "seccft", ClientID: "abc"}, machine("app:abc", "client_credentials")},
		{"token refused", identity.Facts{Type: "feccft", ClientID: "abc"}, machine("app:abc", "client_credentials")},
		{"token refused, no client named", identity.Facts{Type: "feccft"}, machine("", "client_credentials")},
		{"token issued, user_id names the machine", identity.Facts{Type: "seccft", ClientID: "abc", UserID: "abc@clients"}, machine("app:abc", "client_credentials")},
		{"user_id is a machine subject", identity.Facts{Type: "gd_tenant_update", UserID: "abc@clients"}, machine("app:abc", "clients_subject")},
		{"token subject is a machine subject", identity.Facts{Type: "gd_tenant_update", Subject: "abc@clients"}, machine("app:abc", "clients_subject")},
		{"the subject, not client_id, acts", identity.Facts{Type: "s", ClientID: "other", UserID: "abc@clients"}, machine("app:abc", "clients_subject")},
		{"subject of no client", identity.Facts{Type: "s", UserID: "@clients"}, machine("", "clients_subject")},
		{"suffix inside a user id", identity.Facts{Type: "s", UserID: "abc@clients.example.com"}, human("user:abc@clients.example.com", "user")},
		{"user whose id ends like a subject", identity.Facts{Type: "s", UserID: "auth0|x@clients"}, human("user:auth0|x@clients", "user")},
		{"user's token whose subject ends like a machine's", identity.Facts{Type: "s", UserID: "auth0|1", Subject: "auth0|x@clients"}, human("user:auth0|1", "user")},
		{"machine's subject beside such a user", identity.Facts{Type: "s", UserID: "auth0|x@clients", Subject: "abc@clients"}, machine("app:abc", "clients_subject")},
		{"application writes", identity.Facts{Type: "sapi", ClientID: "abc", Channel: "api"}, machine("app:abc", "management_api_application")},
		{"application reads a secret", identity.Facts{Type: "mgmt_api_read", ClientID: "abc", Channel: "api"}, machine("app:abc", "management_api_application")},
		{"application is refused", identity.Facts{Type: "fapi", ClientID: "abc", Channel: "api"}, machine("app:abc", "management_api_application")},
		{"user's token through the API", identity.Facts{Type: "sapi", ClientID: "abc", Channel: "api", AuthUser: true, AuthUserID: admin}, human("user:"+admin, "dashboard")},
		{"user without an id", identity.Facts{Type: "sapi", ClientID: "abc", Channel: "api", AuthUser: true}, human("", "dashboard")},
		{"dashboard", identity.Facts{Type: "sapi", ClientID: "dash", Channel: identity.ChannelDashboard, AuthUser: true, AuthUserID: admin, UserID: admin}, human("user:"+admin, "dashboard")},
		{"dashboard, user in user_id alone", identity.Facts{Type: "sapi", ClientID: "dash", Channel: identity.ChannelDashboard, UserID: admin}, human("user:"+admin, "dashboard")},
		{"dashboard, nobody named", identity.Facts{Type: "sapi", ClientID: "dash", Channel: identity.ChannelDashboard}, human("", "dashboard")},
		{"management call without a channel", identity.Facts{Type: "sapi", ClientID: "abc"}, nobody},
		{"channel of another type", identity.Facts{Type: "fcoa", ClientID: "abc", Channel: "api"}, nobody},
		{"quota of a client", identity.Facts{Type: "token_quota_consumption_warning", ClientID: "abc"}, machine("app:abc", "token_quota")},
		{"quota of an organization", identity.Facts{Type: "token_quota_consumption_warning"}, machine("", "token_quota")},
		{"login", identity.Facts{Type: "s", ClientID: "abc", UserID: "auth0|1"}, human("user:auth0|1", "user")},
		{"unknown type with a user", identity.Facts{Type: "brand_new", UserID: "auth0|1"}, human("user:auth0|1", "user")},
		{"failed login of nobody", identity.Facts{Type: "fu", ClientID: "abc"}, nobody},
		{"nothing", identity.Facts{}, nobody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, identity.Classify(&tt.f)); diff != "" {
				t.Errorf("Classify (-want +got):\n%s", diff)
			}
		})
	}
}
