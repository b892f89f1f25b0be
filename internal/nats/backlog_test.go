package nats_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
)

func TestBacklogIsExactlyZeroWhenAllIsAcked(t *testing.T) {
	h := natstest.New(t)
	p, s := h.Publisher(t), h.Logs(t)
	b, err := h.Conn.Backlog(t.Context())
	if err != nil || b.Pending != 0 || b.Estimated || b.Version != nats.EmbeddedVersion {
		t.Errorf("Backlog() = %+v, %v; want 0 exactly", b, err)
	}
	publish(t, p, 1)
	msg := fetch(t, s, 1)[0]
	if b, err = h.Conn.Backlog(t.Context()); err != nil || b.Pending == 0 || !b.Estimated {
		t.Errorf("Backlog() = %+v, %v; want an estimate: what was fetched is not yet stored", b, err)
	}
	if err := msg.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b, err = h.Conn.Backlog(t.Context()); err != nil || b.Pending != 0 || b.Estimated {
		t.Errorf("Backlog() = %+v, %v; want 0 exactly", b, err)
	}
}

func TestBacklogEstimatesLogsNotMessages(t *testing.T) {
	for _, c := range []struct{ groups, logs, size int }{{50, 100, 1300}, {200, 1, 1300}, {20, 30, 200}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			h := natstest.New(t)
			p := h.Publisher(t)
			raws := make([]string, c.logs)
			for i := range raws {
				raws[i] = strings.Repeat("x", c.size)
			}
			for i := range c.groups {
				if err := p.PublishGroup(t.Context(), "acme", fmt.Sprint(i), groupOf("acme", raws...)); err != nil {
					t.Fatal(err)
				}
			}
			b, err := h.Conn.Backlog(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := float64(c.groups * c.logs)
			if got := float64(b.Pending); got < 0.9*want || got > 1.1*want {
				t.Errorf("%v pending, want %v within a tenth", got, want)
			}
		})
	}
}
