package nats_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// deadLog is the i-th dead log of the tests.
func deadLog(i int) schemas.Dead {
	return schemas.Dead{
		Tenant: []string{"acme", "globex"}[i%2], Source: schemas.SourceStream,
		IngestedAt: epoch.Add(time.Duration(i/4) * time.Minute), Time: epoch.Add(time.Hour),
		Code: schemas.DeadCodeTime, Reason: fmt.Sprintf("its time is past the Retention, log %d", i),
		Raw: fmt.Appendf(nil, `{"log_id":"%d"}`, i), Masked: i%3 == 0,
	}
}

func publishDead(tb testing.TB, p *nats.Publisher, logs ...schemas.Dead) {
	tb.Helper()
	for _, d := range logs {
		if err := p.PublishDead(tb.Context(), d); err != nil {
			tb.Fatal(err)
		}
	}
}

func publishDeadLogs(tb testing.TB, p *nats.Publisher, from, n int) {
	tb.Helper()
	for i := range n {
		publishDead(tb, p, deadLog(from+i))
	}
}

func newDeadStore(tb testing.TB, h *natstest.Harness, at func(string)) *nats.DeadStore {
	tb.Helper()
	return nats.NewDeadStore(h.Conn, h.Publisher(tb), at)
}

// listed pages through DEAD.
func listed(tb testing.TB, s *nats.DeadStore, f schemas.DeadFilter, limit int) []uint64 {
	tb.Helper()
	var ids []uint64
	for before := uint64(0); ; {
		logs, next, err := s.DeadLogs(tb.Context(), f, before, limit)
		if err != nil {
			tb.Fatal(err)
		}
		if len(logs) > limit {
			tb.Fatalf("a page of %d, limit %d", len(logs), limit)
		}
		for _, d := range logs {
			ids = append(ids, d.ID)
		}
		if next == 0 {
			return ids
		}
		if before != 0 && next >= before {
			tb.Fatalf("after %d comes %d", before, next)
		}
		before = next
	}
}

// TestDeadLogsAreListedNewestFirstOnce compares the pages with a list of what
// is there, with gaps of any length, windows smaller and larger than they are,
// and every filter.
func TestDeadLogsAreListedNewestFirstOnce(t *testing.T) {
	h := natstest.New(t)
	s := newDeadStore(t, h, nil)
	if ids := listed(t, s, schemas.DeadFilter{}, 10); ids != nil {
		t.Errorf("an empty DEAD lists %v", ids)
	}
	const n = 60
	publishDeadLogs(t, h.Publisher(t), 0, n)
	there := map[uint64]schemas.Dead{}
	for i := range n {
		d := deadLog(i)
		there[uint64(i+1)] = d
	}
	random := rand.New(rand.NewPCG(1, 2))
	filters := []schemas.DeadFilter{
		{},
		{Tenant: "globex"},
		{Tenant: "none"},
		{Reason: "retention, LOG 1"},
		{Reason: "time"},
		{Reason: "json"},
		{From: epoch.Add(3 * time.Minute), To: epoch.Add(5 * time.Minute)},
		{From: epoch.Add(9 * time.Minute), Tenant: "acme"},
	}
	for round := range 4 {
		for _, f := range filters {
			var want []uint64
			for id := uint64(n); id > 0; id-- {
				if d, ok := there[id]; ok && f.Fits(&d) {
					want = append(want, id)
				}
			}
			for _, size := range [][3]int{{2, 2, 4}, {10, 16, 40}, {1000, 4096, 50_000}} {
				s.SetWindow(size[1], size[2])
				if diff := cmp.Diff(want, listed(t, s, f, size[0])); diff != "" {
					t.Fatalf("round %d, %+v, pages and windows %v (-want +got):\n%s", round, f, size, diff)
				}
			}
		}
		low := uint64(random.IntN(n))
		for id := low; id < low+uint64(random.IntN(n/2)); id++ {
			if _, err := s.DiscardDead(t.Context(), schemas.DeadSweep{After: id - min(id, 1), Through: id, Limit: 1}); err != nil {
				t.Fatal(err)
			}
			delete(there, id)
		}
	}
}

