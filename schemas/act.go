package schemas

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Act is what somebody does about a finding.
type Act string

// The acts.
const (
	ActAck     Act = "ack"     // somebody looks after it: nobody is paged anew while it grows
	ActResolve Act = "resolve" // it is done with, until an event comes that is later
	ActReopen  Act = "reopen"
	ActNote    Act = "note" // words for those who look at it later

	// ActQuiet is time's own: nothing had happened for so long that the finding was over.
	// Whoever looked after it does so no more, should it begin again.
	ActQuiet Act = "quiet"
)

// FindingAct is one act, as it is stored: nothing takes it back but another one.
type FindingAct struct {
	ID     string    `json:"id" example:"k3v5q2m7x4a6b8cd"`
	At     time.Time `json:"at" doc:"When, by the API's clock."`
	Act    Act       `json:"act" enum:"ack,resolve,reopen,note,quiet" doc:"quiet is no person's: nothing had happened for a while, so that nobody looks after it any more."`
	Who    string    `json:"who" example:"jane@ops-1"`
	Reason string    `json:"reason,omitempty" doc:"Why, in that person's words."`

	FindingID string    `json:"-"`
	Tenant    string    `json:"-"`
	RuleID    string    `json:"-"`
	Key       string    `json:"-"`
	Period    time.Time `json:"-"` // of the finding
}

// FindingActRequest is an act that is asked for.
type FindingActRequest struct {
	Act    Act    `json:"act" enum:"ack,resolve,reopen,note"`
	By     string `json:"by" minLength:"1" maxLength:"256" doc:"Who does it." example:"jane@ops-1"`
	Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why; a note needs one."`
}

// FindingActs are those of one finding, the first first.
type FindingActs struct {
	Acts []FindingAct `json:"acts"`
}

// Acted is the state that acts, in whatever order, leave a finding in which holds
// and whose last event was at last, and since when it is in the eyes of people:
// the time of the last act that opened it, zero where none did. A resolve holds
// until an event comes that is later than it; an ack after one is of what came then.
func Acted(acts []FindingAct, last time.Time) (state State, reopened time.Time) {
	acts = slices.Clone(acts)
	slices.SortFunc(acts, func(a, b FindingAct) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) })
	state = StateOpen
	var resolved time.Time
	for _, a := range acts {
		switch a.Act {
		case ActAck:
			if state == StateOpen || last.After(resolved) {
				state = StateAcknowledged
			}
		case ActQuiet:
			if state == StateAcknowledged {
				state = StateOpen
			}
		case ActResolve:
			state, resolved = StateResolved, a.At
		case ActReopen:
			state, reopened = StateOpen, a.At
		case ActNote: // changes nothing
		}
	}
	if state == StateResolved && last.After(resolved) {
		state = StateOpen
	}
	return state, reopened
}
