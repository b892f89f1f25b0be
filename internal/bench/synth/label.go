package synth

import "time"

// Grace is how long after its end a label may still be found.
const Grace = 15 * time.Minute

const (
	// Anyone is the identity of a label that explains findings of every identity.
	Anyone = "*"
	// TenantPrefix begins the identity that stands for a tenant.
	TenantPrefix = "tenant:"
)

// Label says that something happened which ought to be found.
type Label struct {
	Tenant   string `json:"tenant"`
	Identity string `json:"identity"` // app:<client_id>, user:<user_id> or tenant:<name>
	// Also are other identities that a finding of it may be about, where several
	// are as right: of a log stream that is deleted the tenant, or who did it.
	Also  []string  `json:"also,omitempty"`
	Kind  string    `json:"kind"`            // what it is
	Rules []string  `json:"rules,omitempty"` // that may find it; none is any
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	// Faint is what no threshold could tell from a normal day: too few events, too
	// short, or of an identity that is not known for long.
	Faint bool `json:"faint,omitempty"`
	// Beside explains findings that go with something else. They are not false,
	// and nobody has to find it.
	Beside bool `json:"beside,omitempty"`
}
