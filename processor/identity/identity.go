// Package identity tells who stands behind an event, a machine or a human, and
// which one. It is a pure function of the log and of what the catalogue says
// of its type: what else is known of an identity (its owner, that it is
// retired, that a user is programmatic, which client fills gaps for this
// program) is joined when it is read.
package identity

import "github.com/m2mwatch/m2mwatch/schemas"

// The reasons: by which signal the kind was told. They are stored with every
// event and never change their meaning.
const (
	ReasonAPIExplorer              = "api_explorer"       // a person copied a token from the dashboard
	ReasonGlobalClient             = "global_client"      // the client that stands for the tenant itself
	ReasonClientCredentials        = "client_credentials" // an application asked for a token of its own
	ReasonAgent                    = "agent"              // an agent got a token, for itself or on behalf of somebody
	ReasonTokenExchange            = "token_exchange"     // an application traded a token for another
	ReasonDelegatedLogin           = "delegated_login"    // somebody acts as another user
	ReasonClientsSubject           = "clients_subject"    // the subject is <client_id>@clients
	ReasonManagementAPIApplication = "management_api_application"
	ReasonDashboard                = "dashboard"
	ReasonManagementAPIToken       = "management_api_token" // by the strategy of the token
	ReasonTokenQuota               = "token_quota"
	ReasonPasswordGrant            = "password_grant" // a program has the user's password
	ReasonDeviceFlow               = "device_flow"    // a person let a device or a command line tool in
	ReasonCIBA                     = "ciba"           // backchannel authentication
	ReasonProvisioning             = "provisioning"   // SCIM, directory sync, import of users
	ReasonCustom                   = "custom"         // a custom event names an application and no person
	ReasonUser                     = "user"
	ReasonNoSignal                 = "no_signal"
)

// Facts is what a log says about its actor, and the catalogue about its type.
// Absent values are empty.
type Facts struct {
	Custom          bool // a custom event; its type means nothing here
	Type            string
	Outcome         schemas.Outcome
	Machine         schemas.MachineClass
	ClientID        string
	ClientName      string
	UserID          string
	Audience        string
	AgentID         string
	ExternalAgentID string
	ActorSubject    string // details.actor.sub
	Strategy        string // strategy, else details.request.auth.strategy
	Subject         string // details.request.auth.subject
	Channel         string // details.request.channel
	AuthUser        bool   // details.request.auth.user is there and not empty
	AuthUserID      string // details.request.auth.user.user_id
}

// row is one line of the table: where it applies, the event is of this kind
// by this reason, and id names who did it.
type row struct {
	reason  string
	kind    schemas.Kind
	applies func(*Facts) bool
	id      func(*Facts) string
}

// table is read from the top; the first row that applies decides. Where a
// token changes hands, who asked for it comes before whom it speaks of; then
// comes what is said of the subject, and last the mere presence of a user. It
// is read only.
//
// A failed exchange may carry any client_id, so only the rows that always did
// (client credentials, the Management API, the quota) name an application by
// it; a new one must not.
var table = [...]row{
	{ReasonAPIExplorer, schemas.KindHuman, apiExplorer, app},
	{ReasonGlobalClient, schemas.KindUnknown, globalClient, app},
	{ReasonClientCredentials, schemas.KindMachine, clientCredentials, credentialsApp},
	{ReasonAgent, schemas.KindMachine, byAgent, agent},
	{ReasonTokenExchange, schemas.KindMachine, exchanged, app},
	{ReasonDelegatedLogin, schemas.KindMachine, delegatedByApplication, actorApp},
	{ReasonDelegatedLogin, schemas.KindHuman, delegatedByUser, actorUser},
	{ReasonClientsSubject, schemas.KindMachine, clientsSubject, subjectApp},
	{ReasonManagementAPIApplication, schemas.KindMachine, managementByApplication, app},
	{ReasonDashboard, schemas.KindHuman, managementByUser, managementUser},
	{ReasonManagementAPIToken, schemas.KindMachine, managementByToken, app},
	{ReasonTokenQuota, schemas.KindMachine, tokenQuota, app},
	{ReasonPasswordGrant, schemas.KindMachine, passwordGrant, user},
	{ReasonDeviceFlow, schemas.KindHuman, deviceFlow, user},
	{ReasonCIBA, schemas.KindMachine, cibaStart, provenApp},
	{ReasonCIBA, schemas.KindHuman, cibaApproval, user},
	{ReasonTokenExchange, schemas.KindMachine, failedExchange, nobody},
	{ReasonProvisioning, schemas.KindMachine, provisioning, provenApp},
	{ReasonUser, schemas.KindHuman, hasUser, user},
}

// customTable is the table of custom events. Who reports one says what it knows
// of the caller's token: a person in user_id, who acts through the application
// in client_id, or that application alone. A failure may carry any client_id and any
// user_id, for the token may be made up.
var customTable = [...]row{
	{ReasonClientsSubject, schemas.KindMachine, clientsSubject, customSubject},
	{ReasonUser, schemas.KindHuman, hasUser, provenUser},
	{ReasonCustom, schemas.KindMachine, hasClient, provenApp},
}

// Classify tells the identity behind an event. A log that gives no signal is
// of unknown kind and names nobody. It keeps no reference to f.
func Classify(f *Facts) schemas.Identity {
	rows := table[:]
	if f.Custom {
		rows = customTable[:]
	}
	for i := range rows {
		if r := &rows[i]; r.applies(f) {
			return schemas.Identity{ID: r.id(f), Kind: r.kind, Reason: r.reason}
		}
	}
	return schemas.Identity{Kind: schemas.KindUnknown, Reason: ReasonNoSignal}
}

// IsManagementAPI reports whether events of this type are calls of the
// Management API.
func IsManagementAPI(eventType string) bool {
	switch eventType {
	case "sapi", "fapi", "mgmt_api_read":
		return true
	}
	return false
}
