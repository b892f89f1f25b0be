package clickhouse_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestTicksAreThoseOfTheLastHolder(t *testing.T) {
	t.Parallel()
	s := clickhouse.NewFindingStore(clickhousetest.New(t))
	at := time.Date(2026, 5, 4, 9, 0, 0, 123e6, time.UTC)
	insert := func(epoch uint64, ticks ...schemas.Tick) {
		t.Helper()
		for i := range ticks {
			ticks[i].Ver = epoch<<32 + 1
		}
		if err := s.InsertTicks(t.Context(), ticks); err != nil {
			t.Fatal(err)
		}
	}
	insert(1)
	begin(t, s, 1)
	insert(1, schemas.Tick{Rule: "MI-18", Tenant: "acme", Digest: "one", Until: at}, schemas.Tick{Rule: "MI-18", Tenant: "other", Digest: "one", Until: at})
	begin(t, s, 2)
	insert(2, schemas.Tick{Rule: "MI-18", Tenant: "acme", Digest: "two", Until: at.Add(-time.Hour)})
	insert(1, schemas.Tick{Rule: "MI-18", Tenant: "other", Digest: "one", Until: at.Add(time.Hour)})
	got, err := s.Ticks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []schemas.Tick{
		{Rule: "MI-18", Tenant: "acme", Digest: "two", Until: at.Add(-time.Hour), Ver: 2<<32 + 1},
		{Rule: "MI-18", Tenant: "other", Digest: "one", Until: at, Ver: 1<<32 + 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ticks (-want +got): the highest version counts, and a holder of an earlier epoch writes none\n%s", diff)
	}
}
