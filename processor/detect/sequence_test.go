package detect_test

import (
	"cmp"
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

// order is one sequence in the words of its rule file.
type order struct {
	steps    []orderStep
	timespan time.Duration
	settle   time.Duration
	same     bool // steps are of the same network
	known    []string
	lookback time.Duration
	least    int
	most     int
	only     []string
	dedupe   time.Duration
}

type orderStep struct {
	rules []string
	count int
}

// sequenceBases select by type: refused and oddly are both of feccft.
var sequenceBases = map[string]string{"refused": "feccft", "oddly": "feccft", "issued": "seccft", "called": "sapi"}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }

// rule compiles the sequence, with its base rules.
func (o order) rule(t *testing.T) (detect.Correlation, map[string]string) {
	t.Helper()
	b := &strings.Builder{}
	for i, name := range []string{"refused", "oddly", "issued", "called"} {
		also := map[bool]string{true: ", description: odd", false: ""}[name == "oddly"]
		fmt.Fprintf(b, "title: %s\nid: 00000000-0000-4000-8000-00000000000%d\nname: %s\nlevel: informational\nlogsource: {product: auth0}\n"+
			"detection: {s: {type: %s%s}, condition: s}\nx-match: {key: client_id, value: [network, asn]}\n---\n", name, i, name, sequenceBases[name], also)
	}
	fmt.Fprintf(b, "title: In order\nid: 00000000-0000-4000-8000-0000000000ff\nlevel: low\nx-dedupe: %s\nx-alert: {summary: x}\nx-sequence:\n  timespan: %s\n", seconds(o.dedupe), seconds(o.timespan))
	if o.settle > 0 {
		fmt.Fprintf(b, "  settle: %s\n", seconds(o.settle))
	}
	if o.only != nil {
		fmt.Fprintf(b, "  only: [%s]\n", strings.Join(o.only, ", "))
	}
	if o.known != nil {
		fmt.Fprintf(b, "  known: {fields: [network, asn], rules: [%s], lookback: %s", strings.Join(o.known, ", "), seconds(o.lookback))
		for _, n := range []struct {
			key   string
			value int
		}{{"least", o.least}, {"most", o.most}} {
			if n.value > 0 {
				fmt.Fprintf(b, ", %s: %d", n.key, n.value)
			}
		}
		b.WriteString("}\n")
	}
	b.WriteString("  steps:\n")
	for _, s := range o.steps {
		fmt.Fprintf(b, "    - {rules: [%s], count: %d%s}\n", strings.Join(s.rules, ", "), s.count, map[bool]string{true: ", same: network", false: ""}[o.same])
	}
	b.WriteString("x-tests:\n  - {name: a, expect: 1, events: [{at: 0s, log: {type: s}}]}\n  - {name: b, expect: 0, events: [{at: 0s, log: {type: s}}]}\n")
	set, err := detect.Parse(fstest.MapFS{"a.yml": {Data: []byte(b.String())}})
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	selectors := map[string]string{}
	for _, r := range set.Rules() {
		selectors[r.Name] = r.Selector
	}
	return set.Correlations()[0], selectors
}

// orderedEvent is one event of a key and the rules that select it.
type orderedEvent struct {
	t        uint64
	logID    string
	rules    []string
	network  string
	asn      string
	imported bool
}

func (e *orderedEvent) value() string { return e.network + schemas.PartSeparator + e.asn }

func (e *orderedEvent) before(f *orderedEvent) bool {
	return cmp.Or(cmp.Compare(e.t, f.t), cmp.Compare(e.logID, f.logID)) < 0
}

// sequenceOracle says by the words of the kind's comment what is found of a key.
type sequenceOracle struct {
	order
	all []*orderedEvent
}

func (o *sequenceOracle) is(e *orderedEvent, step int) bool {
	return (!o.same || e.network != "") && slices.ContainsFunc(o.steps[step].rules, func(r string) bool { return slices.Contains(e.rules, r) })
}

func (o *sequenceOracle) together(e, f *orderedEvent) bool { return !o.same || e.network == f.network }

