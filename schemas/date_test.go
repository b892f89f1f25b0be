package schemas_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestParseDateReadsEveryFormSeen(t *testing.T) {
	t.Parallel()
	second := time.Date(2025, 6, 7, 8, 9, 10, 0, time.UTC)
	for digits := range 10 {
		fraction := ""
		if digits > 0 {
			fraction = "." + "123456789"[:digits]
		}
		want := second.Add([]time.Duration{0, 100, 120, 123}[min(digits, 3)] * time.Millisecond)
		for _, layout := range []string{"2025-06-07T08:09:10%sZ", "2025-06-07 08:09:10%sZ", "2025-06-07T08:09:10%s", "2025-06-07 08:09:10%s", "2025-06-07T10:09:10%s+02:00"} {
			date := fmt.Sprintf(layout, fraction)
			got, err := schemas.ParseDate(date)
			if err != nil || !got.Equal(want) || got.Location() != time.UTC {
				t.Errorf("ParseDate(%q) = %v, %v, want %v", date, got, err, want)
			}
		}
	}
}

func TestParseDateRefusesTheRest(t *testing.T) {
	t.Parallel()
	for _, date := range []string{"", "yesterday", "2025-06-07", "2025-13-07T08:09:10Z", "2025-02-30T08:09:10Z", "2025-06-07T08:09:10ZZ", "1749283750123", strings.Repeat("9", 1<<16)} {
		got, err := schemas.ParseDate(date)
		if err == nil || !got.IsZero() {
			t.Errorf("ParseDate(%.20q) = %v, want an error", date, got)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

func TestLogIDTimeReadsTheStamp(t *testing.T) {
	t.Parallel()
	want := time.Date(2024, 10, 24, 19, 6, 17, 0, time.UTC)
	for id, ok := range map[string]bool{
		"90020241024190617517817000000000000001223372036854775862": true,
		"80020241024190617000": true,
		"90020241024190617":    true,
		"9002024102419061":     false, // cut
		"90020241324190617517": false, // no such month
		"90020240230190617517": false, // no such day
		"9002024102T190617517": false,
		"+9020241024190617517": false,
		"XXX":                  false,
		"":                     false,
	} {
		got, found := schemas.LogIDTime(id)
		if found != ok || ok && (!got.Equal(want) || got.Location() != time.UTC) || !ok && !got.IsZero() {
			t.Errorf("LogIDTime(%q) = %v, %t", id, got, found)
		}
	}
}

// FuzzParseDate claims that an error excludes a result, that a result is UTC
// in whole milliseconds, and that it reads the same when it is written again.
func FuzzParseDate(f *testing.F) {
	for _, date := range []string{"2025-06-07T08:09:10.123Z", "2025-06-07 08:09:10", "2025-06-07T10:09:10.999999999+23:59", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59,9Z"} {
		f.Add(date)
	}
	f.Fuzz(func(t *testing.T, date string) {
		got, err := schemas.ParseDate(date)
		if err != nil {
			if !got.IsZero() {
				t.Fatalf("%v with the error %v", got, err)
			}
			return
		}
		if got.Location() != time.UTC || got.Nanosecond()%1e6 != 0 {
			t.Fatalf("%v is not UTC in milliseconds", got)
		}
		if got.Year() < 0 || got.Year() > 9999 {
			return // an offset may lead over the edge; it cannot be written again
		}
		again, err := schemas.ParseDate(got.Format(time.RFC3339Nano))
		if err != nil || !again.Equal(got) {
			t.Errorf("%v reads as %v, %v", got, again, err)
		}
	})
}

// FuzzLogIDTime claims that a stamp that is found is the digits of the id.
func FuzzLogIDTime(f *testing.F) {
	f.Add("90020241024190617517817000000000000001223372036854775862")
	f.Add("90000000000000000")
	f.Fuzz(func(t *testing.T, id string) {
		got, ok := schemas.LogIDTime(id)
		if ok && got.Format("20060102150405") != id[3:17] {
			t.Errorf("LogIDTime(%q) = %v", id, got)
		}
		if !ok && !got.IsZero() {
			t.Errorf("LogIDTime(%q) = %v without a stamp", id, got)
		}
	})
}
