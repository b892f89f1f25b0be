package detect_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// issued is a base rule, and the beginning of a rule of a kind that looks at it.
const issued = `
title: Issued
id: 9c0c3d0a-3b1e-4f0e-9d41-6f2f7d5f1b01
name: issued
level: informational
logsource: {product: auth0}
detection: {selection: {type: seccft}, condition: selection}
x-match: {key: client_id, value: [network, audience]}
---
title: Of a kind
id: 9c0c3d0a-3b1e-4f0e-9d41-6f2f7d5f1b02
x-tests:
  - {name: fires, events: [{at: 0s, log: {type: seccft}}], expect: 1}
  - {name: stays quiet, events: [{at: 0s, log: {type: seccft}}], expect: 0}
x-alert: {summary: '{{plural .Count "token"}}'}
`

// ofKind is a rule whose document goes on as given.
func ofKind(t *testing.T, rest string) detect.Correlation {
	t.Helper()
	set, err := detect.Parse(fstest.MapFS{"kind.yml": {Data: []byte(issued + rest)}})
	if err != nil {
		t.Fatal(err)
	}
	return set.Correlations()[0]
}

// tokens stores what happened to a key as matches of a rule of tokens, with
// repeats, and copies of a lower version that say something else.
func (s *stored) tokens(r *rand.Rand, c *detect.Correlation, key string, all []happening) {
	for _, h := range all {
		source := schemas.SourceStream
		if h.imported {
			source = schemas.SourceImport
		}
		ver := uint64(10 + r.IntN(3))
		for range 1 + r.IntN(2) {
			s.token(c.Main.Selector, key, h, source, ver, h.value)
		}
		if r.IntN(6) == 0 {
			s.token(c.Main.Selector, key, h, schemas.SourceStream, ver-1, "192.0.2.0/24\x1floser")
		}
	}
}

func (s *stored) token(selector, key string, h happening, source schemas.Source, ver uint64, value string) {
	at := time.UnixMilli(int64(h.t)).UTC()
	s.events = append(s.events, schemas.Event{Tenant: tenant, ClientID: key, Time: at, LogID: h.logID, Ver: ver, Type: "seccft", Source: source, IngestedAt: at})
	s.matches = append(s.matches, schemas.Match{Selector: selector, Tenant: tenant, Key: key, Time: at, LogID: h.logID, Value: value, ClientID: key, Ver: ver, Source: source})
}

// oracleOf finds, of one key, what a kind must find, by the words of the kind's
// comment and nothing else.
type oracleOf func(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow

// tenantSeen is when something of the tenant was last seen.
var tenantSeen = origin.Add(45 * days)

// holdAgainst stores random histories of keys, and holds what rules find in
// random ranges against their oracles, and the candidates against both.
func holdAgainst(t *testing.T, history func(r *rand.Rand) []happening, rules []detect.Correlation, oracles []oracleOf, least int) {
	t.Helper()
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(7, 11))
	var s stored
	var keys []string
	histories := map[string][]happening{}
	for i := range 30 {
		key := fmt.Sprintf("client-%03d", i)
		all := history(r)
		for j := range all {
			all[j].logID = fmt.Sprintf("%s-%09d", key, r.IntN(1e6)*1000+j%1000)
		}
		s.tokens(r, &rules[0], key, all)
		keys, histories[key] = append(keys, key), all
	}
	s.token("of no rule", "somebody", happening{t: uint64(tenantSeen.UnixMilli()), logID: "the-last"}, schemas.SourceStream, 1, "")
	s.insert(t, r, db)
	found := 0
	for i, c := range rules {
		var all []schemas.CorrelationRow
		for _, key := range keys {
			all = append(all, oracles[i](&c, key, histories[key], c.Period(origin), c.PeriodEnd(origin.Add(70*days)))...)
		}
		for j := range 3 {
			from, to := c.Period(origin), c.PeriodEnd(origin.Add(60*days))
			if j > 0 {
				from, to = alignedRange(r, &c)
			}
			var want []schemas.CorrelationRow
			for _, row := range all {
				if row.Period >= uint64(from.UnixMilli()) && row.Period < uint64(to.UnixMilli()) {
					want = append(want, row)
				}
			}
			got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("rule %d: %d findings, want %d; (-want +got):\n%.4000s", i, len(got), len(want), diff)
			}
			checkCandidates(t, store, &c, keys, want, from, to)
			found += len(want)
		}
	}
	if found < least {
		t.Errorf("the histories hold %d findings; that is too little to tell", found)
	}
}

