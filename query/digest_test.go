package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/query"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// digestStore is a real store in which a week has one of each that a digest tells.
func digestStore(t *testing.T, to time.Time) *clickhouse.DB {
	t.Helper()
	db := clickhousetest.New(t)
	inventory := clickhouse.NewInventoryStore(db)
	if err := inventory.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var items []schemas.InventoryItem
	for id, owner := range map[string]string{"new": "billing", "steady": "billing", "failing": "ops", "silent": "ops", "retired": "ops", "wasteful": ""} {
		item := clientItem(id, owner)
		item.Ver = 1<<32 | 1
		if id == "retired" {
			item.Deleted = to.AddDate(0, 0, -9)
		}
		items = append(items, item)
	}
	if err := inventory.SaveInventory(t.Context(), 1, nil, items); err != nil {
		t.Fatal(err)
	}
	var events []schemas.Event
	add := func(client string, at time.Time, change func(*schemas.Event)) {
		e := event()
		e.LogID, e.ClientID, e.Identity, e.Time = fmt.Sprintf("d%06d", len(events)), client, schemas.Identity{ID: "app:" + client, Kind: schemas.KindMachine}, at
		e.Type, e.Outcome, e.Cause, e.Network = "seccft", schemas.OutcomeSuccess, "", "192.0.2.0/24"
		if change != nil {
			change(&e)
		}
		e.Raw = fmt.Appendf(nil, `{"log_id":%q}`, e.LogID)
		e.Ver = schemas.Version(e.Source, schemas.NormalizerVersion, e.Raw)
		events = append(events, e)
	}
	for d := range 14 { // steadily
		add("steady", to.AddDate(0, 0, -d).Add(-time.Hour), nil)
	}
	add("new", to.Add(-50*time.Hour), nil)
	add("silent", to.AddDate(0, 0, -8), nil)
	add("retired", to.AddDate(0, 0, -10), nil)
	add("failing", to.AddDate(0, 0, -9), nil)
	for n := range 3 {
		add("failing", to.Add(-time.Duration(n+2)*time.Minute), func(e *schemas.Event) { e.Type, e.Outcome = "feccft", schemas.OutcomeFailure })
	}
	add("wasteful", to.AddDate(0, 0, -9), nil)
	for n := range 120 {
		add("wasteful", to.Add(-time.Duration(n)*time.Second-26*time.Hour), nil)
	}
	w := clickhouse.NewWriter(db)
	if err := w.InsertEvents(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := w.InsertTouches(t.Context(), schemas.CountTouches("01946b80-0000-7000-8000-000000000001", events)); err != nil {
		t.Fatal(err)
	}
	return db
}

func digestFinding(id, rule string, level schemas.Level, state schemas.State, client string, last time.Time) schemas.Finding {
	return schemas.Finding{
		ID: id, RuleID: rule, Title: "t", Tenant: "acme", Key: client, Identity: "app:" + client, Level: level, State: state,
		First: last, Last: last, Count: 1, Period: last.Truncate(24 * time.Hour), Changes: 1, Source: schemas.SourceStream, Ver: 1<<32 | 1,
	}
}

func TestDigestTellsByOwnerWhatNobodyWasWokenFor(t *testing.T) {
	to := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	db := digestStore(t, to)
	learning, told := digestFinding("g", "MI-08", schemas.LevelHigh, schemas.StateOpen, "steady", to.Add(-2*time.Hour)), digestFinding("h", "MI-08", schemas.LevelHigh, schemas.StateOpen, "steady", to.Add(-26*time.Hour))
	learning.Paging, told.Paging = schemas.PagingLearning, schemas.PagingPage
	if err := clickhouse.NewFindingStore(db).InsertFindings(t.Context(), []schemas.Finding{
		learning, told,
		digestFinding("a", "MI-10", schemas.LevelLow, schemas.StateOpen, "steady", to.Add(-time.Hour)),
		digestFinding("b", "MI-10", schemas.LevelMedium, schemas.StateOpen, "failing", to.Add(-2*time.Hour)),
		digestFinding("c", "MI-10", schemas.LevelLow, schemas.StateWithdrawn, "failing", to.Add(-3*time.Hour)),
		digestFinding("d", "MI-02", schemas.LevelHigh, schemas.StateOpen, "failing", to.Add(-4*time.Hour)),
		digestFinding("e", "MI-10", schemas.LevelLow, schemas.StateOpen, "steady", to.AddDate(0, 0, -20)),
	}); err != nil {
		t.Fatal(err)
	}
	f := schemas.DigestFilter{Tenant: "acme", From: to.AddDate(0, 0, -7), To: to}
	d, err := query.Digest(t.Context(), clickhouse.NewReader(db), f)
	if err != nil {
		t.Fatal(err)
	}
	d.Coverage.Gaps = nil // a few events a day leave many
	want := "billing\n" +
		"  Findings: MI-08 1, MI-10 1\n" +
		"  New: app:new\n" +
		"ops\n" +
		"  Findings: MI-10 1\n" +
		"  Failing: app:failing 3 of 3\n" +
		"  Silent: app:silent since " + to.AddDate(0, 0, -8).Format("2006-01-02 15:04") + "\n" +
		"(no owner)\n" +
		"  Wasteful: app:wasteful 120 tokens for 7\n" +
		"Noisy rules: MI-10 3 of 2 identities, 1 withdrawn, MI-08 2 of 1 identities, 0 withdrawn, MI-02 1 of 1 identities, 0 withdrawn\n" +
		"Coverage: 4 machines seen, 1 without an owner\n"
	if diff := cmp.Diff(want, d.Text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	billing := "billing"
	f.Owner = &billing
	d, err = query.Digest(t.Context(), clickhouse.NewReader(db), f)
	if err != nil || len(d.Owners) != 1 || d.Owners[0].Owner != "billing" || len(d.Rules) != 2 || len(d.Owners[0].Findings) != 2 {
		t.Errorf("of one owner: %+v, %v", d, err)
	}
}

func TestDigestTellsWhereNothingWasStored(t *testing.T) {
	to := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	db := digestStore(t, to)
	d, err := query.Digest(t.Context(), clickhouse.NewReader(db), schemas.DigestFilter{Tenant: "acme", From: to.Add(-30 * time.Hour), To: to})
	if err != nil {
		t.Fatal(err)
	}
	// Logs at -27, -26 and -25 h, and in the last hour; others before.
	want := []schemas.DigestGap{
		{Tenant: "acme", From: to.Add(-30 * time.Hour), To: to.Add(-27 * time.Hour)},
		{Tenant: "acme", From: to.Add(-24 * time.Hour), To: to.Add(-time.Hour)},
	}
	if diff := cmp.Diff(want, d.Coverage.Gaps); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A log stream that dies in the range, and one that was dead all of it.
	for from, want := range map[time.Duration]schemas.DigestGap{
		-time.Hour:    {Tenant: "acme", From: to, To: to.Add(6 * time.Hour)},
		2 * time.Hour: {Tenant: "acme", From: to.Add(2 * time.Hour), To: to.Add(6 * time.Hour)},
	} {
		d, err := query.Digest(t.Context(), clickhouse.NewReader(db), schemas.DigestFilter{From: to.Add(from), To: to.Add(6 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]schemas.DigestGap{want}, d.Coverage.Gaps); diff != "" {
			t.Errorf("from %s (-want +got):\n%s", from, diff)
		}
	}
}
