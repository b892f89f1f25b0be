package processor

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	k := memoryKey{tenant: "acme", selector: recall.Selector}
	before := uint64(seen.Add(24 * time.Hour).UnixMilli())
	asks := func(m *memory) uint64 {
		_, asking := m.ask(k, []schemas.CorrelationRow{{Key: "billing", Values: []string{"asn\x1f64500"}}}, before)
		return asking
	}
	answer := []schemas.CorrelationRow{{Key: "billing", Last: uint64(seen.UnixMilli()), Values: []string{"asn\x1f64500"}}}
	known := func() (*memory, func(at time.Time) bool) {
		m := newMemory()
		m.begin(1, all)
		m.learn(k, []string{"billing"}, answer, asks(m))
		return m, func(at time.Time) bool {
			ms := uint64(at.UnixMilli())
			return len(m.open(k, []schemas.CorrelationRow{{Key: "billing", First: ms, Last: ms, Values: []string{"asn\x1f64500"}}}, before, &recall)) == 1
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
			asking := asks(m)
			m.touched(touch(seen.Truncate(time.Hour)))
			m.learn(k, []string{"billing"}, answer, asking)
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

// Nothing is new of a key that did nothing before what is looked at, until it is warm.
func TestMemoryKnowsWhoBeganLately(t *testing.T) {
	t.Parallel()
	rules, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	recalls := map[string]detect.Recall{}
	for _, c := range rules.Correlations() {
		if r, ok := c.Recall(); ok {
			recalls[c.Code] = r
		}
	}
	recall := recalls["MI-08"]
	if recall.Warm < 48*time.Hour || recalls["MI-20"].Warm != 0 {
		t.Errorf("warm after %s; who woke up after %s, want two days and longer, and none", recall.Warm, recalls["MI-20"].Warm)
	}
	k := memoryKey{tenant: "acme", selector: recall.Selector}
	from := uint64(time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC).UnixMilli())
	row := schemas.CorrelationRow{Key: "billing", First: from, Last: from + 1000, Values: []string{"asn\x1f64500"}}
	old := row
	old.Last = old.First + uint64(recall.Warm.Milliseconds())
	asks := func(m *memory) uint64 {
		_, asking := m.ask(k, []schemas.CorrelationRow{row}, from)
		return asking
	}
	learned := func(m *memory) { m.learn(k, []string{"billing"}, nil, asks(m)) }
	for name, tc := range map[string]struct {
		do   func(m *memory)
		row  schemas.CorrelationRow
		from uint64
		open bool
	}{
		"began lately":          {learned, row, from, false},
		"long enough ago":       {learned, old, from, true},
		"asked of another time": {learned, row, from + 1000, true},
		"not answered":          {func(m *memory) { asks(m) }, row, from, true},
		"touched before that":   {func(m *memory) { learned(m); m.touched(touchOf(recall, from-1)) }, row, from, true},
		"touched since":         {func(m *memory) { learned(m); m.touched(touchOf(recall, from)) }, row, from, false},
		"touched while it was asked": {func(m *memory) {
			asking := asks(m)
			m.touched(touchOf(recall, from-1))
			m.learn(k, []string{"billing"}, nil, asking)
		}, row, from, true},
		"asked again since, and that not answered": {func(m *memory) {
			first := asks(m)
			m.touched(touchOf(recall, from-1))
			asks(m)
			m.learn(k, []string{"billing"}, nil, first)
		}, row, from, true},
		"did something before": {func(m *memory) {
			m.learn(k, []string{"billing"}, []schemas.CorrelationRow{{Key: "billing", Last: from - 1, Values: []string{"asn\x1f64501"}}}, asks(m))
		}, row, from, true},
	} {
		m := newMemory()
		m.begin(1, rules.Correlations())
		tc.do(m)
		if open := len(m.open(k, []schemas.CorrelationRow{tc.row}, tc.from, &recall)) == 1; open != tc.open {
			t.Errorf("%s: open %v, want %v", name, open, tc.open)
		}
	}
}

func touchOf(r detect.Recall, at uint64) []schemas.Touch {
	return []schemas.Touch{{Tenant: "acme", Selector: r.Selector, Key: "billing", Bucket: milli(at).Truncate(time.Hour)}}
}

// What one rule has asked about a key is known to the others, by their own look-backs.
func TestMemoryServesAllLookBacks(t *testing.T) {
	t.Parallel()
	rules, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	recalls := map[string]detect.Recall{}
	for _, c := range rules.Correlations() {
		if r, ok := c.Recall(); ok {
			recalls[c.Code] = r
		}
	}
	long, short := recalls["MI-08"], recalls["MI-20"]
	if short.Selector != long.Selector || short.Lookback >= long.Lookback {
		t.Fatalf("look-backs of %s and %s, want a longer one of the same selector", long.Lookback, short.Lookback)
	}
	m := newMemory()
	m.begin(1, rules.Correlations())
	k := memoryKey{tenant: "acme", selector: long.Selector}
	from := uint64(time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC).UnixMilli())
	seen := from - uint64(short.Lookback.Milliseconds())
	deeds := func(r detect.Recall, deed string) []schemas.CorrelationRow {
		return []schemas.CorrelationRow{{Key: "billing", First: from, Last: from, Values: r.Own([]string{deed})}}
	}
	network := "network\x1f198.51.100.0/24"
	unread, asking := m.ask(k, deeds(long, network), from)
	if len(unread) != 1 {
		t.Fatalf("asked about %v, want billing", unread)
	}
	for _, at := range []uint64{seen - 1, seen} {
		m.learn(k, []string{"billing"}, []schemas.CorrelationRow{{Key: "billing", Last: at, Values: []string{network}}, {Key: "billing", Last: at, Values: []string{""}}}, asking)
		if open := m.open(k, deeds(long, network), from, &long); len(open) != 0 {
			t.Errorf("seen at %d: new to the rule that looks back %s", at, long.Lookback)
		}
		if open := m.open(k, deeds(short, network), from, &short); (len(open) == 0) != (at == seen) {
			t.Errorf("seen at %d: known to the rule that looks back %s: %v", at, short.Lookback, len(open) == 0)
		}
	}
	if unread, _ := m.ask(k, deeds(short, network), from); len(unread) != 0 {
		t.Errorf("asked about %v again", unread)
	}
}

