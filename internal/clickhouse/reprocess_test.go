package clickhouse_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func reprocessJob(id, tenant string, created time.Time) schemas.Reprocess {
	return schemas.Reprocess{
		ID: id, Tenant: tenant, From: noon().AddDate(0, 0, -3), To: noon(), Asked: "3d", DryRun: true, State: schemas.ReprocessPending,
		CreatedAt: created, UpdatedAt: created,
	}
}

func TestJobsOfReprocessComeBack(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewReprocessStore(db)
	begin(t, s, 1)
	old, young := reprocessJob("old", "acme", noon()), reprocessJob("young", "globex", noon().Add(time.Hour))
	for _, job := range []schemas.Reprocess{young, old} {
		if err := s.AddReprocess(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	run := old
	run.State, run.Total, run.Done, run.Changed, run.Moved, run.Errors, run.Error = schemas.ReprocessRunning, 9, 8, 7, 6, 5, "odd"
	run.Position = &schemas.RecordPlace{Time: noon(), ClientID: "a\xff'\\", LogID: "1"}
	run.Begun = &schemas.RecordPlace{Time: noon(), ClientID: "", LogID: "2"}
	run.Basis, run.Ver = "these rules", 1<<32|1
	if err := s.SaveReprocess(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	got, err := s.Reprocess(t.Context(), "old")
	if diff := cmp.Diff(run, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := s.Reprocess(t.Context(), "none"); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("error %v, want not found", err)
	}
	all, err := s.ReprocessList(t.Context(), "", 10)
	if diff := cmp.Diff([]schemas.Reprocess{young, run}, all); diff != "" || err != nil {
		t.Errorf("list: %v (-want +got):\n%s", err, diff)
	}
	if one, err := s.ReprocessList(t.Context(), "acme", 10); len(one) != 1 || one[0].ID != "old" || err != nil {
		t.Errorf("of one tenant: %+v, %v", one, err)
	}
	if open, err := s.OpenReprocess(t.Context()); len(open) != 2 || open[0].ID != "old" || err != nil {
		t.Errorf("open %+v, %v, want the oldest first", open, err)
	}
	run.State, run.Ver = schemas.ReprocessDone, 1<<32|2
	if err := s.SaveReprocess(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if open, err := s.OpenReprocess(t.Context()); len(open) != 1 || open[0].ID != "young" || err != nil {
		t.Errorf("open %+v, %v, want what is not done", open, err)
	}
}

// TestStoredRecordsAreReadOnceInOrder stores copies, moves some records, and
// reads a day in pieces.
func TestStoredRecordsAreReadOnceInOrder(t *testing.T) { testStoredRecords(t, clickhousetest.New(t)) }

func testStoredRecords(t *testing.T, db *clickhouse.DB) {
	t.Helper()
	s := clickhouse.NewReprocessStore(db)
	begin(t, s, 1)
	day := noon().Truncate(24 * time.Hour)
	sent := events(60, noon())
	for i := range sent {
		sent[i].Raw = append([]byte(`{"log_id":"`+sent[i].LogID+`","date":"`+sent[i].Time.Format("2006-01-02T15:04:05.000Z")+`"}`), make([]byte, i)...)
	}
	insertEvents(t, db, sent)
	better := slices.Clone(sent[:20])
	for i := range better {
		better[i].Ver++
		better[i].Type = "better"
	}
	insertEvents(t, db, better)
	copy(sent, better)
	other := event(7, noon())
	other.Tenant = "globex"
	insertEvents(t, db, []schemas.Event{other, event(99, noon().AddDate(0, 0, 1))})
	var want []schemas.StoredRecord
	for i, e := range sent {
		want = append(want, schemas.StoredRecord{Event: e, Deleted: i%7 == 0})
		if i%7 == 0 {
			want[i].Ver++
		}
	}
	moved := slices.DeleteFunc(slices.Clone(want), func(r schemas.StoredRecord) bool { return !r.Deleted })
	if err := s.ReplaceRecords(t.Context(), 1, moved); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, func(a, b schemas.StoredRecord) int {
		return schemas.PlaceOf(&a.Event).Compare(schemas.PlaceOf(&b.Event))
	})
	for _, size := range []schemas.RecordRange{{Rows: 1000, Bytes: 1 << 20}, {Rows: 7, Bytes: 1 << 20}, {Rows: 1000, Bytes: 300}} {
		r := size
		r.Tenant, r.From, r.To = "acme", day, day.AddDate(0, 0, 1)
		var got []schemas.StoredRecord
		reads := 0
		for {
			records, all, err := s.StoredRecords(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, records...)
			reads++
			if all {
				break
			}
			after := schemas.PlaceOf(&records[len(records)-1].Event)
			r.After = &after
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(schemas.Event{}, "StoredAt"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", size, diff)
		}
		if size.Rows*size.Bytes < 1000<<20 && reads < 5 {
			t.Errorf("%+v: %d reads, so that it bounds nothing", size, reads)
		}
	}
	days, err := s.RecordDays(t.Context(), "acme", day, day.AddDate(0, 0, 1))
	if err != nil || len(days) != 1 || !days[0].Day.Equal(day) || days[0].Count < 51 {
		t.Errorf("days %+v, %v", days, err)
	}
	if n := countEvents(t, db); n != uint64(62-len(moved)) {
		t.Errorf("%d events are left, want %d", n, 62-len(moved))
	}
}

func TestAReprocessOfAnEarlierEpochWritesNothing(t *testing.T) {
	db := clickhousetest.New(t)
	s := clickhouse.NewReprocessStore(db)
	begin(t, s, 1)
	e := event(1, noon())
	insertEvents(t, db, []schemas.Event{e})
	job := reprocessJob("a", "acme", noon())
	if err := s.AddReprocess(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	begin(t, s, 2)
	late := e
	late.Ver, late.Type = e.Ver+1, "late"
	job.Ver, job.State = 1<<32|9, schemas.ReprocessDone
	for _, err := range []error{
		s.ReplaceRecords(t.Context(), 1, []schemas.StoredRecord{{Event: late}}),
		s.ReplaceMatches(t.Context(), 1, []schemas.Match{{Selector: "s", Tenant: "acme", Key: "k", Time: e.Time, LogID: e.LogID, ClientID: e.ClientID, Ver: late.Ver, Source: e.Source}}),
		s.SaveReprocess(t.Context(), job),
		s.BeginGeneration(t.Context(), 1, 1, "late"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := listEvents(t, db, schemas.EventFilter{Limit: 10}); len(got) != 1 || got[0].Type != e.Type {
		t.Errorf("events %+v, want the first as it was", got)
	}
	if n := matchCount(t, db); n != 0 {
		t.Errorf("%d matches, want none", n)
	}
	if last, basis, err := s.LastGeneration(t.Context()); last != 0 || basis != "" || err != nil {
		t.Errorf("generation %d, %q, %v, want none", last, basis, err)
	}
	if open, err := s.OpenReprocess(t.Context()); len(open) != 1 || err != nil {
		t.Errorf("open %+v, %v", open, err)
	}
	if err := s.ReplaceMatches(t.Context(), 2, []schemas.Match{{Selector: "s", Tenant: "acme", Key: "k", Time: e.Time, LogID: e.LogID, ClientID: e.ClientID, Ver: late.Ver, Source: e.Source}}); err != nil {
		t.Fatal(err)
	}
	if n := matchCount(t, db); n != 1 {
		t.Errorf("%d matches, want 1", n)
	}
	for generation, basis := range []string{1: "one", 2: "other"} {
		if generation == 0 {
			continue
		}
		if err := s.BeginGeneration(t.Context(), 2, uint64(generation), basis); err != nil {
			t.Fatal(err)
		}
		if last, of, err := s.LastGeneration(t.Context()); last != uint64(generation) || of != basis || err != nil {
			t.Errorf("generation %d, %q, %v, want %d, %q", last, of, err, generation, basis)
		}
	}
}

func matchCount(t *testing.T, db *clickhouse.DB) uint64 {
	t.Helper()
	return count(t, plain(t, db), "SELECT count() FROM matches")
}
