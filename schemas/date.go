package schemas

import (
	"fmt"
	"strconv"
	"time"
)

// dateLayouts are the forms of `date` that were seen on the wire. Go's parser
// accepts any number of fractional digits after the seconds in each of them.
var dateLayouts = []string{
	"2006-01-02T15:04:05Z07:00",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
}

// ParseDate reads the `date` of a log: RFC 3339, with a space or a T, with 0
// to 9 fractional digits, with or without a zone (none means UTC). The result
// is UTC, cut to the millisecond, which is what the store keeps.
func ParseDate(s string) (time.Time, error) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC().Truncate(time.Millisecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("date %q: want a form like 2006-01-02T15:04:05.000Z", clip(s, 64))
}

// LogIDTime reads the stamp inside a log_id: three digits, then
// YYYYMMDDhhmmss in UTC, for some tenants followed by the milliseconds. It is
// Auth0's time of ingestion, up to some seconds after `date`.
func LogIDTime(id string) (time.Time, bool) {
	const stamp = "20060102150405"
	if len(id) < 3+len(stamp) {
		return time.Time{}, false
	}
	if _, err := strconv.ParseUint(id[:3+len(stamp)], 10, 64); err != nil {
		return time.Time{}, false
	}
	t, err := time.Parse(stamp, id[3:3+len(stamp)])
	if err != nil {
		return time.Time{}, false
	}
	return t, true
}

// clip shortens s to n bytes, for an error that quotes input.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
