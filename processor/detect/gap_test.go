package detect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// gapWords are what the rule of the test says, in milliseconds.
type gapWords struct {
	atLeast, lookback uint64
	events            int
	days              uint64
}

func (w *gapWords) yaml() string {
	first := (&firstSeenWords{}).yaml()
	text, _, _ := strings.Cut(first, "---\n")
	return text + fmt.Sprintf(`---
title: Woke up
id: 00000000-0000-4000-8000-000000000d02
x-code: WOKE
level: medium
x-gap:
  rule: deeds
  at_least: %ds
  lookback: %ds
  warmup: {events: %d, days: %d}
x-alert: {summary: '{{.Fact "days"}}'}
x-tests:
  - {name: a, expect: 1, events: [{at: 0s, log: {type: seccft}}]}
  - {name: b, expect: 0, events: [{at: 0s, log: {type: seccft}}]}
`, w.atLeast/1000, w.lookback/1000, w.events, w.days)
}

// triggers looks at everything before event i again.
func (w *gapWords) triggers(all []deed, i int) bool {
	if i == 0 {
		return false
	}
	t, began := all[i].t, all[i-1].t
	length := t - began
	if length < w.atLeast || began+w.lookback < t {
		return false
	}
	events, old := 0, false
	for j, d := range all[:i] {
		if d.t+w.lookback < t {
			continue
		}
		events++
		old = old || d.t+w.days*86_400_000 <= began
		if j+1 < i && 2*length <= 3*(all[j+1].t-d.t) {
			return false
		}
	}
	return events >= w.events && old
}

func (w *gapWords) oracle(key string, all []deed, from, to time.Time) []schemas.CorrelationRow {
	all = slices.Clone(all)
	slices.SortFunc(all, deed.compare)
	var rows []schemas.CorrelationRow
	for i, d := range all {
		period := d.t / 86_400_000 * 86_400_000
		if period < uint64(from.UnixMilli()) || period >= uint64(to.UnixMilli()) {
			continue
		}
		last := len(rows) - 1
		within := last >= 0 && rows[last].Period == period
		if !within && w.triggers(all, i) {
			rows = append(rows, schemas.CorrelationRow{Key: key, Period: period, First: d.t, Imported: 1})
			last, within = last+1, true
		}
		if !within {
			continue
		}
		r := &rows[last]
		r.Last = d.t
		r.Count++
		r.LogIDs = append(r.LogIDs, d.logID)
		if d.values[0] != "" {
			r.Values = append(r.Values, d.values[0])
		}
		if !d.imported {
			r.Imported = 0
		}
	}
	for i := range rows {
		slices.Sort(rows[i].Values)
		rows[i].Values = slices.Compact(rows[i].Values)
		rows[i].LogIDs = rows[i].LogIDs[:min(len(rows[i].LogIDs), 20)]
	}
	return rows
}

func TestGapFindsWhatTheOracleFinds(t *testing.T) {
	const day = uint64(86_400_000)
	words := []gapWords{{2 * day, 30 * day, 5, 2}, {3 * day, 12 * day, 1, 0}, {day, 5 * day, 3, 1}}
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(9, 8))
	first := loadOne(t, words[0].yaml())
	var s stored
	var keys []string
	histories := map[string][]deed{}
	for i := range 80 {
		key := fmt.Sprintf("client-%03d", i)
		all := deeds(r, []time.Duration{0, 2 * days, 2*days - time.Millisecond, 3 * days, days, 12 * days, 12*days + time.Millisecond, 5 * days})
		for j := range all {
			all[j].logID = fmt.Sprintf("%s-%09d", key, r.IntN(1e6)*1000+j)
			s.addDeed(r, first.Main.Selector, key, all[j])
		}
		keys = append(keys, key)
		histories[key] = all
	}
	s.insert(t, r, db)
	for v, w := range words {
		c := loadOne(t, w.yaml())
		found := 0
		for i := range 3 {
			from, to := c.Period(origin), c.PeriodEnd(origin.Add(90*days))
			if i > 0 {
				from, to = alignedRange(r, &c)
			}
			var want []schemas.CorrelationRow
			for _, key := range keys {
				want = append(want, w.oracle(key, histories[key], from, to)...)
			}
			got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if got[i].Facts["days"] == "" || got[i].Facts["last_used"] == "" {
					t.Errorf("finding %+v does not say since when it was silent", got[i])
				}
				got[i].Facts = nil
			}
			if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("variant %d, range %d: %d findings, want %d; (-want +got):\n%.3000s", v, i, len(got), len(want), diff)
			}
			found += len(want)
		}
		t.Logf("variant %d: %d findings", v, found)
		if found < 20 {
			t.Errorf("variant %d finds %d times in the histories; that is too little to tell", v, found)
		}
	}
}
