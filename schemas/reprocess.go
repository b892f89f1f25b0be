package schemas

import (
	"cmp"
	"strings"
	"time"
)

// ReprocessState is how far a reprocess is.
type ReprocessState string

// The states of a reprocess.
const (
	ReprocessPending  ReprocessState = "pending" // no processor has begun it
	ReprocessRunning  ReprocessState = "running"
	ReprocessDone     ReprocessState = "done"
	ReprocessCanceled ReprocessState = "canceled" // what it had done until then stays
)

// Reprocess is a job: normalize the stored records of a tenant and a range of
// times again. The API creates it, a processor runs it, and the table of jobs
// lies between them.
type Reprocess struct {
	ID        string         `json:"id"`
	Tenant    string         `json:"tenant" example:"acme"`
	From      time.Time      `json:"from" doc:"The first moment."`
	To        time.Time      `json:"to" doc:"The moment after the last."`
	DryRun    bool           `json:"dry_run" doc:"Nothing is written: changed tells what would change."`
	State     ReprocessState `json:"state" enum:"pending,running,done,canceled" doc:"pending until a processor begins it."`
	Total     uint64         `json:"total" doc:"Records to read. An estimate until it is done: copies that are not merged yet count."`
	Done      uint64         `json:"done" doc:"Records that were read."`
	Changed   uint64         `json:"changed" doc:"Records that are another event now."`
	Moved     uint64         `json:"moved" doc:"Changed records whose client_id or time is another now."`
	Errors    uint64         `json:"errors" doc:"Records that could not be normalized again and are left as they were."`
	Position  *RecordPlace   `json:"position" doc:"The last record that was read; null before the first. Records go by day, client_id, time and log_id."`
	Error     string         `json:"error" doc:"Why the last of the errors was one."`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`

	// Asked is what was asked for, in the words of whoever did: the same words
	// while the job is not over mean the same job.
	Asked string `json:"-"`
	// Begun is up to where records may be half written; nil where none are.
	Begun *RecordPlace `json:"-"`
	// Basis names what the records up to Position were normalized by.
	Basis string `json:"-"`
	Ver   uint64 `json:"-"` // as of a finding
}

// Over reports whether nothing will happen to the job any more.
func (r *Reprocess) Over() bool { return r.State == ReprocessDone || r.State == ReprocessCanceled }

// ReprocessRequest asks for a Reprocess.
type ReprocessRequest struct {
	_ struct{} `json:"-" additionalProperties:"false"` // a misspelt bound must not widen the range in silence

	Tenant string `json:"tenant" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" example:"acme"`
	From   string `json:"from,omitempty" maxLength:"64" doc:"The first moment: RFC 3339, a date, or how long ago (90m, 24h, 7d, 2w). Without it from the first record on." example:"30d"`
	To     string `json:"to,omitempty" maxLength:"64" doc:"The moment after the last, in the forms of from. Without it until now."`
	DryRun bool   `json:"dry_run,omitempty" doc:"Write nothing: tell how many records would be read and how many would change."`
}

// ReprocessPage lists jobs, the newest first.
type ReprocessPage struct {
	Jobs []Reprocess `json:"jobs"`
}

// RecordPlace is the place of a record in the order in which a reprocess goes:
// by day, then in the order of the store's key.
type RecordPlace struct {
	Time     time.Time `json:"time"`
	ClientID string    `json:"client_id"`
	LogID    string    `json:"log_id"`
}

// PlaceOf is the place of an event.
func PlaceOf(e *Event) RecordPlace { return RecordPlace{e.Time, e.ClientID, e.LogID} }

// Day is the UTC day that the record lies in.
func (p RecordPlace) Day() time.Time { return p.Time.UTC().Truncate(24 * time.Hour) }

// Compare orders places.
func (p RecordPlace) Compare(o RecordPlace) int {
	return cmp.Or(
		p.Day().Compare(o.Day()),
		strings.Compare(p.ClientID, o.ClientID),
		p.Time.Compare(o.Time),
		strings.Compare(p.LogID, o.LogID),
	)
}

// RecordDay is a day that has records, and how many, copies included.
type RecordDay struct {
	Day   time.Time
	Count uint64
}

// RecordRange asks for stored records of a tenant of one UTC day.
type RecordRange struct {
	Tenant   string
	From, To time.Time    // within one day
	After    *RecordPlace // the first that is not wanted any more; nil at the day's beginning
	Rows     int          // at most
	Bytes    int          // of raw logs, at most; one record may exceed it
}

// StoredRecord is what the store has under one key: the copy that survived, or
// the mark of one that was moved to another key, as it was before.
type StoredRecord struct {
	Event
	Deleted bool
}
