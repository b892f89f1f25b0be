package nats_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func enqueue(t *testing.T, o *nats.Outbox, channel string, n int) {
	t.Helper()
	a := schemas.Alert{ID: fmt.Sprintf("f%d/open/1", n), Finding: schemas.Finding{ID: fmt.Sprintf("f%d", n), Tenant: "acme"}}
	if err := o.Enqueue(t.Context(), channel, a); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o *nats.Outbox, channel string) *nats.Source {
	t.Helper()
	s, err := o.Open(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOutboxHandsOutOneAlertOfAChannelAtATime(t *testing.T) {
	h := natstest.New(t)
	o := h.Outbox(t)
	for n := range 3 {
		enqueue(t, o, "pager", n)
		enqueue(t, o, "pager", n) // a repeat
	}
	enqueue(t, o, "chat", 0)
	here, there := open(t, o, "pager"), open(t, h.Outbox(t), "pager")
	first, err := here.Fetch(t.Context(), 1, 1<<20, natstest.Wait)
	if err != nil || len(first) != 1 {
		t.Fatalf("%d messages, %v; want 1", len(first), err)
	}
	if again, err := there.Fetch(t.Context(), 1, 1<<20, 100*time.Millisecond); err != nil || len(again) != 0 {
		t.Errorf("%d messages, %v, while the first is out; want none", len(again), err)
	}
	if chat, err := open(t, o, "chat").Fetch(t.Context(), 1, 1<<20, natstest.Wait); err != nil || len(chat) != 1 {
		t.Errorf("%d messages of another channel, %v; want 1", len(chat), err)
	}
	if err := first[0].Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next, err := there.Fetch(t.Context(), 1, 1<<20, natstest.Wait); err != nil || len(next) != 1 {
		t.Errorf("%d messages behind the ack, %v; want 1", len(next), err)
	}
	b, err := h.Conn.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"pager": 2, "chat": 1}, b.Waiting); diff != "" || b.Alerts != 3 {
		t.Errorf("%d alerts, waiting (-want +got):\n%s", b.Alerts, diff)
	}
}

// What waits for a channel that is never read lies before what others have acked;
// it is no leftover of theirs.
func TestSourceOfAChannelLeavesTheOthersAlone(t *testing.T) {
	h := natstest.New(t)
	o := h.Outbox(t)
	enqueue(t, o, "dead", 1)
	enqueue(t, o, "chat", 2)
	s := open(t, o, "chat")
	msgs, err := s.Fetch(t.Context(), 1, 1<<20, natstest.Wait)
	if err != nil || len(msgs) != 1 {
		t.Fatalf("%d messages, %v", len(msgs), err)
	}
	if err := msgs[0].Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 4 { // two looks at a second's distance would find a leftover
		if msgs, err := s.Fetch(t.Context(), 1, 1<<20, 1100*time.Millisecond); err != nil || len(msgs) != 0 {
			t.Fatalf("%d messages, %v; want none", len(msgs), err)
		}
	}
}

func TestOutboxIsFullForOneChannelAlone(t *testing.T) {
	h := natstest.New(t)
	o := h.Outbox(t)
	for n := range nats.MaxWaiting {
		enqueue(t, o, "dead", n)
	}
	a := schemas.Alert{ID: "one/open/1", Finding: schemas.Finding{ID: "one", Tenant: "acme"}}
	if err := o.Enqueue(t.Context(), "dead", a); !errors.Is(err, schemas.ErrFull) {
		t.Errorf("error %v, want ErrFull", err)
	}
	if err := o.Enqueue(t.Context(), "chat", a); err != nil {
		t.Errorf("another channel: %v", err)
	}
}
