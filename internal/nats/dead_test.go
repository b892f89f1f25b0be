package nats_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestDeadLogComesBackWhole(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	want := []schemas.Dead{
		{ID: 1, Tenant: "acme", Source: schemas.SourceStream, IngestedAt: epoch.Add(-time.Hour), Time: epoch, Code: schemas.DeadCodeLogID, Reason: "no log_id: “x”", Raw: []byte(`{"type":"s"}`), Size: 12},
		{ID: 2, Tenant: "acme", Source: schemas.SourceImport, Time: epoch.Add(time.Nanosecond), Reason: "empty"},
		{ID: 3, Tenant: "other", Source: schemas.SourceCustom, IngestedAt: epoch, Time: epoch, Reason: "masked", Raw: []byte{0, '\r', '\n', 0xff}, Masked: true, Size: 4},
		{ID: 4, Source: schemas.SourceStream, IngestedAt: epoch, Time: epoch, Reason: "of no tenant", Raw: []byte("?"), Size: 1, Replay: "again"},
	}
	for _, d := range want {
		if err := p.PublishDead(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	want[1].IngestedAt = want[1].Time // as of a build that did not write it
	if diff := cmp.Diff(want, deadLetters(t, h.Conn), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedDeadLogIsSuccessAndStoredOnce(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	d := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Time: epoch, Reason: "first", Raw: []byte("{")}
	for range 3 {
		if err := p.PublishDead(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		d.Reason, d.Time = "again", d.Time.Add(time.Hour)
	}
	got := deadLetters(t, h.Conn)
	if len(got) != 1 || got[0].Reason != "first" {
		t.Errorf("DEAD holds %+v, want the first alone", got)
	}
}

// A replayed log fails while what it was replayed from is still there, and that
// is removed afterwards.
func TestReplayedLogThatFailsAgainIsNoRepeat(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	for _, raw := range [][]byte{[]byte("{"), make([]byte, 2<<20)} {
		d := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: raw}
		for _, replay := range []string{"", "a", "a", "b"} { // the processor was killed once
			d.Replay = replay
			if err := p.PublishDead(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	var replays, objects []string
	for _, d := range deadLetters(t, h.Conn) {
		replays = append(replays, d.Replay)
		if d.Object != "" && !slices.Contains(objects, d.Object) {
			objects = append(objects, d.Object)
		}
	}
	if diff := cmp.Diff([]string{"", "a", "b", "", "a", "b"}, replays); diff != "" || len(objects) != 3 {
		t.Errorf("%d objects, want 3; replays (-want +got):\n%s", len(objects), diff)
	}
}

func TestFullDeadRefusesTheNewAndKnowsTheOld(t *testing.T) {
	limits := natstest.Limits()
	limits.DeadBytes = 8 << 10
	h := natstest.New(t, natstest.WithLimits(limits))
	p := h.Publisher(t)
	first := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: bytes.Repeat([]byte("a"), 7<<10)}
	if err := p.PublishDead(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: bytes.Repeat([]byte("b"), 2<<10)}
	if err := p.PublishDead(t.Context(), second); !errors.Is(err, schemas.ErrFull) {
		t.Errorf("err = %v, want one that wraps ErrFull", err)
	}
	if err := p.PublishDead(t.Context(), first); err != nil {
		t.Errorf("a repeat while DEAD is full: %v", err)
	}
	if n := len(deadLetters(t, h.Conn)); n != 1 {
		t.Errorf("DEAD holds %d logs, want 1", n)
	}
}

func TestLargeDeadLogGoesWholeThroughTheObjectStore(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	raw := make([]byte, 8<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(raw)
	d := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Time: epoch, Reason: "too large", Raw: raw}
	if err := p.PublishDead(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	stored := stateBytes(t, h.Conn, "OBJ_"+schemas.BucketDead)
	if err := p.PublishDead(t.Context(), d); err != nil {
		t.Fatalf("a repeat: %v", err)
	}
	if again := stateBytes(t, h.Conn, "OBJ_"+schemas.BucketDead); again != stored {
		t.Errorf("the object store holds %d bytes after a repeat, %d before", again, stored)
	}
	h.Restart(t)
	got := deadLetters(t, h.Conn)
	if len(got) != 1 || got[0].Object == "" || got[0].Size != 8<<20 || len(got[0].Raw) != 0 {
		t.Fatalf("DEAD holds %+v, want one that names an object of 8 MiB", got)
	}
	back, err := h.Conn.DeadObject(t.Context(), got[0].Object, 128<<20)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back, raw) {
		t.Error("the object is not what was stored")
	}
	if _, err := h.Conn.DeadObject(t.Context(), got[0].Object, 8<<20-1); err == nil {
		t.Error("an object larger than wanted was read")
	}
	if _, err := h.Conn.DeadObject(t.Context(), "none", 1<<20); !errors.Is(err, schemas.ErrNotFound) {
		t.Errorf("err = %v, want one that wraps ErrNotFound", err)
	}
}

func TestFullObjectStoreRefusesAndLeavesNoMessage(t *testing.T) {
	limits := natstest.Limits()
	limits.DeadLargeBytes = 1 << 20
	h := natstest.New(t, natstest.WithLimits(limits))
	p := h.Publisher(t)
	d := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: make([]byte, 4<<20)}
	if err := p.PublishDead(t.Context(), d); !errors.Is(err, schemas.ErrFull) {
		t.Errorf("err = %v, want one that wraps ErrFull", err)
	}
	if got := deadLetters(t, h.Conn); len(got) != 0 {
		t.Errorf("DEAD holds %+v, want nothing", got)
	}
}

// What a put leaves that was killed is dropped when it is in the way, and not
// while somebody may still be writing it.
func TestChunksOfAPutThatWasKilledMakeRoom(t *testing.T) {
	limits := natstest.Limits()
	limits.DeadLargeBytes = 4 << 20
	h := natstest.New(t, natstest.WithLimits(limits), natstest.WithMaxPayload(512<<10))
	p := h.Publisher(t)
	first := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: bytes.Repeat([]byte("a"), 1<<20)}
	if err := p.PublishDead(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, err := h.Conn.JetStream().Publish(t.Context(), "$O.DEAD_LARGE.C.killed", make([]byte, 256<<10)); err != nil {
			t.Fatal(err)
		}
	}
	second := schemas.Dead{Tenant: "acme", Source: schemas.SourceStream, Raw: bytes.Repeat([]byte("b"), 2<<20)}
	if err := p.PublishDead(t.Context(), second); !errors.Is(err, schemas.ErrFull) {
		t.Errorf("while the chunks are young: err = %v, want one that wraps ErrFull", err)
	}
	p.SetOrphanAge(0)
	if err := p.PublishDead(t.Context(), second); err != nil {
		t.Errorf("when they are old: %v", err)
	}
	for _, d := range deadLetters(t, h.Conn) {
		if _, err := h.Conn.DeadObject(t.Context(), d.Object, 4<<20); err != nil {
			t.Errorf("object of a log of %d bytes: %v", d.Size, err)
		}
	}
	if n := messages(t, h.Conn, schemas.StreamDead); n != 2 {
		t.Errorf("DEAD holds %d logs, want 2", n)
	}
}

func TestDeadLogAtTheEdgeOfAMessage(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	for _, n := range []int{p.MaxGroup(), p.MaxGroup() + 1} {
		d := schemas.Dead{
			Tenant: strings.Repeat("t", 63), Source: schemas.SourceStream, IngestedAt: epoch.Add(1), Time: epoch.Add(1),
			Raw: make([]byte, n), Code: schemas.DeadCodeFraming, Reason: strings.Repeat("ß", 5000), Masked: true, Replay: strings.Repeat("r", 64),
		}
		if err := p.PublishDead(t.Context(), d); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	got := deadLetters(t, h.Conn)
	if len(got) != 2 || got[0].Object != "" || got[1].Object == "" {
		t.Fatalf("got %d logs, want one in a message and one in the object store", len(got))
	}
	if size := len(got[0].Reason); size > 512 || size < 500 {
		t.Errorf("a reason of 10,000 bytes came back with %d, want about 512", size)
	}
}

func FuzzHeaderTextFitsAHeader(f *testing.F) {
	for _, s := range []string{"", "a\r\nX: y", "\x00\xff", strings.Repeat("é", 600), " tab\tend "} {
		f.Add(s, 512)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 3 {
			return
		}
		got := nats.HeaderText(s, limit)
		if len(got) > limit {
			t.Errorf("%d bytes, limit %d", len(got), limit)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %q, which is not printable", got, r)
			}
		}
		if again := nats.HeaderText(got, limit); again != got {
			t.Errorf("%q becomes %q the second time", got, again)
		}
	})
}

// deadLetters is all of DEAD, oldest first.
func deadLetters(tb testing.TB, c *nats.Conn) []schemas.Dead {
	tb.Helper()
	store := nats.NewDeadStore(c, nil, nil)
	logs, next, err := store.DeadLogs(context.Background(), schemas.DeadFilter{}, 0, 1000)
	if err != nil || next != 0 {
		tb.Fatal(next, err)
	}
	slices.Reverse(logs)
	for i := range logs {
		if logs[i], err = store.DeadLog(context.Background(), logs[i].ID); err != nil {
			tb.Fatal(err)
		}
	}
	return logs
}

func stateBytes(tb testing.TB, c *nats.Conn, stream string) uint64 {
	tb.Helper()
	state, err := c.StreamState(context.Background(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	return state.Bytes
}
