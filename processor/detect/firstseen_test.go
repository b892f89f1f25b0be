package detect_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// deed is one event of a key that tells several fields.
type deed struct {
	t        uint64
	logID    string
	values   [4]string // network, asn, runtime, audience
	imported bool
}

func (a deed) compare(b deed) int {
	return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.logID, b.logID))
}

// addDeed stores a deed like add, with repeats and losers.
func (s *stored) addDeed(r *rand.Rand, selector, key string, d deed) {
	source := schemas.SourceStream
	if d.imported {
		source = schemas.SourceImport
	}
	store := func(values [4]string, source schemas.Source, ver uint64) {
		at := time.UnixMilli(int64(d.t)).UTC()
		s.events = append(s.events, schemas.Event{Tenant: tenant, ClientID: key, Time: at, LogID: d.logID, Ver: ver, Type: "seccft", Source: source, IngestedAt: at})
		s.matches = append(s.matches, schemas.Match{
			Selector: selector, Tenant: tenant, Key: key, Time: at, LogID: d.logID, Value: strings.Join(values[:], schemas.PartSeparator), ClientID: key, Ver: ver, Source: source,
		})
	}
	store(d.values, source, 10)
	for range r.IntN(3) {
		store(d.values, source, 10)
	}
	if r.IntN(4) == 0 {
		store([4]string{"192.0.2.0/24", "9", "loser", "elsewhere"}, schemas.SourceStream, 9)
	}
}

// deeds are random life of one key: few usual values, new ones now and then, some
// that come and go, pauses, ties, edges of look-backs.
func deeds(r *rand.Rand, edges []time.Duration) []deed {
	var all []deed
	at := uint64(origin.UnixMilli())
	end := at + uint64(r.IntN(60)+1)*86_400_000
	pace := max(uint64(1)<<(14+r.IntN(13)), (end-at)/200)
	restless := []int{2, 10, 40, 100}[r.IntN(4)]
	usual := [4]int{}
	for at < end {
		d := deed{t: at, imported: r.IntN(3) == 0}
		for f := range d.values {
			if r.IntN(restless) == 0 {
				usual[f] = r.IntN(6)
			}
			v := usual[f]
			if r.IntN(8) == 0 {
				v = 0
			}
			d.values[f] = []string{"", "a", "b", "c", "d", "unknown"}[(v+1)%6]
			if d.values[f] != "" && d.values[f] != "unknown" {
				d.values[f] = fmt.Sprint(d.values[f], f)
			}
		}
		all = append(all, d)
		at += uint64(r.Int64N(int64(2*pace)) + 1)
		if r.IntN(60) == 0 {
			at += 86_400_000 * uint64(r.IntN(12))
		}
	}
	for range len(all) / (4 << r.IntN(4)) {
		i, j := r.IntN(len(all)), r.IntN(len(all))
		all[i].t = all[j].t + uint64(edges[r.IntN(len(edges))].Milliseconds())
	}
	return all
}

// firstSeenWords are what the rule of the test says.
type firstSeenWords struct {
	fields      [][]int // signs: places of values; the complement of one is judged where the value before it in the list is absent
	text        string
	atLeast     int
	unless      [][]int
	unlessText  string
	unlessLeast int
	lookback    time.Duration
	events      int
	days        int
	changes     int
	within      time.Duration
	only        []string
	dedupe      time.Duration
}