// checkCandidates holds the candidates against findings, each of which must be
// of one of them.
func checkCandidates(t *testing.T, store *clickhouse.FindingStore, c *detect.Correlation, keys []string, found []schemas.CorrelationRow, from, to time.Time) {
	t.Helper()
	questions := [][]schemas.Query{{c.CandidatesQuery(tenant, keys, from, to)}}
	if c.Ticks() {
		for _, shares := range [][]detect.Share{detect.Shares(nil), cutInThree(t, store, c, from, to)} {
			var asked []schemas.Query
			for _, share := range shares {
				asked = append(asked, c.OverdueQuery(tenant, from, to, share))
			}
			questions = append(questions, asked)
		}
	}
	checkShortTicks(t, store, c, found)
	for i, queries := range questions {
		times := map[string]int{}
		for _, q := range queries {
			rows, err := store.Correlate(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				times[row.Key]++
			}
		}
		for _, f := range found {
			if times[f.Key] != 1 {
				t.Errorf("%s has a finding and is a candidate %d times in question %d, want once", f.Key, times[f.Key], i)
			}
		}
	}
}

func cutInThree(t *testing.T, store *clickhouse.FindingStore, c *detect.Correlation, from, to time.Time) []detect.Share {
	t.Helper()
	var between []string
	rows, err := store.Correlate(t.Context(), c.SharesQuery(tenant, from, to, 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		between = append(between, row.Key)
	}
	return detect.Shares(between)
}

// checkShortTicks has ticks look at no more than the last triggers of findings.
func checkShortTicks(t *testing.T, store *clickhouse.FindingStore, c *detect.Correlation, found []schemas.CorrelationRow) {
	t.Helper()
	if !c.Ticks() {
		return
	}
	for _, f := range found[:min(len(found), 8)] {
		last := time.UnixMilli(int64(f.Last))
		for _, before := range []time.Duration{0, time.Minute, 40 * time.Minute} {
			rows, err := store.Correlate(t.Context(), c.OverdueQuery(tenant, last.Add(-before), last.Add(time.Millisecond), detect.Share{}))
			if err != nil {
				t.Fatal(err)
			}
			checkDue(t, store, c, f.Key, last.Add(-before), last)
			if !slices.ContainsFunc(rows, func(r schemas.CorrelationRow) bool { return r.Key == f.Key }) {
				t.Errorf("%s has a trigger at %s and no tick from %s before it that ends with it finds it", f.Key, last.UTC(), before)
			}
		}
	}
}

// checkDue has a rule that remembers tell when a key is due that has a trigger at last,
// before that.
func checkDue(t *testing.T, store *clickhouse.FindingStore, c *detect.Correlation, key string, from, last time.Time) {
	t.Helper()
	to := last.Add(time.Millisecond)
	if !c.Remembers(from, to) {
		return
	}
	resting, err := store.Correlate(t.Context(), c.RestingQuery(tenant, from, to))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(resting, func(r schemas.CorrelationRow) bool { return r.Key == key }) {
		t.Errorf("%s has a trigger at %s and does not rest since %s", key, last.UTC(), from.UTC())
		return
	}
	due, err := store.Correlate(t.Context(), c.DueQuery(tenant, []string{key}, from))
	if err != nil {
		t.Fatal(err)
	}
	if len(due) != 1 || due[0].Last != uint64(last.UnixMilli()) {
		t.Errorf("%s has a trigger at %s and is due at %+v", key, last.UTC(), due)
	}
}

// rowOf is a finding that holds some events.
func rowOf(key string, period uint64, all []happening, facts map[string]string) schemas.CorrelationRow {
	slices.SortFunc(all, compareHappenings)
	row := schemas.CorrelationRow{Key: key, Period: period, First: all[0].t, Last: all[len(all)-1].t, Count: uint64(len(all)), Imported: 1, Facts: facts}
	for _, h := range all {
		row.Values = append(row.Values, schemas.Parts(h.value)[0])
		row.LogIDs = append(row.LogIDs, h.logID)
		if !h.imported {
			row.Imported = 0
		}
	}
	slices.Sort(row.Values)
	row.Values = slices.Compact(row.Values)
	row.Values, row.LogIDs = row.Values[:min(len(row.Values), 20)], row.LogIDs[:min(len(row.LogIDs), 20)]
	return row
}

const (
	hourMS = uint64(3_600_000)
	dayMS  = 24 * hourMS
)

// timetable is random life of a key: runs at some hours of the week, each of
// some tokens, for some weeks; now and then none, one at another hour, one that
// is larger, one that repeats all day.
func timetable(r *rand.Rand) []happening {
	var all []happening
	var bins []uint64
	for range 1 + r.IntN(8)*(1+r.IntN(8)) {
		bins = append(bins, uint64(r.IntN(168)))
	}
	size := 1 + r.IntN(4)
	networks := []string{"198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/48"}
	token := func(t uint64) {
		value := networks[r.IntN(1+r.IntN(3))] + schemas.PartSeparator + []string{"api", "api", "other"}[r.IntN(3)]
		all = append(all, happening{t: t, value: value, imported: r.IntN(3) == 0})
	}
	run := func(hour uint64, n int, within uint64) {
		at := hour*hourMS + uint64(r.IntN(1<<r.IntN(22)))
		for range n {
			token(at + r.Uint64N(within))
		}
	}
	first := uint64(origin.UnixMilli())/hourMS + 168*r.Uint64N(3)
	for week := first; week < uint64(origin.Add(60*days).UnixMilli())/hourMS; week += 168 {
		for _, bin := range bins {
			if r.IntN(20) > 0 {
				run(week+bin, 1+r.IntN(size), 1<<(10+r.IntN(12)))
			}
		}
		switch r.IntN(4) {
		case 0:
			run(week+r.Uint64N(168), 1+r.IntN(3), hourMS)
		case 1:
			run(week+r.Uint64N(168), 5<<r.IntN(6), 600_000)
		case 2:
			run(week+r.Uint64N(168), 100, 6*hourMS)
		}
	}
	for range 6 { // onto the edges of hours and days
		all[r.IntN(len(all))].t = first*hourMS + r.Uint64N(1400)*hourMS - r.Uint64N(2)
	}
	return all
}

func TestSpikeFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	var rules []detect.Correlation
	var oracles []oracleOf
	for _, v := range []struct {
		window  time.Duration
		z, over float64
		least   int
		dedupe  string
	}{
		{10 * time.Minute, 6, 2, 20, "24h"},
		{10 * time.Minute, 3, 0.5, 8, "7d"},
		{time.Hour, 2.5, 0.1, 6, "1h"},
		{30 * time.Minute, 4, 1, 12, "6h"},
	} {
		rules = append(rules, ofKind(t, fmt.Sprintf("x-spike: {rule: issued, window: %dm, min: %d, z: %g, over: %g}\nx-dedupe: %s\n", int(v.window.Minutes()), v.least, v.z, v.over, v.dedupe)))
		oracles = append(oracles, spikeOracle(v.z, v.over))
	}
	holdAgainst(t, timetable, rules, oracles, 100)
}

