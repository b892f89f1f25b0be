package schemas

import (
	"regexp"
	"time"
)

// UsageDimensions are what tokens can be counted by.
var UsageDimensions = []string{"client_id", "audience", "organization_id"}

// UsageFilter asks for the tokens that clients got by their credentials.
type UsageFilter struct {
	Tenant   string
	By       []string // UsageDimensions
	Where    []Condition
	Interval Interval // day or month
	From, To time.Time
	Limit    int // 1 to 10,000 rows
}

// UsageRow counts access tokens of one tenant and interval; Values are in the
// order of UsageFilter.By.
type UsageRow struct {
	Time    time.Time
	Tenant  string
	Values  []string
	BuiltIn bool   // of an API of Auth0's own, see BuiltInAudience
	Issued  uint64 // exchanges that gave a token
	Failed  uint64 // exchanges that gave none
}

// BuiltInAudience matches the audiences of the APIs that Auth0 itself serves,
// under the tenant's own domain: the Management API and its like. Tokens for
// them are not billed.
// https://auth0.com/docs/troubleshoot/customer-support/manage-subscriptions/monitor-subscription-usage
const BuiltInAudience = `^https://[^/]+\.auth0(app)?\.com/(api/v2|userinfo|mfa|me|my-org)/?$`

var builtInAudience = regexp.MustCompile(BuiltInAudience)

// IsBuiltInAudience tells whether an audience is one of Auth0's own APIs.
func IsBuiltInAudience(audience string) bool { return builtInAudience.MatchString(audience) }

// UsagePage holds tokens that clients got by their credentials.
type UsagePage struct {
	Rows      []UsageEntry `json:"rows" doc:"By time, the most tokens first."`
	Billed    UsageTotal   `json:"billed" doc:"All that Auth0 counts for billing, in the rows and beyond limit."`
	BuiltIn   UsageTotal   `json:"built_in" doc:"All for Auth0's own APIs, such as the Management API, which it does not bill."`
	Truncated bool         `json:"truncated" doc:"There are more rows than limit let through: narrow the question, or raise it."`
}

// UsageTotal counts tokens.
type UsageTotal struct {
	Issued uint64 `json:"issued"`
	Failed uint64 `json:"failed" doc:"Exchanges that gave no token."`
}

// UsageEntry counts tokens of one tenant and interval. What was not asked for is
// empty.
type UsageEntry struct {
	Time           time.Time `json:"time" doc:"When the day or the month begins, UTC."`
	Tenant         string    `json:"tenant" example:"acme"`
	ClientID       string    `json:"client_id" example:"invoice-sync"`
	ClientName     string    `json:"client_name" doc:"As it was last logged."`
	Audience       string    `json:"audience" example:"https://api.acme.example/"`
	OrganizationID string    `json:"organization_id"`
	BuiltIn        bool      `json:"built_in" doc:"The audience is an API of Auth0's own: not billed."`
	Issued         uint64    `json:"issued" doc:"Tokens."`
	Failed         uint64    `json:"failed" doc:"Exchanges that gave no token."`
}
