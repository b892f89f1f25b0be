package detect_test

import (
	"fmt"
	"maps"
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

// pausing is what x-stream-silence says, in milliseconds.
type pausing struct {
	history, known, least, most uint64
	rank                        int
	times                       float64
	dedupe                      string
}

func (s pausing) rule(t *testing.T) detect.Correlation {
	t.Helper()
	text := func(ms uint64) string { return strconv.FormatUint(ms/minuteMS, 10) + "m" }
	set, err := detect.Parse(fstest.MapFS{"kind.yml": {Data: fmt.Appendf(nil, `title: Silent
id: 3f0e5a5e-7a0c-4b7e-9e55-0d7b6c1f37ff
status: stable
level: high
x-stream-silence: {history: %s, known: %s, rank: %d, times: %g, least: %s, most: %s}
x-dedupe: %s
x-alert: {summary: silent}
x-tests:
  - {name: fires, expect: 1, events: [{at: 0s, log: {type: s}}]}
  - {name: stays quiet, expect: 0, events: [{at: 0s, log: {type: s}}]}
`, text(s.history), text(s.known), s.rank, s.times, text(s.least), text(s.most), s.dedupe)}})
	if err != nil {
		t.Fatal(err)
	}
	return set.Correlations()[0]
}

const minuteMS = uint64(60_000)

// life is random life of a tenant: busy or not, by day alone or all the time, with
// pauses now and then, some of which end within a millisecond of a limit.
func life(r *rand.Rand, least uint64) []happening {
	var all []happening
	pace := minuteMS * []uint64{3, 7, 20, 60}[r.IntN(4)]
	at := uint64(origin.UnixMilli()) + r.Uint64N(5*dayMS)
	end := at + (8+r.Uint64N(20))*dayMS
	resting := r.IntN(3) == 0
	for at < end && len(all) < 3000 {
		all = append(all, happening{t: at, imported: r.IntN(3) == 0})
		if r.IntN(9) == 0 { // at the same moment
			all = append(all, happening{t: at, imported: r.IntN(2) == 0})
		}
		last := at
		at += 1 + r.Uint64N(2*pace)
		switch {
		case r.IntN(80) == 0:
			at += r.Uint64N(dayMS)
		case r.IntN(60) == 0:
			at = last + least + r.Uint64N(3) - 1
		case resting && at/hourMS%24 > 18:
			at = (at/dayMS+1)*dayMS + 7*hourMS
		}
	}
	for i := range all {
		all[i].logID = fmt.Sprintf("log-%06d", r.IntN(1000)*1000+i%1000)
	}
	return all
}

// oracle is what streamSilence says, word by word.
func (s pausing) oracle(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
	minutes := map[uint64][]happening{}
	for _, h := range all {
		minutes[h.t/minuteMS] = append(minutes[h.t/minuteMS], h)
	}
	type pause struct {
		minute, next uint64
		last         happening
		trigger      uint64
	}
	var pauses []pause
	sorted := slices.Sorted(maps.Keys(minutes))
	for i, m := range sorted {
		p := pause{minute: m, last: slices.MaxFunc(minutes[m], compareHappenings)}
		if i+1 < len(sorted) {
			p.next = slices.MinFunc(minutes[sorted[i+1]], compareHappenings).t
		}
		pauses = append(pauses, p)
	}
	dedupe := uint64(c.Dedupe.Milliseconds())
	periods := map[uint64][]pause{}
	for i, p := range pauses {
		var before []uint64
		known, weekly := false, false
		for _, q := range pauses[:i+1] {
			if q.minute+s.history/minuteMS < p.minute {
				continue
			}
			known = known || q.minute+s.known/minuteMS <= p.minute
			if q.minute < p.minute {
				before = append(before, q.next-q.last.t)
			}
		}
		slices.Sort(before)
		limit := s.least
		if n := len(before) - s.rank; n >= 0 {
			limit = max(limit, uint64(s.times*float64(before[n])))
		}
		p.trigger = p.last.t + limit
		for _, m := range sorted {
			weekly = weekly || m+7*dayMS/minuteMS > p.minute && m+7*dayMS/minuteMS <= p.trigger/minuteMS
		}
		if known && weekly && limit <= s.most && (p.next == 0 || p.next > p.trigger) {
			periods[p.trigger/dedupe*dedupe] = append(periods[p.trigger/dedupe*dedupe], p)
		}
	}
	clock := func(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04") }
	var rows []schemas.CorrelationRow
	for _, period := range slices.Sorted(maps.Keys(periods)) {
		if period < uint64(from.UnixMilli()) || period >= uint64(to.UnixMilli()) {
			continue
		}
		of := periods[period]
		last := of[len(of)-1]
		row := schemas.CorrelationRow{Key: key, Period: period, First: of[0].last.t, Last: last.trigger, Count: uint64(len(of)), Values: []string{}, Imported: 1, Facts: map[string]string{
			"since": clock(last.last.t), "limit_minutes": strconv.FormatUint((last.trigger-last.last.t)/minuteMS, 10), "came_back": "",
		}}
		if last.next > 0 {
			row.Facts["came_back"] = clock(last.next)
		}
		for _, p := range of {
			row.LogIDs = append(row.LogIDs, p.last.logID)
			for _, h := range minutes[p.minute] {
				if h.t == p.last.t && !h.imported {
					row.Imported = 0
				}
			}
		}
		row.LogIDs = row.LogIDs[:min(len(row.LogIDs), 20)]
		rows = append(rows, row)
	}
	return rows
}

func TestStreamSilenceFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	kinds := []pausing{
		{14 * dayMS, 7 * dayMS, 15 * minuteMS, 3 * dayMS, 3, 1.5, "24h"},
		{7 * dayMS, 2 * dayMS, 2 * minuteMS, dayMS, 1, 1, "7d"},
		{10 * dayMS, dayMS, 40 * minuteMS, 2 * hourMS, 2, 2, "1h"},
	}
	db := clickhousetest.New(t)
	store, w := clickhouse.NewFindingStore(db), clickhouse.NewWriter(db)
	r := rand.New(rand.NewPCG(17, 23))
	found, open := 0, 0
	for i := range 12 {
		name := fmt.Sprintf("tenant-%02d", i)
		all := life(r, kinds[i%len(kinds)].least)
		if err := w.InsertEvents(t.Context(), eventsOf(r, name, all)); err != nil {
			t.Fatal(err)
		}
		for k := range kinds {
			c := kinds[k].rule(t)
			for j := range 2 {
				from, to := c.Period(origin), c.PeriodEnd(origin.Add(60*days))
				if j > 0 {
					from, to = alignedRange(r, &c)
				}
				want := kinds[k].oracle(&c, name, all, from, to)
				got, err := store.Correlate(t.Context(), c.Query(name, []string{name}, from, to))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s, rule %d: (-want +got):\n%.4000s", name, k, diff)
				}
				candidates, err := store.Correlate(t.Context(), c.CandidatesQuery(name, []string{name}, from, to))
				if err != nil || len(want) > 0 && (len(candidates) != 1 || candidates[0].Key != name) {
					t.Fatalf("%s, rule %d: candidates %+v, %v, want the tenant", name, k, candidates, err)
				}
				found += len(got)
				for i := range got {
					if c.GoesOn(got[i].Facts) {
						open++
					}
				}
			}
		}
	}
	if found < 40 || open < 5 || found-open < 10 {
		t.Errorf("%d silences, %d of them without an end: want many", found, open)
	}
}

// eventsOf are the events of a tenant, of several clients, each more than once now
// and then.
func eventsOf(r *rand.Rand, tenant string, all []happening) []schemas.Event {
	var events []schemas.Event
	for _, h := range all {
		at := time.UnixMilli(int64(h.t)).UTC()
		e := schemas.Event{Tenant: tenant, ClientID: pick(r, []string{"", "a", "b"}), Time: at, LogID: h.logID, Ver: 7, Type: "s", Source: schemas.SourceStream, IngestedAt: at}
		if h.imported {
			e.Source = schemas.SourceImport
		}
		for range 1 + r.IntN(2) {
			events = append(events, e)
		}
	}
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return events
}
