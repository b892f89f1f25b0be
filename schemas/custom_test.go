package schemas_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func cloudEvent(change func(*schemas.CloudEvent)) *schemas.CloudEvent {
	e := &schemas.CloudEvent{SpecVersion: "1.0", ID: "1", Source: "/billing", Type: "token.used", Time: "2026-03-02T09:00:00.123456+01:00"}
	change(e)
	return e
}

func TestCloudEventCheckNamesTheAttribute(t *testing.T) {
	t.Parallel()
	if err := cloudEvent(func(*schemas.CloudEvent) {}).Check(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change func(*schemas.CloudEvent)
		want   string
	}{
		{func(e *schemas.CloudEvent) { *e = schemas.CloudEvent{} }, "specversion is missing"},
		{func(e *schemas.CloudEvent) { e.SpecVersion = "0.3" }, `specversion is "0.3"`},
		{func(e *schemas.CloudEvent) { e.ID = "" }, "id is missing"},
		{func(e *schemas.CloudEvent) { e.ID = strings.Repeat("x", 1025) }, "id is longer"},
		{func(e *schemas.CloudEvent) { e.Source = "" }, "source is missing"},
		{func(e *schemas.CloudEvent) { e.Source = strings.Repeat("x", 1025) }, "source is longer"},
		{func(e *schemas.CloudEvent) { e.Type = "" }, "type is missing"},
		{func(e *schemas.CloudEvent) { e.Type = strings.Repeat("x", 129) }, "type is longer"},
		{func(e *schemas.CloudEvent) { e.Type = "a b" }, "alone"},
		{func(e *schemas.CloudEvent) { e.Type = "a,b" }, "alone"},
		{func(e *schemas.CloudEvent) { e.Time = "" }, "time is missing"},
		{func(e *schemas.CloudEvent) { e.Time = "2026-03-02T09:00:00" }, "want RFC 3339"},
		{func(e *schemas.CloudEvent) { e.Time = "2026-03-02" }, "want RFC 3339"},
		{func(e *schemas.CloudEvent) { e.Time = "1772442000" }, "want RFC 3339"},
	} {
		err := cloudEvent(test.change).Check()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
		if errors.Is(err, schemas.ErrCloudEventTime) != strings.HasPrefix(err.Error(), "time") {
			t.Errorf("%v: is it about time?", err)
		}
	}
}

func TestCloudEventTimeIsUTCInMilliseconds(t *testing.T) {
	t.Parallel()
	got := cloudEvent(func(*schemas.CloudEvent) {}).At()
	if want := time.Date(2026, 3, 2, 8, 0, 0, 123e6, time.UTC); got != want {
		t.Errorf("At() = %v, want %v", got, want)
	}
}

func TestCustomLogIDIsOfSourceAndIDAlone(t *testing.T) {
	t.Parallel()
	first := cloudEvent(func(*schemas.CloudEvent) {}).LogID()
	if !regexp.MustCompile(`^custom-[0-9a-f]{32}$`).MatchString(first) {
		t.Errorf("log_id %s", first)
	}
	if same := cloudEvent(func(e *schemas.CloudEvent) { e.Type, e.Time = "x", "y" }).LogID(); same != first {
		t.Errorf("log_id %s by another type and time, was %s", same, first)
	}
	seen := map[string][2]string{}
	for _, pair := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"a", "b\x00c"}, {"a\x00b", "c"}, {"b", "ac"}, {"\x01b", "c"}} {
		e := schemas.CloudEvent{Source: pair[0], ID: pair[1]}
		if other, is := seen[e.LogID()]; is {
			t.Errorf("%q and %q share a log_id", pair, other)
		}
		seen[e.LogID()] = pair
	}
}