// start is the first event of the chain that completes a step with e, the one
// that started last; nil where there is none.
func (o *sequenceOracle) start(e *orderedEvent, step int) *orderedEvent {
	if !o.is(e, step) {
		return nil
	}
	first := e
	back := o.steps[step].count - 1
	for _, f := range slices.Backward(o.all) {
		if back == 0 {
			break
		}
		if f.before(e) && o.together(e, f) && o.is(f, step) {
			first = f
			back--
		}
	}
	if back > 0 {
		return nil
	}
	if step == 0 {
		return first
	}
	var best *orderedEvent
	for _, c := range o.all {
		if !c.before(first) || !o.together(e, c) || c.t+uint64(o.settle.Milliseconds()) > first.t {
			continue
		}
		if s := o.start(c, step-1); s != nil && (best == nil || best.before(s)) {
			best = s
		}
	}
	return best
}

func (o *sequenceOracle) isKnownMatch(e *orderedEvent) bool {
	return slices.ContainsFunc(o.known, func(r string) bool { return slices.Contains(e.rules, r) })
}

// earlierMatches are those of the known rules before e and within the look-back.
func (o *sequenceOracle) earlierMatches(e *orderedEvent) []*orderedEvent {
	var list []*orderedEvent
	for _, k := range o.all {
		if o.isKnownMatch(k) && k.before(e) && k.t+uint64(o.lookback.Milliseconds()) >= e.t {
			list = append(list, k)
		}
	}
	return list
}

func (o *sequenceOracle) seen(e *orderedEvent) bool {
	return slices.ContainsFunc(o.earlierMatches(e), func(k *orderedEvent) bool {
		return e.network != "" && k.network == e.network || e.asn != "" && k.asn == e.asn
	})
}

func (o *sequenceOracle) source(e, start *orderedEvent) string {
	if o.known == nil {
		return ""
	}
	matches, fresh := o.earlierMatches(e), 0
	for _, k := range matches {
		if !o.seen(k) && (k.network != "" || k.asn != "") {
			fresh++
		}
	}
	switch {
	case e.network == "" && e.asn == "":
		return "unclear"
	case slices.ContainsFunc(matches, func(k *orderedEvent) bool {
		return (e.network != "" && k.network == e.network || e.asn != "" && k.asn == e.asn) && k.t > start.t
	}):
		return "again"
	case o.seen(e):
		return "known"
	case len(matches) < o.least, o.most > 0 && fresh > o.most:
		return "unclear"
	}
	return "new"
}

func (o *sequenceOracle) earlier(start, trigger *orderedEvent) int {
	n := 0
	for _, e := range o.all {
		if e.before(start) || !e.before(trigger) || !o.together(e, trigger) || o.is(e, len(o.steps)-1) {
			continue
		}
		for i := range len(o.steps) - 1 {
			if o.is(e, i) {
				n++
				break
			}
		}
	}
	return n
}

