package detect_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const tenant = "acme"

var origin = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// stored is what lies in the store: events, and the matches of all copies.
type stored struct {
	events  []schemas.Event
	matches []schemas.Match
}

// add stores a happening, and sometimes copies of it: repeats, and copies of a
// lower version that say something else, whose matches must not count.
func (s *stored) add(r *rand.Rand, c *detect.Correlation, key string, h happening) {
	winner := schemas.SourceStream
	if h.imported {
		winner = schemas.SourceImport
	}
	ver := uint64(10 + r.IntN(3))
	s.copyOf(c, key, h, winner, ver)
	for range r.IntN(3) {
		s.copyOf(c, key, h, winner, ver)
	}
	if r.IntN(4) == 0 {
		loser := h
		loser.value = "192.0.2.0/24"
		loser.ok = r.IntN(2) == 0
		s.copyOf(c, key, loser, schemas.SourceStream, ver-1)
	}
}

func (s *stored) copyOf(c *detect.Correlation, key string, h happening, source schemas.Source, ver uint64) {
	selector, typ := c.Main.Selector, "feccft"
	if h.ok {
		selector, typ = c.Known.Selector, "seccft"
	}
	at := time.UnixMilli(int64(h.t)).UTC()
	s.events = append(s.events, schemas.Event{Tenant: tenant, ClientID: key, Time: at, LogID: h.logID, Ver: ver, Type: typ, Network: h.value, Source: source, IngestedAt: at})
	s.matches = append(s.matches, schemas.Match{Selector: selector, Tenant: tenant, Key: key, Time: at, LogID: h.logID, Value: h.value, ClientID: key, Ver: ver, Source: source})
}

// insertAll stores all, shuffled, where there are not as many matches as events.
func (s *stored) insertAll(t *testing.T, r *rand.Rand, db *clickhouse.DB) {
	t.Helper()
	w := clickhouse.NewWriter(db)
	r.Shuffle(len(s.events), func(i, j int) { s.events[i], s.events[j] = s.events[j], s.events[i] })
	r.Shuffle(len(s.matches), func(i, j int) { s.matches[i], s.matches[j] = s.matches[j], s.matches[i] })
	if err := errors.Join(w.InsertEvents(t.Context(), s.events), w.InsertMatches(t.Context(), s.matches)); err != nil {
		t.Fatal(err)
	}
}

// insert stores all, shuffled, in a few parts.
func (s *stored) insert(t *testing.T, r *rand.Rand, db *clickhouse.DB) {
	t.Helper()
	w := clickhouse.NewWriter(db)
	r.Shuffle(len(s.events), func(i, j int) {
		s.events[i], s.events[j] = s.events[j], s.events[i]
		s.matches[i], s.matches[j] = s.matches[j], s.matches[i]
	})
	const parts = 3
	for i := range parts {
		from, to := len(s.events)*i/parts, len(s.events)*(i+1)/parts
		if err := w.InsertEvents(t.Context(), s.events[from:to]); err != nil {
			t.Fatal(err)
		}
		if err := w.InsertMatches(t.Context(), s.matches[from:to]); err != nil {
			t.Fatal(err)
		}
	}
}

// variant changes what a rule can say, so that each comparison of the query
// meets both of its sides.
func variant(r *rand.Rand, c detect.Correlation) detect.Correlation {
	pick := func(choices ...time.Duration) time.Duration { return choices[r.IntN(len(choices))] }
	const day = 24 * time.Hour
	c.Threshold = []uint64{1, 2, 3, 5}[r.IntN(4)]
	c.Timespan = pick(15*time.Minute, time.Hour, day)
	c.KnownLookback = pick(7*day, 2*day, time.Hour)
	c.BaselineLookback = pick(7*day, 7*day, day, time.Hour)
	c.BaselineMin = []uint64{0, 1, 5, 20}[r.IntN(4)]
	c.BaselineRatio = []float64{0.01, 0.1, 0.5, 1}[r.IntN(4)]
	c.Dedupe = pick(day, day, time.Hour, 7*day)
	return c
}

// alignedRange is a random stretch of the origin's two months.
func alignedRange(r *rand.Rand, c *detect.Correlation) (from, to time.Time) {
	from = c.Period(origin.Add(time.Duration(r.Int64N(int64(30 * 24 * time.Hour)))))
	to = c.PeriodEnd(from.Add(time.Duration(r.Int64N(int64(30*24*time.Hour))) + 1))
	return from, to
}

