package schemas

import "time"

// IdentityFilter narrows a listing of identities, the last seen first. Zero
// values do not narrow.
type IdentityFilter struct {
	Tenant   string
	Where    []Condition
	From, To time.Time // of the events that are looked at
	// Known leaves out whoever never succeeded, in all that is stored: anyone can
	// fail with any client id.
	Known bool
	Limit int // 1 to 1000
	After *IdentityCursor
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
	Kind     Kind      `json:"kind" enum:"machine,human,unknown" doc:"What its last event took it for."`
	Name     string    `json:"name" doc:"Of an application: its client's name as it was last logged. Anyone who edits the application chooses it."`
	First    time.Time `json:"first" doc:"Of the events in the range."`
	Last     time.Time `json:"last"`
	Count    uint64    `json:"count" doc:"Distinct log_ids."`
	Failures uint64    `json:"failures" doc:"Those of them whose outcome is failure."`
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
