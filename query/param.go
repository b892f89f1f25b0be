package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
)

// Period is the parameters that most operations share. It is exported because
// huma does not see into what is not.
type Period struct {
	From string `query:"from" maxLength:"64" doc:"The first moment: RFC 3339, a date, or how long ago (90m, 24h, 7d, 2w)." example:"24h"`
	To   string `query:"to" maxLength:"64" doc:"The moment after the last, in the forms of from." example:"2025-03-15"`
}

// resolve reads both ends; zero means open.
func (p Period) resolve(now time.Time) (from, to time.Time, err error) {
	if from, err = parseTime("from", p.From, now); err != nil {
		return from, to, err
	}
	if to, err = parseTime("to", p.To, now); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, invalid(fmt.Sprintf("from: %s is not before to, %s", from.Format(timeFormat), to.Format(timeFormat)))
	}
	return from, to, nil
}

var (
	// longAgo are the units that time.ParseDuration lacks.
	longAgo = regexp.MustCompile(`^([0-9]{1,5})([dw])$`)

	firstTime = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// parseTime reads one end of a period, in UTC and whole milliseconds.
func parseTime(name, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, ok := ReadTime(s, now)
	if !ok {
		return time.Time{}, invalid(fmt.Sprintf("%s: want a time like 2006-01-02T15:04:05Z, a date like 2006-01-02, or how long ago, like 24h or 7d (a + in a URL is written %%2B)", name))
	}
	t = t.UTC().Truncate(time.Millisecond)
	if !inRange(t) {
		return time.Time{}, invalid(fmt.Sprintf("%s: want a time from 1970 to 2199", name))
	}
	return t, nil
}

// inRange is what the store can hold.
func inRange(t time.Time) bool { return !t.Before(firstTime) && t.Before(lastTime) }

// ReadTime reads a time in the forms that every parameter of a time takes, and
// false where it is none.
func ReadTime(s string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if m := longAgo.FindStringSubmatch(s); m != nil {
		days, _ := strconv.Atoi(m[1]) // five digits
		if m[2] == "w" {
			days *= 7
		}
		return now.UTC().AddDate(0, 0, -days), true
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 && !strings.HasPrefix(s, "+") {
		return now.Add(-d), true
	}
	return time.Time{}, false
}

// encodeCursor makes the opaque text of a place in a listing.
func encodeCursor(place any) string {
	b, err := json.Marshal(place)
	if err != nil { // a struct of strings and a time within four-digit years always marshals
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads what encodeCursor made. No text means the first page: nil.
func decodeCursor[T any](s string, complete func(T) bool) (*T, error) {
	if s == "" {
		return nil, nil
	}
	var place T
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil {
		dec := json.NewDecoder(strings.NewReader(string(b)))
		dec.DisallowUnknownFields()
		err = dec.Decode(&place)
	}
	if err != nil || !complete(place) {
		return nil, &httpserver.Error{
			Status: http.StatusBadRequest, Code: "cursor_invalid", Cause: err,
			Message: "The cursor is not one of this listing: pass on the value of next as it came, or leave it out to start anew.",
		}
	}
	return &place, nil
}
