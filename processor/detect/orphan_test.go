package detect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// orphanage is one x-orphan in the words of its rule file.
type orphanage struct {
	lifetime, history, within, dedupe time.Duration
	count                             int
}

func (o orphanage) rule(t *testing.T) (detect.Correlation, map[string]string) {
	t.Helper()
	const base = "title: %[1]s\nid: 00000000-0000-4000-8000-00000000000%[2]d\nname: %[1]s\nlevel: informational\nlogsource: {product: auth0}\n" +
		"detection: {s: {type: %[3]s}, condition: s}\nx-match: {key: client_id, value: [network, asn]}\n---\n"
	text := fmt.Sprintf(base, "called", 1, "sapi") + fmt.Sprintf(base, "issued", 2, "seccft") + fmt.Sprintf(
		"title: Orphans\nid: 00000000-0000-4000-8000-0000000000ff\nlevel: low\nx-dedupe: %s\nx-alert: {summary: x}\n"+
			"x-orphan: {rule: called, token: asn, issued: issued, as: asn, lifetime: %s, history: %s, within: %s, count: %d}\n"+
			"x-tests:\n  - {name: a, expect: 1, events: [{at: 0s, log: {type: s}}]}\n  - {name: b, expect: 0, events: [{at: 0s, log: {type: s}}]}\n",
		seconds(o.dedupe), seconds(o.lifetime), seconds(o.history), seconds(o.within), o.count)
	set, err := detect.Parse(fstest.MapFS{"a.yml": {Data: []byte(text)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	selectors := map[string]string{}
	for _, r := range set.Rules() {
		selectors[r.Name] = r.Selector
	}
	return set.Correlations()[0], selectors
}

func (o orphanage) isOrphan(all []*orderedEvent, e *orderedEvent) bool {
	watched := false
	for _, i := range all {
		if i.rules[0] != "issued" || i.t > e.t {
			continue
		}
		age := time.Duration(e.t-i.t) * time.Millisecond
		if i.asn == e.asn && age <= o.lifetime {
			return false
		}
		watched = watched || age >= o.lifetime && age <= o.history
	}
	return watched && e.asn != "" && e.rules[0] == "called"
}

// rows says by the words of the kind's comment what is found of a key.
func (o orphanage) rows(key string, all []*orderedEvent, from, to time.Time) []schemas.CorrelationRow {
	var orphans []*orderedEvent
	var rows []schemas.CorrelationRow
	var networks, tokens []string
	dedupe := uint64(o.dedupe.Milliseconds())
	for _, e := range all {
		if !o.isOrphan(all, e) {
			continue
		}
		orphans = append(orphans, e)
		nth := len(orphans) - o.count
		if nth < 0 || orphans[nth].t+uint64(o.within.Milliseconds()) < e.t || e.t < uint64(from.UnixMilli()) || e.t >= uint64(to.UnixMilli()) {
			continue
		}
		period := e.t / dedupe * dedupe
		if len(rows) == 0 || rows[len(rows)-1].Period != period {
			rows = append(rows, schemas.CorrelationRow{Key: key, Period: period, First: orphans[nth].t, Count: uint64(o.count - 1), Imported: 1})
			networks, tokens = nil, nil
		}
		r := &rows[len(rows)-1]
		r.Last, r.Count = e.t, r.Count+1
		r.LogIDs = append(r.LogIDs, e.logID)
		if !e.imported {
			r.Imported = 0
		}
		networks, tokens = append(networks, e.network), append(tokens, e.asn)
		r.Values = append([]string{}, distinct(networks, 20)...)
		r.Facts = map[string]string{"tokens": strconv.Itoa(len(distinct(tokens, 99))), "asn": strings.Join(distinct(tokens, 5), ", ")}
		if text := strings.Join(distinct(networks, 5), ", "); text != "" {
			r.Facts["network"] = text
		}
	}
	for i := range rows {
		rows[i].LogIDs = rows[i].LogIDs[:min(len(rows[i].LogIDs), 20)]
	}
	return rows
}

func TestOrphanFindsWhatTheOracleFinds(t *testing.T) {
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(9, 10))
	_, selectors := orphanage{time.Hour, time.Hour, time.Hour, time.Hour, 1}.rule(t)
	lives := map[string][]*orderedEvent{}
	var keys []string
	var s stored
	for i := range 60 {
		key := fmt.Sprintf("client-%02d", i)
		all := drawLife(r, key)
		for _, e := range all {
			e.rules = [][]string{{"issued"}, {"called"}, {"called"}}[r.IntN(3)]
			e.asn = []string{"", "t1", "t2", "t3", "t4", "t5", "t6"}[r.IntN(7)]
			s.addOrdered(r, selectors, key, e)
		}
		keys, lives[key] = append(keys, key), all
	}
	s.insert(t, r, db)
	found, ruledOut := 0, 0
	for range 25 {
		pick := func(choices ...time.Duration) time.Duration { return choices[r.IntN(len(choices))] }
		o := orphanage{pick(time.Minute, 10*time.Minute, time.Hour), pick(time.Hour, 12*time.Hour), pick(time.Minute, time.Hour, 12*time.Hour), pick(time.Hour, 24*time.Hour), 1 + r.IntN(3)}
		c, _ := o.rule(t)
		from := c.Period(origin.Add(time.Duration(r.Int64N(int64(6 * time.Hour)))))
		to := c.PeriodEnd(from.Add(time.Duration(r.Int64N(int64(72 * time.Hour)))))
		var want []schemas.CorrelationRow
		for _, key := range keys {
			want = append(want, o.rows(key, lives[key], from, to)...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v: %d findings, want %d; (-want +got):\n%.3000s", o, len(got), len(want), diff)
		}
		candidates, err := store.Correlate(t.Context(), c.CandidatesQuery(tenant, keys, from, to))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range got {
			if !slices.ContainsFunc(candidates, func(k schemas.CorrelationRow) bool { return k.Key == row.Key }) {
				t.Fatalf("%+v: %s has a finding and is no candidate", o, row.Key)
			}
		}
		ruledOut += checkRequired(t, db, &c, keys, got, from, to)
		found += len(want)
	}
	if ruledOut == 0 {
		t.Error("no key lacks anything; that tells nothing of what is required")
	}
	if found < 200 {
		t.Errorf("the histories hold %d findings; that is too little to tell", found)
	}
}
