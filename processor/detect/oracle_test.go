package detect_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// happening is one event of a key, as the oracle sees it.
type happening struct {
	t        uint64
	logID    string
	value    string
	ok       bool
	imported bool
}

func (a happening) before(b happening) bool { return compareHappenings(a, b) < 0 }

func compareHappenings(a, b happening) int {
	return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.logID, b.logID))
}

// streak is a run of known failures, with what was before it.
type streak struct {
	failures     []happening
	base, failed uint64
	firstSuccess uint64
	lastSuccess  uint64
}

// oracle finds, for one key, what Correlation.Query must find, by the words of
// its comment and nothing else: it looks at everything again for each failure.
func oracle(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
	all = slices.Clone(all)
	slices.SortFunc(all, compareHappenings)
	rows := map[uint64]*schemas.CorrelationRow{}
	streaks := streaksOf(c, all)
	var periods []uint64
	for p := uint64(from.UnixMilli()); p < uint64(to.UnixMilli()); p += uint64(c.Dedupe.Milliseconds()) {
		if r := finding(c, key, streaks, p); r != nil {
			rows[p] = r
			periods = append(periods, p)
		}
	}
	var list []schemas.CorrelationRow
	for _, p := range periods {
		list = append(list, *rows[p])
	}
	return list
}

func isKnown(c *detect.Correlation, all []happening, f happening) bool {
	return slices.ContainsFunc(all, func(s happening) bool {
		return s.ok && s.value == f.value && s.before(f) && s.t+uint64(c.KnownLookback.Milliseconds()) >= f.t
	})
}

func streaksOf(c *detect.Correlation, all []happening) []streak {
	var streaks []streak
	var current []happening
	end := func() {
		if len(current) > 0 {
			streaks = append(streaks, withBaseline(c, all, current))
		}
		current = nil
	}
	for _, h := range all {
		switch {
		case h.ok:
			end()
		case isKnown(c, all, h):
			current = append(current, h)
		}
	}
	end()
	return streaks
}

func withBaseline(c *detect.Correlation, all, failures []happening) streak {
	s := streak{failures: failures}
	first := failures[0]
	for _, h := range all {
		if !h.before(first) {
			break
		}
		if h.ok {
			s.lastSuccess = h.t
		}
		if h.t+uint64(c.BaselineLookback.Milliseconds()) < first.t {
			continue
		}
		switch {
		case h.ok:
			if s.base == 0 {
				s.firstSuccess = h.t
			}
			s.base++
		case isKnown(c, all, h):
			s.failed++
		}
	}
	return s
}

func (s *streak) triggers(c *detect.Correlation, i int) bool {
	n := int(c.Threshold)
	return s.base >= c.BaselineMin && float64(s.failed)/float64(s.failed+s.base) < c.BaselineRatio &&
		i >= n-1 && s.failures[i].t-s.failures[i-n+1].t <= uint64(c.Timespan.Milliseconds())
}

func finding(c *detect.Correlation, key string, streaks []streak, period uint64) *schemas.CorrelationRow {
	var last *happening
	var with []streak
	for _, s := range streaks {
		found := false
		for i, f := range s.failures {
			if f.t/uint64(c.Dedupe.Milliseconds())*uint64(c.Dedupe.Milliseconds()) == period && s.triggers(c, i) {
				last, found = &f, true
			}
		}
		if found {
			with = append(with, s)
		}
	}
	if last == nil {
		return nil
	}
	r := &schemas.CorrelationRow{Key: key, Period: period, First: with[0].failures[0].t, Last: last.t, Imported: 1}
	r.Baseline, r.LastSuccess = with[0].base, with[0].lastSuccess
	r.BaselineDays = min(max(float64(r.First-with[0].firstSuccess)/86_400_000, 1), c.BaselineLookback.Hours()/24)
	for _, s := range with {
		for _, f := range s.failures {
			if last.before(f) {
				continue
			}
			r.Count++
			r.Values = append(r.Values, f.value)
			r.LogIDs = append(r.LogIDs, f.logID)
			if !f.imported {
				r.Imported = 0
			}
		}
	}
	slices.Sort(r.Values)
	r.Values = slices.Compact(r.Values)
	r.Values = r.Values[:min(len(r.Values), 20)]
	r.LogIDs = r.LogIDs[:min(len(r.LogIDs), 20)]
	return r
}

// history is random life of one key: steady successes, outages, strangers,
// flakiness, ties, edges of the look-backs.
func history(r *rand.Rand, origin time.Time, networks []string) []happening {
	var all []happening
	at := uint64(origin.UnixMilli())
	end := at + uint64(r.IntN(30)+1)*86_400_000
	pace := uint64(1) << (12 + r.IntN(13)) // 4 s to 4.6 h
	pace = max(pace, (end-at)/400)
	failing := 0
	quiet := 60 << r.IntN(3) // successes between outages
	flaky := []float64{0, 0, 0, 0.004, 0.012, 0.2}[r.IntN(6)]
	for at < end && len(all) < 600 {
		h := happening{t: at, value: networks[r.IntN(1+r.IntN(len(networks)))], imported: r.IntN(3) == 0}
		switch {
		case failing > 0:
			failing--
			h.ok = r.IntN(12) == 0
			at += uint64(r.IntN(1 << (8 + r.IntN(14)))) // up to 35 min
			if r.IntN(3) == 0 {
				at = h.t + 900_000/uint64(1+r.IntN(4)) // of which some make a time span
			}
		default:
			h.ok = r.Float64() >= flaky
			at += uint64(r.Int64N(int64(2*pace)) + 1)
			if r.IntN(quiet) == 0 {
				failing = 1 + r.IntN(30)
			}
		}
		if r.IntN(150) == 0 {
			at += 86_400_000 * uint64(r.IntN(9)) // away for days, as long as the look-backs
		}
		all = append(all, h)
	}
	return withEdges(r, all)
}

// withEdges moves some events to where the comparisons turn: exactly a
// look-back or a time span after another, or to the same millisecond.
func withEdges(r *rand.Rand, all []happening) []happening {
	for range len(all) / (5 << r.IntN(6)) {
		i, j := r.IntN(len(all)), r.IntN(len(all))
		offset := []uint64{0, 0, 900_000, 900_001, 7 * 86_400_000, 7*86_400_000 + 1}[r.IntN(6)]
		all[i].t = all[j].t + offset
	}
	return all
}

func testCorrelation(t *testing.T) detect.Correlation {
	t.Helper()
	return workingClient(t).Correlations()[0]
}