func spikeOracle(z, over float64) oracleOf {
	return func(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
		window := uint64(c.Timespan.Milliseconds())
		counts := map[uint64]uint64{}
		for _, h := range all {
			counts[h.t/window]++
		}
		type judged struct {
			n              uint64
			median, mad, z float64
			events         []happening
		}
		periods := map[uint64]*judged{}
		dedupe := uint64(c.Dedupe.Milliseconds())
		for _, cell := range slices.Sorted(maps.Keys(counts)) {
			median, mad, ok := usual(all, counts, cell, window, over)
			n := counts[cell]
			score := (float64(n) - median) / mad
			if !ok || n < c.Threshold || score < z {
				continue
			}
			period := cell * window / dedupe * dedupe
			if period < uint64(from.UnixMilli()) || period >= uint64(to.UnixMilli()) {
				continue
			}
			if periods[period] == nil {
				periods[period] = &judged{}
			}
			j := periods[period]
			if n > j.n {
				j.n, j.median, j.mad, j.z = n, median, mad, score
			}
			for _, h := range all {
				if h.t/window == cell {
					j.events = append(j.events, h)
				}
			}
		}
		var rows []schemas.CorrelationRow
		for _, period := range slices.Sorted(maps.Keys(periods)) {
			j := periods[period]
			rows = append(rows, rowOf(key, period, j.events, map[string]string{
				"in_window": strconv.FormatUint(j.n, 10), "median": plain(j.median), "mad": plain(math.Floor(j.mad*10) / 10), "z": plain(math.Floor(j.z*10) / 10),
			}))
		}
		return rows
	}
}

