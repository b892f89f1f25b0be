package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func status(t *testing.T, db *clickhouse.DB) schemas.StoreStatus {
	t.Helper()
	s, err := clickhouse.NewReader(db).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatusTellsWhatIsStored(t *testing.T) {
	home := clickhousetest.New(t)
	db, _ := connectThrough(t, home, clickhouse.RoleAPI) // it has fewer rights
	version, err := db.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty := status(t, db)
	want := schemas.StoreStatus{Version: version, Bytes: empty.Bytes, Free: empty.Free, Size: empty.Size, Growing: -1}
	if diff := cmp.Diff(want, empty); diff != "" || empty.Free == 0 || empty.Free > empty.Size {
		t.Errorf("status of an empty store (-want +got):\n%s", diff)
	}

	before := time.Now().Truncate(time.Millisecond)
	all := events(3, noon())
	all = append(all, event(9, noon().Add(-100*24*time.Hour)))
	insertEvents(t, home, all)
	execute(t, home, "OPTIMIZE TABLE events FINAL")
	flush := newFlush(t, time.Now())
	touch(t, home, flush, "a", "b")

	got := status(t, db)
	if got.Events != 4 || got.Bytes <= empty.Bytes || !got.LastEvent.Equal(all[2].Time) || got.Uncorrelated != 2 {
		t.Errorf("status %+v, want 4 events, more bytes than %d, the last of %s, 2 uncorrelated", got, empty.Bytes, all[2].Time)
	}
	if got.CorrelateLag <= 0 || got.CorrelateLag > time.Minute || got.RecountLag <= 0 || got.DirtyHours != 2 || got.BytesPerDay == 0 || got.BytesPerDay > got.Bytes {
		t.Errorf("status %+v, want two readers that lag and two hours that are dirty", got)
	}
	if got.LastStored.Before(before) || got.LastStored.After(time.Now()) {
		t.Errorf("last stored %s, want it between %s and now", got.LastStored, before)
	}
	if err := clickhouse.NewCountStore(home).FoldTouches(t.Context(), 1, newFlush(t, time.Now()), []string{flush}, nil); err != nil {
		t.Fatal(err)
	}
	if got := status(t, db).Uncorrelated; got != 2 {
		t.Errorf("the recount's mark leaves %d uncorrelated, want 2", got)
	}
	if err := clickhouse.NewFindingStore(home).MarkTouched(t.Context(), 1, []string{flush}); err != nil {
		t.Fatal(err)
	}
	if got := status(t, db); got.Uncorrelated != 0 || got.CorrelateLag != 0 {
		t.Errorf("the correlator's mark leaves %d uncorrelated for %s, want none", got.Uncorrelated, got.CorrelateLag)
	}
}

func TestStatusTellsWhichSelectorsWarmUp(t *testing.T) {
	home := clickhousetest.New(t)
	db, _ := connectThrough(t, home, clickhouse.RoleAPI)
	since := noon()
	want := schemas.Selector{Selector: "a", State: schemas.SelectorWarming, Since: since, Reach: time.Hour, Done: 3, Total: 10, Ver: 2}
	was, warm := want, want
	was.Done, was.Ver = 1, 1
	warm.Selector, warm.State = "b", schemas.SelectorWarm
	if err := clickhouse.NewSelectorStore(home).AddSelectors(t.Context(), []schemas.Selector{was, want, warm}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]schemas.Selector{want}, status(t, db).Warming); diff != "" {
		t.Errorf("warming (-want +got):\n%s", diff)
	}
}

func TestLastStoredIsThatOfTheLastInsertEvenOfOldEvents(t *testing.T) {
	db := clickhousetest.New(t)
	execute(t, db, "SYSTEM STOP MERGES events")
	insert := func(n int, stored time.Time) {
		execute(t, db, "INSERT INTO events (tenant, client_id, time, log_id, ver, source, stored_at) VALUES ('acme', '', '"+
			noon().Add(-time.Duration(n)*24*time.Hour).Format(time.DateTime)+"', 'l', 1, 'stream', '"+stored.UTC().Format("2006-01-02 15:04:05.000")+"')")
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	insert(1, now.Add(-time.Hour))
	insert(50, now.Add(-time.Minute)) // the newest insert, an old event
	insert(2, now.Add(-2*time.Hour))
	execute(t, db, "SYSTEM START MERGES events")
	if got := status(t, db).LastStored; !got.Equal(now.Add(-time.Minute)) {
		t.Errorf("last stored %s, want %s", got, now.Add(-time.Minute))
	}
}