func (w *firstSeenWords) yaml() string {
	span := func(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }
	text := fmt.Sprintf("x-first-seen:\n  rule: deeds\n  fields: %s\n  at_least: %d\n  lookback: %s\n  warmup: {events: %d, days: %d}\n",
		w.text, w.atLeast, span(w.lookback), w.events, w.days)
	if w.unless != nil {
		text += fmt.Sprintf("  unless: {fields: %s, at_least: %d}\n", w.unlessText, w.unlessLeast)
	}
	if w.within > 0 {
		text += fmt.Sprintf("  steady: {changes: %d, within: %s}\n", w.changes, span(w.within))
	}
	if w.only != nil {
		text += "  values: [" + strings.Join(w.only, ", ") + "]\n"
	}
	return `title: Deeds
id: 00000000-0000-4000-8000-000000000d01
name: deeds
level: informational
logsource: {product: auth0}
detection: {s: {type: seccft}, condition: s}
x-match: {key: client_id, value: [network, asn, runtime, audience]}
---
title: New
id: 00000000-0000-4000-8000-000000000d02
x-code: NEW
level: medium
` + text + "x-dedupe: " + span(w.dedupe) + `
x-alert: {summary: '{{.Fact "new"}}'}
x-tests:
  - {name: a, expect: 1, events: [{at: 0s, log: {type: seccft}}]}
  - {name: b, expect: 0, events: [{at: 0s, log: {type: seccft}}]}
`
}

func loadOne(t *testing.T, text string) detect.Correlation {
	t.Helper()
	set, err := detect.Parse(fstest.MapFS{"a.yml": {Data: []byte(text)}})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return set.Correlations()[0]
}

func told(v string) bool { return v != "" && v != "unknown" }

// oracle finds what the comment of firstSeen says, looking at everything again
// for each event.
func (w *firstSeenWords) oracle(key string, all []deed, from, to time.Time) []schemas.CorrelationRow {
	all = slices.Clone(all)
	slices.SortFunc(all, deed.compare)
	dedupe := uint64(w.dedupe.Milliseconds())
	type pair struct {
		f int
		v string
	}
	rows := map[uint64]*schemas.CorrelationRow{}
	held := map[uint64]map[pair]bool{}
	var periods []uint64
	for i, d := range all {
		period := d.t / dedupe * dedupe
		if period < uint64(from.UnixMilli()) || period >= uint64(to.UnixMilli()) {
			continue
		}
		var news []pair
		signs := func(of [][]int, only []string) (n int) {
			for _, s := range of {
				found := false
				for j, f := range s {
					judged := f >= 0 || !told(d.values[s[j-1]])
					f = max(f, ^f)
					if judged && told(d.values[f]) && w.fresh(all[:i+1], f) && (only == nil || slices.Contains(only, d.values[f])) {
						found = true
						news = append(news, pair{f, d.values[f]})
					}
				}
				n += count(found)
			}
			return n
		}
		triggers := signs(w.fields, w.only) >= w.atLeast
		mine := slices.Clone(news)
		if triggers && w.unless != nil {
			triggers = signs(w.unless, nil) < w.unlessLeast
		}
		if triggers {
			if held[period] == nil {
				held[period] = map[pair]bool{}
				rows[period] = &schemas.CorrelationRow{Key: key, Period: period, First: d.t, Imported: 1}
				periods = append(periods, period)
			}
			for _, n := range mine {
				held[period][n] = true
			}
		}
		counts := triggers
		for _, s := range w.terms() {
			for j, f := range s {
				if f >= 0 || !told(d.values[s[j-1]]) {
					counts = counts || held[period][pair{max(f, ^f), d.values[max(f, ^f)]}]
				}
			}
		}
		if r := rows[period]; r != nil && counts {
			r.Count++
			r.Last = d.t
			r.LogIDs = append(r.LogIDs, d.logID)
			if d.values[0] != "" {
				r.Values = append(r.Values, d.values[0])
			}
			if !d.imported {
				r.Imported = 0
			}
		}
	}
	var list []schemas.CorrelationRow
	for _, p := range periods {
		r := rows[p]
		slices.Sort(r.Values)
		r.Values = slices.Compact(r.Values)
		r.LogIDs = r.LogIDs[:min(len(r.LogIDs), 20)]
		list = append(list, *r)
	}
	return list
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *firstSeenWords) terms() [][]int { return slices.Concat(w.fields, w.unless) }

