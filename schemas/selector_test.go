package schemas_test

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestSelectorReachesWhatItHasLookedAt(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	week := schemas.Selector{State: schemas.SelectorWarm, Since: since, Reach: 7 * 24 * time.Hour}
	warming, idle, all := week, week, week
	warming.State, idle.State, all.Reach = schemas.SelectorWarming, schemas.SelectorIdle, schemas.AllHistory
	begins := since.Add(-7 * 24 * time.Hour)
	for _, c := range []struct {
		name     string
		selector schemas.Selector
		from     time.Time
		want     bool
	}{
		{"the first moment", week, begins, true},
		{"one before it", week, begins.Add(-1), false},
		{"what came later", week, since.Add(time.Hour), true},
		{"while history is matched", warming, since, false},
		{"when nothing selects by it", idle, since, false},
		{"all of history", all, time.Unix(0, 0), true},
		{"all of history, before it can be", all, since.Add(-150 * 365 * 24 * time.Hour), true},
	} {
		if got := c.selector.Reaches(c.from); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
