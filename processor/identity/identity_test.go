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
	unknown := func(id, reason string) schemas.Identity {
		return schemas.Identity{ID: id, Kind: schemas.KindUnknown, Reason: reason}
	}
	const success, failure, delegated = schemas.OutcomeSuccess, schemas.OutcomeFailure, schemas.MachineClassDelegated
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

		{"API Explorer", identity.Facts{Type: "seccft", ClientID: "abc", ClientName: "API Explorer Application", Audience: "https://acme.eu.auth0.com/api/v2/"}, human("app:abc", "api_explorer")},
		{"its name, for an API of one's own", identity.Facts{Type: "seccft", ClientID: "abc", ClientName: "API Explorer Application", Audience: "https://api.example.com/"}, machine("app:abc", "client_credentials")},
		{"its name, refused", identity.Facts{Type: "feccft", ClientID: "abc", ClientName: "API Explorer Application", Audience: "https://acme.eu.auth0.com/api/v2/"}, machine("app:abc", "client_credentials")},
		{"its name, calling", identity.Facts{Type: "sapi", ClientID: "abc", ClientName: "API Explorer Application", Channel: "api"}, machine("app:abc", "management_api_application")},
		{"global client's token", identity.Facts{Type: "seccft", ClientID: "abc", ClientName: "All Applications"}, unknown("app:abc", "global_client")},
		{"global client's call", identity.Facts{Type: "sapi", ClientID: "abc", ClientName: "All Applications", Channel: "api"}, unknown("app:abc", "global_client")},
		{"global client as the dashboard", identity.Facts{Type: "sapi", ClientID: "abc", ClientName: "All Applications", Channel: identity.ChannelDashboard, AuthUserID: admin, AuthUser: true}, human("user:"+admin, "dashboard")},
		{"global client's name, refused", identity.Facts{Type: "feccft", ClientID: "abc", ClientName: "All Applications"}, machine("app:abc", "client_credentials")},

		{"agent's client credentials", identity.Facts{Type: "seccft", Outcome: success, Machine: schemas.MachineClassM2M, ClientID: "abc", AgentID: "agt"}, machine("app:abc", "client_credentials")},
		{"agent refreshes", identity.Facts{Type: "sertft", Outcome: success, Machine: schemas.MachineClassRefresh, ClientID: "abc", UserID: "auth0|1", AgentID: "agt"}, machine("agent:agt", "agent")},
		{"user refreshes", identity.Facts{Type: "sertft", Outcome: success, Machine: schemas.MachineClassRefresh, ClientID: "abc", UserID: "auth0|1"}, human("user:auth0|1", "user")},
		{"agent for a user", identity.Facts{Type: "success_on_behalf_of_token_exchange", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "auth0|1", AgentID: "agt", ExternalAgentID: "ours"}, machine("agent:agt", "agent")},
		{"agent known by its owner's id", identity.Facts{Type: "secte", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "auth0|1", ExternalAgentID: "ours"}, machine("agent:ours", "agent")},
		{"agent for itself", identity.Facts{Type: "secte", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "abc@clients", AgentID: "agt"}, machine("agent:agt", "agent")},
		{"agent refused", identity.Facts{Type: "fecte", Outcome: failure, Machine: delegated, ClientID: "made-up", UserID: "auth0|1", AgentID: "made-up"}, machine("", "token_exchange")},
		{"user logs in to an agent", identity.Facts{Type: "s", Outcome: success, ClientID: "abc", UserID: "auth0|1", AgentID: "agt"}, human("user:auth0|1", "user")},
		{"agent of an unknown type", identity.Facts{Type: "brand_new", Outcome: schemas.OutcomeUnknown, UserID: "auth0|1", AgentID: "agt"}, human("user:auth0|1", "user")},

		{"exchange for a user", identity.Facts{Type: "secte", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "auth0|1", ActorSubject: "any"}, machine("app:abc", "token_exchange")},
		{"exchange for another machine", identity.Facts{Type: "secte", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "other@clients"}, machine("app:abc", "token_exchange")},
		{"exchange by no client", identity.Facts{Type: "secte", Outcome: success, Machine: delegated, UserID: "auth0|1"}, machine("", "token_exchange")},
		{"exchange refused", identity.Facts{Type: "fecte", Outcome: failure, Machine: delegated, ClientID: "made-up"}, machine("", "token_exchange")},
		{"assertion refused, subject a machine", identity.Facts{Type: "jwt_bearer_exchange_failed", Outcome: failure, Machine: delegated, ClientID: "made-up", UserID: "abc@clients"}, machine("app:abc", "clients_subject")},

		{"login as another user", identity.Facts{Type: "sdel", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "auth0|1", ActorSubject: "auth0|2"}, human("user:auth0|2", "delegated_login")},
		{"login as another user by a machine", identity.Facts{Type: "sdel", Outcome: success, Machine: delegated, ClientID: "abc", UserID: "auth0|1", ActorSubject: "bot@clients"}, machine("app:bot", "delegated_login")},
		{"actor whose id ends like a subject", identity.Facts{Type: "sdel", Outcome: success, Machine: delegated, UserID: "auth0|1", ActorSubject: "auth0|x@clients"}, human("user:auth0|x@clients", "delegated_login")},
		{"login as another user, actor not named", identity.Facts{Type: "sdelsa", Outcome: success, Machine: delegated, UserID: "auth0|1"}, human("user:auth0|1", "user")},
		{"login as another user fails", identity.Facts{Type: "fdeleacft", Outcome: failure, Machine: delegated, UserID: "auth0|1", ActorSubject: "auth0|2", ClientID: "made-up"}, human("user:auth0|1", "user")},

		{"guardian's change by a token", identity.Facts{Type: "gd_tenant_update", Outcome: schemas.OutcomeInfo, Machine: schemas.MachineClassManagement, Strategy: "jwt_api2_internal_token"}, machine("", "management_api_token")},
		{"guardian's change by an application's token", identity.Facts{Type: "gd_tenant_update", Outcome: schemas.OutcomeInfo, Machine: schemas.MachineClassManagement, Strategy: "jwt_api2_internal_token", ClientID: "abc"}, machine("app:abc", "management_api_token")},
		{"guardian's change by a user", identity.Facts{Type: "gd_tenant_update", Outcome: schemas.OutcomeInfo, Machine: schemas.MachineClassManagement, Strategy: "jwt_api2_internal_token", UserID: admin}, human("user:"+admin, "user")},
		{"login by such a strategy", identity.Facts{Type: "s", Outcome: success, Strategy: "jwt_api2_internal_token", ClientID: "abc"}, nobody},

		{"password grant", identity.Facts{Type: "sepft", Outcome: success, Machine: schemas.MachineClassPassword, ClientID: "abc", UserID: "auth0|1"}, machine("user:auth0|1", "password_grant")},
		{"password grant refused", identity.Facts{Type: "fepft", Outcome: failure, Machine: schemas.MachineClassPassword, ClientID: "made-up", UserID: "auth0|1"}, machine("user:auth0|1", "password_grant")},
		{"password grant for nobody", identity.Facts{Type: "fepft", Outcome: failure, Machine: schemas.MachineClassPassword, ClientID: "made-up"}, machine("", "password_grant")},

		{"device let in", identity.Facts{Type: "sede", Outcome: success, Machine: schemas.MachineClassDevice, ClientID: "abc", UserID: "auth0|1", AgentID: "agt"}, human("user:auth0|1", "device_flow")},
		{"device asks", identity.Facts{Type: "fdeaz", Outcome: failure, Machine: schemas.MachineClassDevice, ClientID: "made-up"}, nobody},
		{"backchannel asks for a user", identity.Facts{Type: "ciba_start_succeeded", Outcome: success, Machine: schemas.MachineClassCIBA, ClientID: "abc", UserID: "auth0|1"}, machine("app:abc", "ciba")},
		{"backchannel is refused", identity.Facts{Type: "ciba_start_failed", Outcome: failure, Machine: schemas.MachineClassCIBA, ClientID: "made-up", UserID: "auth0|1"}, machine("", "ciba")},
		{"user answers", identity.Facts{Type: "ciba_exchange_succeeded", Outcome: success, Machine: schemas.MachineClassCIBA, ClientID: "abc", UserID: "auth0|1"}, human("user:auth0|1", "ciba")},
		{"user answers an agent", identity.Facts{Type: "ciba_exchange_succeeded", Outcome: success, Machine: schemas.MachineClassCIBA, ClientID: "abc", UserID: "auth0|1", AgentID: "agt"}, machine("agent:agt", "agent")},
		{"user does not answer", identity.Facts{Type: "ciba_exchange_failed", Outcome: failure, Machine: schemas.MachineClassCIBA, ClientID: "made-up"}, nobody},

		{"SCIM", identity.Facts{Type: "sscim", Outcome: success, Machine: schemas.MachineClassProvisioning, ClientID: "abc"}, machine("app:abc", "provisioning")},
		{"SCIM fails", identity.Facts{Type: "fscim", Outcome: failure, Machine: schemas.MachineClassProvisioning, ClientID: "made-up"}, machine("", "provisioning")},
		{"directory sync", identity.Facts{Type: "directory_sync_started", Outcome: schemas.OutcomeInfo, Machine: schemas.MachineClassProvisioning}, machine("", "provisioning")},

		{"new type of token request", identity.Facts{Type: "brand_new", Outcome: success, Machine: schemas.MachineClassM2M, ClientID: "abc"}, machine("app:abc", "client_credentials")},
		{"new type of refused token request", identity.Facts{Type: "brand_new", Outcome: failure, Machine: schemas.MachineClassM2M, ClientID: "made-up"}, machine("", "client_credentials")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, identity.Classify(&tt.f)); diff != "" {
				t.Errorf("Classify (-want +got):\n%s", diff)
			}
		})
	}
}
