package exact_test

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// taken tells whether a record that arrived is one for the store: neither older
// than what is kept nor more than a day ahead of the clock.
func (a *arrival) taken() bool {
	return !a.event.Time.Before(a.at.Add(-kept)) && !a.event.Time.After(a.at.Add(day))
}

// survivors are of each log that was sent the copy that ranks highest, the
// newest first. Those before from are left out.
func (h *history) survivors(from time.Time) []schemas.Event {
	best := map[string]schemas.Event{}
	for i := range h.sent {
		a := &h.sent[i]
		if old, again := best[a.event.LogID]; a.taken() && (!again || a.event.Ver > old.Ver) {
			best[a.event.LogID] = a.event
		}
	}
	var events []schemas.Event
	for _, e := range best {
		if !e.Time.Before(from) {
			events = append(events, e)
		}
	}
	newestFirst(events)
	return events
}

func newestFirst(events []schemas.Event) {
	slices.SortFunc(events, func(a, b schemas.Event) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(b.LogID, a.LogID))
	})
}

// dead are the records that are none for the store.
func (h *history) dead() map[string]bool {
	dead := map[string]bool{}
	for i := range h.sent {
		if a := &h.sent[i]; !a.taken() {
			dead[h.tenant+" "+string(a.event.Raw)] = true
		}
	}
	return dead
}

// dimension is what an event counts under.
func dimension(by string, e *schemas.Event) string {
	switch by {
	case "tenant":
		return e.Tenant
	case "type":
		return e.Type
	case "client_id":
		return e.ClientID
	case "identity":
		return e.Identity.ID
	case "identity_kind":
		return string(e.Identity.Kind)
	case "outcome":
		return string(e.Outcome)
	case "cause":
		return string(e.Cause)
	case "audience":
		return e.Audience
	case "network":
		return e.Network
	case "organization_id":
		return e.OrganizationID
	case "user_id":
		return e.UserID
	case "user_agent_class":
		return e.UserAgentClass
	case "country":
		return e.Country
	case "asn":
		return asnOf(e)
	case "source":
		return e.Source.String()
	}
	panic("no dimension " + by)
}

// asnOf is an autonomous system as it is told.
func asnOf(e *schemas.Event) string {
	if e.ASN == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(e.ASN), 10)
}

// count counts the events of [from, to), zero times being no bound.
func count(events []schemas.Event, by []string, from, to time.Time) map[string]uint64 {
	counts := map[string]uint64{}
	for i := range events {
		e := &events[i]
		if e.Time.Before(from) || !to.IsZero() && !e.Time.Before(to) {
			continue
		}
		values := make([]string, len(by))
		for d := range by {
			values[d] = dimension(by[d], e)
		}
		counts[strings.Join(values, " | ")]++
	}
	return counts
}

// present is what was seen of an identity.
func present(events []schemas.Event, identity string) []schemas.Presence {
	type seen struct {
		schemas.Presence
		days map[string]bool
	}
	all := map[[2]string]*seen{}
	for i := range events {
		e := &events[i]
		if e.Identity.ID != identity {
			continue
		}
		for attribute, value := range map[string]string{
			"": "", "network": e.Network, "country": e.Country, "asn": asnOf(e), "user_agent_class": e.UserAgentClass,
			"ja4": e.JA4, "audience": e.Audience, "organization_id": e.OrganizationID,
		} {
			if attribute != "" && value == "" {
				continue
			}
			key := [2]string{attribute, value}
			if all[key] == nil {
				all[key] = &seen{schemas.Presence{Attribute: attribute, Value: value, First: e.Time, Last: e.Time}, map[string]bool{}}
			}
			s := all[key]
			s.Count++
			s.days[e.Time.Format(time.DateOnly)] = true
			if e.Time.Before(s.First) {
				s.First = e.Time
			}
			if e.Time.After(s.Last) {
				s.Last = e.Time
			}
		}
	}
	var list []schemas.Presence
	for _, s := range all {
		s.Days = uint64(len(s.days))
		list = append(list, s.Presence)
	}
	slices.SortFunc(list, func(a, b schemas.Presence) int {
		return cmp.Or(cmp.Compare(a.Attribute, b.Attribute), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
	})
	return list
}

// line is an event in one line, with all that a listing tells of it.
func line(e schemas.Event) string {
	e.IngestedAt, e.StoredAt, e.Raw = time.Time{}, time.Time{}, nil
	selectors := e.Selectors
	e.Selectors = nil
	if len(e.Scopes) == 0 {
		e.Scopes = nil
	}
	return fmt.Sprintf("%s %q %+v", e.Time.Format(time.RFC3339Nano), selectors, e)
}

func lines(events []schemas.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, line(e))
	}
	return list
}

// tokenOf is who got a token and what it was used for.
func tokenOf(events []schemas.Event, jti string) (issue string, uses []string) {
	events = slices.Clone(events)
	slices.Reverse(events)
	for _, e := range events {
		if e.TokenID == jti && issue == "" {
			issue = line(e)
		}
		if e.UsedTokenID == jti {
			uses = append(uses, line(e))
		}
	}
	return issue, uses
}
