package schemas

import (
	"strings"
	"time"
)

// PartSeparator stands between the parts of a key or a value that is made of
// several fields. In a part it is a space.
const PartSeparator = "\x1f"

// Parts are those of a key or a value: one, where it is of one field.
func Parts(joined string) []string { return strings.Split(joined, PartSeparator) }

// Match is one event that a selector selected. Key is the entity that the
// rules of the selector correlate by; Value is what they compare (a network,
// say). A match is believed only while the event (Tenant, ClientID, Time,
// LogID) in the store has the same Ver: a copy that lost leaves no trace.
type Match struct {
	Selector string
	Tenant   string
	Key      string
	Time     time.Time
	LogID    string
	Value    string
	ClientID string
	Ver      uint64
	Source   Source
}

// Day is the bucket of a match in the store: its UTC day.
func (m *Match) Day() time.Time { return m.Time.Truncate(24 * time.Hour) }

// Touch is the mark that a flush leaves: what depends on this key of this
// selector in this hour must be computed anew.
type Touch struct {
	Flush    string // id of the flush, a UUID version 7; of version 8 where IsHistoryFlush
	Selector string
	Tenant   string
	Key      string
	Bucket   time.Time // start of the UTC hour
}

// IsHistoryFlush reports whether touches are of what was matched of history, which
// may wait for what comes in. They must take no match away that was there.
func IsHistoryFlush(flush string) bool { return len(flush) == 36 && flush[14] == '8' }

// Touches returns one touch per distinct (tenant, selector, key, hour) of matches.
func Touches(flush string, matches []Match) []Touch {
	seen := make(map[Touch]struct{}, len(matches)/4)
	var touches []Touch
	for i := range matches {
		m := &matches[i]
		t := Touch{Flush: flush, Selector: m.Selector, Tenant: m.Tenant, Key: m.Key, Bucket: m.Time.Truncate(time.Hour)}
		if _, ok := seen[t]; ok {
			continue
		}
		seen[t] = struct{}{}
		touches = append(touches, t)
	}
	return touches
}

// Flush is a flush that a reader of touches has not done, and how many of its
// touches that reader reads.
type Flush struct {
	ID      string
	Touches uint64
}

// SelectorCounts is the selector of the touches that the recount reads; their
// Key is a client_id, which may be empty.
const SelectorCounts = "counts"

// SelectorActs is the selector of the touches that acts of people leave for the
// correlator; their Key is the id of a finding.
const SelectorActs = "acts"

// SelectorExpected is the selector of the touches that declarations leave for the
// correlator; their Key is an identity.
const SelectorExpected = "expected"

// CountTouches returns one touch per distinct (tenant, client_id, hour) of
// events: what is counted of them must be counted anew.
func CountTouches(flush string, events []Event) []Touch {
	seen := make(map[Touch]struct{}, len(events)/16)
	var touches []Touch
	for i := range events {
		e := &events[i]
		t := Touch{Flush: flush, Selector: SelectorCounts, Tenant: e.Tenant, Key: e.ClientID, Bucket: e.Time.Truncate(time.Hour)}
		if _, ok := seen[t]; ok {
			continue
		}
		seen[t] = struct{}{}
		touches = append(touches, t)
	}
	return touches
}
