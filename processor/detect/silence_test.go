package detect_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const silenceRule = "x-silence: {rule: issued, history: %s, known: %s, gaps: %d, cv_below: %g, times: %g, least: %s, most: %s}\nx-dedupe: %s\n"

// heartbeat is random life of a key that beats: about so often, or in working
// hours, with silences now and then, some as long as a limit.
func heartbeat(r *rand.Rand) []happening {
	var all []happening
	pace := uint64(1) << (18 + r.IntN(9)) // 4 min to 19 h
	at := uint64(origin.UnixMilli()) + r.Uint64N(15*dayMS)
	end := min(at+(10+r.Uint64N(35))*dayMS, uint64(tenantSeen.UnixMilli())-2*dayMS)
	jitter := []uint64{1, pace / 20, pace}[r.IntN(3)] + 1
	resting := r.IntN(4) == 0
	for at < end && len(all) < 900 {
		for range 1 + r.IntN(3) {
			all = append(all, happening{t: at + r.Uint64N(20_000), value: "198.51.100.0/24\x1fapi", imported: r.IntN(3) == 0})
		}
		at += pace + r.Uint64N(jitter)
		switch {
		case r.IntN(60) == 0:
			at += r.Uint64N(8 * pace)
		case r.IntN(100) == 0:
			at = all[len(all)-1].t + 4*(pace/300_000+1)*300_000 + r.Uint64N(3) - 1
		case resting && at/hourMS%24 > 18:
			at = (at/dayMS+1)*dayMS + 7*hourMS
		}
	}
	return all
}

func TestSilenceFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	var rules []detect.Correlation
	var oracles []oracleOf
	for _, s := range []beating{
		{28 * dayMS, 10 * dayMS, 20, 0.9, 4, hourMS, 5 * dayMS, "24h"},
		{7 * dayMS, 2 * dayMS, 5, 2, 1.5, 2 * hourMS, 2 * dayMS, "7d"},
		{2 * dayMS, dayMS, 1, 0.3, 4, hourMS, 30 * dayMS, "1h"},
	} {
		hours := func(ms uint64) string { return strconv.FormatUint(ms/hourMS, 10) + "h" }
		rules = append(rules, ofKind(t, fmt.Sprintf(silenceRule, hours(s.history), hours(s.known), s.gaps, s.cv, s.times, hours(s.least), hours(s.most), s.dedupe)))
		oracles = append(oracles, s.oracle)
	}
	holdAgainst(t, heartbeat, rules, oracles, 100)
}

// beating is what x-silence says, in milliseconds.
type beating struct {
	history, known uint64
	gaps           int
	cv, times      float64
	least, most    uint64
	dedupe         string
}

type silent struct {
	last          happening
	trigger, next uint64
	usual         uint64
}

func (s beating) oracle(c *detect.Correlation, key string, all []happening, from, to time.Time) []schemas.CorrelationRow {
	periods := map[uint64][]silent{}
	dedupe := uint64(c.Dedupe.Milliseconds())
	for _, of := range s.silences(all) {
		if p := of.trigger / dedupe * dedupe; p >= uint64(from.UnixMilli()) && p < uint64(to.UnixMilli()) {
			periods[p] = append(periods[p], of)
		}
	}
	var rows []schemas.CorrelationRow
	clock := func(ms uint64) string { return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02 15:04") }
	for _, p := range slices.Sorted(maps.Keys(periods)) {
		var events []happening
		for _, of := range periods[p] {
			events = append(events, of.last)
		}
		last := periods[p][len(periods[p])-1]
		facts := map[string]string{
			"since": clock(last.last.t), "usual_minutes": strconv.FormatUint(last.usual*5, 10),
			"limit_minutes": strconv.FormatUint((last.trigger-last.last.t)/60_000, 10), "came_back": "",
		}
		if last.next > 0 && last.next <= last.trigger+s.most {
			facts["came_back"] = clock(last.next)
		}
		row := rowOf(key, p, events, facts)
		row.Last = last.trigger
		rows = append(rows, row)
	}
	return rows
}

func (s beating) silences(all []happening) []silent {
	const bin = 300_000
	all = slices.Clone(all)
	slices.SortFunc(all, compareHappenings)
	var found []silent
	for i, h := range all {
		var next uint64
		if i+1 < len(all) {
			next = all[i+1].t
			if next/bin == h.t/bin {
				continue
			}
		}
		var beats, gaps []uint64
		for _, p := range all[:i+1] {
			if b := p.t / bin; b+s.history/bin >= h.t/bin && (len(beats) == 0 || beats[len(beats)-1] != b) {
				beats = append(beats, b)
			}
		}
		var sum, squares float64
		for j := 1; j < len(beats); j++ {
			gap := beats[j] - beats[j-1]
			gaps = append(gaps, gap)
			sum, squares = sum+float64(gap), squares+float64(gap*gap)
		}
		n := len(gaps)
		if n < s.gaps || beats[0]+s.known/bin > h.t/bin || float64(n)*squares-sum*sum >= s.cv*s.cv*(sum*sum) {
			continue
		}
		slices.Sort(gaps)
		limit := max(s.least, uint64(s.times*float64(gaps[(99*n+99)/100-1])*bin))
		trigger := h.t + limit
		if limit > s.most || next > 0 && next <= trigger || trigger >= uint64(tenantSeen.UnixMilli()) {
			continue
		}
		found = append(found, silent{h, trigger, next, gaps[(n+1)/2-1]})
	}
	return found
}