func TestPagesOfDeadStandStillWhileLogsComeIn(t *testing.T) {
	h := natstest.New(t)
	s, p := newDeadStore(t, h, nil), h.Publisher(t)
	publishDeadLogs(t, p, 0, 6)
	first, next, err := s.DeadLogs(t.Context(), schemas.DeadFilter{}, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	publishDeadLogs(t, p, 6, 6)
	second, end, err := s.DeadLogs(t.Context(), schemas.DeadFilter{}, next, 3)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, d := range append(first, second...) {
		if len(d.Raw) > 0 || d.Size == 0 || d.Reason == "" {
			t.Errorf("log %+v, want all but its bytes", d)
		}
		got = append(got, d.ID)
	}
	if diff := cmp.Diff([]uint64{6, 5, 4, 3, 2, 1}, got); diff != "" || end != 0 {
		t.Errorf("next %d, want 0; pages (-want +got):\n%s", end, diff)
	}
	if n := consumers(t, h.Conn, schemas.StreamDead); n != 0 {
		t.Errorf("%d consumers are left behind", n)
	}
}

func consumers(tb testing.TB, c *nats.Conn, stream string) int {
	tb.Helper()
	state, err := c.StreamState(context.Background(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	return state.Consumers
}

func TestDeadLogIsShownWithItsBytes(t *testing.T) {
	h := natstest.New(t)
	s, p := newDeadStore(t, h, nil), h.Publisher(t)
	large := deadLog(1)
	large.Raw = bytes.Repeat([]byte("large "), 1<<20)
	publishDead(t, p, deadLog(0), large)
	for id, want := range map[uint64][]byte{1: deadLog(0).Raw, 2: large.Raw} {
		d, err := s.DeadLog(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := s.WriteDead(t.Context(), d, &b); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("log %d: %d bytes, %v, want %d", id, b.Len(), err, len(want))
		}
	}
	for _, id := range []uint64{0, 3, 1 << 60} {
		if _, err := s.DeadLog(t.Context(), id); !errors.Is(err, schemas.ErrNotFound) {
			t.Errorf("log %d: err = %v, want one that wraps ErrNotFound", id, err)
		}
	}
}

// sweepAll repeats a sweep until it is at its end.
func sweepAll(tb testing.TB, sweep func(context.Context, schemas.DeadSweep) (schemas.DeadSwept, error), s schemas.DeadSweep) schemas.DeadSwept {
	tb.Helper()
	var total schemas.DeadSwept
	for range 1000 {
		swept, err := sweep(tb.Context(), s)
		if err != nil {
			tb.Fatal(err)
		}
		total.Done += swept.Done
		total.Kept += swept.Kept
		total.Reason += swept.Reason
		s.Through, s.After = swept.Through, swept.Next
		if swept.Next == 0 {
			return total
		}
	}
	tb.Fatal("the sweep does not end")
	return total
}

// inLogs reads n logs out of LOGS.
func inLogs(tb testing.TB, h *natstest.Harness, n int) (logs []schemas.Log, messages []schemas.Message) {
	tb.Helper()
	source := h.Logs(tb)
	natstest.Eventually(tb, fmt.Sprintf("%d logs in LOGS", n), func() bool {
		got, err := source.Fetch(tb.Context(), 100, 64<<20, 50*time.Millisecond)
		if err != nil {
			tb.Fatal(err)
		}
		for _, m := range got {
			if logs, err = schemas.DecodeGroup(logs, m.Data()); err != nil {
				tb.Fatal(err)
			}
		}
		messages = append(messages, got...)
		return len(logs) >= n
	})
	return logs, messages
}

func TestReplayedLogsAreInLogsAsTheyCameAndGoneFromDead(t *testing.T) {
	for _, limit := range []int{1, 3, 1000} {
		h := natstest.New(t)
		s := newDeadStore(t, h, nil)
		publishDeadLogs(t, h.Publisher(t), 0, 20)
		filter := schemas.DeadFilter{Tenant: "acme", Reason: "retention"}
		for _, dry := range []bool{true, false} {
			total := sweepAll(t, s.ReplayDead, schemas.DeadSweep{DeadFilter: filter, Limit: limit, DryRun: dry})
			if total.Done != 10 || total.Kept != 0 {
				t.Errorf("limit %d, dry run %t: %+v, want 10 done", limit, dry, total)
			}
			if left := len(listed(t, s, filter, 100)); (left == 0) == dry {
				t.Errorf("limit %d, dry run %t: %d of them are left", limit, dry, left)
			}
			if n := messages(t, h.Conn, schemas.StreamLogs); dry && n != 0 {
				t.Errorf("a dry run published %d messages", n)
			}
		}
		if left := listed(t, s, schemas.DeadFilter{}, 100); len(left) != 10 {
			t.Errorf("%d others are left, want 10", len(left))
		}
		logs, msgs := inLogs(t, h, 10)
		var want []schemas.Log
		for i := 0; i < 20; i += 2 {
			d := deadLog(i)
			want = append(want, schemas.Log{Tenant: d.Tenant, Source: d.Source, IngestedAt: d.IngestedAt, Raw: d.Raw, Masked: d.Masked})
		}
		slices.SortFunc(logs, func(a, b schemas.Log) int { // groups travel side by side
			return slices.IndexFunc(want, func(l schemas.Log) bool { return bytes.Equal(l.Raw, a.Raw) }) -
				slices.IndexFunc(want, func(l schemas.Log) bool { return bytes.Equal(l.Raw, b.Raw) })
		})
		if diff := cmp.Diff(want, logs); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
		for _, m := range msgs {
			if m.Replay() == "" {
				t.Error("a message does not say that it was replayed")
			}
		}
		if limit == 1000 && len(msgs) != 5 {
			t.Errorf("logs of 5 arrivals came in %d messages", len(msgs))
		}
	}
}

// Pieces that were joined in one dead log are posted as they were received.
func TestJoinedPiecesAreReplayedOneByOne(t *testing.T) {
	h := natstest.New(t)
	s, p := newDeadStore(t, h, nil), h.Publisher(t)
	d := deadLog(0)
	d.Raw, d.Masked = nil, false
	pieces := []string{"junk", "{\"a\":\nx}", "[1,\n2]", strings.Repeat("y", 300)}
	for _, piece := range pieces {
		d.Join([]byte(piece), false)
	}
	publishDead(t, p, d)
	again := d
	again.IngestedAt = again.IngestedAt.Add(time.Minute)
	publishDead(t, p, again, deadLog(2))

	logs, _, err := s.DeadLogs(t.Context(), schemas.DeadFilter{}, 0, 10)
	if err != nil || len(logs) != 2 || logs[1].Pieces != len(pieces) || logs[1].Size != int64(len(d.Raw)) {
		t.Fatalf("listed %+v, %v", logs, err)
	}
	whole, err := s.DeadLog(t.Context(), logs[1].ID)
	d.ID, d.Time = whole.ID, whole.Time
	if diff := cmp.Diff(d, whole); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, dry := range []bool{true, false} {
		if total := sweepAll(t, s.ReplayDead, schemas.DeadSweep{Limit: 10, DryRun: dry}); total.Done != 2 || total.Kept != 0 {
			t.Errorf("%+v, want 2 done", total)
		}
	}
	replayed, _ := inLogs(t, h, len(pieces)+1)
	var got []string
	for _, log := range replayed {
		if !log.IngestedAt.Equal(d.IngestedAt) || log.Tenant != d.Tenant || log.Source != d.Source {
			t.Errorf("%+v", log)
		}
		if string(log.Raw) != string(deadLog(2).Raw) {
			got = append(got, string(log.Raw))
		}
	}
	if diff := cmp.Diff(pieces, got); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
}

// The processor refuses a log once more before the replay has removed it, and
// a sweep over all ends nevertheless.
func TestReplayThatFailsAgainKeepsTheLogAndEnds(t *testing.T) {
	h := natstest.New(t)
	p, source := h.Publisher(t), h.Logs(t)
	publishDeadLogs(t, p, 0, 12)
	var mu sync.Mutex
	s := newDeadStore(t, h, func(point string) {
		if point != "replay_published" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range fetch(t, source, 1) {
			logs, err := schemas.DecodeGroup(nil, m.Data())
			if err != nil {
				t.Error(err)
			}
			for _, log := range logs {
				publishDead(t, p, schemas.Dead{
					Tenant: log.Tenant, Source: log.Source, IngestedAt: log.IngestedAt, Raw: log.Raw, Masked: log.Masked,
					Reason: "it failed again", Replay: m.Replay(),
				})
			}
			if err := m.Ack(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	if total := sweepAll(t, s.ReplayDead, schemas.DeadSweep{Limit: 5}); total.Done != 12 {
		t.Errorf("%+v, want 12 done", total)
	}
	var raws []string
	logs, _, err := s.DeadLogs(t.Context(), schemas.DeadFilter{Reason: "failed again"}, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range logs {
		whole, err := s.DeadLog(t.Context(), d.ID)
		if err != nil || d.ID <= 12 {
			t.Errorf("log %+v, %v", d, err)
		}
		raws = append(raws, string(whole.Raw))
	}
	slices.Sort(raws)
	if raws = slices.Compact(raws); len(raws) != 12 || len(listed(t, s, schemas.DeadFilter{}, 100)) != 12 {
		t.Errorf("%d logs are in DEAD again, want all 12: %v", len(raws), raws)
	}
}

// What may not be replayed stays, and says why; a whole message does go.
func TestReplayKeepsWhatCannotTravel(t *testing.T) {
	h := natstest.New(t)
	s := newDeadStore(t, h, nil)
	large, empty, lost := deadLog(0), deadLog(2), deadLog(4)
	large.Raw, empty.Raw = bytes.Repeat([]byte("x"), 2<<20), nil
	for _, tt := range []struct {
		d    schemas.Dead
		want string
	}{
		{large, "raise max_payload"},
		{empty, "it is empty"},
		{schemas.Dead{Raw: []byte("junk")}, "nothing says whose it is"},
		{schemas.Dead{Raw: groupOf("acme", `{"log_id":"1"}`, `{"log_id":"2"}`)}, ""},
		{lost, ""},
	} {
		publishDead(t, h.Publisher(t), tt.d)
		for _, dry := range []bool{true, false} {
			got := sweepAll(t, s.ReplayDead, schemas.DeadSweep{Limit: 10, DryRun: dry})
			if ok := tt.want == ""; got.Done > 0 != ok || got.Kept > 0 == ok || !strings.Contains(got.Reason, tt.want) {
				t.Errorf("%.20q, dry run %t: %+v, want %q", tt.d.Raw, dry, got, tt.want)
			}
		}
		sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10})
	}
	if logs, _ := inLogs(t, h, 3); len(logs) != 3 || logs[0].Tenant != "acme" {
		t.Errorf("LOGS holds %+v", logs)
	}
	if n := messages(t, h.Conn, "OBJ_"+schemas.BucketDead); n != 0 {
		t.Errorf("%d messages of the object store are left", n)
	}
}

// A record that was too large goes when messages may be larger.
func TestLargeLogIsReplayedWhenMessagesMayBeLarger(t *testing.T) {
	o := natstest.NewOutside(t)
	c := natstest.Connect(t, nats.Config{URL: o.URL()})
	if err := c.Declare(t.Context(), natstest.Limits()); err != nil {
		t.Fatal(err)
	}
	p, err := nats.NewPublisher(c, nats.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := nats.NewDeadStore(c, p, nil)
	large := deadLog(0)
	large.Raw = bytes.Repeat([]byte("x"), 2<<20)
	publishDead(t, p, large)
	o.Stop()
	o.SetMaxPayload(8 << 20)
	o.Start(t)
	natstest.Eventually(t, "larger messages", func() bool { return c.Connected() && p.MaxGroup() > 7<<20 })
	if total := sweepAll(t, s.ReplayDead, schemas.DeadSweep{Limit: 10}); total.Done != 1 {
		t.Errorf("%+v, want it done", total)
	}
	if n := messages(t, c, "OBJ_"+schemas.BucketDead) + messages(t, c, schemas.StreamDead); n != 0 {
		t.Errorf("%d messages are left in DEAD and its object store", n)
	}
	source, err := nats.NewLogsSource(c)
	if err != nil {
		t.Fatal(err)
	}
	if data := fetch(t, source, 1)[0].Data(); !bytes.HasSuffix(data, large.Raw) {
		t.Errorf("LOGS holds %d bytes, want those of the log", len(data))
	}
}

// DEAD that is full has to be worked off, its object store, too.
func TestFullDeadIsDiscardedAndTakesAgain(t *testing.T) {
	limits := natstest.Limits()
	limits.DeadBytes, limits.DeadLargeBytes = 256<<10, 4<<20
	h := natstest.New(t, natstest.WithLimits(limits))
	s, p := newDeadStore(t, h, nil), h.Publisher(t)
	for _, size := range []int{200 << 10, 3 << 20} {
		first, second := deadLog(0), deadLog(1)
		first.Raw, second.Raw = bytes.Repeat([]byte("a"), size), bytes.Repeat([]byte("b"), size)
		publishDead(t, p, first)
		if err := p.PublishDead(t.Context(), second); !errors.Is(err, schemas.ErrFull) {
			t.Fatalf("err = %v, want one that wraps ErrFull", err)
		}
		if total := sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10, DryRun: true}); total.Done != 1 || len(listed(t, s, schemas.DeadFilter{}, 9)) != 1 {
			t.Errorf("a dry run: %+v", total)
		}
		if total := sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10}); total.Done != 1 {
			t.Errorf("%+v, want 1 done", total)
		}
		publishDead(t, p, second)
		sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10})
	}
}

// A large log comes in again while what is there of it is discarded, its bytes
// with it.
func TestLargeLogThatComesWhileItIsDiscardedIsWhole(t *testing.T) {
	h := natstest.New(t)
	s, p := newDeadStore(t, h, nil), h.Publisher(t)
	large := deadLog(0)
	large.Raw = bytes.Repeat([]byte("x"), 2<<20)
	publishDead(t, p, large)
	discards := 0
	p.SetAfterPut(func() {
		if discards++; discards == 1 {
			sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10})
		}
	})
	publishDead(t, p, large)
	logs, _, err := s.DeadLogs(t.Context(), schemas.DeadFilter{}, 0, 10)
	if err != nil || len(logs) != 1 || discards != 2 {
		t.Fatalf("%d logs, %v, after %d puts", len(logs), err, discards)
	}
	var b bytes.Buffer
	if err := s.WriteDead(t.Context(), logs[0], &b); err != nil || !bytes.Equal(b.Bytes(), large.Raw) {
		t.Errorf("the log has %d bytes: %v", b.Len(), err)
	}
}

