package nats_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/internal/smalldisk"
)

// TestFullDiskHealsAndKeepsWhatWasAcked fills the disk under the embedded
// server while groups are published, one of which fails, and makes room again.
func TestFullDiskHealsAndKeepsWhatWasAcked(t *testing.T) {
	dir := t.TempDir()
	disk := smalldisk.Mount(t, dir, 32)
	h := natstest.New(t, natstest.WithDir(dir))
	p, err := nats.NewPublisher(h.Conn, nats.PublisherConfig{Timeout: time.Second, AttemptTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	publish := func(n int) error {
		group := fmt.Sprintf("group %d", n)
		err := p.PublishGroup(context.Background(), "acme", group, []byte(group))
		if err == nil {
			want[group] = true
		}
		return err
	}
	n := 0
	for ; n < 20; n++ {
		if err := publish(n); err != nil {
			t.Fatal(err)
		}
	}
	disk.Fill()
	natstest.Eventually(t, "a group that is refused", func() bool { n++; return publish(n) != nil })
	natstest.Eventually(t, "a server that says so", func() bool { return h.Server.Check() != nil })
	disk.Free()
	natstest.Eventually(t, "a group that is taken", func() bool { n++; return publish(n) == nil })
	if err := h.Server.Check(); err != nil {
		t.Error(err)
	}

	got := map[string]bool{}
	logs := h.Logs(t)
	natstest.Eventually(t, "all that was acked", func() bool {
		msgs, err := logs.Fetch(context.Background(), 100, 1<<20, 100*time.Millisecond)
		if err != nil {
			return false
		}
		for _, m := range msgs {
			got[string(m.Data())] = true
		}
		for group := range want {
			if !got[group] {
				return false
			}
		}
		return true
	})
}
