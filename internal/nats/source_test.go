package nats_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestFetchTakesWhatIsThereAndDoesNotWait(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Logs(t)
	for i := range 3 {
		publish(t, p, i)
	}
	begun := time.Now()
	msgs, err := s.Fetch(t.Context(), 100, 1<<20, natstest.Wait)
	if err != nil || len(msgs) != 3 {
		t.Fatalf("%d messages, %v; want 3", len(msgs), err)
	}
	if took := time.Since(begun); took > natstest.Wait/2 {
		t.Errorf("took %s with messages there", took)
	}
	for i, m := range msgs {
		if !bytes.Equal(m.Data(), group(i)) || m.Attempt() != 1 {
			t.Errorf("message %d: attempt %d, %.40q", i, m.Attempt(), m.Data())
		}
	}
}

func TestFetchWaitsForTheFirst(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Logs(t)
	got := make(chan int, 1)
	go func() {
		msgs, err := s.Fetch(context.Background(), 10, 1<<20, natstest.Wait)
		if err != nil {
			t.Error(err)
		}
		got <- len(msgs)
	}()
	natstest.Eventually(t, "the waiting pull", func() bool { return waiting(t, h.Conn) == 1 })
	publish(t, p, 1)
	if n := <-got; n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestFetchOfNothingReturnsInTime(t *testing.T) {
	s := natstest.New(t).Logs(t)
	begun := time.Now()
	msgs, err := s.Fetch(t.Context(), 10, 1<<20, 30*time.Millisecond)
	if err != nil || len(msgs) != 0 {
		t.Errorf("%d messages, %v; want none and no error", len(msgs), err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s for a wait of 30 ms", took)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	s := natstest.New(t).Logs(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if msgs, _ := s.Fetch(ctx, 10, 1<<20, time.Hour); len(msgs) != 0 {
		t.Errorf("%d messages", len(msgs))
	}
	if took := time.Since(begun); took > natstest.Wait {
		t.Errorf("took %s after its context had ended", took)
	}
}

func TestFetchHonoursBothLimits(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Logs(t)
	const n, size = 10, 10 << 10
	for i := range n {
		g := groupOf("acme", fmt.Sprint(i), string(make([]byte, size)))
		if err := p.PublishGroup(t.Context(), "acme", fmt.Sprint(i), g); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := s.Fetch(t.Context(), 2, 1<<20, time.Second)
	if err != nil || len(msgs) != 2 {
		t.Errorf("%d messages, %v; want the 2 that were asked for", len(msgs), err)
	}
	msgs, err = s.Fetch(t.Context(), 100, 3*size+size/2, time.Second)
	if err != nil || len(msgs) != 3 {
		t.Errorf("%d messages, %v; want the 3 that fit", len(msgs), err)
	}
	msgs, err = s.Fetch(t.Context(), 100, 10, time.Second)
	if err != nil || len(msgs) != 1 {
		t.Errorf("%d messages, %v; want the one that is larger than the limit", len(msgs), err)
	}
}

func TestUnackedComesAgain(t *testing.T) {
	limits := natstest.Limits()
	limits.AckWait = 100 * time.Millisecond
	h := natstest.New(t, natstest.WithLimits(limits))
	p, s := h.Publisher(t), h.Logs(t)
	publish(t, p, 1)
	first := fetch(t, s, 1)[0]
	if err := first.Nak(0); err != nil {
		t.Fatal(err)
	}
	second := fetch(t, s, 1)[0]
	if second.Attempt() != 2 {
		t.Errorf("attempt %d after a nak, want 2", second.Attempt())
	}
	third := fetch(t, s, 1)[0] // nobody answered the second
	if third.Attempt() != 3 || !bytes.Equal(third.Data(), group(1)) {
		t.Errorf("attempt %d after silence, want 3; %.40q", third.Attempt(), third.Data())
	}
	if err := third.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := messages(t, h.Conn, schemas.StreamLogs); n != 0 {
		t.Errorf("LOGS holds %d messages after the ack", n)
	}
	if err := third.Ack(t.Context()); err != nil {
		t.Errorf("a second ack: %v", err)
	}
}

func TestInProgressPutsOffRedelivery(t *testing.T) {
	limits := natstest.Limits()
	limits.AckWait = 400 * time.Millisecond
	h := natstest.New(t, natstest.WithLimits(limits))
	p, s := h.Publisher(t), h.Logs(t)
	publish(t, p, 1)
	m := fetch(t, s, 1)[0]
	for begun := time.Now(); time.Since(begun) < 3*limits.AckWait; {
		if err := m.InProgress(); err != nil {
			t.Fatal(err)
		}
		again, err := s.Fetch(t.Context(), 1, 1<<20, 50*time.Millisecond)
		if err != nil || len(again) != 0 {
			t.Fatalf("%d messages, %v; want none while it is in progress", len(again), err)
		}
	}
	if err := m.Ack(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNakDelaysRedelivery(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Logs(t)
	publish(t, p, 1)
	const delay = 300 * time.Millisecond
	begun := time.Now()
	if err := fetch(t, s, 1)[0].Nak(delay); err != nil {
		t.Fatal(err)
	}
	fetch(t, s, 1)
	if took := time.Since(begun); took < delay {
		t.Errorf("came again after %s, want %s at least", took, delay)
	}
}

func TestMaxAckPendingHoldsTheRestBack(t *testing.T) {
	limits := natstest.Limits()
	limits.MaxAckPending = 2
	h := natstest.New(t, natstest.WithLimits(limits))
	p, s := h.Publisher(t), h.Logs(t)
	for i := range 3 {
		publish(t, p, i)
	}
	msgs := fetch(t, s, 2)
	if more, err := s.Fetch(t.Context(), 1, 1<<20, 50*time.Millisecond); err != nil || len(more) != 0 {
		t.Fatalf("%d messages, %v; want none while two are unanswered", len(more), err)
	}
	if err := msgs[0].Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	fetch(t, s, 1)
}

func TestManySourcesShareTheQueue(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	const groups, sources = 200, 4
	var mu sync.Mutex
	seen := map[string]int{}
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == groups
	}
	var wg sync.WaitGroup
	for range sources {
		s := h.Logs(t)
		wg.Go(func() {
			for begun := time.Now(); !done() && time.Since(begun) < natstest.Wait; {
				msgs, err := s.Fetch(context.Background(), 7, 1<<20, 20*time.Millisecond)
				if err != nil {
					t.Error(err)
				}
				for _, m := range msgs {
					if err := m.Ack(context.Background()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					seen[string(m.Data())]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range groups {
		publish(t, p, i)
	}
	wg.Wait()
	if len(seen) != groups {
		t.Errorf("%d distinct groups came, want %d", len(seen), groups)
	}
	for data, n := range seen {
		if n != 1 {
			t.Errorf("%.40q came %d times", data, n)
		}
	}
}

func TestCloseGivesBackWhatWasNotFetched(t *testing.T) {
	h := natstest.New(t)
	p := h.Publisher(t)
	s := h.Logs(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = s.Fetch(ctx, 1, 1<<20, 5*time.Second)
	}()
	natstest.Eventually(t, "the waiting pull", func() bool { return waiting(t, h.Conn) == 1 })
	cancel()
	<-ended
	publish(t, p, 1) // goes to the pull that was given up
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if m := fetch(t, h.Logs(t), 1)[0]; !bytes.Equal(m.Data(), group(1)) {
		t.Errorf("got %.40q", m.Data())
	}
}

func waiting(tb testing.TB, c *nats.Conn) int {
	tb.Helper()
	consumer, err := c.JetStream().Consumer(context.Background(), schemas.StreamLogs, schemas.ConsumerProcessor)
	if err != nil {
		tb.Fatal(err)
	}
	return consumer.CachedInfo().NumWaiting
}