func plain(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// usual is the median and the MAD for a window; not ok where no week is known,
// or the past has a window that is too large.
func usual(all []happening, counts map[uint64]uint64, cell, window uint64, over float64) (median, mad float64, ok bool) {
	start := cell * window
	today := start / dayMS
	first, most := today, uint64(0)
	for _, h := range all {
		if d := h.t / dayMS; d < today && d+28 >= today {
			first = min(first, d)
			most = max(most, counts[h.t/window])
		}
	}
	weeks := min((today-first)/7, 4)
	if weeks == 0 || float64(counts[cell]) <= over*float64(most) {
		return 0, 1, false
	}
	var samples []float64
	hour := start / hourMS * hourMS
	for week := uint64(1); week <= weeks; week++ {
		for at := hour - week*7*dayMS - hourMS; at < hour-week*7*dayMS+2*hourMS; at += window {
			samples = append(samples, float64(counts[at/window]))
		}
	}
	median = middle(samples)
	for i := range samples {
		samples[i] = math.Abs(samples[i] - median)
	}
	return median, max(middle(samples), 1, math.Sqrt(median)), true
}

func middle(s []float64) float64 {
	slices.Sort(s)
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func TestOffScheduleFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	var rules []detect.Correlation
	var oracles []oracleOf
	for _, v := range []struct {
		share, weeks float64
		hours        uint64
		dedupe       string
	}{{0.5, 2.5, 12, "24h"}, {0.2, 1, 1, "1h"}, {1, 3.5, 30, "7d"}} {
		rules = append(rules, ofKind(t, fmt.Sprintf("x-off-schedule: {rule: issued, share_below: %g, weeks: %g, hours: %d}\nx-dedupe: %s\n", v.share, v.weeks, v.hours, v.dedupe)))
		oracles = append(oracles, offScheduleOracle(v.share, v.weeks, v.hours))
	}
	holdAgainst(t, timetable, rules, oracles, 100)
}

func offScheduleOracle(share, weeks float64, least uint64) oracleOf {
	return func(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
		triggers, news, used, places := map[uint64][]happening{}, map[uint64]int{}, map[uint64]int{}, map[uint64]int{}
		dedupe := uint64(c.Dedupe.Milliseconds())
		all = slices.Clone(all)
		slices.SortFunc(all, compareHappenings)
		var bins, hours map[uint64]bool
		var networks map[string]bool
		var today, first uint64
		for _, h := range all {
			if today != h.t/dayMS { // another day, another past
				today, first = h.t/dayMS, h.t/dayMS
				bins, hours, networks = map[uint64]bool{}, map[uint64]bool{}, map[string]bool{}
				for _, p := range all {
					if d := p.t / dayMS; d < today && d+28 >= today {
						first = min(first, d)
						bins[p.t/hourMS%168], hours[p.t/hourMS], networks[schemas.Parts(p.value)[0]] = true, true, true
					}
				}
			}
			bin := h.t / hourMS % 168
			if first+14 > today || float64(len(bins)) >= share*168 || uint64(len(hours)) < least ||
				float64(len(hours)) < weeks*float64(len(bins)) || bins[bin] || bins[(bin+1)%168] || bins[(bin+167)%168] {
				continue
			}
			period := h.t / dedupe * dedupe
			if period < uint64(from.UnixMilli()) || period >= uint64(to.UnixMilli()) {
				continue
			}
			if len(triggers[period]) == 0 {
				used[period], places[period] = len(bins), len(networks)
			}
			triggers[period] = append(triggers[period], h)
			if !networks[schemas.Parts(h.value)[0]] {
				news[period]++
			}
		}
		var rows []schemas.CorrelationRow
		for _, period := range slices.Sorted(maps.Keys(triggers)) {
			rows = append(rows, rowOf(key, period, triggers[period], map[string]string{
				"new_network": strconv.Itoa(news[period]), "hours_used": strconv.Itoa(used[period]), "networks": strconv.Itoa(places[period]),
				"hour": time.UnixMilli(int64(triggers[period][0].t)).UTC().Format("Monday 15:00"),
			}))
		}
		return rows
	}
}

func TestRenewalFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	var rules []detect.Correlation
	var oracles []oracleOf
	for _, v := range []struct {
		lifetime string
		life     uint64
		times    float64
		above    int
		windows  int
		dedupe   string
	}{{"24h", 24 * hourMS, 10, 10, 3, "24h"}, {"2h", 2 * hourMS, 4, 2, 1, "6h"}, {"30m", hourMS / 2, 1, 4, 2, "7d"}} {
		rules = append(rules, ofKind(t, fmt.Sprintf("x-renewal: {rule: issued, lifetime: %s, window: 1h, above: %d, times: %g, windows: %d}\nx-dedupe: %s\n", v.lifetime, v.above, v.times, v.windows, v.dedupe)))
		oracles = append(oracles, renewalOracle(v.life, v.times, v.windows))
	}
	holdAgainst(t, timetable, rules, oracles, 100)
}

