package detect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
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

const strangersText = `title: success
id: 00000000-0000-4000-8000-000000000001
name: success
logsource: {product: auth0}
level: low
detection: {s: {type: s}, condition: s}
x-match: {key: client_id, value: [country, network]}
---
title: failure
id: 00000000-0000-4000-8000-000000000002
name: failure
logsource: {product: auth0}
level: low
detection: {s: {type: f}, condition: s}
---
title: many
id: 00000000-0000-4000-8000-000000000003
correlation: {type: value_count, rules: failure, group-by: network, timespan: 10m, condition: {gte: 2, field: client_id}}
x-strangers: {rule: success, field: client_id, from: network, lookback: 2d}
---
title: real
id: 00000000-0000-4000-8000-000000000004
correlation: {type: event_count, rules: failure, group-by: network, timespan: 1h, condition: {gte: 3}}
x-strangers: {rule: success, field: client_id, from: network, lookback: 1d, real: true}
`

// attempt is a client's success or failure from a network.
type attempt struct {
	occurrence
	client string
	ok     bool
}

// strange are the failures from a network of those who are strangers there.
func strange(all []attempt, network string, lookback time.Duration, onlyReal bool) []occurrence {
	var list []occurrence
	for _, a := range all {
		if a.ok || a.network != network {
			continue
		}
		before := func(there bool) bool {
			return slices.ContainsFunc(all, func(s attempt) bool {
				return s.ok && s.client == a.client && (!there || s.network == network) && s.t < a.t && s.t+ms(lookback) >= a.t
			})
		}
		isReal := before(false)
		if before(true) || onlyReal && !isReal {
			continue
		}
		o := a.occurrence
		o.typ, o.value = "a", a.client
		if isReal {
			o.real = a.client
		}
		list = append(list, o)
	}
	return list
}

func attempts(r *rand.Rand) []attempt {
	var all []attempt
	at := uint64(origin.UnixMilli())
	for i := range 1200 {
		all = append(all, attempt{
			occurrence: occurrence{t: at, logID: fmt.Sprintf("log-%06d-%04d", r.IntN(1e6), i), network: fmt.Sprintf("198.51.%d.0/24", 100+r.IntN(6)), imported: r.IntN(3) == 0},
			client:     fmt.Sprintf("client-%d", r.IntN(9)), ok: r.IntN(3) == 0,
		})
		switch r.IntN(10) {
		case 0:
			at += []uint64{0, 600_000, 600_001, 86_400_000, 86_400_001}[r.IntN(5)]
		case 1:
			at += uint64(r.IntN(43_200_000))
		default:
			at += uint64(r.IntN(240_000))
		}
	}
	return all
}

func TestStrangersAreThoseWithoutASuccessFromThere(t *testing.T) {
	t.Parallel()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(strangersText)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(31, 32))
	all := attempts(r)
	var s stored
	networks := map[string]bool{}
	for _, a := range all {
		networks[a.network] = true
		s.addAttempt(r, set, a)
	}
	db := clickhousetest.New(t)
	s.insertAll(t, r, db)
	store := clickhouse.NewFindingStore(db)
	keys := []string{"192.0.2.0/24"}
	for network := range networks {
		keys = append(keys, network)
	}
	slices.Sort(keys)
	for _, c := range set.Correlations() {
		v := variation{typ: "value_count", timespan: 10 * time.Minute, dedupe: days, conditions: map[string]float64{"gte": 2}, rules: []string{"a"}, strangers: true}
		lookback, onlyReal := 2*days, false
		if c.Title == "real" {
			v.typ, v.timespan, v.conditions, lookback, onlyReal = "event_count", time.Hour, map[string]float64{"gte": 3}, days, true
		}
		from, to := c.Period(origin.Add(days)), c.PeriodEnd(origin.Add(90*days))
		var want []schemas.CorrelationRow
		for _, network := range keys {
			want = append(want, v.oracle(network, strange(all, network, lookback, onlyReal), from, to)...)
		}
		got, err := store.Correlate(t.Context(), c.Query(tenant, keys, from, to))
		if err != nil {
			t.Fatal(err)
		}
		if len(want) < 5 {
			t.Errorf("%s: %d findings; that is too little to tell", c.Title, len(want))
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %d findings, want %d; (-want +got):\n%.3000s", c.Title, len(got), len(want), diff)
		}
	}
}

// addAttempt stores one, and sometimes a copy of a lower version that says the
// opposite, from elsewhere.
func (s *stored) addAttempt(r *rand.Rand, set *detect.Set, a attempt) {
	add := func(a attempt, ver uint64) {
		at := time.UnixMilli(int64(a.t)).UTC()
		e := schemas.Event{Tenant: tenant, ClientID: a.client, Time: at, LogID: a.logID, Ver: ver, Type: "f", Network: a.network, Source: schemas.SourceStream, IngestedAt: at}
		if a.ok {
			e.Type = "s"
		}
		if a.imported {
			e.Source = schemas.SourceImport
		}
		s.events = append(s.events, e)
		s.matches = set.Match(s.matches, &e)
	}
	add(a, 10)
	if r.IntN(5) == 0 {
		loser := a
		loser.ok, loser.network = !a.ok, "192.0.2.0/24"
		add(loser, 9)
	}
}

// A success that comes late may make a failure somebody's own: what it decides is
// asked for by the client, and found by the network.
func TestSuccessTellsWhichNetworksItMatters(t *testing.T) {
	t.Parallel()
	set, err := detect.Load(detect.Options{Sources: []detect.Source{{FS: fstest.MapFS{"a.yml": {Data: []byte(strangersText)}}}}})
	if err != nil {
		t.Fatal(err)
	}
	var s stored
	r := rand.New(rand.NewPCG(1, 1))
	for i, a := range []attempt{
		{occurrence: occurrence{t: uint64(origin.UnixMilli()) + 3_600_000, network: "198.51.100.0/24"}, client: "one"},
		{occurrence: occurrence{t: uint64(origin.UnixMilli()) + 3_600_000, network: "198.51.101.0/24"}, client: "two"},
		{occurrence: occurrence{t: uint64(origin.Add(9 * days).UnixMilli()), network: "198.51.102.0/24"}, client: "one"},
	} {
		a.logID = fmt.Sprintf("log-%d", i)
		s.addAttempt(r, set, a)
	}
	db := clickhousetest.New(t)
	s.insertAll(t, r, db)
	c := set.Correlations()[0]
	if got := c.LookedUp(); got == nil || got.Name != "success" || c.Keyed(got.Selector) || !c.Reads(got.Selector) {
		t.Fatalf("it looks up %+v, want the successes, which have other keys", got)
	}
	rows, err := clickhouse.NewFindingStore(db).Correlate(t.Context(), c.AffectedQuery(tenant, []string{"one"}, origin, origin.Add(time.Hour)))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Key != "198.51.100.0/24" || rows[0].Period != uint64(origin.Add(time.Hour).UnixMilli()) {
		t.Errorf("affected: %+v, want the one network that it failed from within the look-back, and its hour", rows)
	}
}
