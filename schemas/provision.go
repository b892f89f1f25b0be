package schemas

import "time"

// ProvisionOutcome is how a ProvisionCall ended.
type ProvisionOutcome string

// The outcomes. A call that is still begun long after it was is one whose command
// died, or could not tell.
const (
	ProvisionBegun   ProvisionOutcome = "begun"
	ProvisionDone    ProvisionOutcome = "done"
	ProvisionRefused ProvisionOutcome = "refused" // nothing was changed
	ProvisionUnknown ProvisionOutcome = "unknown" // the answer was lost
)

// ProvisionCall is one call by which a provisioning command changes a tenant. It is
// recorded before it is made, and again when it has ended. No value of the change
// is in it, only of what it is.
type ProvisionCall struct {
	ID       string           `json:"id" minLength:"1" maxLength:"64" example:"k3v5q2m7x4a6b8cd"`
	At       time.Time        `json:"at" doc:"When it was about to be made, by the operator's clock."`
	Domain   string           `json:"domain" minLength:"1" maxLength:"255" doc:"The tenant's." example:"acme.eu.auth0.com"`
	ClientID string           `json:"client_id" minLength:"1" maxLength:"256" doc:"The application it is made as; the tenant's logs name it, too."`
	Operator string           `json:"operator" maxLength:"256" doc:"Who ran the command, where." example:"jane@ops-1"`
	Command  string           `json:"command" minLength:"1" maxLength:"64" example:"apps rotate"`
	Method   string           `json:"method" enum:"POST,PUT,PATCH,DELETE"`
	Path     string           `json:"path" minLength:"1" maxLength:"2048" doc:"Of the Management API, escaped." example:"/api/v2/clients/invoice-sync/rotate-secret"`
	Outcome  ProvisionOutcome `json:"outcome" enum:"begun,done,refused,unknown" doc:"begun until it has ended, and for ever where the command died."`
	Made     string           `json:"made,omitempty" maxLength:"256" doc:"The id of what it made."`
}

// ProvisionCalls are recorded together.
type ProvisionCalls struct {
	Calls []ProvisionCall `json:"calls" minItems:"1" maxItems:"1000"`
}

// Recorded answers ProvisionCalls.
type Recorded struct {
	Recorded int `json:"recorded" doc:"Calls that are on disk."`
}

// ProvisionFilter narrows the recorded calls; what is empty does not.
type ProvisionFilter struct {
	Domain, ClientID string
	From, To         time.Time // of At, [From, To)
	Limit            int
	After            *ProvisionCursor
}

// ProvisionCursor is the last call of a page.
type ProvisionCursor struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

// ProvisionPage is a page of recorded calls, the newest first.
type ProvisionPage struct {
	Calls []ProvisionCall `json:"calls"`
	Next  string          `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}
