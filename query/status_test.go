package query_test

import (
	"testing"
	"time"

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
