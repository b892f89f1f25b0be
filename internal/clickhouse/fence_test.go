package clickhouse_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// epochKeeper is what both stores of a lease holder have.
type epochKeeper interface {
	LastEpoch(ctx context.Context) (uint64, error)
	BeginEpoch(ctx context.Context, epoch uint64) error
}

func begin(t *testing.T, s epochKeeper, epoch uint64) {
	t.Helper()
	if err := s.BeginEpoch(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
}

func TestLastEpochIsTheHighestThatBeganInItsRole(t *testing.T) {
	db := clickhousetest.New(t)
	findings, counts := clickhouse.NewFindingStore(db), clickhouse.NewCountStore(db)
	begin(t, findings, 7)
	begin(t, findings, 3)
	begin(t, counts, 2)
	for name, c := range map[string]struct {
		keeper epochKeeper
		want   uint64
	}{"findings": {findings, 7}, "counts": {counts, 2}} {
		if got, err := c.keeper.LastEpoch(t.Context()); err != nil || got != c.want {
			t.Errorf("%s: epoch %d, %v, want %d", name, got, err, c.want)
		}
	}
	empty := clickhousetest.New(t)
	if got, err := clickhouse.NewCountStore(empty).LastEpoch(t.Context()); err != nil || got != 0 {
		t.Errorf("epoch of an empty store is %d, %v, want 0", got, err)
	}
}

// TestAHolderOfAnOlderEpochWritesNothing lets a holder of the lease wake up
// after the next one began: whatever it sends is dropped without an error.
func TestAHolderOfAnOlderEpochWritesNothing(t *testing.T) {
	db := clickhousetest.New(t)
	findings, counts := clickhouse.NewFindingStore(db), clickhouse.NewCountStore(db)
	flush := newFlush(t, noon())
	all := events(20, noon())
	insertEvents(t, db, all)
	touches := append(schemas.CountTouches(flush, all), touchesOf(flush, "k")...)
	if err := clickhouse.NewWriter(db).InsertTouches(t.Context(), touches); err != nil {
		t.Fatal(err)
	}
	for _, s := range []epochKeeper{findings, counts} {
		begin(t, s, 5)
		begin(t, s, 6)
	}
	stale := finding(1) // of epoch 5
	err := errors.Join(
		findings.InsertFindings(t.Context(), []schemas.Finding{stale}),
		findings.MarkTouched(t.Context(), 5, []string{flush}),
		counts.Recount(t.Context(), schemas.Recount{Tenant: "acme", Hours: []time.Time{noon()}, Flushes: []string{flush}, Ver: 5<<32 | 1}),
		counts.FoldTouches(t.Context(), 5, newFlush(t, noon()), []string{flush}, nil),
	)
	if err != nil {
		t.Error(err)
	}
	for table, want := range map[string]uint64{
		"findings": 0, "touches_done": 0, "counts_hourly": 0, "counts_daily": 0, "usage_daily": 0, "successes": 0, "presence": 0, "touches": uint64(len(touches)) + 3,
	} {
		if got := rowsOf(t, db, table); got != want {
			t.Errorf("%d rows in %s, want %d", got, table, want)
		}
	}
	current := finding(1)
	current.Ver = 6<<32 | 1
	insertFindings(t, db, current)
	if got := rowsOf(t, db, "findings"); got != 1 {
		t.Errorf("the holder of the epoch has written %d findings, want 1", got)
	}
}

// TestAnEpochBeginsWhenNothingOfAnEarlierOneRuns claims that a statement that
// passed the fence before an epoch was recorded is waited for.
func TestAnEpochBeginsWhenNothingOfAnEarlierOneRuns(t *testing.T) {
	db := clickhousetest.New(t)
	counts := clickhouse.NewCountStore(db)
	begin(t, counts, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- clickhouse.RunFencedForever(ctx, counts, 1) }()
	for n := uint64(0); n == 0; {
		var err error
		if n, err = clickhouse.RunningBefore(t.Context(), counts, 2); err != nil {
			t.Fatal(err)
		}
	}
	short, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := counts.BeginEpoch(short, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the epoch began with %v while a statement of the one before ran", err)
	}
	cancel()
	<-ended
	begin(t, counts, 3)
}
