package schemas_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestTouchesNameEachPairOnce(t *testing.T) {
	t.Parallel()
	hour := time.Date(2025, 6, 7, 8, 0, 0, 0, time.UTC)
	match := func(selector, tenant, key string, at time.Time) schemas.Match {
		return schemas.Match{Selector: selector, Tenant: tenant, Key: key, Time: at, LogID: at.String()}
	}
	got := schemas.Touches("f1", []schemas.Match{
		match("a", "acme", "k", hour),
		match("a", "acme", "k", hour.Add(time.Hour-time.Millisecond)),
		match("a", "acme", "k", hour.Add(time.Hour)),
		match("b", "acme", "k", hour),
		match("a", "globex", "k", hour),
		match("a", "acme", "l", hour),
		match("a", "acme", "k", hour.Add(time.Minute)),
	})
	touch := func(selector, tenant, key string, bucket time.Time) schemas.Touch {
		return schemas.Touch{Flush: "f1", Selector: selector, Tenant: tenant, Key: key, Bucket: bucket}
	}
	want := []schemas.Touch{
		touch("a", "acme", "k", hour), touch("a", "acme", "k", hour.Add(time.Hour)), touch("b", "acme", "k", hour),
		touch("a", "globex", "k", hour), touch("a", "acme", "l", hour),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("touches (-want +got):\n%s", diff)
	}
	if got := schemas.Touches("f1", nil); len(got) != 0 {
		t.Errorf("touches of nothing: %v", got)
	}
}

func TestCountTouchesNameEachClientAndHourOnce(t *testing.T) {
	t.Parallel()
	hour := time.Date(2025, 6, 7, 8, 0, 0, 0, time.UTC)
	event := func(tenant, client string, at time.Time) schemas.Event {
		return schemas.Event{Tenant: tenant, ClientID: client, Time: at, LogID: at.String()}
	}
	got := schemas.CountTouches("f1", []schemas.Event{
		event("acme", "c", hour), event("acme", "c", hour.Add(time.Hour-time.Millisecond)), event("acme", "c", hour.Add(time.Hour)),
		event("acme", "", hour), event("globex", "c", hour),
	})
	touch := func(tenant, client string, bucket time.Time) schemas.Touch {
		return schemas.Touch{Flush: "f1", Selector: schemas.SelectorCounts, Tenant: tenant, Key: client, Bucket: bucket}
	}
	want := []schemas.Touch{touch("acme", "c", hour), touch("acme", "c", hour.Add(time.Hour)), touch("acme", "", hour), touch("globex", "c", hour)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("touches (-want +got):\n%s", diff)
	}
}

func TestMatchLiesInItsDay(t *testing.T) {
	t.Parallel()
	day := time.Date(2025, 6, 7, 0, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{day, day.Add(24*time.Hour - time.Millisecond)} {
		m := schemas.Match{Time: at}
		if got := m.Day(); !got.Equal(day) {
			t.Errorf("Day of %s = %s, want %s", at, got, day)
		}
	}
}