// checkLargeLogs fails unless each log in DEAD has its bytes, and nothing else is
// in the object store.
func checkLargeLogs(tb testing.TB, h *natstest.Harness, s *nats.DeadStore, raw []byte, logs int) {
	tb.Helper()
	found, _, err := s.DeadLogs(tb.Context(), schemas.DeadFilter{}, 0, 10)
	if err != nil || logs >= 0 && len(found) != logs {
		tb.Errorf("%d logs in DEAD, %v, want %d", len(found), err, logs)
	}
	names := map[string]bool{}
	for _, d := range found {
		names[d.Object] = true
		var b bytes.Buffer
		if err := s.WriteDead(tb.Context(), d, &b); err != nil || !bytes.Equal(b.Bytes(), raw) {
			tb.Errorf("log %d has %d bytes: %v", d.ID, b.Len(), err)
		}
	}
	store, err := h.Conn.JetStream().ObjectStore(tb.Context(), schemas.BucketDead)
	if err != nil {
		tb.Fatal(err)
	}
	want := uint64(0)
	for name := range names {
		if info, err := store.GetInfo(tb.Context(), name); err == nil {
			want += 1 + uint64(info.Chunks)
		}
	}
	if n := messages(tb, h.Conn, "OBJ_"+schemas.BucketDead); n != want {
		tb.Errorf("%d messages in the object store, want the %d of the logs in DEAD", n, want)
	}
}

