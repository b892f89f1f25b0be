package schemas_test

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestRetentionEdgeIsAMidnightThatNothingExpiredBehind(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	midnight := time.Date(2025, 6, 7, 0, 0, 0, 0, time.UTC)
	for now, want := range map[time.Time]time.Time{
		midnight.Add(-time.Nanosecond): midnight.Add(-30 * day),
		midnight:                       midnight.Add(-29 * day),
		midnight.Add(13 * time.Hour):   midnight.Add(-29 * day),
		midnight.Add(13 * time.Hour).In(time.FixedZone("", -12*60*60)): midnight.Add(-29 * day),
	} {
		if got := schemas.RetentionEdge(now, 30*day); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("at %s the edge is %s, want %s", now, got, want)
		}
	}
	if got := schemas.RetentionEdge(midnight, 0); !got.IsZero() {
		t.Errorf("kept for ever there is an edge, %s", got)
	}
}
