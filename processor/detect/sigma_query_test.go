package detect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// occurrences is random life of one key: bursts, silences, ties, edges of the time
// spans and look-backs.
func occurrences(r *rand.Rand) []occurrence {
	at := uint64(origin.UnixMilli())
	types := strings.Fields(strings.Repeat("a a b c k ", 3) + "ab k u a a")
	var all []occurrence
	for range 30 + r.IntN(90) {
		all = append(all, occurrence{
			t: at, typ: types[r.IntN(len(types))], imported: r.IntN(3) == 0,
			value:   []string{"", "v1", "v2", "v3", "v4", "v5"}[r.IntN(6)],
			number:  []string{"1", "2.5", "-3", "", "x", "10"}[r.IntN(6)],
			network: fmt.Sprintf("198.51.%d.0/24", 100+r.IntN(1+r.IntN(8))),
		})
		switch r.IntN(12) {
		case 0:
			at += uint64(r.Int64N(int64(2 * days / time.Millisecond)))
		case 1, 2:
			at += []uint64{0, 600_000, 600_001, 3_600_000, 3_600_001, 86_400_000, 86_400_001}[r.IntN(7)]
		default:
			at += uint64(r.IntN(300_000))
		}
	}
	return all
}

// variations are correlations of all types, with all that this program adds.
func variations(r *rand.Rand) []variation {
	var all []variation
	add := func(v variation) {
		v.timespan = []time.Duration{10 * time.Minute, time.Hour}[r.IntN(2)]
		v.dedupe = []time.Duration{time.Hour, days}[r.IntN(2)]
		if v.usual > 0 || v.isNew > 0 {
			v.dedupe = days
		}
		all = append(all, v)
	}
	for _, conditions := range []map[string]float64{{"gte": 3}, {"gt": 4}, {"eq": 2}, {"gte": 2, "lt": 4}, {"gte": 1}} {
		add(variation{typ: "event_count", rules: []string{"a"}, conditions: conditions})
		add(variation{typ: "event_count", rules: []string{"a", "b"}, conditions: conditions})
		add(variation{typ: "value_count", rules: []string{"a", "b"}, conditions: conditions})
		add(variation{typ: "value_count", rules: []string{"a"}, conditions: conditions, known: 2 * days})
		add(variation{typ: "event_count", rules: []string{"a", "b"}, conditions: conditions, known: time.Hour, unless: time.Hour})
		add(variation{typ: "event_count", rules: []string{"a", "b"}, conditions: conditions, own: 6 * time.Hour})
		add(variation{typ: "value_count", rules: []string{"a"}, conditions: conditions, own: 2 * days, usual: 7 * days, days: 1, times: 1})
	}
	for _, conditions := range []map[string]float64{{"gte": 7.5}, {"gt": 4, "lte": 12}, {"lt": 0}, {"eq": 2.5}} {
		add(variation{typ: "value_sum", rules: []string{"a"}, conditions: conditions})
		add(variation{typ: "value_avg", rules: []string{"a", "b"}, conditions: conditions})
	}
	add(variation{typ: "event_count", rules: []string{"a"}, conditions: map[string]float64{"gte": 2}, usual: 3 * days, days: 1, times: 1, more: 1})
	add(variation{typ: "value_count", rules: []string{"a"}, conditions: map[string]float64{"gte": 2}, usual: 2 * days, days: 0, times: 2, more: 0})
	add(variation{typ: "event_count", rules: []string{"a"}, conditions: map[string]float64{"gte": 1}, isNew: 3 * days, history: days})
	add(variation{typ: "value_count", rules: []string{"a", "b"}, conditions: map[string]float64{"gte": 2}, isNew: 2 * days, history: time.Hour})
	add(variation{typ: "event_count", rules: []string{"a", "b"}, conditions: map[string]float64{"gte": 1}, isNew: 2 * days, history: days, usual: 2 * days, times: 1, more: 1})
	add(variation{typ: "temporal", rules: []string{"a", "b"}})
	add(variation{typ: "temporal", rules: []string{"a", "b", "c"}, conditions: map[string]float64{"gte": 2}})
	add(variation{typ: "temporal", rules: []string{"c", "b", "a"}})
	add(variation{typ: "temporal_ordered", rules: []string{"a", "b"}})
	add(variation{typ: "temporal_ordered", rules: []string{"b", "a", "c"}})
	return all
}