// changes reports whether the last of the deeds changes field f, and since when
// it is known.
func (w *firstSeenWords) change(all []deed, f int) (changes bool, since uint64) {
	d := all[len(all)-1]
	lookback := uint64(w.lookback.Milliseconds())
	changes, since = true, d.t
	for i := len(all) - 2; i >= 0; i-- {
		if !told(all[i].values[f]) {
			continue
		}
		if all[i].values[f] == d.values[f] && all[i].t+lookback >= d.t {
			changes = false
		}
		if all[i].t+lookback >= since && since != 0 {
			since = all[i].t
		} else {
			break
		}
	}
	for i := range all[:len(all)-1] {
		if all[i].values[f] == d.values[f] && all[i].t+lookback >= d.t {
			changes = false
		}
	}
	return changes && since+2*86_400_000 <= d.t, since
}

// fresh reports whether field f is new with the last of the deeds.
func (w *firstSeenWords) fresh(all []deed, f int) bool {
	d, before := all[len(all)-1], all[:len(all)-1]
	changes, since := w.change(all, f)
	if !changes || since+uint64(w.days)*86_400_000 > d.t {
		return false
	}
	events, changed := 0, 0
	for i, b := range before {
		if !told(b.values[f]) {
			continue
		}
		if b.t+uint64(w.lookback.Milliseconds()) >= d.t {
			events++
		}
		if w.within > 0 && b.t+uint64(w.within.Milliseconds()) >= d.t {
			if c, _ := w.change(all[:i+1], f); c {
				changed++
			}
		}
	}
	return events >= w.events && (w.within == 0 || changed <= w.changes)
}

func firstSeenVariants() []firstSeenWords {
	const h = time.Hour
	return []firstSeenWords{
		{fields: [][]int{{0}}, text: "[network]", atLeast: 1, lookback: 30 * days, events: 5, days: 3, dedupe: days},
		{fields: [][]int{{1, ^0}}, text: "[asn|network]", atLeast: 1, lookback: 10 * days, events: 20, days: 7, changes: 1, within: 14 * days, dedupe: days},
		{
			fields: [][]int{{1}, {2, 3}}, text: "[asn, [runtime, audience]]", atLeast: 2, lookback: 5 * days, events: 1, dedupe: 7 * h,
			unless: [][]int{{0}}, unlessText: "[network]", unlessLeast: 1,
		},
		{
			fields: [][]int{{1}}, text: "[asn]", atLeast: 1, lookback: 20 * days, events: 3, days: 2, changes: 2, within: 5 * days, dedupe: 7 * days,
			unless: [][]int{{0}, {1}, {2, 3}}, unlessText: "[network, asn, [runtime, audience]]", unlessLeast: 2,
		},
		{fields: [][]int{{2}}, text: "[runtime]", atLeast: 1, lookback: days, events: 1, only: []string{"a2", "c2"}, dedupe: days, unless: [][]int{{3}}, unlessText: "[audience]", unlessLeast: 1},
	}
}

func TestFirstSeenFindsWhatTheOracleFinds(t *testing.T) {
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(7, 8))
	words := firstSeenVariants()
	first := loadOne(t, words[0].yaml())
	var s stored
	var keys []string
	histories := map[string][]deed{}
	edges := []time.Duration{0, 0, time.Millisecond, days, days + time.Millisecond, 5 * days, 10 * days, 2 * days, 14*days + time.Millisecond}
	for i := range 60 {
		key := fmt.Sprintf("client-%03d", i)
		all := deeds(r, edges)
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
		found, facts := 0, map[string]map[string]string{}
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
				id := fmt.Sprint(got[i].Key, got[i].Period)
				if facts[id] == nil {
					facts[id] = got[i].Facts
				}
				if diff := gocmp.Diff(facts[id], got[i].Facts); diff != "" || facts[id]["new"] == "" || facts[id]["was"] == "" {
					t.Errorf("finding %s tells %v, and in another range (-want +got):\n%s", id, facts[id], diff)
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
