package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// Level is how urgent a finding is, in Sigma's words.
type Level string

// The levels.
const (
	LevelInformational Level = "informational"
	LevelLow           Level = "low"
	LevelMedium        Level = "medium"
	LevelHigh          Level = "high"
	LevelCritical      Level = "critical"
)

// Valid reports whether l is one of the levels above.
func (l Level) Valid() bool {
	switch l {
	case LevelInformational, LevelLow, LevelMedium, LevelHigh, LevelCritical:
		return true
	}
	return false
}

// State is where a finding stands in its life.
type State string

// The states. Whether a finding holds is a function of the stored events: when late
// ones take its ground away it is withdrawn. One that holds is what people have made
// of it.
const (
	StateOpen         State = "open"
	StateAcknowledged State = "acknowledged" // somebody looks after it
	StateResolved     State = "resolved"     // it is done with
	StateWithdrawn    State = "withdrawn"
)

// Stands reports whether what was found is going on, as far as anybody knows.
func (s State) Stands() bool { return s == StateOpen || s == StateAcknowledged }

// Over reports whether nobody has to do anything about it any more.
func (s State) Over() bool { return s == StateResolved || s == StateWithdrawn }

// FindingKey is a key of which a rule has found something.
type FindingKey struct{ Tenant, RuleID, Key string }

// KeyOfRule is that of f.
func (f *Finding) KeyOfRule() FindingKey { return FindingKey{f.Tenant, f.RuleID, f.Key} }

// Finding is a stored result of a rule.
type Finding struct {
	ID       string    `json:"id"`
	RuleID   string    `json:"rule_id"`
	Title    string    `json:"title"`
	Tenant   string    `json:"tenant"`
	Key      string    `json:"key"`      // what the rule groups by, a client_id
	Identity string    `json:"identity"` // app:<client_id>, user:<user_id>
	Level    Level     `json:"level"`
	State    State     `json:"state"`
	First    time.Time `json:"first"` // first event of it, UTC
	Last     time.Time `json:"last"`  // last event of it, UTC
	Count    uint64    `json:"count"` // events of it
	Evidence Evidence  `json:"evidence"`

	Paging       Paging    `json:"paging,omitempty"`        // what people are told of it; empty where a former build found it
	PagingReason string    `json:"paging_reason,omitempty"` // why, for those who ask
	PagedAt      time.Time `json:"paged_at,omitzero"`       // when people were last told that it is open; zero where they were not
	FoundAt      time.Time `json:"found_at,omitzero"`       // when it was found to hold

	Period  time.Time `json:"-"` // start of its dedupe period
	Changes uint32    `json:"-"` // of its state and of what people are told; 1 when it is new
	Source  Source    `json:"-"` // SourceImport where nothing but imported history holds it
	Ver     uint64    `json:"-"` // of the recomputation that wrote it
}

// Paging is the verdict on whether people are told of a finding now.
type Paging string

// The verdicts.
const (
	PagingPage      Paging = "page"
	PagingDigest    Paging = "digest"    // its level is too low to wake anybody
	PagingImported  Paging = "imported"  // it rests on imported history alone
	PagingWarming   Paging = "warming"   // its rule is new, and history is being matched for it
	PagingLearning  Paging = "learning"  // what is usual is not known yet
	PagingHeld      Paging = "held"      // it is what was to be expected for now
	PagingContinued Paging = "continued" // of an attack that people were told of under another finding
	PagingSilenced  Paging = "silenced"
	PagingStorm     Paging = "storm"           // of many machines that failed at once, of which another finding tells
	PagingLateHeld  Paging = "found_late_held" // of an identity that people were told of when the same gap was closed
)

// Told reports whether people were told that f is open, and not yet that it is
// over. Whoever found it before there were verdicts told of all but history.
func (f *Finding) Told() bool {
	return !f.PagedAt.IsZero() || f.Paging == "" && f.Changes > 0 && f.State == StateOpen && f.Source != SourceImport
}

// Reason says why the state of a finding changed, or what people are told of it.
type Reason string

// The reasons.
const (
	ReasonEvents     Reason = "events"      // new events make it hold
	ReasonLateEvents Reason = "late_events" // older events came late and took its ground away, or gave it back
	ReasonPaging     Reason = "paging"      // its state is what it was: people are told of it now
	ReasonRuleGone   Reason = "rule_gone"   // its rule was removed, disabled or set aside
	ReasonExcepted   Reason = "excepted"    // an exception takes it away
	ReasonAct        Reason = "act"         // somebody did something about it
	ReasonQuiet      Reason = "quiet"       // nothing of it has happened for a while
)

// FindingChange is one change of a finding's state, or of what people are told.
type FindingChange struct {
	N      uint32         `json:"n" doc:"Counts the changes of the finding, from 1." example:"2"`
	State  State          `json:"state" enum:"open,acknowledged,resolved,withdrawn" doc:"The state from then on."`
	Reason Reason         `json:"reason" enum:"events,late_events,paging,rule_gone,excepted,act,quiet" doc:"late_events: older events came late and took the finding's ground away, or gave it back. paging: the state is what it was, and people are told of it now. rule_gone: its rule was removed, disabled or set aside. excepted: an exception takes it away. act: see acts. quiet: nothing of it has happened for a while."`
	At     time.Time      `json:"at" doc:"When it was found out." example:"2025-03-14T12:00:03.100Z"`
	Before *FindingExtent `json:"before,omitempty" doc:"The finding before the change; absent in the first."`
	After  *FindingExtent `json:"after,omitempty" doc:"The finding after the change; absent where it was withdrawn."`

	Paging       Paging `json:"paging,omitempty" doc:"Whether people were told of it: page, or what held that back." example:"page"`
	PagingReason string `json:"paging_reason,omitempty" doc:"Why."`

	FindingID string    `json:"-"`
	Tenant    string    `json:"-"`
	Period    time.Time `json:"-"` // of the finding
	Ver       uint64    `json:"-"` // of the recomputation that wrote it; of one N the highest counts
}

