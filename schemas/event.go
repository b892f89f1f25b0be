package schemas

import (
	"hash/crc32"
	"time"
)

// NormalizerVersion is raised by every change that makes the normalizer give
// another Event for the same log, so that what is normalized anew replaces
// its former self in the store.
const NormalizerVersion = 4

const _ uint8 = NormalizerVersion // what Version has room for

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

// Cause tells why an event failed, as far as its description and details tell
// the causes apart.
type Cause string

// The causes of a failed token request.
const (
	CauseNone            Cause = ""                       // the event is no failure
	CauseCredentials     Cause = "wrong_credentials"      // wrong secret, or a client that is not there
	CauseAssertion       Cause = "client_assertion"       // private_key_jwt or mTLS
	CauseClientQuota     Cause = "client_quota"           // token_quota of the client
	CauseOrgQuota        Cause = "organization_quota"     // token_quota of the organization
	CauseAudience        Cause = "unknown_audience"       // no such API in the tenant
	CauseGrantType       Cause = "grant_type_not_allowed" // the application's grant types lack it
	CauseMissingGrant    Cause = "missing_grant"          // no client grant for the API
	CauseScope           Cause = "scope_not_granted"      // the client grant lacks a scope
	CauseUserCredentials Cause = "wrong_user_credentials" // password grant, login
	CauseRateLimit       Cause = "rate_limit"
	CauseOther           Cause = "other"
)

// Event is one log, normalized. Tenant, ClientID, Time and LogID are its key
// in the store: they are the same in every delivery of a log. A text that the
// log lacks is "".
type Event struct {
	Tenant   string
	ClientID string    // "" where the log has none
	Time     time.Time // the log's date, or the stamp inside its log_id; UTC, milliseconds
	LogID    string
	Ver      uint64 // ranks the copies of a log; see Version

	Type        string // Auth0's event type code
	Outcome     Outcome
	Description string
	Cause       Cause
	Identity    Identity

	ClientName   string // user-editable: shown, never a key
	UserID       string
	UserName     string // masked or hashed where the stream is told to: shown, never a key
	Connection   string
	ConnectionID string
	Strategy     string
	StrategyType string

	// Where it came from.
	IP             string // as logged, which may be no address; follows a header that the caller can write
	ClientIP       string // as logged; the address of the connection, in a part of the logs
	Network        string // the /24 or /48 of Address; "" where that is no address
	Country        string // ISO 3166-1 alpha-2, of location_info, else of an .mmdb file for Address
	ASN            uint32 // the autonomous system of Address, of an .mmdb file; 0 where that is not known
	ASOrg          string // whose it is
	UserAgent      string
	UserAgentClass string // what kind of program UserAgent names; see processor.UserAgentClass
	JA3            string
	JA4            string
	SDKName        string // auth0_client.name
	SDKVersion     string
	Hostname       string // of the tenant, as it was addressed

	// What was asked for, and what was given.
	Audience         string // several are joined by a space
	Scopes           []string
	GrantType        string
	OrganizationID   string
	OrganizationName string
	TokenID          string // jti of the access token that was issued
	UsedTokenID      string // jti of the access token that was used: by a Management API call, or as a token.used tells
	SessionID        string
	MTLSThumbprint   string // SHA-256 of the client's certificate
	AgentID          string
	ExternalAgentID  string
	ActorSubject     string // details.actor.sub: who acts on behalf of the subject
	CorrelationID    string
	TraceID          string

	Call  Call
	Quota Quota

	Selectors  []string // the rules' selectors that select it, sorted
	Source     Source
	IngestedAt time.Time
	StoredAt   time.Time // set by the store
	Raw        []byte
	RawMasked  bool
}

// Call is what an event says of a call of the Management API.
type Call struct {
	Method  string // GET, POST, …
	Path    string // as logged: /api/v2/clients/abc
	Status  uint16 // of the answer; 0 where the log has none
	Channel string // api, or the dashboard's URL
	Target  string // identity acted upon or made: app:<client_id>, user:<user_id>; "" where neither the path nor the answer names one
}

// Quota is what an event says of a quota or a rate limit.
type Quota struct {
	Bucket     string // per_hour, per_day; the name of a rate limit
	EntityType string // client, organization, tenant; global for a rate limit that is
	EntityID   string
	Size       uint64
	Used       uint64
	Percent    float32
}

// Address is where the event came from: ClientIP, which unlike IP follows no
// header that the caller can write, else IP.
func (e *Event) Address() string {
	if e.ClientIP != "" {
		return e.ClientIP
	}
	return e.IP
}

// Version ranks the copies of one log: first by source, then by the
// normalizer's version, then by the raw bytes, so that two copies that differ
// have a first and a second whatever the order of their arrival.
// Place.Version adds what is known beside the log, and VersionAgain by what it
// was normalized again. What was stored before places had the normalizer's
// version where the edition is, and ranks below.
//
// Copies of the same bytes tie where they were normalized by the same means, and
// are the same. Of those that differ, and have all above the checksum alike, one
// pair in a million ties; which of such two survives, merges decide.
//
//	bits 56–63 source rank · 48–55 normalizer version · 32–47 edition of the
//	places · 12–31 of the CRC-32 of the raw bytes, and a hash of the place ·
//	0–11 generation
func Version(source Source, normalizer uint32, raw []byte) uint64 {
	return source.rank()<<56 | uint64(normalizer&0xff)<<48 | uint64(crc32.ChecksumIEEE(raw)&^MaxGeneration)
}

// MaxGeneration is the last generation that VersionAgain can hold.
const MaxGeneration = 1<<12 - 1

// VersionAgain is the version of a copy that was normalized again, of that which
// it has where it comes by a flush. The generation numbers what decides how a
// record is normalized (build, event types, rules, files), and rises with each
// change of it: copies of one version have the same content, whoever made them.
func VersionAgain(ver, generation uint64) uint64 {
	return ver&^MaxGeneration | generation&MaxGeneration
}
