package schemas

import (
	"errors"
	"time"
)

// ErrRefused is wrapped by a store's error when it has looked at the rows and
// refuses at least one of them: the same rows will be refused again. Every
// other error means that the store is away or busy.
var ErrRefused = errors.New("refused by the store")

// ErrFull is wrapped by a publish's error when the stream has no room left:
// nothing was stored, and nothing older was dropped to make room.
var ErrFull = errors.New("the stream is full")

// ErrQueryTooLarge is wrapped when a query would take more memory than one
// query may: it will again, unless it is asked for less.
var ErrQueryTooLarge = errors.New("the query is too large")

// ErrMemoryShort is wrapped when a query met the limit of the whole store, of which
// others may have taken most: it may go well later, and less of it sooner.
var ErrMemoryShort = errors.New("the store is short of memory")

// ErrNotFound is wrapped when what was asked for by name is not there.
var ErrNotFound = errors.New("not found")

// Query is SQL with its parameters, as {name:Type} placeholders. A value is
// never part of the text.
type Query struct {
	SQL    string
	Params map[string]any
	// Patient says that nobody waits for the answer: the store gives others the
	// processors first, and it no more than one.
	Patient bool
}

// CorrelationRow is what every compiled correlation answers, in this order of
// columns: one row per key and dedupe period in which it triggered.
type CorrelationRow struct {
	Key          string
	Period       uint64 // start of the period, Unix milliseconds
	First        uint64 // of the events of the finding, Unix milliseconds
	Last         uint64
	Count        uint64
	Values       []string // distinct values of the events, 20 at most
	LogIDs       []string // the first of the events, 20 at most
	Imported     uint8    // 1 where every event of it came by import
	Baseline     uint64   // successes in the look-back before First
	BaselineDays float64  // length of the history that Baseline was counted over, in days
	LastSuccess  uint64   // Unix milliseconds; 0 where there was none
	// Facts are what else the kind of the correlation tells of a finding, by name:
	// numbers are written as such. See the kinds in processor/detect.
	Facts map[string]string
}

// EventFilter narrows a listing of events, newest first. Zero values do not
// narrow. From is inclusive, To exclusive.
type EventFilter struct {
	Tenant   string
	ClientID string
	Identity string // app:<client_id>, user:<user_id>, agent:<id>
	UserID   string
	Type     string
	Where    []Condition // all of these too, each with a field of its own
	Text     string      // in any text that the event shows, whatever its case
	From, To time.Time
	Limit    int          // 1 to 1000
	After    *EventCursor // continue behind this event
}

// EventCursor is the place of an event in a listing: newest first, and by
// log_id and tenant, descending, among events of one time.
type EventCursor struct {
	Time   time.Time `json:"t"`
	LogID  string    `json:"l"`
	Tenant string    `json:"n"`
}

// Token is an access token, by the events that name its id (its jti).
type Token struct {
	Tenant   string
	ID       string
	Issue    *Event       // the event that issued it; nil where that is not stored
	Uses     []Event      // the first 1000 events that used it, by time
	UseCount uint64       // of all that used it
	Places   []TokenPlace // the 1000 with most uses, these first
}

// TokenPlace is where a token was used from, and for what.
type TokenPlace struct {
	Network  string    `json:"network" doc:"The /24 or /48 that it was used from; empty where no address was told." example:"192.0.2.0/24"`
	Scope    string    `json:"scope" doc:"The scopes that were told of the use, with spaces between them." example:"read:invoices"`
	Audience string    `json:"audience" doc:"The API that it was used at." example:"https://api.example.com"`
	Count    uint64    `json:"count" doc:"How many uses."`
	First    time.Time `json:"first" doc:"The first of them."`
	Last     time.Time `json:"last" doc:"The last of them."`
}

// TokenLifetime is how long an access token lives where its API does not say
// otherwise. No log tells it.
// https://auth0.com/docs/secure/tokens/access-tokens/update-access-token-lifetime
const TokenLifetime = 24 * time.Hour

// StatsDimensions are the dimensions that events can be counted by.
var StatsDimensions = []string{"tenant", "type", "client_id", "identity", "identity_kind", "outcome", "cause", "audience", "network", "organization_id", "user_id", "user_agent_class", "country", "asn", "source"}

// StatsFilter asks for counts of distinct log_ids by dimensions, each one of
// StatsDimensions. Rows come highest count first; with an interval by time, and
// those of one time highest count first.
type StatsFilter struct {
	Tenant   string
	By       []string
	Where    []Condition
	Interval Interval
	From, To time.Time
	Limit    int // 1 to 10,000 rows
}

// Interval is what counts are cut by: hours, days or months of UTC.
type Interval string

// The intervals; none means that a range is counted as a whole.
const (
	IntervalNone  Interval = ""
	IntervalHour  Interval = "hour"
	IntervalDay   Interval = "day"
	IntervalMonth Interval = "month"
)

// StatsRow is one count; Values are in the order of StatsFilter.By.
type StatsRow struct {
	Time   time.Time // when the interval begins; zero without one
	Values []string
	Count  uint64
}

// FindingFilter narrows a listing of findings, the last active first. From and
// To bound Last.
type FindingFilter struct {
	Tenant   string
	RuleID   string
	Key      string
	Identity string
	State    State
	Level    Level
	From, To time.Time
	Limit    int // 1 to 1000
	After    *FindingCursor
}

// FindingCursor is the place of a finding in a listing.
type FindingCursor struct {
	Last time.Time `json:"t"`
	ID   string    `json:"i"`
}

// StoreStatus is what the store knows about itself.
type StoreStatus struct {
	Events       uint64    // rows, an estimate: copies not yet merged count
	Bytes        uint64    // on disk
	LastEvent    time.Time // newest event time, zero where there is none
	LastStored   time.Time
	Uncorrelated uint64 // touches that the correlator has not read
	DirtyHours   uint64 // hours, by tenant, that are not recounted
	// CorrelateLag and RecountLag are for how long the oldest touch has waited for
	// its reader; 0 where none waits.
	CorrelateLag, RecountLag time.Duration
	// BytesPerDay is what a day of events takes in all tables, by the last whole
	// days that have any; 0 where there is none.
	BytesPerDay uint64
	// Free and Size are of the disk that the store is on, both 0 where they are
	// not known, as on a cluster.
	Free, Size uint64
	// Growing is for how long the store grows yet: until its first day expires;
	// negative where no day ever does.
	Growing time.Duration
	// Channels are those that alerts were to be delivered to in the last 30 days.
	Channels []ChannelDeliveries
	// Warming are the selectors for which history is not matched yet.
	Warming []Selector
	Version string // of the server
}

// Backlog is what the broker holds.
type Backlog struct {
	Pending   uint64 // records accepted and not yet stored; zero is exact
	Estimated bool   // Pending is an estimate
	Dead      uint64 // records in DEAD
	Alerts    uint64 // alerts not yet delivered, to each channel that they are for
	// Waiting are those of Alerts that are on their way to one channel, by channel.
	Waiting map[string]uint64
	Version string // of the server
}
