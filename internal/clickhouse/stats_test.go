package clickhouse_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestStatsCountsEachLogOnce(t *testing.T) {
	db := clickhousetest.New(t)
	all := events(30, noon())
	for range 3 {
		insertEvents(t, db, all)
	}
	got, err := clickhouse.NewReader(db).Stats(t.Context(), schemas.StatsFilter{By: []string{"type", "client_id"}, Limit: 4})
	if err != nil {
		t.Fatal(err)
	}
	want := []schemas.StatsRow{
		{Values: []string{"feccft", "client-0"}, Count: 5},
		{Values: []string{"feccft", "client-1"}, Count: 5},
		{Values: []string{"feccft", "client-2"}, Count: 5},
		{Values: []string{"seccft", "client-0"}, Count: 5},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	half, err := clickhouse.NewReader(db).Stats(t.Context(), schemas.StatsFilter{
		Tenant: "acme", By: []string{"source"}, From: all[5].Time, To: all[20].Time,
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schemas.StatsRow{{Values: []string{"stream"}, Count: 15}}, half); diff != "" {
		t.Errorf("within bounds (-want +got):\n%s", diff)
	}
}

func TestStatsKnowsEveryDimensionAndNoOther(t *testing.T) {
	db := clickhousetest.New(t)
	r := clickhouse.NewReader(db)
	insertEvents(t, db, events(2, noon().Add(time.Second)))
	for _, by := range schemas.StatsDimensions {
		rows, err := r.Stats(t.Context(), schemas.StatsFilter{By: []string{by}})
		if err != nil || len(rows) == 0 || len(rows[0].Values) != 1 || rows[0].Values[0] == "" {
			t.Errorf("by %s: %+v, %v", by, rows, err)
		}
	}
	rows, err := r.Stats(t.Context(), schemas.StatsFilter{By: schemas.StatsDimensions})
	if err != nil || len(rows) != 2 || len(rows[0].Values) != len(schemas.StatsDimensions) {
		t.Errorf("by all dimensions: %+v, %v", rows, err)
	}
	_, err = r.Stats(t.Context(), schemas.StatsFilter{By: []string{"raw"}})
	if err == nil || !strings.Contains(err.Error(), `"raw"`) || !strings.Contains(err.Error(), "organization_id") {
		t.Errorf("by raw: %v, want an error that lists the dimensions", err)
	}
}
