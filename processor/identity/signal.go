package identity

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// ChannelAPI and ChannelDashboard are the values of details.request.channel
// that tell a program's call of the Management API from the dashboard's.
const (
	ChannelAPI       = "api"
	ChannelDashboard = "https://manage.auth0.com/"
)

// The names that Auth0 gives to two applications of every tenant. Whoever may
// edit applications can give them to another, so a name decides at most of
// which kind an event is, never whose.
const (
	apiExplorerName  = "API Explorer Application"
	globalClientName = "All Applications"
)

// managementStrategy is the strategy of a token for the Management API, where
// a type says so and not how the call was made (gd_tenant_update).
const managementStrategy = "jwt_api2_internal_token"

// managementPath ends the audience of a tenant's Management API.
const managementPath = "/api/v2/"

// clientsSuffix marks the subject of a token that a machine got for itself.
const clientsSuffix = "@clients"

func (f *Facts) succeeded() bool { return f.Outcome == schemas.OutcomeSuccess }

// clientCredentials is true where an application asked for a token of its own.
// A type that is not known by its code is by its class.
func clientCredentials(f *Facts) bool {
	return f.Type == "seccft" || f.Type == "feccft" || f.Machine == schemas.MachineClassM2M && !tokenQuota(f)
}

// apiExplorer is how the dashboard gives an administrator a token for the
// Management API: the application is the tenant's, the person is not named.
func apiExplorer(f *Facts) bool {
	return f.Type == "seccft" && f.ClientName == apiExplorerName && strings.HasSuffix(f.Audience, managementPath)
}

// globalClient is what the dashboard and the first Management API act
// through: a person or a program, which the log does not tell.
func globalClient(f *Facts) bool {
	if f.ClientName != globalClientName {
		return false
	}
	return f.Type == "seccft" || IsManagementAPI(f.Type) && f.Type != "fapi" && !managementByUser(f)
}

func tokenQuota(f *Facts) bool { return f.Type == "token_quota_consumption_warning" }

func hasUser(f *Facts) bool { return f.UserID != "" }

func hasClient(f *Facts) bool { return f.ClientID != "" }

// byAgent is true where an agent acts without a person: it refreshes or trades
// a token. Where a person logs in to an agent's application the log has the
// agent's id too; there the person acts. An agent's client credentials stay
// its application's: the quota and the Management API name that one alone.
func byAgent(f *Facts) bool {
	if !f.succeeded() || agent(f) == "" {
		return false
	}
	switch f.Machine {
	case schemas.MachineClassRefresh:
		return true
	case schemas.MachineClassCIBA:
		return !isCIBAStart(f)
	case schemas.MachineClassDelegated:
		return !isDelegatedLogin(f.Type)
	}
	return false
}

// isDelegatedLogin reports whether events of this type are the steps of a
// login as another user; the other delegated types trade tokens.
func isDelegatedLogin(eventType string) bool {
	switch eventType {
	case "sdel", "fdel", "sdelsa", "fdelsa", "sdeleacft", "fdeleacft":
		return true
	}
	return false
}

func isExchange(f *Facts) bool {
	return f.Machine == schemas.MachineClassDelegated && !isDelegatedLogin(f.Type)
}

// exchanged is true where an application got a token for another: user_id is
// whom the token speaks of, who may be far away.
func exchanged(f *Facts) bool { return isExchange(f) && f.succeeded() }

func failedExchange(f *Facts) bool { return isExchange(f) && f.Outcome == schemas.OutcomeFailure }

func delegatedByApplication(f *Facts) bool {
	_, ok := subjectClient(f.ActorSubject)
	return ok && isDelegatedLogin(f.Type) && f.succeeded()
}

func delegatedByUser(f *Facts) bool {
	return f.ActorSubject != "" && isDelegatedLogin(f.Type) && f.succeeded()
}

func clientsSubject(f *Facts) bool {
	_, byUserID := subjectClient(f.UserID)
	_, bySubject := subjectClient(f.Subject)
	return byUserID || bySubject
}

