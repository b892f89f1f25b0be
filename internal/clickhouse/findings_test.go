package clickhouse_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// finding is a finding with every field set; n is its key and its age in hours.
func finding(n int) schemas.Finding {
	last := noon().Add(-time.Duration(n) * time.Hour)
	success := last.Add(-time.Hour)
	key := fmt.Sprintf("client-%d", n)
	period := last.Truncate(24 * time.Hour)
	return schemas.Finding{
		ID: schemas.FindingID("mi-02", "acme", key, period), RuleID: "mi-02", Title: "a client stopped", Tenant: "acme", Key: key,
		Identity: "app:" + key, Level: schemas.LevelHigh, State: schemas.StateOpen, First: last.Add(-time.Minute), Last: last, Count: 9,
		Evidence: schemas.Evidence{
			Summary: "9 failures 'quoted' \\", Networks: []string{"203.0.113.0/24"}, NormalPerDay: 96.5, LastSuccess: &success,
			LogIDs: []string{"1", "2"}, ClientName: "invoice-sync", Causes: map[string]uint64{"Unauthorized": 9},
			Related: []schemas.RelatedEvidence{{Rule: "rotated", Title: "rotated", LogID: "3", Time: success}},
		},
		Period: period, Changes: 1, Source: schemas.SourceImport, Ver: 5<<32 | 1,
	}
}

func insertFindings(t *testing.T, db *clickhouse.DB, findings ...schemas.Finding) {
	t.Helper()
	if err := clickhouse.NewFindingStore(db).InsertFindings(t.Context(), findings); err != nil {
		t.Fatal(err)
	}
}

func listFindings(t *testing.T, db *clickhouse.DB, f schemas.FindingFilter) []schemas.Finding {
	t.Helper()
	findings, err := clickhouse.NewReader(db).Findings(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

func TestFindingOfTheHighestVersionSurvives(t *testing.T) {
	db := clickhousetest.New(t)
	open, withdrawn, late := finding(1), finding(1), finding(1)
	withdrawn.Ver, withdrawn.State, withdrawn.Changes = open.Ver+1, schemas.StateWithdrawn, 2
	late.Ver, late.Title = open.Ver-1, "from a holder that lost the lease"
	insertFindings(t, db, open)
	insertFindings(t, db, withdrawn)
	insertFindings(t, db, late)

	got, err := clickhouse.NewReader(db).Finding(t.Context(), open.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(withdrawn, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := listFindings(t, db, schemas.FindingFilter{State: schemas.StateOpen}); len(got) != 0 {
		t.Errorf("a finding is listed by a state that it lost: %+v", got)
	}
	if diff := cmp.Diff([]schemas.Finding{withdrawn}, listFindings(t, db, schemas.FindingFilter{State: schemas.StateWithdrawn})); diff != "" {
		t.Errorf("listing (-want +got):\n%s", diff)
	}
	if _, err := clickhouse.NewReader(db).Finding(t.Context(), "none"); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("unknown finding: %v, want ErrNotFound", err)
	}
}

func TestFindingsOfKeysAndPeriods(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewFindingStore(db)
	a, b, other := finding(1), finding(2), finding(3)
	b.Key = "it's \\ a \x00key"
	earlier := a
	earlier.Period = a.Period.AddDate(0, 0, -40)
	earlier.ID = schemas.FindingID(a.RuleID, a.Tenant, a.Key, earlier.Period)
	insertFindings(t, db, a, b, other, earlier)

	get := func(tenant, rule string, keys []string, from, to time.Time) []schemas.Finding {
		t.Helper()
		got, err := s.Findings(t.Context(), tenant, rule, keys, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	from, to := a.Period, a.Period.AddDate(0, 0, 1)
	if diff := cmp.Diff([]schemas.Finding{a, b}, get("acme", "mi-02", []string{a.Key, b.Key, "none"}, from, to)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]schemas.Finding{earlier}, get("acme", "mi-02", []string{a.Key}, earlier.Period, a.Period)); diff != "" {
		t.Errorf("the period is in [from, to) (-want +got):\n%s", diff)
	}
	for _, got := range [][]schemas.Finding{
		get("beta", "mi-02", []string{a.Key}, from, to), get("acme", "mi-03", []string{a.Key}, from, to), get("acme", "mi-02", nil, from, to),
	} {
		if len(got) != 0 {
			t.Errorf("got %+v, want none", got)
		}
	}
}

func TestFindingsAreListedLastActiveFirst(t *testing.T) {
	db := clickhousetest.New(t)
	var want []schemas.Finding
	for n := range 9 {
		f := finding(n)
		if n > 0 && n%3 == 0 {
			f.Last = want[n-1].Last // equal times: the higher id first
		}
		want = append(want, f)
	}
	for n := 3; n < 9; n += 3 {
		if want[n].ID > want[n-1].ID {
			want[n], want[n-1] = want[n-1], want[n]
		}
	}
	insertFindings(t, db, want...)
	for _, limit := range []int{1, 2, 4, 100} {
		f := schemas.FindingFilter{Limit: limit}
		var got []schemas.Finding
		for page := listFindings(t, db, f); len(page) > 0; page = listFindings(t, db, f) {
			got = append(got, page...)
			f.After = &schemas.FindingCursor{Last: page[len(page)-1].Last, ID: page[len(page)-1].ID}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
}

func TestFindingsAreNarrowedByEachField(t *testing.T) {
	db := clickhousetest.New(t)
	a, b := finding(1), finding(2)
	b.Tenant, b.RuleID, b.Level, b.State = "beta", "mi-03", schemas.LevelLow, schemas.StateWithdrawn
	insertFindings(t, db, a, b)
	for name, f := range map[string]schemas.FindingFilter{
		"tenant": {Tenant: "beta"}, "rule_id": {RuleID: "mi-03"}, "key": {Key: b.Key}, "state": {State: schemas.StateWithdrawn},
		"level": {Level: schemas.LevelLow}, "to": {To: a.Last}, "from and to": {From: b.Last, To: b.Last.Add(time.Millisecond)},
	} {
		if diff := cmp.Diff([]schemas.Finding{b}, listFindings(t, db, f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDeliveriesAreKept(t *testing.T) {
	db := clickhousetest.New(t)
	d := schemas.Delivery{AlertID: "f/open/1", Tenant: "acme", Channel: "webhook", Time: noon(), Attempt: 2, Error: "503 from 'there'"}
	if err := clickhouse.NewFindingStore(db).InsertDelivery(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	var got schemas.Delivery
	var ok uint8
	err := plain(t, db).QueryRow(t.Context(), "SELECT alert_id, tenant, channel, time, attempt, ok, error FROM deliveries").
		Scan(&got.AlertID, &got.Tenant, &got.Channel, &got.Time, &got.Attempt, &ok, &got.Error)
	if err != nil {
		t.Fatal(err)
	}
	got.Time, got.OK = got.Time.UTC(), ok == 1
	if diff := cmp.Diff(d, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
