package clickhouse_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// page lists all events by pages of limit.
func page(t *testing.T, db *clickhouse.DB, f schemas.EventFilter) []schemas.Event {
	t.Helper()
	var all []schemas.Event
	for {
		events := listEvents(t, db, f)
		all = append(all, events...)
		if len(events) < f.Limit {
			return all
		}
		last := events[len(events)-1]
		f.After = &schemas.EventCursor{Time: last.Time, LogID: last.LogID, Tenant: last.Tenant}
	}
}

func TestListingOfNothingIsEmpty(t *testing.T) {
	db := clickhousetest.New(t)
	if got := listEvents(t, db, schemas.EventFilter{}); len(got) != 0 {
		t.Errorf("got %d events of an empty store", len(got))
	}
	insertEvents(t, db, events(3, noon()))
	for name, f := range map[string]schemas.EventFilter{
		"another tenant": {Tenant: "other"},
		"before all":     {To: noon().Add(-time.Hour)},
		"after all":      {From: noon().Add(time.Hour)},
		"year one":       {To: time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)},
		"year 9999":      {From: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := listEvents(t, db, f); len(got) != 0 {
			t.Errorf("%s: got %d events", name, len(got))
		}
	}
}

func TestPagesOverEqualTimesAreCompleteAndWithoutRepeats(t *testing.T) {
	db := clickhousetest.New(t)
	var all []schemas.Event
	for n := range 40 { // four times, ten events each, some of two tenants with one log_id
		e := event(n, noon())
		e.Time = noon().Add(time.Duration(n%4) * time.Millisecond)
		e.LogID = fmt.Sprintf("id-%02d", n/2)
		e.Tenant = []string{"acme", "beta"}[n%2]
		all = append(all, e)
	}
	insertEvents(t, db, all)
	for _, limit := range []int{1, 3, 7, 40, 100} {
		if diff := diffEvents(newestFirst(all), page(t, db, schemas.EventFilter{Limit: limit})); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestPagesOverManyDaysAreComplete(t *testing.T) {
	db := clickhousetest.New(t)
	var all []schemas.Event
	for n := range 60 { // gaps of hours, days and weeks
		all = append(all, event(n, noon().Add(-time.Duration(n*n)*time.Hour)))
	}
	insertEvents(t, db, all)
	want := newestFirst(all)
	for _, limit := range []int{7, 25, 1000} {
		if diff := diffEvents(want, page(t, db, schemas.EventFilter{Limit: limit})); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	from, to := want[40].Time, want[10].Time
	if diff := diffEvents(want[11:41], page(t, db, schemas.EventFilter{From: from, To: to, Limit: 4})); diff != "" {
		t.Errorf("from inclusive, to exclusive (-want +got):\n%s", diff)
	}
	if diff := diffEvents(want[11:40], page(t, db, schemas.EventFilter{From: from.Add(time.Nanosecond), To: to.Add(-time.Nanosecond), Limit: 4})); diff != "" {
		t.Errorf("bounds between milliseconds (-want +got):\n%s", diff)
	}
}

func TestListingIsNarrowedByEachField(t *testing.T) {
	db := clickhousetest.New(t)
	all := events(60, noon())
	for i := range all {
		all[i].Tenant = []string{"acme", "beta"}[i%2]
	}
	insertEvents(t, db, all)
	tests := map[string]struct {
		filter schemas.EventFilter
		keep   func(schemas.Event) bool
	}{
		"tenant":    {schemas.EventFilter{Tenant: "beta"}, func(e schemas.Event) bool { return e.Tenant == "beta" }},
		"client_id": {schemas.EventFilter{ClientID: "client-1"}, func(e schemas.Event) bool { return e.ClientID == "client-1" }},
		"user_id":   {schemas.EventFilter{UserID: "auth0|4"}, func(e schemas.Event) bool { return e.UserID == "auth0|4" }},
		"type":      {schemas.EventFilter{Type: "feccft"}, func(e schemas.Event) bool { return e.Type == "feccft" }},
		"all at once": {schemas.EventFilter{Tenant: "acme", ClientID: "client-0", UserID: "auth0|1", Type: "seccft"}, func(e schemas.Event) bool {
			return e.Tenant == "acme" && e.ClientID == "client-0" && e.UserID == "auth0|1" && e.Type == "seccft"
		}},
	}
	for name, tt := range tests {
		var want []schemas.Event
		for _, e := range newestFirst(all) {
			if tt.keep(e) {
				want = append(want, e)
			}
		}
		if len(want) == 0 || len(want) == len(all) {
			t.Fatalf("%s: the test narrows nothing", name)
		}
		if diff := diffEvents(want, listEvents(t, db, tt.filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEventIsFoundFarFromItsStampAndWithoutOne(t *testing.T) {
	db := clickhousetest.New(t)
	late, bare := event(1, noon()), event(2, noon())
	late.Time = late.Time.Add(-30 * 24 * time.Hour)
	bare.LogID = "bare"
	insertEvents(t, db, []schemas.Event{late, bare})
	for _, want := range []schemas.Event{late, bare} {
		got, err := clickhouse.NewReader(db).Event(t.Context(), "acme", want.LogID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffEvents(want, got); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
	if _, err := clickhouse.NewReader(db).Event(t.Context(), "beta", bare.LogID); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("event of another tenant: %v, want ErrNotFound", err)
	}
}
