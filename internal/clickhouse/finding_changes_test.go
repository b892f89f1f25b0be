package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// changeOf is change number n of a finding, with every field set.
func changeOf(f schemas.Finding, n uint32, ver uint64) schemas.FindingChange {
	return schemas.FindingChange{
		N: n, State: schemas.StateOpen, Reason: schemas.ReasonLateEvents, At: f.Last.Add(time.Duration(ver) * time.Minute),
		Before:    &schemas.FindingExtent{Count: 3, First: f.First, Last: f.Last},
		After:     &schemas.FindingExtent{Count: 4, First: f.First.Add(-time.Hour), Last: f.Last.Add(time.Hour)},
		FindingID: f.ID, Tenant: f.Tenant, Period: f.Period, Ver: ver,
	}
}

func insertChanges(t *testing.T, db *clickhouse.DB, changes ...schemas.FindingChange) {
	t.Helper()
	if err := clickhouse.NewFindingStore(db).InsertFindingChanges(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryTellsEachChangeOnceAndNoneThatWasNotCarriedOut(t *testing.T) {
	testHistory(t, clickhousetest.New(t))
}

func testHistory(t *testing.T, db *clickhouse.DB) {
	t.Helper()
	f := finding(1)
	f.Changes = 2
	first, second := changeOf(f, 1, 5), changeOf(f, 2, 7)
	first.Before, first.Reason = nil, schemas.ReasonEvents
	second.After, second.State = nil, schemas.StateWithdrawn
	insertChanges(t, db, second, first)
	insertChanges(t, db, changeOf(f, 2, 6), changeOf(f, 3, 9), changeOf(finding(2), 1, 1))
	got, err := clickhouse.NewReader(db).FindingHistory(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schemas.FindingChange{first, second}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
