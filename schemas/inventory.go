package schemas

import (
	"slices"
	"time"
)

// InventoryKind is what kind of thing a tenant has.
type InventoryKind string

// The kinds, each named as its listing is.
const (
	InventoryClients     InventoryKind = "clients"
	InventoryGrants      InventoryKind = "grants" // of clients
	InventoryAPIs        InventoryKind = "apis"
	InventoryRoles       InventoryKind = "roles"
	InventoryUsers       InventoryKind = "users"       // programmatic ones
	InventoryCredentials InventoryKind = "credentials" // of clients; the public part
	InventoryStreams     InventoryKind = "streams"
)

// InventoryKinds are all of them, in the order in which they are read.
func InventoryKinds() []InventoryKind {
	return []InventoryKind{
		InventoryClients, InventoryGrants, InventoryAPIs, InventoryRoles, InventoryUsers, InventoryCredentials, InventoryStreams,
	}
}

// ParseInventoryKind reads a kind by its name.
func ParseInventoryKind(s string) (InventoryKind, bool) {
	return InventoryKind(s), slices.Contains(InventoryKinds(), InventoryKind(s))
}

// InventoryItem is one thing that a tenant has or had, as its last snapshot saw
// it. No secret is in it: of what the Management API answers, only what is on a
// list is taken.
type InventoryItem struct {
	Tenant   string        `json:"tenant" example:"acme"`
	Kind     InventoryKind `json:"kind" enum:"clients,grants,apis,roles,users,credentials,streams"`
	ID       string        `json:"id" doc:"Auth0's: a client_id, user_id, or that of a grant, API, role, credential or stream." example:"cgr_Yb1yH0hSzTXr8jVp"`
	Identity string        `json:"identity" doc:"Who it is or belongs to; empty for APIs, roles and streams." example:"app:invoice-sync"`
	Name     string        `json:"name"`
	Type     string        `json:"type" doc:"Of a client its app_type, of a credential its credential_type, of a stream its type."`
	Owner    string        `json:"owner" doc:"As client_metadata or app_metadata says; the two below too."`
	Purpose  string        `json:"purpose"`
	Expires  string        `json:"expires" doc:"In its owner's words: a date, or RFC 3339. Of a credential Auth0's."`
	// Members is what else is kept of it.
	Members InventoryMembers `json:"members"`
	// Created is as Auth0 says, or the time of the event that told of it.
	Created   time.Time `json:"created,omitzero" doc:"Absent where neither Auth0 nor a stored event tells it."`
	FirstSeen time.Time `json:"first_seen" doc:"By a snapshot."`
	Changed   time.Time `json:"changed" doc:"The snapshot that saw it otherwise than the one before."`
	Deleted   time.Time `json:"deleted,omitzero" doc:"Absent while it is there. By the event that told of it, or else the snapshot that missed it."`

	N   uint32 `json:"-"` // changes that were kept of it
	Ver uint64 `json:"-"` // as of a finding
}

// InventoryMembers are those of all kinds together: an item has those of its own.
// It is the list of what is kept.
type InventoryMembers struct {
	Description string `json:"description,omitempty"`

	// Of clients.
	GrantTypes    []string  `json:"grant_types,omitempty" doc:"Of a client."`
	AuthMethod    string    `json:"auth_method,omitempty" doc:"How a client proves who it is: client_secret_post, private_key_jwt and the like."`
	Organizations string    `json:"organization_usage,omitempty" doc:"Of a client or grant: deny, allow or require."`
	ThirdParty    bool      `json:"third_party,omitzero" doc:"Of a client that is not the tenant's own."`
	SecretRotated time.Time `json:"secret_rotated,omitzero" doc:"When a client's secret was last replaced, as far as stored events tell."`

	// Of grants and credentials.
	ClientID        string   `json:"client_id,omitempty" doc:"Of a grant or credential: its client's."`
	Audience        string   `json:"audience,omitempty" doc:"Of a grant: the API's identifier. Of an API: its own."`
	Scopes          []string `json:"scopes,omitempty" doc:"Of a grant: those granted. Of an API: all that it has."`
	AllScopes       bool     `json:"all_scopes,omitzero" doc:"Of a grant: whatever scopes the API has."`
	Subject         string   `json:"subject_type,omitempty" doc:"Of a grant: client or user."`
	AnyOrganization bool     `json:"any_organization,omitzero" doc:"Of a grant."`

	// Of APIs.
	TokenLifetime    int64  `json:"token_lifetime,omitzero" doc:"Of an API, in seconds."`
	WebTokenLifetime int64  `json:"token_lifetime_for_web,omitzero" doc:"Of an API, in seconds."`
	TokenDialect     string `json:"token_dialect,omitempty" doc:"Of an API."`
	Algorithm        string `json:"alg,omitempty" doc:"By which an API's tokens, or a client's assertions, are signed."`
	OfflineAccess    bool   `json:"offline_access,omitzero" doc:"Of an API: whether it gives refresh tokens."`
	Policies         bool   `json:"enforce_policies,omitzero" doc:"Of an API: whether tokens carry the permissions of roles."`
	System           bool   `json:"system,omitzero" doc:"Of what Auth0 made itself."`

	Permissions []string `json:"permissions,omitempty" doc:"Of a role: API and permission, a space between."`

	// Of users.
	Connection   string `json:"connection,omitempty" doc:"Of a user."`
	Blocked      bool   `json:"blocked,omitzero" doc:"Of a user."`
	Programmatic bool   `json:"programmatic,omitzero" doc:"Of a user: app_metadata marks it as a machine's. One without was seen to act as one."`

	KeyID string `json:"kid,omitempty" doc:"Of a credential."`

	// Of streams.
	Status   string   `json:"status,omitempty" doc:"Of a stream: active, paused or suspended."`
	Endpoint string   `json:"endpoint,omitempty" doc:"Of a stream: the host that it sends to."`
	Filters  []string `json:"filters,omitempty" doc:"Of a stream: the categories of events that it sends; absent where all."`
	Priority bool     `json:"priority,omitzero" doc:"Of a stream."`
}

