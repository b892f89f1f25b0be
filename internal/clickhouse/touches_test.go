package clickhouse_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newFlush is a UUID version 7 of a time.
func newFlush(t *testing.T, at time.Time) string {
	t.Helper()
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|0x7000|uint64(rand.IntN(0x1000)))
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func touchesOf(flush string, keys ...string) []schemas.Touch {
	touches := make([]schemas.Touch, len(keys))
	for i, key := range keys {
		touches[i] = schemas.Touch{Flush: flush, Selector: "s", Tenant: "acme", Key: key, Bucket: noon()}
	}
	return touches
}

func touch(t *testing.T, db *clickhouse.DB, flush string, keys ...string) {
	t.Helper()
	if err := clickhouse.NewWriter(db).InsertTouches(t.Context(), touchesOf(flush, keys...)); err != nil {
		t.Fatal(err)
	}
}

func touched(t *testing.T, db *clickhouse.DB, limit int) ([]schemas.Touch, []string) {
	t.Helper()
	touches, flushes, err := clickhouse.NewFindingStore(db).Touched(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	return touches, flushes
}

func mark(t *testing.T, db *clickhouse.DB, flushes ...string) {
	t.Helper()
	if err := clickhouse.NewFindingStore(db).MarkTouched(t.Context(), 1, flushes); err != nil {
		t.Fatal(err)
	}
}

// What is old waits, so that what comes in need not wait for it.
func TestTouchesOfHistoryComeLastAndKnownOnesNot(t *testing.T) {
	db := clickhousetest.New(t)
	history := func(after time.Duration) string {
		id := newFlush(t, noon().Add(after))
		return id[:14] + "8" + id[15:]
	}
	first, second := history(-2*time.Hour), history(-time.Hour)
	live := []string{newFlush(t, noon()), newFlush(t, noon().Add(time.Hour))}
	for _, flush := range []string{second, live[1], first, live[0]} {
		touch(t, db, flush, "k")
	}
	store := clickhouse.NewFindingStore(db)
	for known, want := range map[string][]string{live[0]: live[1:], live[1]: live[:1]} {
		if _, flushes, err := store.Touched(t.Context(), 10, known); err != nil || !slices.Equal(flushes, want) {
			t.Errorf("flushes %v and error %v beside %s, want %v", flushes, err, known, want)
		}
	}
	if _, flushes, err := store.Touched(t.Context(), 10, live...); err != nil || !slices.Equal(flushes, []string{first, second}) {
		t.Errorf("flushes %v and error %v beside those that are live, want those of history", flushes, err)
	}
	for _, want := range [][]string{live, {first, second}, nil} {
		touches, flushes := touched(t, db, 10)
		if diff := cmp.Diff(want, flushes); diff != "" || len(touches) != len(want) {
			t.Fatalf("%d touches; flushes (-want +got):\n%s", len(touches), diff)
		}
		mark(t, db, flushes...)
	}
}

func TestTouchesAreReadOldestFlushFirst(t *testing.T) {
	db := clickhousetest.New(t)
	var flushes []string
	for i := range 5 {
		flushes = append(flushes, newFlush(t, noon().Add(time.Duration(i)*7*time.Hour)))
	}
	for _, i := range rand.Perm(5) {
		touch(t, db, flushes[i], "k"+fmt.Sprint(i), "\x00'\xff")
		touch(t, db, flushes[i], "k"+fmt.Sprint(i), "\x00'\xff") // repeated
	}
	touches, got := touched(t, db, 2)
	if diff := cmp.Diff(flushes[:2], got); diff != "" {
		t.Errorf("flushes (-want +got):\n%s", diff)
	}
	want := append(touchesOf(flushes[0], "\x00'\xff", "k0"), touchesOf(flushes[1], "\x00'\xff", "k1")...)
	if diff := cmp.Diff(want, touches); diff != "" {
		t.Errorf("touches (-want +got):\n%s", diff)
	}
	mark(t, db, flushes[1], flushes[0])
	mark(t, db, flushes[0])
	if _, got := touched(t, db, 10); !slices.Equal(got, flushes[2:]) {
		t.Errorf("correlate has %v left, want %v", got, flushes[2:])
	}
}

func TestConcurrentFlushesAreEachReadOnce(t *testing.T) {
	db := clickhousetest.New(t)
	const writers, each = 4, 10
	want := make([]string, writers*each)
	for i := range want {
		want[i] = newFlush(t, noon().Add(time.Duration(rand.IntN(3600))*time.Second))
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for _, flush := range want[w*each : (w+1)*each] {
				if err := clickhouse.NewWriter(db).InsertTouches(t.Context(), touchesOf(flush, "a", "b")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	deadline := time.Now().Add(2 * time.Minute)
	var got []string
	for len(got) < len(want) && time.Now().Before(deadline) {
		touches, flushes := touched(t, db, 3)
		if len(touches) != 2*len(flushes) {
			t.Errorf("%d touches of %d flushes, want 2 of each", len(touches), len(flushes))
		}
		mark(t, db, flushes...)
		got = append(got, flushes...)
	}
	wg.Wait()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flushes read (-want +got):\n%s", diff)
	}
}

// rowsOf is the number of rows of a table as they lie there.
func rowsOf(t *testing.T, db *clickhouse.DB, table string) uint64 {
	t.Helper()
	var n uint64
	if err := plain(t, db).QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func drop(t *testing.T, db *clickhouse.DB, before time.Time) {
	t.Helper()
	if err := clickhouse.NewFindingStore(db).DropTouched(t.Context(), before); err != nil {
		t.Fatal(err)
	}
}

func TestTouchedReadsManyTouchesInParts(t *testing.T) {
	db := clickhousetest.New(t)
	keys := make([]string, 60_000)
	for i := range keys {
		keys[i] = fmt.Sprint("made-up-", i)
	}
	day := noon()
	var flushes []string
	for i := range 3 {
		flushes = append(flushes, newFlush(t, day.Add(time.Duration(i)*time.Second)))
		touch(t, db, flushes[i], keys...)
	}
	touches, got := touched(t, db, 256)
	if len(touches) != len(keys) || !slices.Equal(got, flushes[:1]) {
		t.Errorf("%d touches of %v at once, want the first flush alone", len(touches), got)
	}
}

func TestDropTouchedTakesOnlyWhatItsReaderHasDone(t *testing.T) {
	db := clickhousetest.New(t)
	day := noon()
	done, half, today := newFlush(t, day.AddDate(0, 0, -3)), newFlush(t, day.AddDate(0, 0, -2)), newFlush(t, day)
	recounted := clickhouse.NewCountStore(db)
	counts := func(flush string) {
		t.Helper()
		touches := schemas.CountTouches(flush, events(1, noon()))
		if err := clickhouse.NewWriter(db).InsertTouches(t.Context(), append(touches, touchesOf(flush, "a")...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, flush := range []string{done, half, today} {
		counts(flush)
		mark(t, db, flush)
	}
	drop(t, db, day)
	if got := rowsOf(t, db, "touches"); got != 6 {
		t.Errorf("%d touches are left while the recount has to read them, want 6", got)
	}
	hour := []schemas.TouchedHour{{Tenant: "acme", Hour: noon()}}
	if err := recounted.FoldTouches(t.Context(), 1, newFlush(t, day), []string{done, today}, hour); err != nil {
		t.Fatal(err)
	}
	drop(t, db, day)
	if touches, marks := rowsOf(t, db, "touches"), rowsOf(t, db, "touches_done"); touches != 4 || marks != 3 {
		t.Errorf("%d touches and %d marks are left, want 4 and 3: the undone day and the day that is not before", touches, marks)
	}
	left, err := recounted.TouchedFlushes(t.Context(), 10)
	if err != nil || len(left) != 1 || left[0].ID != half {
		t.Errorf("the recount has %v left, %v, want %s", left, err, half)
	}
}

func TestDropTouchedEndsWhatACrashHasLeft(t *testing.T) {
	db := clickhousetest.New(t)
	flush := newFlush(t, noon().AddDate(0, 0, -3))
	touch(t, db, flush, "a")
	mark(t, db, flush)
	execute(t, db, "TRUNCATE TABLE touches") // the crash came between the two drops
	drop(t, db, noon())
	if got := rowsOf(t, db, "touches_done"); got != 0 {
		t.Errorf("%d marks are left, want 0", got)
	}
}

func TestDropTouchedKeepsALateFlushOfADoneDay(t *testing.T) {
	db := clickhousetest.New(t)
	execute(t, db, "SYSTEM STOP MERGES touches")
	day := noon().AddDate(0, 0, -3)
	done, late := newFlush(t, day), newFlush(t, day)
	touch(t, db, done, "a")
	mark(t, db, done)
	touch(t, db, late, "b")
	drop(t, db, noon())
	touches, _ := touched(t, db, 10)
	if diff := cmp.Diff(touchesOf(late, "b"), touches); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFlushThatIsNoUUID7IsRefused(t *testing.T) {
	db := clickhousetest.New(t)
	for _, flush := range []string{"", "x", "00000000-0000-4000-8000-000000000000", "{01a20b7b-e4e1-769b-bdcd-b405078c013a}", "01a20b7be4e1769bbdcdb405078c013a"} {
		if err := clickhouse.NewWriter(db).InsertTouches(t.Context(), touchesOf(flush, "a")); !errors.Is(err, schemas.ErrRefused) {
			t.Errorf("flush %q: %v, want ErrRefused", flush, err)
		}
	}
}
