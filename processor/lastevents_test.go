package processor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// Between two looks among all events only those of the last days are asked for, and what
// was known of the tenants without any stays known.
func TestLastEventsOfTenantsThatRestStayKnown(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	store, w := clickhouse.NewFindingStore(db), clickhouse.NewWriter(db)
	event := func(tenant string, at time.Time) {
		t.Helper()
		e := schemas.Event{Tenant: tenant, Time: at, LogID: fmt.Sprint(at.UnixMilli()), Ver: 1, Source: schemas.SourceStream, IngestedAt: at}
		if err := w.InsertEvents(t.Context(), []schemas.Event{e}); err != nil {
			t.Fatal(err)
		}
	}
	now := someHour
	var l lastEvents
	want := func(when string, all bool, want ...schemas.CorrelationRow) {
		t.Helper()
		rows, err := l.read(t.Context(), store, now, all)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(rows, want, func(a, b schemas.CorrelationRow) bool { return a.Key == b.Key && a.Last == b.Last }) {
			t.Errorf("%s: got %+v, want %+v", when, rows, want)
		}
	}
	last := func(tenant string, at time.Time) schemas.CorrelationRow {
		return schemas.CorrelationRow{Key: tenant, Last: uint64(at.UnixMilli())}
	}
	event("rests", now.Add(-5*24*time.Hour))
	event("works", now.Add(-time.Hour))
	want("at first", false, last("rests", now.Add(-5*24*time.Hour)), last("works", now.Add(-time.Hour)))
	event("works", now.Add(-time.Minute))
	event("rests", now.Add(-4*24*time.Hour)) // imported
	want("of the last days", false, last("rests", now.Add(-5*24*time.Hour)), last("works", now.Add(-time.Minute)))
	l.touched([]schemas.Touch{{Bucket: now.Truncate(time.Hour)}}, now)
	want("when today was touched", false, last("rests", now.Add(-5*24*time.Hour)), last("works", now.Add(-time.Minute)))
	l.touched([]schemas.Touch{{Bucket: now.Add(-4 * 24 * time.Hour).Truncate(time.Hour)}}, now)
	want("when older days were touched", false, last("rests", now.Add(-4*24*time.Hour)), last("works", now.Add(-time.Minute)))
	event("rests", now.Add(-3*24*time.Hour))
	want("of all", true, last("rests", now.Add(-3*24*time.Hour)), last("works", now.Add(-time.Minute)))
}