// With each day a key is asked about anew, but only for what it did since the day before.
func TestMemoryAsksForADayMoreEachDay(t *testing.T) {
	t.Parallel()
	all, recall, k := newNetworks(t)
	const hour, day = uint64(time.Hour / time.Millisecond), 24 * uint64(time.Hour/time.Millisecond)
	today := uint64(time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC).UnixMilli())
	longAgo := uint64(recall.Lookback.Milliseconds())
	old, young := "asn\x1f64500", "asn\x1f64501"
	does := func(deed string, at uint64) []schemas.CorrelationRow {
		return []schemas.CorrelationRow{{Key: "billing", First: at, Last: at, Values: []string{deed}}}
	}
	learned := func(m *memory, from uint64, answer []schemas.CorrelationRow) (since uint64) {
		unread, asking := m.ask(k, does(old, from), from)
		if len(unread) != 1 {
			t.Fatalf("asked about %v", unread)
		}
		for since = range unread {
			m.learn(k, unread[since], answer, asking)
		}
		return since
	}
	for name, tc := range map[string]struct {
		between func(m *memory)
		since   uint64
		knows   bool // what it did before the day before
	}{
		"the day after":                      {func(*memory) {}, today, true},
		"its hours of today were touched":    {func(m *memory) { m.touched(touchOf(recall, today+hour)) }, today, true},
		"its hours before that were touched": {func(m *memory) { m.touched(touchOf(recall, today-hour)) }, today + day - longAgo, false},
		"asked and not answered":             {func(m *memory) { m.ask(k, does(old, today), today+day/2) }, today + day - longAgo, false},
		"another epoch":                      {func(m *memory) { m.begin(2, all) }, today + day - longAgo, false},
	} {
		m := newMemory()
		m.begin(1, all)
		if since := learned(m, today, does(old, today-hour)); since != today-longAgo {
			t.Errorf("%s: at first it is asked since %d, want %d", name, since, today-longAgo)
		}
		tc.between(m)
		if since := learned(m, today+day, does(young, today+hour)); since != tc.since {
			t.Errorf("%s: asked since %d, want %d", name, since, tc.since)
		}
		if open := m.open(k, does(young, today+day), today+day, &recall); len(open) != 0 {
			t.Errorf("%s: what it did the day before is new", name)
		}
		if open := m.open(k, does(old, today+day), today+day, &recall); (len(open) == 0) != tc.knows {
			t.Errorf("%s: what it did before that is known: %v, want %v", name, len(open) == 0, tc.knows)
		}
	}
}

// Who needs what another has asked for waits for the answer, also where there is none.
func TestMemoryIsAskedOnceOfAKey(t *testing.T) {
	t.Parallel()
	all, recall, k := newNetworks(t)
	from := uint64(time.Date(2026, 4, 14, 0, 0, 0, 0, time.UTC).UnixMilli())
	rows := func(key string) []schemas.CorrelationRow {
		return []schemas.CorrelationRow{{Key: key, First: from, Last: from, Values: []string{"asn\x1f64500"}}}
	}
	for name, end := range map[string]func(m *memory, asking uint64){
		"answered": func(m *memory, asking uint64) { m.learn(k, []string{"billing"}, nil, asking); m.end(asking) },
		"failed":   func(m *memory, asking uint64) { m.forgetAll(); m.end(asking) },
		"touched":  func(m *memory, asking uint64) { m.touched(touchOf(recall, from-1)); m.end(asking) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.begin(1, all)
			_, asking := m.ask(k, rows("billing"), from)
			unread, another := m.ask(k, rows("billing"), from)
			if len(unread) != 0 {
				t.Errorf("%s: asked about %v again", name, unread)
			}
			m.end(another)
			var waits atomic.Bool
			waits.Store(true)
			go func() {
				m.await(k, rows("billing"), from)
				waits.Store(false)
			}()
			m.await(k, rows("payroll"), from) // of whom nobody asked
			synctest.Wait()
			if !waits.Load() {
				t.Errorf("%s: nobody waits for the answer", name)
			}
			end(m, asking)
			synctest.Wait()
			if waits.Load() {
				t.Fatalf("%s: somebody waits for ever", name)
			}
		})
	}
}

// newNetworks are the shipped rules, with what MI-08 remembers and whose.
func newNetworks(t *testing.T) ([]detect.Correlation, detect.Recall, memoryKey) {
	t.Helper()
	rules, err := detect.Parse(Rules())
	if err != nil {
		t.Fatal(err)
	}
	all := rules.Correlations()
	at := slices.IndexFunc(all, func(c detect.Correlation) bool { return c.Code == "MI-08" })
	recall, _ := all[at].Recall()
	return all, recall, memoryKey{tenant: "acme", selector: recall.Selector}
}