// Gone reports whether it was deleted.
func (i *InventoryItem) Gone() bool { return !i.Deleted.IsZero() }

// InventoryFilter narrows a listing of one kind, by id. Zero values do not
// narrow, but for Deleted.
type InventoryFilter struct {
	Tenant   string
	Kind     InventoryKind
	Identity string
	Where    []Condition // on name and owner
	Deleted  bool        // also what was deleted
	Limit    int         // 1 to 1000
	After    *InventoryCursor
}

// InventoryCursor is the place of an item in a listing.
type InventoryCursor struct {
	Tenant string `json:"n"`
	ID     string `json:"i"`
}

// InventoryPage is one page of a listing of one kind.
type InventoryPage struct {
	Items []InventoryItem `json:"items"`
	Next  string          `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}

// InventoryAct says what has happened to an item.
type InventoryAct string

// What happens to items.
const (
	InventoryAdded   InventoryAct = "added"
	InventoryChanged InventoryAct = "changed"
	InventoryDeleted InventoryAct = "deleted"
)

// InventoryChange is one change of an item, found by comparing a snapshot with
// what was known.
type InventoryChange struct {
	Tenant   string         `json:"tenant"`
	Kind     InventoryKind  `json:"kind"`
	ID       string         `json:"id"`
	N        uint32         `json:"n" doc:"Counts the changes of the item from 1 on."`
	Identity string         `json:"identity"`
	Name     string         `json:"name"`
	Act      InventoryAct   `json:"act" enum:"added,changed,deleted"`
	Members  []MemberChange `json:"members" doc:"What is another now; of a thing that was added or deleted nothing."`
	Time     time.Time      `json:"time" doc:"Of the event that told of it, or else of the snapshot."`
	Found    time.Time      `json:"found" doc:"The snapshot that showed it."`

	Ver uint64 `json:"-"`
}

// MemberChange is one member of an item that is another now.
type MemberChange struct {
	Name   string `json:"name" example:"scope"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// InventoryReason is why a sync is made.
type InventoryReason string

// The reasons.
const (
	InventoryByInterval InventoryReason = "interval"
	InventoryByEvents   InventoryReason = "events" // the tenant's logs told of changes
	InventoryByRequest  InventoryReason = "request"
)

// InventoryState is how far a sync is.
type InventoryState string

// The states of a sync.
const (
	InventoryPending InventoryState = "pending" // no processor has begun it
	InventoryRunning InventoryState = "running"
	InventoryDone    InventoryState = "done"
	InventoryFailed  InventoryState = "failed" // the kinds that are whole are stored all the same
)

// InventorySync is a comparison of what a tenant has with what is stored.
type InventorySync struct {
	ID        string          `json:"id"`
	Tenant    string          `json:"tenant" example:"acme"`
	Reason    InventoryReason `json:"reason" enum:"interval,events,request"`
	State     InventoryState  `json:"state" enum:"pending,running,done,failed" doc:"failed where not every kind could be read whole."`
	Kinds     []InventoryRead `json:"kinds" doc:"Those that were read so far."`
	Error     string          `json:"error" doc:"Why it failed."`
	CreatedAt time.Time       `json:"created_at"`
	BeganAt   time.Time       `json:"began_at,omitzero" doc:"By the store's clock. Absent until a processor has begun it."`
	UpdatedAt time.Time       `json:"updated_at"`

	Ver uint64 `json:"-"`
}

// Over reports whether nothing will happen to it any more.
func (s *InventorySync) Over() bool { return s.State == InventoryDone || s.State == InventoryFailed }

// InventoryRead is what a sync has read of one kind.
type InventoryRead struct {
	Kind    InventoryKind `json:"kind" enum:"clients,grants,apis,roles,users,credentials,streams"`
	Whole   bool          `json:"whole" doc:"Of a kind that could not be read whole nothing is stored, and nothing is taken for deleted."`
	Items   int           `json:"items"`
	Added   int           `json:"added"`
	Changed int           `json:"changed"`
	Deleted int           `json:"deleted"`
	Error   string        `json:"error,omitempty"`
}

// InventorySyncRequest asks for an InventorySync.
type InventorySyncRequest struct {
	_ struct{} `json:"-" additionalProperties:"false"`

	Tenant string `json:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
}

// InventorySyncPage lists syncs, the newest first.
type InventorySyncPage struct {
	Syncs []InventorySync `json:"syncs"`
}

// InventoryHint tells that stored events speak of changes that no snapshot has
// seen yet.
type InventoryHint struct {
	Count       uint64
	First, Last time.Time // when they were stored, by the store's clock
}

// InventoryChangeFilter narrows a listing of changes, the newest first. Zero values
// do not narrow.
type InventoryChangeFilter struct {
	Tenant   string
	Kind     InventoryKind
	Identity string
	Act      InventoryAct
	From, To time.Time // of the change
	Limit    int       // 1 to 1000
	After    *InventoryChangeCursor
}

// InventoryChangeCursor is the place of a change in a listing.
type InventoryChangeCursor struct {
	Time   time.Time     `json:"t"`
	Tenant string        `json:"n"`
	Kind   InventoryKind `json:"k"`
	ID     string        `json:"i"`
	N      uint32        `json:"c"`
}

// InventoryChangePage is one page of changes, the newest first.
type InventoryChangePage struct {
	Changes []InventoryChange `json:"changes"`
	Next    string            `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}
