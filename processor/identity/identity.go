// Package identity tells who stands behind an event, a machine or a human, and
// which one. It is a pure function of the log: what else is known of an
// identity (its owner, that it is retired, that a user is programmatic) is
// joined when it is read.
package identity

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The reasons: by which signal the kind was told. They are stored with every
// event and never change their meaning.
const (
	ReasonClientCredentials        = "client_credentials"
	ReasonClientsSubject           = "clients_subject"
	ReasonManagementAPIApplication = "management_api_application"
	ReasonDashboard                = "dashboard"
	ReasonTokenQuota               = "token_quota"
	ReasonUser                     = "user"
	ReasonNoSignal                 = "no_signal"
)

// ChannelAPI and ChannelDashboard are the values of details.request.channel
// that tell a program's call of the Management API from the dashboard's.
const (
	ChannelAPI       = "api"
	ChannelDashboard = "https://manage.auth0.com/"
)

// clientsSuffix marks the subject of a token that a machine got for itself.
const clientsSuffix = "@clients"

// Facts is what a log says about its actor. Absent values are empty.
type Facts struct {
	Type       string
	ClientID   string
	ClientName string
	UserID     string
	Subject    string // details.request.auth.subject
	Channel    string // details.request.channel
	AuthUser   bool   // details.request.auth.user is there and not empty
	AuthUserID string // details.request.auth.user.user_id
}

// row is one line of the table: where it applies, the event is of this kind
// by this reason, and id names who did it.
type row struct {
	reason  string
	kind    schemas.Kind
	applies func(*Facts) bool
	id      func(*Facts) string
}

// table is read from the top; the first row that applies decides. What is said
// of the type comes before what is said of the subject, and both before the
// mere presence of a user. It is read only.
var table = [...]row{
	{ReasonClientCredentials, schemas.KindMachine, clientCredentials, app},
	{ReasonClientsSubject, schemas.KindMachine, clientsSubject, subjectApp},
	{ReasonManagementAPIApplication, schemas.KindMachine, managementByApplication, app},
	{ReasonDashboard, schemas.KindHuman, managementByUser, managementUser},
	{ReasonTokenQuota, schemas.KindMachine, tokenQuota, app},
	{ReasonUser, schemas.KindHuman, hasUser, user},
}

// Classify tells the identity behind an event. A log that gives no signal is
// of unknown kind and names nobody. It keeps no reference to f.
func Classify(f *Facts) schemas.Identity {
	for i := range table {
		if r := &table[i]; r.applies(f) {
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

func clientCredentials(f *Facts) bool { return f.Type == "seccft" || f.Type == "feccft" }

func tokenQuota(f *Facts) bool { return f.Type == "token_quota_consumption_warning" }

func hasUser(f *Facts) bool { return f.UserID != "" }

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

func app(f *Facts) string { return orNobody(schemas.AppID, f.ClientID) }

func user(f *Facts) string { return orNobody(schemas.UserID, f.UserID) }

// subjectApp takes the client from the subject: client_id may name another
// application, one through which the machine acts.
func subjectApp(f *Facts) string {
	id, ok := subjectClient(f.UserID)
	if !ok {
		id, _ = subjectClient(f.Subject)
	}
	return orNobody(schemas.AppID, id)
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
