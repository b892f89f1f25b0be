package processor

import (
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// causesByText tells the causes of a failed token request apart by the
// description of its log. Auth0 documents none of these texts; they are those
// of real logs, of its SDKs' issues and of its quota documentation
// (fine-grained-m2m-token-quotas). The first that is in the description, in
// any case of letters, decides.
var causesByText = [...]struct {
	text  string
	cause schemas.Cause
}{
	{"client quota exceeded", schemas.CauseClientQuota},
	{"organization quota exceeded", schemas.CauseOrgQuota},
	{"failed client authentication", schemas.CauseAssertion},
	{"client_assertion", schemas.CauseAssertion},
	{"client assertion", schemas.CauseAssertion},
	{"service not enabled within domain", schemas.CauseAudience},
	{"service not found", schemas.CauseAudience},
	{"not allowed for the client", schemas.CauseGrantType},
	{"client is not authorized to access", schemas.CauseMissingGrant},
	{"client-grant", schemas.CauseMissingGrant},
	{"client has not been granted scopes", schemas.CauseScope},
	{"wrong email or password", schemas.CauseUserCredentials},
	{"invalid user or password", schemas.CauseUserCredentials},
	{"too many requests", schemas.CauseRateLimit},
	{"rate limit", schemas.CauseRateLimit},
}

// failureCause tells why an event of this type failed. clientAuth says that
// details hold an error of the client's authentication, which private_key_jwt
// and mTLS leave. A text that nobody knows is another cause: it may be what an
// Action gave to api.access.deny(), or new.
func failureCause(eventType, description string, clientAuth bool) schemas.Cause {
	if clientAuth {
		return schemas.CauseAssertion
	}
	description = strings.ToLower(strings.TrimSpace(description))
	for _, c := range causesByText {
		if strings.Contains(description, c.text) {
			return c.cause
		}
	}
	switch eventType {
	case "fp", "fu": // failed logins: wrong password, unknown user
		return schemas.CauseUserCredentials
	case "feccft":
		if description == "unauthorized" || description == "access_denied" || description == "invalid_client" {
			return schemas.CauseCredentials
		}
	}
	return schemas.CauseOther
}
