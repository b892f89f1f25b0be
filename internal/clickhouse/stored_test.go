package clickhouse_test

import (
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestStoredTellsEachCopyByItsLog(t *testing.T) {
	db := clickhousetest.New(t)
	r := clickhouse.NewReader(db)
	before, err := r.Clock(t.Context())
	if err != nil || time.Since(before).Abs() > time.Minute {
		t.Fatal(before, err)
	}
	loser, winner := event(1, noon()), event(1, noon())
	winner.Ver, winner.Type = 9, "sapi"
	other := event(2, noon().Add(-200*24*time.Hour))
	other.Tenant = "beta"
	insertEvents(t, db, []schemas.Event{loser, winner, other})
	stored, err := r.Stored(t.Context(), schemas.EventFilter{}, before, before.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	vers := map[uint64]uint64{}
	for _, s := range stored {
		vers[s.Log] = max(vers[s.Log], s.Ver)
		if s.At.Before(before) {
			t.Errorf("stored at %s, asked since %s", s.At, before)
		}
	}
	log := r.LogHash(winner.Tenant, winner.LogID)
	if len(vers) != 2 || vers[log] != 9 || vers[r.LogHash("beta", other.LogID)] != other.Ver {
		t.Errorf("stored %v, want the two logs", vers)
	}
	some, err := r.Stored(t.Context(), schemas.EventFilter{Tenant: "acme", Type: "sapi"}, before, before.Add(time.Hour))
	if err != nil || len(some) == 0 || some[0].Log != log || some[len(some)-1].Ver != 9 {
		t.Errorf("stored %+v, %v, want the copy that fits", some, err)
	}
	of, err := r.EventsStored(t.Context(), schemas.EventFilter{Tenant: "acme", Type: "sapi"}, before, before.Add(time.Hour), []uint64{log})
	if err != nil || len(of) != 1 || of[0].Ver != 9 {
		t.Errorf("events %+v, %v, want the copy that won", of, err)
	}
	for name, f := range map[string]schemas.EventFilter{"the copy that lost": {Type: loser.Type}, "another tenant": {Tenant: "beta"}} {
		if of, err := r.EventsStored(t.Context(), f, before, before.Add(time.Hour), []uint64{log}); err != nil || len(of) != 0 {
			t.Errorf("%s: %+v, %v, want none", name, of, err)
		}
	}
	if earlier, err := r.Stored(t.Context(), schemas.EventFilter{}, before.Add(-time.Hour), before); err != nil || len(earlier) != 0 {
		t.Errorf("stored before: %v, %v", earlier, err)
	}
}