func (o *sequenceOracle) rows(key string, from, to time.Time) []schemas.CorrelationRow {
	last := len(o.steps) - 1
	dedupe := uint64(o.dedupe.Milliseconds())
	byPeriod := map[uint64]*schemas.CorrelationRow{}
	facts := map[uint64]map[string][]string{}
	var rows []schemas.CorrelationRow
	for _, e := range o.all {
		if e.t < uint64(from.UnixMilli()) || e.t >= uint64(to.UnixMilli()) {
			continue
		}
		start := o.start(e, last)
		if start == nil || start.t+uint64(o.timespan.Milliseconds()) < e.t {
			continue
		}
		source := o.source(e, start)
		if o.only != nil && !slices.Contains(o.only, source) {
			continue
		}
		p := e.t / dedupe * dedupe
		r := byPeriod[p]
		if r == nil {
			r = &schemas.CorrelationRow{Key: key, Period: p, First: start.t, Count: uint64(o.steps[last].count - 1), Values: []string{}, Imported: 1, Facts: map[string]string{}}
			byPeriod[p], facts[p] = r, map[string][]string{}
			if last > 0 {
				r.Facts["earlier"] = strconv.Itoa(o.earlier(start, e))
				r.Facts["start"] = time.UnixMilli(int64(start.t)).UTC().Format("2006-01-02 15:04 UTC")
				r.Facts["first.network"], r.Facts["first.asn"] = start.network, start.asn
			}
		}
		r.First, r.Last, r.Count = min(r.First, start.t), e.t, r.Count+1
		r.LogIDs = append(r.LogIDs, e.logID)
		if !e.imported {
			r.Imported = 0
		}
		if e.network != "" {
			r.Values = append(r.Values, e.network)
		}
		facts[p]["network"], facts[p]["asn"], facts[p]["source"] = append(facts[p]["network"], e.network), append(facts[p]["asn"], e.asn), append(facts[p]["source"], source)
		for _, name := range e.rules {
			if slices.Contains(o.steps[last].rules, name) {
				facts[p]["rules"] = append(facts[p]["rules"], name)
			}
		}
	}
	for p, r := range byPeriod {
		r.Values = distinct(r.Values, 20)
		r.LogIDs = r.LogIDs[:min(len(r.LogIDs), 20)]
		r.Facts["network"] = strings.Join(distinct(facts[p]["network"], 5), ", ")
		r.Facts["asn"] = strings.Join(distinct(facts[p]["asn"], 5), ", ")
		r.Facts["rules"] = strings.Join(distinct(facts[p]["rules"], 9), " ")
		for _, s := range []string{"again", "unclear", "known", "new"} {
			if slices.Contains(facts[p]["source"], s) {
				r.Facts["source"] = s
			}
		}
		for name, text := range r.Facts {
			if text == "" {
				delete(r.Facts, name)
			}
		}
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b schemas.CorrelationRow) int { return cmp.Compare(a.Period, b.Period) })
	return rows
}

// distinct are the first of a list's texts in order, without "".
func distinct(list []string, most int) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), most)]
}

func drawOrder(r *rand.Rand) order {
	pick := func(choices ...time.Duration) time.Duration { return choices[r.IntN(len(choices))] }
	names := [][]string{{"refused"}, {"issued"}, {"called"}, {"oddly"}, {"refused", "oddly"}, {"issued", "called"}}
	o := order{
		timespan: pick(10*time.Minute, time.Hour, 6*time.Hour), dedupe: pick(time.Hour, 24*time.Hour), same: r.IntN(2) == 0,
		settle: pick(0, 0, time.Minute, 10*time.Minute),
	}
	for range 1 + r.IntN(3) {
		o.steps = append(o.steps, orderStep{names[r.IntN(len(names))], []int{1, 1, 2, 3}[r.IntN(4)]})
	}
	if r.IntN(4) > 0 {
		o.known, o.lookback = names[r.IntN(len(names))], pick(time.Hour, 12*time.Hour, 24*time.Hour, 30*time.Hour)
		o.least, o.most = []int{0, 1, 5}[r.IntN(3)], []int{0, 1, 3}[r.IntN(3)]
		o.only = [][]string{nil, nil, {"new"}, {"known", "again"}, {"unclear", "new"}}[r.IntN(5)]
	}
	return o
}

// drawLife is a few dozen events of a key, near one another, some at the same
// millisecond or exactly as far apart as something is long.
func drawLife(r *rand.Rand, key string) []*orderedEvent {
	networks, asns := []string{"n1", "n2", "n3", "n4", ""}, []string{"", "1", "2"}
	at := uint64(origin.UnixMilli())
	var all []*orderedEvent
	pause := []int{3, 3, 12}[r.IntN(3)] * 3_600_000
	for i := range 20 + r.IntN(40) {
		at += uint64(r.IntN([]int{2 * 60_000, 20 * 60_000, pause}[r.IntN(3)]))
		e := &orderedEvent{t: at, logID: fmt.Sprintf("%s-%03d-%d", key, r.IntN(1000), i), network: networks[r.IntN(len(networks))], asn: asns[r.IntN(len(asns))], imported: r.IntN(3) == 0}
		e.rules = [][]string{{"refused"}, {"refused", "oddly"}, {"issued"}, {"called"}}[r.IntN(4)]
		if len(all) > 0 && r.IntN(4) == 0 {
			e.t = all[r.IntN(len(all))].t + []uint64{0, 60_000, 600_000, 3_600_000, 3_600_001, 43_200_000}[r.IntN(6)]
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *orderedEvent) int { return map[bool]int{true: -1, false: 1}[a.before(b)] })
	return all
}

