package processor

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// A witness rules a key out until its hour is touched, it is too long ago, or
// another epoch or other rules begin.
func TestMemoryForgetsWhatNoLongerHolds(t *testing.T) {
	t.Parallel()
	rules, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	var all []detect.Correlation
	var recall detect.Recall
	for _, c := range rules.Correlations() {
		if r, ok := c.Recall(); ok && c.Code == "MI-08" {
			all, recall = append(all, c), r
		}
	}
	seen := time.Date(2026, 4, 14, 9, 30, 0, 0, time.UTC)
	k := memoryKey{tenant: "acme", selector: recall.Selector, lookback: recall.Lookback}
	before := uint64(seen.Add(24 * time.Hour).UnixMilli())
	asks := func(m *memory) {
		m.ask(k, []schemas.CorrelationRow{{Key: "billing", Values: []string{"asn\x1f64500"}}}, before)
	}
	answer := []schemas.CorrelationRow{{Key: "billing", Last: uint64(seen.UnixMilli()), Values: []string{"asn\x1f64500"}}}
	known := func() (*memory, func(at time.Time) bool) {
		m := &memory{}
		m.begin(1, all)
		asks(m)
		m.learn(k, answer, before)
		return m, func(at time.Time) bool {
			ms := uint64(at.UnixMilli())
			return len(m.open(k, []schemas.CorrelationRow{{Key: "billing", First: ms, Last: ms, Values: []string{"asn\x1f64500"}}})) == 1
		}
	}
	touch := func(hour time.Time) []schemas.Touch {
		return []schemas.Touch{{Tenant: "acme", Selector: recall.Selector, Key: "billing", Bucket: hour}}
	}
	tomorrow := seen.Add(25 * time.Hour)
	for name, tc := range map[string]struct {
		do   func(m *memory)
		at   time.Time
		open bool
	}{
		"known":                   {func(*memory) {}, tomorrow, false},
		"before it was seen":      {func(*memory) {}, seen, true},
		"as long ago as counts":   {func(*memory) {}, seen.Add(recall.Lookback), false},
		"too long ago":            {func(*memory) {}, seen.Add(recall.Lookback + time.Millisecond), true},
		"its hour is touched":     {func(m *memory) { m.touched(touch(seen.Truncate(time.Hour))) }, tomorrow, true},
		"another hour is touched": {func(m *memory) { m.touched(touch(seen.Truncate(time.Hour).Add(-time.Hour))) }, tomorrow, false},
		"today is touched":        {func(m *memory) { m.touched(touch(tomorrow.Truncate(time.Hour))) }, tomorrow, false},
		"touched while it is asked": {func(m *memory) {
			m.forgetAll()
			m.begin(1, all)
			asks(m)
			m.touched(touch(seen.Truncate(time.Hour)))
			m.learn(k, answer, before)
		}, tomorrow, true},
		"another epoch":  {func(m *memory) { m.begin(2, all) }, tomorrow, true},
		"the same epoch": {func(m *memory) { m.begin(1, all) }, tomorrow, false},
		"other rules":    {func(m *memory) { m.begin(1, nil); m.begin(1, all) }, tomorrow, true},
	} {
		m, open := known()
		tc.do(m)
		if got := open(tc.at); got != tc.open {
			t.Errorf("%s: open %v, want %v", name, got, tc.open)
		}
	}
}
