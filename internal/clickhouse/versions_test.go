package clickhouse_test

import (
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// TestVersionsTellWhichCopySurvives claims that versions says of every event what
// events says, whichever copy came first, and whether it was moved away.
func TestVersionsTellWhichCopySurvives(t *testing.T) {
	db := clickhousetest.New(t)
	stored := events(20, noon())
	insertEvents(t, db, stored)
	var again []schemas.Event
	for i := range stored[:10] {
		e := stored[i]
		e.Ver += uint64(i%3) - 1 // one that loses, the same, and one that wins
		again = append(again, e)
	}
	insertEvents(t, db, again)
	s := clickhouse.NewReprocessStore(db)
	if err := s.BeginEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var replaced []schemas.StoredRecord
	for i := range stored[10:15] {
		e := stored[10+i]
		e.Ver += 5
		replaced = append(replaced, schemas.StoredRecord{Event: e, Deleted: i%2 == 0})
	}
	if err := s.ReplaceRecords(t.Context(), 1, replaced); err != nil {
		t.Fatal(err)
	}
	conn := plain(t, db)
	const columns = "SELECT tenant, client_id, time, log_id, ver FROM "
	if n := count(t, conn, "SELECT count() FROM ("+columns+"versions FINAL)"); n != 17 {
		t.Errorf("%d versions survive, want 17", n)
	}
	if n := count(t, conn, "SELECT count() FROM ("+columns+"versions FINAL EXCEPT "+columns+"events FINAL)"); n != 0 {
		t.Errorf("%d of them are not those of events", n)
	}
}
