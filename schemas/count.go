package schemas

import "time"

// TouchedHour is an hour of a tenant in which something has changed that is not
// counted yet.
type TouchedHour struct {
	Tenant string
	Hour   time.Time // its start, UTC
	// Since and Touched are the times of the first and the last flush that
	// touched it and is not recounted.
	Since, Touched time.Time
}

// Recount says what to count anew: the clients that the flushes have touched in
// hours of one tenant and one UTC day.
type Recount struct {
	Tenant  string
	Hours   []time.Time
	Flushes []string
	// NewFlush makes the ids of the flushes that touch what is correlated anew;
	// see processor.CountStore.
	NewFlush func() string
	// Ver is (epoch, sequence) of the rows that are written, fixed before the
	// read that they rest on.
	Ver uint64
}

// Presence is what was seen of a value of an attribute of an identity. The
// attribute AttributeIdentity has one value, the empty one, and stands for the identity
// itself.
type Presence struct {
	Attribute   string
	Value       string
	First, Last time.Time
	Days        uint64 // UTC days on which it was seen
	Count       uint64 // distinct log_ids
}

// The attributes of an identity whose presence is kept, by day.
const (
	AttributeIdentity       = ""
	AttributeNetwork        = "network"
	AttributeCountry        = "country"
	AttributeASN            = "asn"
	AttributeUserAgentClass = "user_agent_class"
	AttributeJA4            = "ja4"
	AttributeAudience       = "audience"
	AttributeOrganization   = "organization_id"
)