// subjectClient is the client in the subject of a machine. In a user's id a
// connection stands before a bar; what follows may end as its owner likes.
func subjectClient(subject string) (clientID string, ok bool) {
	clientID, ok = strings.CutSuffix(subject, clientsSuffix)
	return clientID, ok && !strings.Contains(clientID, "|")
}

func managementByApplication(f *Facts) bool {
	return IsManagementAPI(f.Type) && f.Channel == ChannelAPI && !f.AuthUser
}

func managementByUser(f *Facts) bool {
	return IsManagementAPI(f.Type) && (f.Channel == ChannelDashboard || f.AuthUser)
}

// managementByToken holds for changes that a token of the Management API made,
// where no user is named beside it.
func managementByToken(f *Facts) bool {
	return f.Machine == schemas.MachineClassManagement && f.Strategy == managementStrategy &&
		f.Outcome != schemas.OutcomeFailure && !hasUser(f) && !f.AuthUser
}

// passwordGrant is a login without a page to log in at: what holds the user's
// password is a program. Failures count like successes, by the same user.
func passwordGrant(f *Facts) bool { return f.Machine == schemas.MachineClassPassword }

func deviceFlow(f *Facts) bool { return f.Machine == schemas.MachineClassDevice && hasUser(f) }

func isCIBAStart(f *Facts) bool {
	return f.Type == "ciba_start_succeeded" || f.Type == "ciba_start_failed"
}

// cibaStart is an application that asks for a user, who has done nothing yet;
// in what follows the user has answered.
func cibaStart(f *Facts) bool { return f.Machine == schemas.MachineClassCIBA && isCIBAStart(f) }

func cibaApproval(f *Facts) bool {
	return f.Machine == schemas.MachineClassCIBA && !isCIBAStart(f) && hasUser(f)
}

func provisioning(f *Facts) bool { return f.Machine == schemas.MachineClassProvisioning }

func app(f *Facts) string { return orNobody(schemas.AppID, f.ClientID) }

// provenApp is the application of an event that is no failure: Auth0 knows it.
func provenApp(f *Facts) string {
	if f.Outcome == schemas.OutcomeFailure {
		return ""
	}
	return app(f)
}

// credentialsApp is the application that asked; one that was refused too,
// where the refusal is of a type that this package knows.
func credentialsApp(f *Facts) string {
	if f.Type == "feccft" {
		return app(f)
	}
	return provenApp(f)
}

func user(f *Facts) string { return orNobody(schemas.UserID, f.UserID) }

// provenUser is the user that somebody else than Auth0 knows of.
func provenUser(f *Facts) string {
	if f.Outcome == schemas.OutcomeFailure {
		return ""
	}
	return user(f)
}

func nobody(*Facts) string { return "" }

// agent is known by Auth0's id for it, else by its owner's.
func agent(f *Facts) string {
	if f.AgentID != "" {
		return schemas.AgentID(f.AgentID)
	}
	return orNobody(schemas.AgentID, f.ExternalAgentID)
}

func actorApp(f *Facts) string {
	id, _ := subjectClient(f.ActorSubject)
	return orNobody(schemas.AppID, id)
}

func actorUser(f *Facts) string { return schemas.UserID(f.ActorSubject) }

// subjectApp takes the client from the subject: client_id may name another
// application, one through which the machine acts.
func subjectApp(f *Facts) string {
	id, ok := subjectClient(f.UserID)
	if !ok {
		id, _ = subjectClient(f.Subject)
	}
	return orNobody(schemas.AppID, id)
}

// customSubject is the client in the subject of a token that an API has seen,
// and was not refused.
func customSubject(f *Facts) string {
	if f.Outcome == schemas.OutcomeFailure {
		return ""
	}
	return subjectApp(f)
}

// managementUser prefers the user of the token that made the call to the
// log's user_id.
func managementUser(f *Facts) string {
	if f.AuthUserID != "" {
		return schemas.UserID(f.AuthUserID)
	}
	return user(f)
}

// orNobody keeps an identity without a name from being one.
func orNobody(of func(string) string, id string) string {
	if id == "" {
		return ""
	}
	return of(id)
}