// addOrdered stores an event and its matches, and sometimes a copy that lost.
func (s *stored) addOrdered(r *rand.Rand, selectors map[string]string, key string, e *orderedEvent) {
	store := func(rules []string, value string, source schemas.Source, ver uint64) {
		at := time.UnixMilli(int64(e.t)).UTC()
		for _, name := range rules {
			s.events = append(s.events, schemas.Event{Tenant: tenant, ClientID: key, Time: at, LogID: e.logID, Ver: ver, Type: sequenceBases[name], Source: source, IngestedAt: at})
			s.matches = append(s.matches, schemas.Match{Selector: selectors[name], Tenant: tenant, Key: key, Time: at, LogID: e.logID, Value: value, ClientID: key, Ver: ver, Source: source})
		}
	}
	source := map[bool]schemas.Source{true: schemas.SourceImport, false: schemas.SourceStream}[e.imported]
	for range 1 + r.IntN(2) {
		store(e.rules, e.value(), source, 10)
	}
	if r.IntN(4) == 0 {
		store([]string{"issued"}, "n9"+schemas.PartSeparator, schemas.SourceStream, 9)
	}
}

func TestSequenceFindsWhatTheOracleFinds(t *testing.T) {
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(7, 8))
	_, selectors := order{steps: []orderStep{{[]string{"refused"}, 1}}, timespan: time.Hour, dedupe: time.Hour}.rule(t)
	lives := map[string][]*orderedEvent{}
	var keys []string
	var s stored
	for i := range 45 {
		key := fmt.Sprintf("client-%02d", i)
		keys, lives[key] = append(keys, key), drawLife(r, key)
		for _, e := range lives[key] {
			s.addOrdered(r, selectors, key, e)
		}
	}
	s.insert(t, r, db)

	found, ruledOut, sources := 0, 0, map[string]int{}
	for range 60 {
		o := drawOrder(r)
		c, _ := o.rule(t)
		from := c.Period(origin.Add(time.Duration(r.Int64N(int64([]time.Duration{6 * time.Hour, 72 * time.Hour}[r.IntN(2)])))))
		to := c.PeriodEnd(from.Add(time.Duration(r.Int64N(int64(72 * time.Hour)))))
		var want []schemas.CorrelationRow
		for _, key := range keys {
			oracle := sequenceOracle{o, lives[key]}
			want = append(want, oracle.rows(key, from, to)...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v: %d findings, want %d; (-want +got):\n%.3000s", o, len(got), len(want), diff)
		}
		since := from.Add(time.Duration(r.Int64N(int64(to.Sub(from))))).Truncate(time.Hour)
		candidates, err := store.Correlate(t.Context(), c.CandidatesQuery(tenant, keys, since, to))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range got {
			if row.Last >= uint64(since.UnixMilli()) && !slices.ContainsFunc(candidates, func(k schemas.CorrelationRow) bool { return k.Key == row.Key }) {
				t.Fatalf("%+v: %s has a trigger since %s and is no candidate", o, row.Key, since)
			}
			sources[row.Facts["source"]]++
		}
		ruledOut += checkRequired(t, db, &c, keys, got, since, to)
		found += len(want)
	}
	if ruledOut == 0 {
		t.Error("no key lacks anything; that tells nothing of what is required")
	}
	if found < 500 || sources["new"] < 20 || sources["known"] < 20 || sources["unclear"] < 20 || sources["again"] < 20 {
		t.Errorf("the histories hold %d findings, by source %v; that is too little to tell", found, sources)
	}
}