func renewalOracle(lifetime uint64, times float64, windows int) oracleOf {
	type group struct {
		audience                 string
		windows, tokens, sources uint64
		events                   []happening
	}
	return func(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
		dedupe, window := uint64(c.Dedupe.Milliseconds()), uint64(c.Timespan.Milliseconds())
		var rows []schemas.CorrelationRow
		for period := uint64(from.UnixMilli()); period < uint64(to.UnixMilli()); period += dedupe {
			var most group
			var events []happening
			for _, audience := range []string{"api", "other"} {
				g := group{audience: audience}
				for cell := period; cell < period+dedupe; cell += window {
					var in []happening
					sources := map[string]bool{}
					for _, h := range all {
						parts := schemas.Parts(h.value)
						if h.t >= cell && h.t < cell+window && parts[1] == audience {
							in = append(in, h)
							sources[parts[0]] = true
						}
					}
					if n := len(in); n > int(c.Threshold) && float64(n) > times*float64(len(sources))*float64(window)/float64(lifetime) {
						g.windows++
						g.tokens += uint64(n)
						g.sources += uint64(len(sources))
						g.events = append(g.events, in...)
					}
				}
				if g.windows < uint64(windows) || g.windows == 0 {
					continue
				}
				events = append(events, g.events...)
				if g.tokens >= most.tokens { // the audience that sorts last, where two have as many
					most = g
				}
			}
			if len(events) == 0 {
				continue
			}
			needed := float64(most.sources) * float64(window) / float64(lifetime)
			rows = append(rows, rowOf(key, period, events, map[string]string{
				"audience": most.audience, "every_seconds": strconv.FormatUint(most.windows*window/(most.tokens*1000), 10),
				"tokens_an_hour": strconv.FormatUint(most.tokens*hourMS/(most.windows*window), 10), "lifetime_hours": strconv.FormatUint(lifetime/hourMS, 10),
				"wasted_a_month": strconv.FormatUint(uint64((float64(most.tokens)-needed)*2_628_000_000/float64(most.windows*window)), 10),
			}))
		}
		return rows
	}
}
