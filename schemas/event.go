package schemas

import (
	"hash/crc32"
	"time"
)

// NormalizerVersion is raised by every change that makes the normalizer give
// another Event for the same log, so that what is normalized anew replaces
// its former self in the store.
const NormalizerVersion = 1

// Outcome says how the activity of an event ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	OutcomeInfo    Outcome = "info"
	OutcomeLimit   Outcome = "limit"
	OutcomeUnknown Outcome = "unknown" // the type is not in the catalogue
)

// Event is one log, normalized. Tenant, ClientID, Time and LogID are its key
// in the store: they are the same in every delivery of a log.
type Event struct {
	Tenant   string
	ClientID string    // "" where the log has none
	Time     time.Time // the log's date, or the stamp inside its log_id; UTC, milliseconds
	LogID    string
	Ver      uint64 // ranks the copies of a log; see Version

	Type        string // Auth0's event type code
	Outcome     Outcome
	Description string
	Identity    Identity

	ClientName     string // user-editable: shown, never a key
	UserID         string
	IP             string // client_ip, else ip; as it came, which may be no address
	Network        string // the /24 or /48 of IP; "" where IP is no address
	UserAgent      string
	Audience       string // several are joined by a space
	Scopes         []string
	OrganizationID string
	Hostname       string

	// Of Management API calls.
	Method string // GET, POST, …
	Path   string // as logged: /api/v2/clients/abc
	Target string // identity acted upon: app:<client_id>, user:<user_id>; "" where the path names none

	Source     Source
	IngestedAt time.Time
	Raw        []byte
	RawMasked  bool
}

// Version ranks the copies of one log: first by source, then by the
// normalizer's version, then by the raw bytes, so that any two copies that
// differ have a first and a second whatever the order of their arrival.
//
//	bits 56–63 source rank · 32–55 normalizer version · 0–31 CRC-32 of the raw bytes
func Version(source Source, normalizer uint32, raw []byte) uint64 {
	return source.rank()<<56 | uint64(normalizer&0xffffff)<<32 | uint64(crc32.ChecksumIEEE(raw))
}
