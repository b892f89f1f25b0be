package schemas

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// IdentityFilter narrows a listing of identities, the last seen first. Zero
// values do not narrow. Machines of the inventory that were not seen come last,
// where Where is on identity, identity_kind and client_id alone: all else is said
// of events.
type IdentityFilter struct {
	Tenant   string
	Where    []Condition
	From, To time.Time // of the events that are looked at
	// Known leaves out whoever never succeeded, in all that is stored, and is not in
	// the inventory: anyone can fail with any client id.
	Known bool
	Owner *Condition // on the inventory's owner; nil does not narrow
	Facts []Fact
	// UnusedSince leaves out whoever was seen from then on; zero leaves out nobody.
	UnusedSince time.Time
	// Deleted has those come, too, that are in the inventory as deleted and were not
	// seen.
	Deleted bool
	Limit   int // 1 to 1000
	After   *IdentityCursor
}

// Fact is something that the inventory has of an identity, or has not.
type Fact struct {
	Name FactName
	Not  bool
}

// FactName names a fact.
type FactName string

// The facts.
const (
	FactInventory   FactName = "inventory" // it is there, and not deleted
	FactOwner       FactName = "owner"
	FactGrants      FactName = "grants"
	FactCredentials FactName = "credentials"
)

// ParseFacts reads facts with commas between them, each with ! before it where it
// is not to be. No text is no facts.
func ParseFacts(text string) ([]Fact, error) {
	if text == "" {
		return nil, nil
	}
	known := []FactName{FactInventory, FactOwner, FactGrants, FactCredentials}
	var facts []Fact
	for word := range strings.SplitSeq(text, ",") {
		name, not := strings.CutPrefix(word, "!")
		if !slices.Contains(known, FactName(name)) {
			return nil, fmt.Errorf("has: %q: want inventory, owner, grants or credentials, with ! before it for none", word)
		}
		facts = append(facts, Fact{FactName(name), not})
	}
	return facts, nil
}

// IdentityCursor is the place of an identity in a listing.
type IdentityCursor struct {
	Last   time.Time `json:"t"`
	Tenant string    `json:"n"`
	ID     string    `json:"i"`
}

// IdentityPage is one page of identities, the last seen first.
type IdentityPage struct {
	Identities []IdentitySummary `json:"identities"`
	Next       string            `json:"next,omitempty" doc:"The cursor of the next page; absent at the end. Who is seen again while pages are read moves to the front, where the first page has them."`
}

// IdentitySummary is an identity with what was seen of it in a range of time.
type IdentitySummary struct {
	Tenant   string    `json:"tenant" example:"acme"`
	ID       string    `json:"id" doc:"app:, user: or agent: and an id." example:"app:invoice-sync"`
	Kind     Kind      `json:"kind" enum:"machine,human,unknown" doc:"What its last event took it for, or else the inventory."`
	Name     string    `json:"name" doc:"The inventory's, or else of an application its client's name as it was last logged. Anyone who edits the application chooses it."`
	First    time.Time `json:"first,omitzero" doc:"Of the events in the range; absent where there are none."`
	Last     time.Time `json:"last,omitzero" doc:"Absent where there are none."`
	Count    uint64    `json:"count" doc:"Distinct log_ids."`
	Failures uint64    `json:"failures" doc:"Those of them whose outcome is failure."`

	Inventory *IdentityInventory `json:"inventory,omitempty" doc:"What the tenant has of it; absent where no snapshot has seen it."`
	Warm      bool               `json:"warm,omitzero" doc:"It had 20 successes and a week of history when the day began: what is unusual for it pages from the first day of its tenant on."`
}

// IdentityInventory is what the last snapshot knew of an application or a user.
type IdentityInventory struct {
	Type         string    `json:"type" doc:"The app_type of an application."`
	Owner        string    `json:"owner"`
	Purpose      string    `json:"purpose"`
	Expires      string    `json:"expires" doc:"In its owner's words: a date, or RFC 3339."`
	Created      time.Time `json:"created,omitzero" doc:"Absent where neither Auth0 nor a stored event tells it."`
	Deleted      time.Time `json:"deleted,omitzero" doc:"Absent while it is there."`
	Disabled     bool      `json:"disabled" doc:"An application that could get tokens by client credentials and has no grants, or a user who is blocked."`
	Programmatic bool      `json:"programmatic" doc:"An application that can get tokens by client credentials, or a user who is marked so."`
	AuthMethod   string    `json:"auth_method" doc:"How an application proves who it is."`
	Connection   string    `json:"connection" doc:"Of a user."`
	// SecretRotated is that of schemas.InventoryMembers.
	SecretRotated time.Time            `json:"secret_rotated,omitzero" doc:"When its secret was last replaced, as far as stored events tell."`
	LastSuccess   string               `json:"last_success,omitempty" doc:"The last UTC day, of all that is stored and counted, on which it succeeded at anything." example:"2025-03-14"`
	Grants        []IdentityGrant      `json:"grants"`
	Credentials   []IdentityCredential `json:"credentials" doc:"Keys and certificates; secrets are not among them."`
}

// IdentityGrant is what an application may do with an API.
type IdentityGrant struct {
	ID            string   `json:"id"`
	Audience      string   `json:"audience"`
	Scopes        []string `json:"scopes"`
	AllScopes     bool     `json:"all_scopes" doc:"Whatever scopes the API has."`
	TokenLifetime int64    `json:"token_lifetime" doc:"For how long a token of the API is good, in seconds; 0 where the API is not known."`
}

// IdentityCredential is a key or certificate by which an application proves who it
// is.
type IdentityCredential struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Type    string    `json:"type" example:"public_key"`
	KeyID   string    `json:"kid"`
	Created time.Time `json:"created,omitzero"`
	Expires string    `json:"expires" doc:"RFC 3339; empty where it does not."`
}

// IdentityDetail is an identity with what it did and where from.
type IdentityDetail struct {
	IdentitySummary
	Days             uint64    `json:"days" doc:"UTC days on which it was seen."`
	Types            []Tally   `json:"types" doc:"What it did, by event type."`
	Causes           []Tally   `json:"causes" doc:"Its failures, by cause."`
	Networks         []Seen    `json:"networks"`
	Countries        []Seen    `json:"countries"`
	ASNs             []Seen    `json:"asns"`
	UserAgentClasses []Seen    `json:"user_agent_classes" doc:"Its runtimes, by what kind of program they say they are."`
	JA4s             []Seen    `json:"ja4s" doc:"Its runtimes, by the fingerprint of their TLS."`
	Audiences        []Seen    `json:"audiences"`
	Organizations    []Seen    `json:"organizations"`
	Findings         []Finding `json:"findings" doc:"The last active 100 of it, withdrawn ones too."`
}

// Seen is a value that an identity had.
type Seen struct {
	Value string    `json:"value" example:"192.0.2.0/24"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Days  uint64    `json:"days" doc:"UTC days on which it was seen."`
	Count uint64    `json:"count" doc:"Distinct log_ids."`
}

// Tally counts events of one value.
type Tally struct {
	Value string `json:"value" example:"seccft"`
	Count uint64 `json:"count" doc:"Distinct log_ids."`
}