// A repeat of a large log comes at each step of a removal: it goes with what is
// removed or it is stored anew, whole, and nothing is left of it otherwise.
func TestRepeatDuringARemovalLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		point string
		time  int
		logs  int
	}{
		{"object_found", 1, 0}, {"object_removed", 1, 0}, {"object_found", 2, 1}, {"", 1, 0},
	} {
		t.Run(fmt.Sprint(tt.point, tt.time), func(t *testing.T) {
			h := natstest.New(t)
			p, large := h.Publisher(t), deadLog(0)
			large.Raw = bytes.Repeat([]byte("x"), 1200<<10)
			passed := map[string]int{}
			s := newDeadStore(t, h, func(point string) {
				passed[point]++
				// Only an object that came again is found a second time.
				if point == "object_removed" && tt.time == 2 || point == tt.point && passed[point] == tt.time {
					publishDead(t, h.Publisher(t), large)
				}
			})
			publishDead(t, p, large)
			if total := sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10}); total.Done != 1 {
				t.Errorf("%+v, want 1 done", total)
			}
			if tt.point != "" && passed[tt.point] < tt.time {
				t.Errorf("passed %v", passed)
			}
			checkLargeLogs(t, h, s, large.Raw, tt.logs)
		})
	}
}

// TestLargeLogIsWholeHoweverItComesAndGoes has several publish one large log and
// several remove it, over and over, each on its own.
func TestLargeLogIsWholeHoweverItComesAndGoes(t *testing.T) {
	h := natstest.New(t, natstest.WithMaxPayload(256<<10))
	large := deadLog(0)
	large.Raw = bytes.Repeat([]byte("x"), 300<<10)
	publishing, removing := sync.WaitGroup{}, sync.WaitGroup{}
	published := make(chan struct{})
	for range 3 {
		p := h.Publisher(t)
		publishing.Go(func() {
			for range 60 {
				// It is refused where the object goes while it is read back, and a
				// sender repeats it then.
				_ = p.PublishDead(t.Context(), large)
			}
		})
	}
	for range 2 {
		s := newDeadStore(t, h, nil)
		removing.Go(func() {
			for {
				select {
				case <-published:
					return
				default:
					if _, err := s.DiscardDead(t.Context(), schemas.DeadSweep{Limit: 10}); err != nil {
						t.Errorf("discard: %v", err)
					}
				}
			}
		})
	}
	publishing.Wait()
	close(published)
	removing.Wait()
	s := newDeadStore(t, h, nil)
	checkLargeLogs(t, h, s, large.Raw, -1)
	sweepAll(t, s.DiscardDead, schemas.DeadSweep{Limit: 10})
	checkLargeLogs(t, h, s, large.Raw, 0)
}

func TestSweepsSideBySideLoseNothing(t *testing.T) {
	h := natstest.New(t)
	publishDeadLogs(t, h.Publisher(t), 0, 60)
	var running sync.WaitGroup
	for range 3 {
		s := newDeadStore(t, h, nil)
		running.Go(func() { sweepAll(t, s.ReplayDead, schemas.DeadSweep{Limit: 7}) })
	}
	running.Wait()
	source, seen := h.Logs(t), map[string]bool{}
	natstest.Eventually(t, "60 logs, some of them more than once", func() bool {
		got, err := source.Fetch(t.Context(), 100, 1<<20, 50*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			logs, err := schemas.DecodeGroup(nil, m.Data())
			if err != nil {
				t.Fatal(err)
			}
			for _, log := range logs {
				seen[string(log.Raw)] = true
			}
		}
		return len(seen) == 60
	})
	if n := messages(t, h.Conn, schemas.StreamDead); n != 0 {
		t.Errorf("%d logs are left in DEAD", n)
	}
}