func TestQueryFindsWhatTheOracleFinds(t *testing.T) {
	rule := testCorrelation(t)
	db := clickhousetest.New(t)
	store := clickhouse.NewFindingStore(db)
	r := rand.New(rand.NewPCG(1, 2))
	histories := map[string][]happening{}
	var s stored
	var keys []string
	for i := range 240 {
		key := fmt.Sprintf("client-%03d", i)
		all := history(r, origin, []string{"198.51.100.0/24", "203.0.113.0/24", "2001:db8:1::/48"})
		for j := range all {
			all[j].logID = fmt.Sprintf("%s-%09d", key, r.IntN(1e6)*1000+j)
			s.add(r, &rule, key, all[j])
		}
		keys = append(keys, key)
		histories[key] = all
	}
	s.insert(t, r, db)

	found := 0
	for i := range 25 {
		c, from, to := rule, rule.Period(origin), rule.PeriodEnd(origin.Add(60*24*time.Hour))
		if i > 0 {
			c = variant(r, rule)
			from, to = alignedRange(r, &c)
		}
		var want []schemas.CorrelationRow
		for _, key := range keys {
			want = append(want, oracle(&c, key, histories[key], from, to)...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("variant %d: %d findings, want %d; (-want +got):\n%.4000s", i, len(got), len(want), diff)
		}
		checkRequired(t, db, &c, keys, got, from, to)
		found += len(want)
		if i == 0 && len(want) < 20 {
			t.Errorf("the rule as shipped finds %d times in the histories; that is too little to tell", len(want))
		}
	}
	if found < 1000 {
		t.Errorf("the histories hold %d findings; that is too little to tell", found)
	}
}

// at places a happening of a key on the clock of the test's origin.
func at(d time.Duration, n int, ok bool, value string) happening {
	return happening{t: uint64(origin.Add(d).UnixMilli()), logID: fmt.Sprintf("log-%06d", n), value: value, ok: ok}
}

// ask stores what happened to one key and queries one period.
func ask(t *testing.T, all []happening, period time.Time) []schemas.CorrelationRow {
	t.Helper()
	c := testCorrelation(t)
	db := clickhousetest.New(t)
	var s stored
	for _, h := range all {
		s.copyOf(&c, "client", h, schemas.SourceStream, 1)
	}
	s.insert(t, rand.New(rand.NewPCG(1, 1)), db)
	from, to := c.Period(period), c.PeriodEnd(c.Period(period).Add(1))
	got, err := clickhouse.NewFindingStore(db).Correlate(t.Context(), c.Query(tenant, []string{"client"}, from, to))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(oracle(&c, "client", all, from, to), got); diff != "" {
		t.Errorf("(-oracle +got):\n%s", diff)
	}
	return got
}

const days = 24 * time.Hour

// The third refusal opens a period, the first two lie in the one before.
func TestQueryCountsOverTheEdgeOfAPeriod(t *testing.T) {
	var all []happening
	for i := range 100 {
		all = append(all, at(-time.Duration(i+1)*time.Hour, i, true, "home"))
	}
	all = append(all, at(-10*time.Minute, 200, false, "home"), at(-5*time.Minute, 201, false, "home"), at(time.Minute, 202, false, "home"))
	got := ask(t, all, origin)
	if len(got) != 1 || got[0].Count != 3 {
		t.Errorf("rows %+v, want one of three refusals", got)
	}
}

// A refusal three weeks before the trigger's success spoils the baseline: it
// lies in the look-back of a streak that began a week ago, and is known by a
// success a week before it.
func TestQueryReachesAsFarBackAsAFindingDepends(t *testing.T) {
	began := -6*days - 22*time.Hour
	all := []happening{at(began-13*days-21*time.Hour, 1, true, "old"), at(began-6*days-22*time.Hour, 2, false, "old")}
	for i := range 60 {
		all = append(all, at(began-6*days+time.Duration(i)*2*time.Hour, 10+i, true, "home"))
	}
	all = append(all, at(began-time.Minute, 100, true, "home"))
	for i := range 3 {
		all = append(all, at(began+time.Duration(i)*time.Minute, 200+i, false, "home"), at(time.Duration(i)*time.Minute, 300+i, false, "home"))
	}
	if got := ask(t, all, origin); len(got) != 0 {
		t.Errorf("rows %+v, want none: one refusal of 62 is over a hundredth", got)
	}
	if got := ask(t, all[2:], origin); len(got) != 1 {
		t.Errorf("rows %+v, want one without the old refusal", got)
	}
}

// Whoever fails with a client's id from elsewhere must not make the store read
// the client's weeks again with every attempt.
func TestStrangersFailuresMakeNoCandidate(t *testing.T) {
	c := testCorrelation(t)
	db := clickhousetest.New(t)
	var s stored
	for i, key := range []string{"attacked", "broken", "twice"} {
		s.copyOf(&c, key, at(-time.Hour, i, true, "home"), schemas.SourceStream, 1)
	}
	for i := range 50 {
		s.copyOf(&c, "attacked", at(time.Duration(i)*time.Second, 100+i, false, "elsewhere"), schemas.SourceStream, 1)
	}
	for i := range 3 {
		s.copyOf(&c, "broken", at(time.Duration(i)*time.Second, 200+i, false, "home"), schemas.SourceStream, 1)
	}
	for i := range 2 {
		s.copyOf(&c, "twice", at(time.Duration(i)*time.Second, 300+i, false, "home"), schemas.SourceStream, 1)
	}
	s.insert(t, rand.New(rand.NewPCG(1, 1)), db)
	rows, err := clickhouse.NewFindingStore(db).Correlate(t.Context(), c.CandidatesQuery(tenant, []string{"attacked", "broken", "twice", "unknown"}, origin, origin.Add(days)))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Key != "broken" {
		t.Errorf("candidates %+v, want the client that fails at home alone", rows)
	}
}
