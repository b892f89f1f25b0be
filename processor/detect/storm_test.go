package detect_test

import (
	"errors"
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

const stormRules = `title: Issued
id: 9c0c3d0a-3b1e-4f0e-9d41-6f2f7d5f1f01
name: issued
status: stable
level: informational
logsource: {product: auth0}
detection: {selection: {type: seccft}, condition: selection}
x-match: {key: client_id, value: network}
---
title: Refused
id: 9c0c3d0a-3b1e-4f0e-9d41-6f2f7d5f1f02
name: refused
status: stable
level: informational
logsource: {product: auth0}
detection: {selection: {type: feccft}, condition: selection}
x-match: {key: tenant, value: [client_id, network]}
---
title: Storm
id: 9c0c3d0a-3b1e-4f0e-9d41-6f2f7d5f1f03
status: stable
level: high
x-storm: {rule: refused, issued: issued, window: 10m, share: %g, least: %d, known: 2d}
x-dedupe: %s
x-alert: {summary: storm}
x-tests:
  - {name: fires, expect: 1, events: [{at: 0s, log: {type: s}}]}
  - {name: stays quiet, expect: 0, events: [{at: 0s, log: {type: s}}]}
`

// exchanged is one token exchange, as the oracle knows it.
type exchanged struct {
	client, network string
	happening
}

// weather is random life of some machines, now and then with many failures at once.
func weather(r *rand.Rand) []exchanged {
	var all []exchanged
	at := uint64(origin.UnixMilli())
	for i := range 700 {
		at += r.Uint64N(20 * minuteMS)
		stormy := r.IntN(12) == 0
		for n := range 1 + r.IntN(9) {
			if n > 0 && !stormy {
				break
			}
			e := exchanged{fmt.Sprintf("c%d", r.IntN(7)), pick(r, []string{"198.51.100.0/24", "198.51.100.0/24", "192.0.2.0/24"}), happening{}}
			e.t, e.ok, e.imported = at+uint64(n)*[]uint64{0, minuteMS, 10 * minuteMS, 10*minuteMS + 1}[r.IntN(4)], !stormy && r.IntN(5) > 0, r.IntN(3) == 0
			e.logID = fmt.Sprintf("log-%05d-%d", i, n)
			all = append(all, e)
		}
	}
	return all
}

func stormOracle(c *detect.Correlation, all, told []exchanged, share float64, least int) []schemas.CorrelationRow {
	var home []exchanged
	for _, f := range all {
		if !f.ok && slices.ContainsFunc(all, func(s exchanged) bool {
			return s.ok && s.client == f.client && s.network == f.network && s.t < f.t && s.t+2*dayMS >= f.t
		}) {
			home = append(home, f)
		}
	}
	clients := func(from, to uint64, of []exchanged) map[string]bool {
		found := map[string]bool{}
		for _, e := range of {
			if e.t >= from && e.t <= to {
				found[e.client] = true
			}
		}
		return found
	}
	var issued []exchanged
	for _, e := range all {
		if e.ok {
			issued = append(issued, e)
		}
	}
	dedupe, window := uint64(c.Dedupe.Milliseconds()), 10*minuteMS
	triggers := map[uint64][]uint64{}
	active := func(t uint64) int {
		minute := t / minuteMS * minuteMS
		now := len(clients(minute-window, minute+minuteMS-1, slices.Concat(issued, home)))
		return max(now, len(clients(minute-window-hourMS, minute+minuteMS-1-hourMS, told)))
	}
	for _, f := range home {
		if n := len(clients(f.t-window, f.t, home)); n >= least && float64(n) >= share*float64(active(f.t)) {
			triggers[f.t/dedupe*dedupe] = append(triggers[f.t/dedupe*dedupe], f.t)
		}
	}
	var rows []schemas.CorrelationRow
	for _, period := range slices.Sorted(maps.Keys(triggers)) {
		first, last := slices.Min(triggers[period]), slices.Max(triggers[period])
		var of []happening
		names := map[string]bool{}
		for _, f := range home {
			if f.t+window >= first && f.t <= last {
				h := f.happening
				h.value = f.network
				of, names[f.client] = append(of, h), true
			}
		}
		slices.SortFunc(of, compareHappenings)
		row := rowOf(tenant, period, of, map[string]string{"machines": strconv.Itoa(len(names)), "active": strconv.Itoa(max(active(last), len(clients(last-window, last, home))))})
		row.Last = last
		rows = append(rows, row)
	}
	return rows
}

func TestStormFindsWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 29))
	all := weather(r)
	db := clickhousetest.New(t)
	store, w := clickhouse.NewFindingStore(db), clickhouse.NewWriter(db)
	var events []schemas.Event
	var told []exchanged // successes of any copy
	tell := func(e exchanged, event *schemas.Event) {
		if event.Type == "seccft" {
			told = append(told, e)
		}
	}
	for _, e := range all {
		at := time.UnixMilli(int64(e.t)).UTC()
		event := schemas.Event{Tenant: tenant, ClientID: e.client, Time: at, LogID: e.logID, Ver: 9, Type: "feccft", Network: e.network, Source: schemas.SourceStream, IngestedAt: at}
		if e.ok {
			event.Type = "seccft"
		}
		if e.imported {
			event.Source = schemas.SourceImport
		}
		events = append(events, event)
		tell(e, &event)
		if r.IntN(5) == 0 { // a copy that loses, and says something else
			event.Ver, event.Network = 8, "203.0.113.0/24"
			event.Type = pick(r, []string{"feccft", "seccft"})
			events = append(events, event)
			tell(e, &event)
		}
	}
	found := 0
	for i, of := range []struct {
		share  float64
		least  int
		dedupe string
	}{{0.2, 3, "1h"}, {0.7, 2, "24h"}} {
		set, err := detect.Parse(fstest.MapFS{"kind.yml": {Data: fmt.Appendf(nil, stormRules, of.share, of.least, of.dedupe)}})
		if err != nil {
			t.Fatal(err)
		}
		c := set.Correlations()[0]
		if i == 0 {
			var matches []schemas.Match
			for j := range events {
				matches = set.Match(matches, &events[j])
			}
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			if err := errors.Join(w.InsertEvents(t.Context(), events), w.InsertMatches(t.Context(), matches)); err != nil {
				t.Fatal(err)
			}
		}
		want := stormOracle(&c, all, told, of.share, of.least)
		for j := range 4 {
			from, to := c.Period(origin), c.PeriodEnd(origin.Add(30*days))
			if j > 0 {
				from = c.Period(origin.Add(time.Duration(r.Int64N(int64(6 * 24 * time.Hour)))))
				to = c.PeriodEnd(from.Add(time.Duration(r.Int64N(int64(2*24*time.Hour))) + 1))
			}
			some := slices.DeleteFunc(slices.Clone(want), func(row schemas.CorrelationRow) bool {
				return row.Period < uint64(from.UnixMilli()) || row.Period >= uint64(to.UnixMilli())
			})
			got, err := store.Correlate(t.Context(), c.Query(tenant, []string{tenant}, from, to))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(some, slices.Concat([]schemas.CorrelationRow(nil), got)); diff != "" && len(some)+len(got) > 0 {
				t.Fatalf("rule %d: (-want +got):\n%.4000s", i, diff)
			}
			candidates, err := store.Correlate(t.Context(), c.CandidatesQuery(tenant, []string{tenant}, from, to))
			if err != nil || len(some) > 0 && len(candidates) != 1 {
				t.Fatalf("rule %d: candidates %+v, %v, want the tenant", i, candidates, err)
			}
			found += len(got)
		}
	}
	if found < 20 {
		t.Errorf("%d storms: want many", found)
	}
}
