package detect_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// explosive is an expression with look-around, badly written, and a value that
// is made for it.
const explosive = `s: {user_agent|re: '^(?!z)(a+)+$'}` + "\ncondition: s"

var bait = strings.Repeat("a", 60) + "!"

func lookAround(t *testing.T) (*detect.Set, *detect.Counters) {
	t.Helper()
	var counters detect.Counters
	tree := fstest.MapFS{"a.yml": {Data: []byte(brought("One", explosive, ""))}}
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: tree}}, Counters: &counters})
	if err != nil {
		t.Fatal(err)
	}
	return set, &counters
}

func TestLookAroundIsGivenUpAndCounted(t *testing.T) {
	set, counters := lookAround(t)
	if !selects(set, schemas.Event{UserAgent: "aaa"}) || selects(set, schemas.Event{UserAgent: "zaa"}) {
		t.Fatal("it does not select what it should")
	}
	if selects(set, schemas.Event{UserAgent: bait}) || counters.TimedOut() != 1 {
		t.Errorf("%d values given up, want the one", counters.TimedOut())
	}
	if !selects(set, schemas.Event{UserAgent: "aaa"}) {
		t.Error("after a time-out it selects nothing more")
	}
}

// A flush has 25,000 events at most.
func TestLookAroundDoesNotStallAFlush(t *testing.T) {
	set, counters := lookAround(t)
	e := schemas.Event{UserAgent: bait}
	began := time.Now()
	for range 10_000 {
		selects(set, e)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("10,000 values took %s", took)
	}
	if counters.TimedOut() == 0 || counters.TimedOut()+counters.Skipped() != 10_000 {
		t.Errorf("%d given up and %d not tried, want 10,000 in all", counters.TimedOut(), counters.Skipped())
	}
	for range 10_000 {
		selects(set, schemas.Event{UserAgent: "b"})
	}
	if !selects(set, schemas.Event{UserAgent: "aaa"}) {
		t.Error("it does not recover")
	}
}

func TestLookAroundLooksAtSoMuchOfAValue(t *testing.T) {
	set, counters := lookAround(t)
	if selects(set, schemas.Event{UserAgent: "b" + strings.Repeat("a", 1<<20)}) || counters.Cut() != 1 {
		t.Errorf("%d values were cut, want the one", counters.Cut())
	}
}