func loadVariations(t *testing.T, all []variation) *detect.Set {
	t.Helper()
	var text strings.Builder
	for name, types := range map[string]string{"a": "[a, ab]", "b": "[b, ab]", "c": "c", "k": "k", "u": "u"} {
		fmt.Fprintf(&text, "---\ntitle: %s\nname: %[1]s\nid: 00000000-0000-4000-8000-%012d\nlogsource: {product: auth0}\nlevel: low\ndetection: {s: {type: %s}, condition: s}\n", name, name[0], types)
	}
	for i := range all {
		text.WriteString(all[i].text(i))
	}
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(text.String())}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Asides()) > 0 || len(set.Correlations()) != len(all) {
		t.Fatalf("%d correlations of %d, set aside: %v", len(set.Correlations()), len(all), set.Asides())
	}
	return set
}

// addOccurrence stores one, and sometimes copies of it: repeats, and copies of a
// lower version that say something else, whose matches must not count.
func (s *stored) addOccurrence(r *rand.Rand, set *detect.Set, key string, o occurrence) {
	ver := uint64(10 + r.IntN(3))
	source := schemas.SourceStream
	if o.imported {
		source = schemas.SourceImport
	}
	add := func(o occurrence, ver uint64, source schemas.Source) {
		at := time.UnixMilli(int64(o.t)).UTC()
		e := schemas.Event{
			Tenant: tenant, ClientID: key, Time: at, LogID: o.logID, Ver: ver, Type: o.typ, UserID: o.value, OrganizationID: o.number,
			Network: o.network, Source: source, IngestedAt: at,
		}
		s.events = append(s.events, e)
		s.matches = set.Match(s.matches, &e)
	}
	for range 1 + r.IntN(2) {
		add(o, ver, source)
	}
	if r.IntN(4) == 0 {
		loser := o
		loser.typ, loser.value, loser.number, loser.network = []string{"a", "b", "c", "k", "u"}[r.IntN(5)], "v9", "1000", "192.0.2.0/24"
		add(loser, ver-1, schemas.SourceStream)
	}
}

func TestSigmaCorrelationsFindWhatTheOracleFinds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(21, 22))
	all := variations(r)
	set := loadVariations(t, all)
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	var s stored
	var keys []string
	lives := map[string][]occurrence{}
	for i := range 40 {
		key := fmt.Sprintf("client-%03d", i)
		life := occurrences(r)
		for j := range life {
			life[j].logID = fmt.Sprintf("%s-%09d", key, r.IntN(1e6)*1000+j)
			s.addOccurrence(r, set, key, life[j])
		}
		keys = append(keys, key)
		lives[key] = life
	}
	s.insertAll(t, r, db)
	ruledOut := 0
	for i, c := range set.Correlations() {
		v := all[i]
		from, to := c.Period(origin), c.PeriodEnd(origin.Add(30*days))
		if i%3 == 0 {
			from = c.Period(origin.Add(time.Duration(r.Int64N(int64(4 * days)))))
			to = c.PeriodEnd(from.Add(time.Duration(1 + r.Int64N(int64(2*days)))))
		}
		var want []schemas.CorrelationRow
		found := map[string]bool{}
		for _, key := range keys {
			rows := v.oracle(key, lives[key], from, to)
			found[key] = len(rows) > 0
			want = append(want, rows...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatalf("variation %d %+v: %v", i, v, err)
		}
		if len(want) == 0 && i%3 != 0 {
			t.Errorf("variation %d %+v: nothing is found; that tells nothing", i, v)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("variation %d %+v: %d findings, want %d; (-want +got):\n%.3000s", i, v, len(got), len(want), diff)
		}
		candidates, err := store.Correlate(t.Context(), c.CandidatesQuery(tenant, keys, from, to))
		if err != nil {
			t.Fatalf("variation %d %+v: %v", i, v, err)
		}
		for _, key := range keys {
			if found[key] && !slices.ContainsFunc(candidates, func(row schemas.CorrelationRow) bool { return row.Key == key }) {
				t.Errorf("variation %d %+v: %s is no candidate", i, v, key)
			}
		}
		ruledOut += checkRequired(t, db, &c, keys, got, from, to)
	}
	if ruledOut == 0 {
		t.Error("no key lacks anything; that tells nothing of what is required")
	}
}
