package main

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPaceNamesWaitsThatAreKnown(t *testing.T) {
	for value, want := range map[string]pace{
		"":                       {},
		"quiet=1s":               {"quiet": time.Second},
		"quiet=1h,look=500ms":    {"quiet": time.Hour, "look": 500 * time.Millisecond},
		"ack=2s,lease=1s,ack=3s": {"ack": 3 * time.Second, "lease": time.Second},
	} {
		got, err := parsePace([]string{"M2MWATCH_PACE=" + value})
		if err != nil {
			t.Errorf("%q: %v", value, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", value, diff)
		}
	}
	for _, value := range []string{"quiet", "quiet=", "quiet=1", "quiet=0s", "quiet=-1s", "patience=1s", "quiet=1s,", "quiet=1s;look=1s"} {
		if got, err := parsePace([]string{"M2MWATCH_PACE=" + value}); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, %v; want an error of usage", value, got, err)
		}
	}
	if got := (pace{"ack": time.Second}).or("ack", time.Minute); got != time.Second {
		t.Errorf("a wait that is named takes %s", got)
	}
	if got := (pace{}).or("ack", time.Minute); got != time.Minute {
		t.Errorf("a wait that is not named takes %s", got)
	}
}
