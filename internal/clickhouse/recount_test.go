package clickhouse_test

import (
	gocmp "cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// ledger is what was stored, as brute force counts it: of each log the copy of
// the highest version.
type ledger map[string]schemas.Event

func (l ledger) add(events ...schemas.Event) {
	for _, e := range events {
		if old, ok := l[e.Tenant+e.LogID]; !ok || e.Ver > old.Ver {
			l[e.Tenant+e.LogID] = e
		}
	}
}

// dimension is the value of an event by a dimension of schemas.StatsDimensions.
func dimension(e *schemas.Event, by string) string {
	switch by {
	case "tenant":
		return e.Tenant
	case "type":
		return e.Type
	case "client_id":
		return e.ClientID
	case "identity":
		return e.Identity.ID
	case "outcome":
		return string(e.Outcome)
	case "cause":
		return string(e.Cause)
	case "network":
		return e.Network
	case "audience":
		return e.Audience
	case "organization_id":
		return e.OrganizationID
	case "source":
		return e.Source.String()
	}
	panic("no such dimension here: " + by)
}

func (l ledger) stats(f schemas.StatsFilter) []schemas.StatsRow {
	counts := map[string]*schemas.StatsRow{}
	for _, e := range l {
		if f.Tenant != "" && e.Tenant != f.Tenant || !f.From.IsZero() && e.Time.Before(f.From) || !f.To.IsZero() && !e.Time.Before(f.To) {
			continue
		}
		if slices.ContainsFunc(f.Where, func(c schemas.Condition) bool { return !lets(c, dimension(&e, c.Field)) }) {
			continue
		}
		values := []string{}
		for _, by := range f.By {
			values = append(values, dimension(&e, by))
		}
		at := intervalOf(f.Interval, e.Time)
		key := fmt.Sprintf("%s %q", at, values)
		if counts[key] == nil {
			counts[key] = &schemas.StatsRow{Time: at, Values: values}
		}
		counts[key].Count++
	}
	rows := []schemas.StatsRow{}
	for _, row := range counts {
		rows = append(rows, *row)
	}
	if len(f.By) == 0 && len(rows) == 0 && f.Interval == schemas.IntervalNone {
		rows = append(rows, schemas.StatsRow{Values: []string{}})
	}
	slices.SortFunc(rows, func(a, b schemas.StatsRow) int {
		return gocmp.Or(a.Time.Compare(b.Time), int(b.Count)-int(a.Count), slices.Compare(a.Values, b.Values))
	})
	return rows
}

// intervalOf is when the interval begins that a time is in.
func intervalOf(i schemas.Interval, at time.Time) time.Time {
	y, m, d := at.UTC().Date()
	switch i {
	case schemas.IntervalHour:
		return time.Date(y, m, d, at.UTC().Hour(), 0, 0, 0, time.UTC)
	case schemas.IntervalDay:
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	case schemas.IntervalMonth:
		return time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

// within tells whether an event is one of a tenant, conditions and a range.
func within(e *schemas.Event, tenant string, conditions []schemas.Condition, from, to time.Time) bool {
	return (tenant == "" || e.Tenant == tenant) && (from.IsZero() || !e.Time.Before(from)) && (to.IsZero() || e.Time.Before(to)) &&
		!slices.ContainsFunc(conditions, func(c schemas.Condition) bool { return !lets(c, dimension(e, c.Field)) })
}

// identities is what Identities should tell.
func (l ledger) identities(f schemas.IdentityFilter) []schemas.IdentitySummary {
	type who struct{ tenant, id string }
	seen, known := map[who]*schemas.IdentitySummary{}, map[who]bool{}
	for _, e := range l {
		w := who{e.Tenant, e.Identity.ID}
		known[w] = known[w] || e.Outcome != schemas.OutcomeFailure
		if w.id == "" || !within(&e, f.Tenant, f.Where, f.From, f.To) {
			continue
		}
		s := seen[w]
		if s == nil {
			s = &schemas.IdentitySummary{Tenant: w.tenant, ID: w.id, Kind: e.Identity.Kind, First: e.Time, Last: e.Time}
			seen[w] = s
		}
		s.Count++
		if e.Outcome == schemas.OutcomeFailure {
			s.Failures++
		}
		if e.Time.Before(s.First) {
			s.First = e.Time
		}
		if e.Time.After(s.Last) {
			s.Last = e.Time
		}
	}
	rows := []schemas.IdentitySummary{}
	for w, s := range seen {
		if !f.Known || known[w] {
			rows = append(rows, *s)
		}
	}
	slices.SortFunc(rows, func(a, b schemas.IdentitySummary) int {
		return gocmp.Or(b.Last.Compare(a.Last), gocmp.Compare(a.Tenant, b.Tenant), gocmp.Compare(a.ID, b.ID))
	})
	if f.Limit > 0 {
		rows = rows[:min(f.Limit, len(rows))]
	}
	return rows
}

// usage is what Usage should tell.
func (l ledger) usage(f schemas.UsageFilter) []schemas.UsageRow {
	counts := map[string]*schemas.UsageRow{}
	for _, e := range l {
		if e.Type != "seccft" && e.Type != "feccft" || !within(&e, f.Tenant, f.Where, f.From, f.To) {
			continue
		}
		row := schemas.UsageRow{Time: intervalOf(f.Interval, e.Time), Tenant: e.Tenant, BuiltIn: e.Audience == managementAPI, Values: []string{}}
		for _, by := range f.By {
			row.Values = append(row.Values, dimension(&e, by))
		}
		key := fmt.Sprintf("%s %s %v %q", row.Time, row.Tenant, row.BuiltIn, row.Values)
		if counts[key] == nil {
			counts[key] = &row
		}
		if e.Type == "seccft" {
			counts[key].Issued++
		} else {
			counts[key].Failed++
		}
	}
	rows := []schemas.UsageRow{}
	for _, row := range counts {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b schemas.UsageRow) int {
		builtIn := func(r schemas.UsageRow) string { return fmt.Sprint(r.BuiltIn) }
		return gocmp.Or(a.Time.Compare(b.Time), gocmp.Compare(b.Issued, a.Issued), gocmp.Compare(b.Failed, a.Failed),
			gocmp.Compare(a.Tenant, b.Tenant), gocmp.Compare(builtIn(a), builtIn(b)), slices.Compare(a.Values, b.Values))
	})
	return rows
}

const managementAPI = "https://acme.eu.auth0.com/api/v2/"

// asText is a number that is not 0.
func asText(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(int(n))
}

// presence is what Presence should tell of an identity.
func (l ledger) presence(tenant, identity string) []schemas.Presence {
	type value struct{ attribute, value string }
	seen := map[value]*schemas.Presence{}
	days := map[value]map[time.Time]bool{}
	for _, e := range l {
		if e.Tenant != tenant || e.Identity.ID != identity {
			continue
		}
		for _, v := range []value{
			{schemas.AttributeIdentity, ""},
			{schemas.AttributeNetwork, e.Network},
			{schemas.AttributeCountry, e.Country},
			{schemas.AttributeASN, asText(e.ASN)},
			{schemas.AttributeUserAgentClass, e.UserAgentClass},
			{schemas.AttributeAudience, e.Audience},
			{schemas.AttributeOrganization, e.OrganizationID},
		} {
			if v.value == "" && v.attribute != schemas.AttributeIdentity {
				continue
			}
			if seen[v] == nil {
				seen[v], days[v] = &schemas.Presence{Attribute: v.attribute, Value: v.value, First: e.Time, Last: e.Time}, map[time.Time]bool{}
			}
			p := seen[v]
			p.Count++
			days[v][e.Time.Truncate(24*time.Hour)] = true
			if e.Time.Before(p.First) {
				p.First = e.Time
			}
			if e.Time.After(p.Last) {
				p.Last = e.Time
			}
			p.Days = uint64(len(days[v]))
		}
	}
	all := []schemas.Presence{}
	for _, p := range seen {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b schemas.Presence) int {
		return gocmp.Or(gocmp.Compare(a.Attribute, b.Attribute), gocmp.Compare(b.Count, a.Count), gocmp.Compare(a.Value, b.Value))
	})
	return all
}

// copyOf is a copy of one of few logs, which differ between copies in what a
// normalizer or another source says of them, and not in their keys.
func copyOf(r *rand.Rand) schemas.Event {
	n := r.IntN(300)
	e := event(n, noon().AddDate(0, 0, -n%4).Add(time.Duration(n%26-13)*time.Hour).Add(time.Duration(n)*time.Second))
	e.Tenant = []string{"acme", "globex"}[n%2]
	e.Ver = uint64(1 + r.IntN(5))
	change := rand.New(rand.NewPCG(e.Ver, uint64(n)))
	e.Type = []string{"seccft", "feccft", "sapi"}[change.IntN(3)]
	e.Network = []string{"203.0.113.0/24", "198.51.100.0/24", ""}[change.IntN(3)]
	e.ASN = []uint32{64500, 4294967295, 0}[change.IntN(3)]
	e.Identity.ID = []string{"app:" + e.ClientID, "user:x", ""}[change.IntN(3)]
	e.Audience = []string{"https://api", managementAPI}[change.IntN(2)]
	if e.Type == "feccft" {
		e.Outcome = schemas.OutcomeFailure
		e.Identity.ID = []string{e.Identity.ID, fmt.Sprint("app:tried-", n%7)}[change.IntN(2)]
	}
	return e
}

// recountAll recounts everything that is touched, or what take lets through.
func recountAll(t *testing.T, s *clickhouse.CountStore, ver uint64, take func(schemas.TouchedHour) bool) {
	t.Helper()
	flushes, err := s.TouchedFlushes(t.Context(), 1000)
	if err != nil || len(flushes) == 0 {
		t.Fatal("nothing is touched: ", err)
	}
	ids := make([]string, len(flushes))
	for i, f := range flushes {
		ids[i] = f.ID
	}
	hours, err := s.TouchedHours(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	var done []schemas.TouchedHour
	days := map[string]schemas.Recount{}
	for _, h := range hours {
		if !take(h) {
			continue
		}
		done = append(done, h)
		day := days[h.Tenant+h.Hour.Format(time.DateOnly)]
		day = schemas.Recount{Tenant: h.Tenant, Hours: append(day.Hours, h.Hour), Flushes: ids, NewFlush: func() string { return newFlush(t, time.Now()) }, Ver: ver}
		days[h.Tenant+h.Hour.Format(time.DateOnly)] = day
	}
	for _, day := range days {
		if err := s.Recount(t.Context(), day); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.FoldTouches(t.Context(), ver>>32, newFlush(t, time.Now()), ids, done); err != nil {
		t.Fatal(err)
	}
}

func condition(t *testing.T, field, text string) []schemas.Condition {
	t.Helper()
	c, _, err := schemas.ParseCondition(field, text)
	if err != nil {
		t.Fatal(err)
	}
	return []schemas.Condition{c}
}

// TestCountsAreExactAtAnyMoment stores copies of logs in random order, recounts
// some hours now and then, and holds every count against brute force.
func TestCountsAreExactAtAnyMoment(t *testing.T) { testCountsAreExact(t, clickhousetest.New(t), 6) }

func testCountsAreExact(t *testing.T, db *clickhouse.DB, steps int) {
	t.Helper()
	const seed = 11
	r := rand.New(rand.NewPCG(seed, 0))
	counts, reader, sent := clickhouse.NewCountStore(db), clickhouse.NewReader(db), ledger{}
	begin(t, counts, 1)
	check := func(step string) {
		t.Helper()
		for _, f := range []schemas.StatsFilter{
			{},
			{Tenant: "acme"},
			{By: []string{"type"}},
			{By: []string{"tenant", "client_id", "network"}},
			{Tenant: "globex", By: []string{"identity", "outcome", "cause"}},
			{By: []string{"client_id"}, From: noon().AddDate(0, 0, -1), To: noon()},
			{By: []string{"type"}, From: noon().Add(-30*time.Hour + time.Minute), To: noon().Add(time.Hour + time.Second)},
			{By: []string{"type"}, From: noon().Truncate(24*time.Hour).AddDate(0, 0, -2), To: noon().Truncate(24 * time.Hour)},
			{Tenant: "acme", From: noon().Add(-time.Hour + time.Second), To: noon().Add(-time.Minute)},
			{From: noon().Add(time.Hour), To: noon()},
			{Interval: schemas.IntervalHour},
			{Tenant: "acme", By: []string{"outcome"}, Interval: schemas.IntervalHour, From: noon().Add(-30*time.Hour + time.Minute), To: noon().Add(time.Second)},
			{By: []string{"tenant", "type"}, Interval: schemas.IntervalDay, From: noon().AddDate(0, 0, -2)},
			{Tenant: "acme", By: []string{"client_id"}, Interval: schemas.IntervalMonth},
			{By: []string{"source"}, Interval: schemas.IntervalDay},
			{Tenant: "acme", By: []string{"type"}, Where: condition(t, "client_id", "client-0,client-1*")},
			{By: []string{"client_id"}, Where: condition(t, "outcome", "!success"), Interval: schemas.IntervalDay, From: noon().Add(-30 * time.Hour)},
			{By: []string{"client_id"}, Where: condition(t, "source", "p*,import"), Interval: schemas.IntervalDay},
		} {
			got, err := reader.Stats(t.Context(), f)
			if err != nil {
				t.Fatalf("%s: %+v: %v", step, f, err)
			}
			if diff := cmp.Diff(sent.stats(f), append([]schemas.StatsRow{}, got...)); diff != "" {
				t.Fatalf("%s: %+v (-want +got):\n%s", step, f, diff)
			}
		}
	}
	checkPresence := func(step string) {
		t.Helper()
		for _, identity := range []string{"app:client-0", "user:x", "user:nobody"} {
			got, err := reader.Presence(t.Context(), "acme", identity, time.Time{}, time.Time{})
			if err != nil {
				t.Fatalf("%s: %s: %v", step, identity, err)
			}
			if diff := cmp.Diff(sent.presence("acme", identity), append([]schemas.Presence{}, got...)); diff != "" {
				t.Fatalf("%s: %s (-want +got):\n%s", step, identity, diff)
			}
		}
	}
	checkWho := func(step string) {
		t.Helper()
		for _, f := range []schemas.IdentityFilter{
			{},
			{Tenant: "acme", Limit: 3},
			{Tenant: "acme", Known: true},
			{Where: condition(t, "network", "203.0.*"), From: noon().Add(-30*time.Hour + time.Minute), To: noon()},
		} {
			got, err := reader.Identities(t.Context(), f)
			if err != nil {
				t.Fatalf("%s: %+v: %v", step, f, err)
			}
			if diff := cmp.Diff(sent.identities(f), append([]schemas.IdentitySummary{}, got...)); diff != "" {
				t.Fatalf("%s: %+v (-want +got):\n%s", step, f, diff)
			}
		}
		for _, f := range []schemas.UsageFilter{
			{},
			{Tenant: "acme", By: []string{"client_id", "audience"}, Interval: schemas.IntervalDay},
			{By: []string{"organization_id"}, Interval: schemas.IntervalMonth, From: noon().Add(-30*time.Hour + time.Minute)},
			{By: []string{"client_id"}, Where: condition(t, "client_id", "!client-0"), To: noon().Add(-time.Hour)},
		} {
			got, err := reader.Usage(t.Context(), f)
			if err != nil {
				t.Fatalf("%s: %+v: %v", step, f, err)
			}
			if diff := cmp.Diff(sent.usage(f), append([]schemas.UsageRow{}, got...)); diff != "" {
				t.Fatalf("%s: %+v (-want +got):\n%s", step, f, diff)
			}
		}
	}
	check("empty")
	checkWho("empty")
	for step := range steps {
		var flush []schemas.Event
		for range 1 + r.IntN(120) {
			flush = append(flush, copyOf(r))
		}
		sent.add(flush...)
		insertEvents(t, db, flush)
		check(fmt.Sprint("stored ", step))
		if r.IntN(3) > 0 {
			recountAll(t, counts, 1<<32|uint64(step), func(schemas.TouchedHour) bool { return r.IntN(3) > 0 })
			check(fmt.Sprint("recounted ", step))
			checkPresence(fmt.Sprint("recounted ", step))
			checkWho(fmt.Sprint("recounted ", step))
		}
	}
	recountAll(t, counts, 1<<32|1000, func(schemas.TouchedHour) bool { return true })
	if dirty, err := reader.DirtyHours(t.Context(), "", time.Time{}, time.Time{}); err != nil || dirty != 0 {
		t.Errorf("%d hours are dirty, %v, want none", dirty, err)
	}
	check("recounted all")
	checkPresence("recounted all")
	checkWho("recounted all")
	failed := schemas.IdentityFilter{Known: true, Where: condition(t, "outcome", "failure"), From: noon().AddDate(0, 0, -2)}
	got, err := reader.Identities(t.Context(), failed)
	if err != nil || len(got) == 0 {
		t.Errorf("%d identities that failed and have succeeded before, %v", len(got), err)
	}
	if diff := cmp.Diff(sent.identities(failed), got); diff != "" {
		t.Errorf("identities that failed and have succeeded before (-want +got):\n%s", diff)
	}
}

// TestWhoHasSucceededIsKnownWhateverRangeIsAsked claims that an identity is listed
// whose only success lies in another month, another client's, or none that a copy
// that won has taken away: at random, and after every recount.
func TestWhoHasSucceededIsKnownWhateverRangeIsAsked(t *testing.T) {
	db := clickhousetest.New(t)
	counts, reader := clickhouse.NewCountStore(db), clickhouse.NewReader(db)
	begin(t, counts, 1)
	r := rand.New(rand.NewPCG(1, 2))
	asked := time.Date(2026, 3, 20, 0, 0, 0, 0, time.UTC)
	sent := ledger{}
	for step := range uint64(25) {
		var flush []schemas.Event
		for range 1 + r.IntN(12) {
			// Days about two ends of months, and the day that is asked for.
			n := r.IntN(120)
			e := event(n, asked)
			if n%4 > 0 {
				e = event(n, time.Date(2026, time.Month(1+n%3), 27+n%5, n%24, 0, 0, 0, time.UTC))
			}
			e.ClientID, e.Tenant = fmt.Sprint("client-", n%3), []string{"acme", "globex"}[n%7%2]
			e.Identity.ID = fmt.Sprint("user:", (n+r.IntN(2))%9)
			e.Outcome = schemas.OutcomeFailure
			if n%4 > 0 && r.IntN(3) == 0 {
				e.Outcome = schemas.OutcomeSuccess
			}
			e.Ver += uint64(r.IntN(4))<<33 | uint64(r.IntN(1<<20)) // no two copies tie
			flush = append(flush, e)
		}
		sent.add(flush...)
		insertEvents(t, db, flush)
		recountAll(t, counts, 1<<32|step, func(schemas.TouchedHour) bool { return true })
		for _, f := range []schemas.IdentityFilter{
			{Known: true, From: asked, To: asked.Add(24 * time.Hour)},
			{Known: true, From: asked, Tenant: "acme"},
			{Known: true, From: asked, Where: condition(t, "identity", "user:1,user:2*")},
			{Known: true, From: asked, Where: condition(t, "client_id", "client-1")},
		} {
			got, err := reader.Identities(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sent.identities(f), append([]schemas.IdentitySummary{}, got...)); diff != "" {
				t.Fatalf("step %d, %+v (-want +got):\n%s", step, f, diff)
			}
		}
	}
}

func TestARecountLeavesNothingOfACopyThatLost(t *testing.T) {
	db := clickhousetest.New(t)
	counts := clickhouse.NewCountStore(db)
	begin(t, counts, 1)
	loser := event(1, noon())
	loser.Network, loser.Identity.ID, loser.Type = "203.0.113.0/24", "user:wrong", "fp"
	insertEvents(t, db, []schemas.Event{loser})
	all := func(schemas.TouchedHour) bool { return true }
	recountAll(t, counts, 1<<32|1, all)
	winner := event(1, noon())
	winner.Ver++
	insertEvents(t, db, []schemas.Event{winner})
	recountAll(t, counts, 1<<32|2, all)
	for table, trace := range map[string]string{
		"counts_hourly FINAL": "type = 'fp'", "counts_daily FINAL": "type = 'fp'", "usage_daily FINAL": "type = 'fp'", "presence FINAL": "identity = 'user:wrong'",
		"(SELECT identity, last > toDate(0) AS count FROM successes FINAL)": "identity = 'user:wrong'",
	} {
		var zeros, rest, winners uint64
		err := plain(t, db).QueryRow(t.Context(), "SELECT countIf("+trace+" AND count = 0), countIf("+trace+" AND count > 0), countIf(NOT "+trace+" AND count = 1) FROM "+table).
			Scan(&zeros, &rest, &winners)
		if err != nil || zeros == 0 || rest != 0 || winners == 0 {
			t.Errorf("%s has %d zeros and %d counts of the copy that lost, %d of the other, %v", table, zeros, rest, winners, err)
		}
	}
}

// TestARecountTouchesWhatACopyThatLostHadMatched claims that the correlator
// hears of a match that is believed no more, though no selector selects the
// copy that won: its flush touches nothing for the correlator.
func TestARecountTouchesWhatACopyThatLostHadMatched(t *testing.T) {
	db := clickhousetest.New(t)
	counts, findings, writer := clickhouse.NewCountStore(db), clickhouse.NewFindingStore(db), clickhouse.NewWriter(db)
	begin(t, counts, 1)
	begin(t, findings, 1)
	matchOf := func(e schemas.Event, selector, key string) schemas.Match {
		return schemas.Match{Selector: selector, Tenant: e.Tenant, Key: key, Time: e.Time, LogID: e.LogID, ClientID: e.ClientID, Ver: e.Ver, Source: e.Source}
	}
	loser, other := event(1, noon()), event(2, noon().Add(time.Hour))
	winner := loser
	winner.Ver++
	insertEvents(t, db, []schemas.Event{loser, other})
	if err := writer.InsertMatches(t.Context(), []schemas.Match{matchOf(loser, "refused", "user-1"), matchOf(loser, "issued", "k"), matchOf(other, "refused", "user-2")}); err != nil {
		t.Fatal(err)
	}
	all := func(schemas.TouchedHour) bool { return true }
	recountAll(t, counts, 1<<32|1, all)
	if touches, _, err := findings.Touched(t.Context(), 10); err != nil || len(touches) > 0 {
		t.Fatalf("touches %+v, %v, want none: every match is believed", touches, err)
	}
	insertEvents(t, db, []schemas.Event{winner})
	if err := writer.InsertMatches(t.Context(), []schemas.Match{matchOf(winner, "issued", "k")}); err != nil {
		t.Fatal(err)
	}
	recountAll(t, counts, 1<<32|2, all)
	touches, flushes, err := findings.Touched(t.Context(), 10)
	for i := range touches {
		touches[i].Flush = ""
	}
	want := []schemas.Touch{{Selector: "refused", Tenant: winner.Tenant, Key: "user-1", Bucket: noon().Truncate(time.Hour)}}
	if diff := cmp.Diff(want, touches); diff != "" || len(flushes) != 1 {
		t.Errorf("touches of %d flushes, %v (-want +got):\n%s", len(flushes), err, diff)
	}
}

// TestTouchesOfMatchesThatLostAreFencedAndWholeByFlush has matches of many
// clients lose. A holder of an earlier epoch touches nothing. Another does so
// before anything is marked done, and by shares with a flush each, as a reader
// that saw a part of a flush would mark the whole of it done.
func TestTouchesOfMatchesThatLostAreFencedAndWholeByFlush(t *testing.T) {
	db := clickhousetest.New(t)
	counts, findings, writer := clickhouse.NewCountStore(db), clickhouse.NewFindingStore(db), clickhouse.NewWriter(db)
	begin(t, counts, 2)
	begin(t, findings, 1)
	losers := events(30, noon())
	var matches []schemas.Match
	want := map[string]bool{}
	for i := range losers {
		e := &losers[i]
		e.ClientID = "client-" + strconv.Itoa(i)
		matches = append(matches, schemas.Match{Selector: "s", Tenant: e.Tenant, Key: e.ClientID, Time: e.Time, LogID: e.LogID, ClientID: e.ClientID, Ver: e.Ver, Source: e.Source})
		want[e.ClientID] = true
	}
	winners := slices.Clone(losers)
	for i := range winners {
		winners[i].Ver++
	}
	insertEvents(t, db, losers)
	insertEvents(t, db, winners)
	if err := writer.InsertMatches(t.Context(), matches); err != nil {
		t.Fatal(err)
	}
	undone, err := counts.TouchedFlushes(t.Context(), 10)
	if err != nil || len(undone) == 0 {
		t.Fatal(err)
	}
	r := schemas.Recount{Tenant: losers[0].Tenant, Hours: []time.Time{noon().Truncate(time.Hour)}, NewFlush: func() string { return newFlush(t, time.Now()) }, Ver: 1<<32 | 1}
	for _, f := range undone {
		r.Flushes = append(r.Flushes, f.ID)
	}
	if err := counts.Recount(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if touches, _, err := findings.Touched(t.Context(), 10); len(touches) != 0 || err != nil {
		t.Errorf("an earlier epoch touches %+v, %v", touches, err)
	}
	r.Ver = 2<<32 | 1
	for shard := range uint64(2) {
		if err := clickhouse.TouchStale(t.Context(), counts, r, shard, 2); err != nil {
			t.Fatal(err)
		}
	}
	touches, flushes, err := findings.Touched(t.Context(), 10)
	for _, touch := range touches {
		delete(want, touch.Key)
	}
	if err != nil || len(flushes) != 2 || len(touches) != len(losers) || len(want) != 0 {
		t.Errorf("%d touches of %d flushes, without %v, %v, want %d of 2", len(touches), len(flushes), want, err, len(losers))
	}
	if err := counts.Recount(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, flushes, err := findings.Touched(t.Context(), 10); len(flushes) != 3 || err != nil {
		t.Errorf("%d flushes behind a recount that is not marked done yet, %v, want one more", len(flushes), err)
	}
}