// FindingExtent is what a finding comprised at a moment.
type FindingExtent struct {
	Count uint64    `json:"count" doc:"Events of it."`
	First time.Time `json:"first" doc:"The first event of it."`
	Last  time.Time `json:"last" doc:"The last event of it."`
}

// Extent is what the finding comprises.
func (f *Finding) Extent() *FindingExtent {
	return &FindingExtent{Count: f.Count, First: f.First, Last: f.Last}
}

// Evidence is what a person needs to judge a finding.
type Evidence struct {
	Summary      string            `json:"summary"`                // one sentence: what happened
	Networks     []string          `json:"networks,omitempty"`     // where the events of it came from
	NormalPerDay float64           `json:"normal_per_day"`         // successes a day before it
	LastSuccess  *time.Time        `json:"last_success,omitempty"` //
	LogIDs       []string          `json:"log_ids,omitempty"`      // the first of its events, 20 at most
	Related      []RelatedEvidence `json:"related,omitempty"`      // what may explain it: a rotated secret
	ClientName   string            `json:"client_name,omitempty"`  // as last logged
	Causes       map[string]uint64 `json:"causes,omitempty"`       // descriptions of the events, counted
	Facts        map[string]string `json:"facts,omitempty"`        // what the kind of the rule tells beside: new, median, distinct
	NextCommand  string            `json:"next_command,omitempty"` // the command to look closer

	// What follows is known when somebody looks or is told, and not stored: see
	// FindingContext.
	FoundLate   string     `json:"found_late,omitempty"`   // by how much, where a gap had to be closed: 2 h 10 m
	Owner       string     `json:"owner,omitempty"`        // the inventory's, of the identity
	SourceKnown *bool      `json:"source_known,omitempty"` // the identity succeeded before from every network of it
	TokensAlive uint64     `json:"tokens_alive,omitzero"`  // tokens of the identity that have not expired
	TokensUntil *time.Time `json:"tokens_until,omitempty"` // when the last of them will
	Contain     string     `json:"contain,omitempty"`      // the command that stops the identity
	Undo        string     `json:"undo,omitempty"`         // the command that lets it go on
	Runbook     string     `json:"runbook,omitempty"`      // the command that prints what to do about findings of its rule
}

// RelatedEvidence is one event beside a finding.
type RelatedEvidence struct {
	Rule  string    `json:"rule"`
	Title string    `json:"title"`
	LogID string    `json:"log_id"`
	Time  time.Time `json:"time"`
}

// MarshalString makes the evidence one string, for the store.
func (e Evidence) MarshalString() string {
	b, err := json.Marshal(e)
	if err != nil { // a struct of strings, numbers and times always marshals
		panic(err)
	}
	return string(b)
}

// FindingID is a hash of the rule, the tenant, the key and the start of the
// dedupe period, so that whoever computes a finding, and whenever, gives it
// the same id.
func FindingID(ruleID, tenant, key string, period time.Time) string {
	h := sha256.New()
	for _, s := range []string{ruleID, tenant, key} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(period.UnixMilli()))
	h.Write(n[:])
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Alert is a finding on its way to people.
type Alert struct {
	ID      string  `json:"id"` // <finding id>/<state>/<n>: the idempotency key of every channel
	Finding Finding `json:"finding"`
	// Summary is there where the alert stands for others, which Finding sums up.
	Summary *Summary `json:"summary,omitempty"`
	Digest  *Digest  `json:"digest,omitempty"`

	URL  string `json:"-"` // where the finding can be looked at; set when it is sent, empty where that is not known
	Test bool   `json:"-"` // somebody tries a channel: there is no such finding
	Told Told   `json:"-"` // what the channel was told of the finding before; set when it is sent
}

// levels are all levels, the least urgent first.
var levels = []Level{LevelInformational, LevelLow, LevelMedium, LevelHigh, LevelCritical}

// AtLeast reports whether l is as urgent as other, or more.
func (l Level) AtLeast(other Level) bool {
	return slices.Index(levels, l) >= slices.Index(levels, other)
}

// Delivery records what became of one attempt to deliver an alert.
type Delivery struct {
	AlertID string
	Tenant  string
	Channel string
	Time    time.Time
	Attempt uint64
	OK      bool
	// Error is why not. It begins with DeliveryRefused where the alert was given
	// up.
	Error string

	Kind   AlertKind // "" in a row of a former build
	RuleID string
	Level  Level
	// Summary is the id of the summary that tells the channel of the alert: then
	// this is no attempt.
	Summary string
}

// DeliveryRefused begins the error of an attempt that was the last, since the
// channel does not want the alert.
const DeliveryRefused = "refused: "

// OpenFindings asks for open findings: of RuleID, or where that is empty of every
// rule but those of Except.
type OpenFindings struct {
	RuleID string
	Except []string
	After  string // those behind this id
}
