package query_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestStatusTellsWhenTheDiskIsFull(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		status schemas.StoreStatus
		want   float64 // -1: null
	}{
		"no limit":              {schemas.StoreStatus{BytesPerDay: gib, Free: 10 * gib, Size: 20 * gib, Growing: -1}, 10},
		"full before it stops":  {schemas.StoreStatus{BytesPerDay: gib, Free: 10 * gib, Size: 20 * gib, Growing: 11 * 24 * time.Hour}, 10},
		"stops before":          {schemas.StoreStatus{BytesPerDay: gib, Free: 10 * gib, Size: 20 * gib, Growing: 9 * 24 * time.Hour}, -1},
		"grows no more":         {schemas.StoreStatus{BytesPerDay: gib, Free: 10 * gib, Size: 20 * gib}, -1},
		"nothing stored":        {schemas.StoreStatus{Free: 10 * gib, Size: 20 * gib, Growing: -1}, -1},
		"a disk nobody can see": {schemas.StoreStatus{BytesPerDay: gib, Growing: -1}, -1},
	} {
		got := decode[schemas.StatusView](t, ok(t, api(t, &store{status: c.status}, query.Config{}), "/v1/status"))
		if days := got.DaysToFull; (days == nil) != (c.want < 0) || days != nil && *days != c.want {
			t.Errorf("%s: %v days, want %v", name, days, c.want)
		}
		if (got.DiskFree == nil) != (c.status.Size == 0) {
			t.Errorf("%s: %v free", name, got.DiskFree)
		}
	}
}

func TestStatusTellsWhichRulesWarmUp(t *testing.T) {
	warming := []schemas.Selector{{Selector: "issued", Done: 3, Total: 10}, {Selector: "refused"}, {Selector: "nobody's"}}
	rules := map[string][]string{"issued": {"MI-02", "MI-01"}, "refused": {"MI-02"}}
	s := &store{status: schemas.StoreStatus{Warming: warming}}
	got := decode[schemas.StatusView](t, ok(t, api(t, s, query.Config{RulesOf: func(selector string) []string { return rules[selector] }}), "/v1/status"))
	want := []schemas.WarmingView{{Rule: "MI-01", Selections: 1, Done: 3, Total: 10}, {Rule: "MI-02", Selections: 2, Done: 3, Total: 10}}
	if diff := cmp.Diff(want, got.Warming); diff != "" {
		t.Errorf("warming (-want +got):\n%s", diff)
	}
}
