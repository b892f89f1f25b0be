package query

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestTimesAreReadInEachForm(t *testing.T) {
	now := time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"":                               {},
		"2025-03-14T12:00:00Z":           now,
		"2025-03-14T14:00:00.1239+02:00": now.Add(123 * time.Millisecond),
		"2025-03-14":                     now.Add(-12 * time.Hour),
		"24h":                            now.Add(-24 * time.Hour),
		"1h30m":                          now.Add(-90 * time.Minute),
		"7d":                             now.AddDate(0, 0, -7),
		"2w":                             now.AddDate(0, 0, -14),
		"0s":                             now,
	} {
		if got, err := parseTime("from", s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %s, %v; want %s", s, got, err, want)
		}
	}
}

// What is read is a time that the store can hold, in UTC and milliseconds, or
// it is an error that becomes a 422.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2025-03-14T12:00:00+02:00", "2025-03-14", "7d", "99999w", "-1h", "9999-12-31T23:59:59Z", "2562047h"} {
		f.Add(s)
	}
	now := time.Date(2025, 3, 14, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime("from", s, now)
		if err != nil {
			if e, ok := errors.AsType[*httpserver.Error](err); !ok || e.Status != http.StatusUnprocessableEntity || !got.IsZero() {
				t.Errorf("%q: %v with %s", s, err, got)
			}
			return
		}
		if s != "" && (!inRange(got) || got.Location() != time.UTC || got.Nanosecond()%1e6 != 0) {
			t.Errorf("%q: %s", s, got)
		}
	})
}

// Every text is refused or is a place, and every place survives its text.
func FuzzCursor(f *testing.F) {
	complete := func(c schemas.EventCursor) bool { return c.LogID != "" && inRange(c.Time) }
	f.Add(encodeCursor(schemas.EventCursor{Time: firstTime, LogID: "1", Tenant: "acme"}))
	f.Add("e30")
	f.Add("bnVsbA")
	f.Fuzz(func(t *testing.T, s string) {
		place, err := decodeCursor(s, complete)
		if err != nil || place == nil {
			if (err == nil) != (s == "") || place != nil {
				t.Errorf("%q: %v, %v", s, place, err)
			}
			return
		}
		again, err := decodeCursor(encodeCursor(*place), complete)
		if err != nil || !again.Time.Equal(place.Time) || again.LogID != place.LogID || again.Tenant != place.Tenant {
			t.Errorf("%q: %v became %v, %v", s, place, again, err)
		}
	})
}