// TestSequenceRemembersWholeDays claims that what is left out of the days before
// changes nothing, where look-backs end within days that are full of matches.
func TestSequenceRemembersWholeDays(t *testing.T) {
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(9, 10))
	_, selectors := order{steps: []orderStep{{[]string{"refused"}, 1}}, timespan: time.Hour, dedupe: time.Hour}.rule(t)
	lives := map[string][]*orderedEvent{}
	var keys []string
	var s stored
	for i := range 60 {
		key := fmt.Sprintf("client-%02d", i)
		keys = append(keys, key)
		at := uint64(origin.UnixMilli())
		for n := range 60 {
			at += uint64(r.IntN([]int{5, 40, 40, 13 * 60}[r.IntN(4)])) * 60_000
			place := r.IntN(1 + r.IntN(1+r.IntN(20)))
			e := &orderedEvent{t: at, logID: fmt.Sprintf("%s-%03d", key, n), rules: []string{"issued"}, network: fmt.Sprint("n", place), asn: fmt.Sprint(place / 2)}
			if r.IntN(3) == 0 {
				e.rules = []string{"refused"}
			}
			lives[key] = append(lives[key], e)
			s.addOrdered(r, selectors, key, e)
		}
	}
	s.insert(t, r, db)
	sources := map[string]int{}
	for range 25 {
		o := order{
			steps: []orderStep{{[]string{"refused"}, 1}}, timespan: 10 * time.Minute, dedupe: time.Hour,
			known: []string{"issued"}, lookback: 24*time.Hour + time.Duration(r.IntN(24*60))*time.Minute, least: r.IntN(16), most: []int{0, 0, 2, 5}[r.IntN(4)],
		}
		c, _ := o.rule(t)
		from := c.Period(origin.Add(24*time.Hour + time.Duration(r.Int64N(int64(96*time.Hour)))))
		to := from.Add(6 * time.Hour)
		var want []schemas.CorrelationRow
		for _, key := range keys {
			want = append(want, (&sequenceOracle{o, lives[key]}).rows(key, from, to)...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v, from %s: (-want +got):\n%.3000s", o, from, diff)
		}
		for _, row := range got {
			sources[row.Facts["source"]]++
		}
	}
	if sources["new"] < 20 || sources["known"] < 20 || sources["unclear"] < 20 {
		t.Errorf("by source there are %v findings; that is too little to tell", sources)
	}
}

// TestSequenceOfABusyKeyFitsAQuery: what is known of half a million matches of one key is
// asked for with the memory that a query has.
func TestSequenceOfABusyKeyFitsAQuery(t *testing.T) {
	t.Parallel()
	db := clickhousetest.New(t)
	o := order{
		steps:    []orderStep{{[]string{"refused"}, 3}, {[]string{"issued"}, 1}},
		timespan: 15 * time.Minute, same: true, known: []string{"issued"}, lookback: 30 * 24 * time.Hour, least: 20, most: 8, dedupe: 24 * time.Hour,
	}
	c, selectors := o.rule(t)
	const matches = 500_000
	end := origin.Add(30 * 24 * time.Hour)
	// One each five seconds until end, three refusals of it from a new network, and then a token.
	rows := fmt.Sprintf(`(
        SELECT toUInt64(%[1]d - 5000 * number) AS at, number BETWEEN 1 AND 3 AS fails, toString(number) AS id, number < 4 ? 'n-new' : 'n-old' AS place
        FROM numbers(%[2]d)
    )`, end.UnixMilli(), matches)
	clickhousetest.Exec(t, db, fmt.Sprintf(`INSERT INTO versions (tenant, client_id, time, log_id, ver, deleted)
        SELECT '%s', 'busy', fromUnixTimestamp64Milli(toInt64(at), 'UTC'), id, 1, 0 FROM %s`, tenant, rows))
	clickhousetest.Exec(t, db, fmt.Sprintf(`INSERT INTO matches (selector, tenant, bucket, key, t, log_id, value, client_id, ver, source)
        SELECT if(fails, '%s', '%s'), '%s', toDate(fromUnixTimestamp64Milli(toInt64(at), 'UTC')), 'busy', at, id, concat(place, '\x1f', repeat('as', 100)), 'busy', 1, 'stream' FROM %s`,
		selectors["refused"], selectors["issued"], tenant, rows))
	from := c.Period(end)
	q := c.Query(tenant, []string{"busy"}, from, c.PeriodEnd(end.Add(time.Hour)))
	q.SQL += " SETTINGS max_memory_usage = " + strconv.Itoa(256<<20)
	got, err := clickhouse.NewFindingStore(db).Correlate(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Last != uint64(end.UnixMilli()) || got[0].Facts["earlier"] != "3" || got[0].Facts["source"] != "known" {
		t.Errorf("got %+v, want the token after three refusals, of a known system", got)
	}
}
