package processor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// FuzzDecode claims that a record is either refused with a reason or becomes
// an event with a key, that the same bytes give the same event whatever was
// read before, and that reading changes none of them.
func FuzzDecode(f *testing.F) {
	for _, file := range sampleFiles(f) {
		for _, raw := range sampleLines(f, file) {
			f.Add(raw)
		}
	}
	catalogue := schemas.EventTypes()
	used := NewNormalizer(catalogue, nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		log := streamLog(string(raw))
		first, err := used.Normalize(&log)
		again, errAgain := NewNormalizer(catalogue, nil).Normalize(&log)
		if diff := cmp.Diff(first, again); diff != "" || (err == nil) != (errAgain == nil) {
			t.Fatalf("two readings differ (%v, %v):\n%s", err, errAgain, diff)
		}
		if string(log.Raw) != string(raw) {
			t.Fatal("the raw log was changed")
		}
		if err != nil {
			if first.LogID != "" || err.Error() == "" {
				t.Fatalf("error %q with event %+v", err, first)
			}
			return
		}
		if n := len(first.LogID); n == 0 || n > maxLogID {
			t.Errorf("log_id of %d bytes", n)
		}
		if first.Time.Location() != time.UTC || !first.Time.Equal(first.Time.Truncate(time.Millisecond)) {
			t.Errorf("time %v is not UTC in milliseconds", first.Time)
		}
	})
}
