package nats_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/nats/natstest"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// group is the i-th group of the tests: one log that holds its number.
func group(i int) []byte { return groupOf("acme", fmt.Sprintf(`{"log_id":"%d"}`, i)) }

func groupOf(tenant string, raws ...string) []byte {
	g := schemas.AppendGroupHeader(nil, tenant, schemas.SourceStream, epoch)
	for _, raw := range raws {
		g = schemas.AppendGroupLog(g, []byte(raw), false)
	}
	return g
}

func publish(tb testing.TB, p *nats.Publisher, i int) {
	tb.Helper()
	if err := p.PublishGroup(context.Background(), "acme", fmt.Sprintf("id-%d", i), group(i)); err != nil {
		tb.Fatal(err)
	}
}

// fetch fetches until n messages have come.
func fetch(tb testing.TB, s *nats.Source, n int) []schemas.Message {
	tb.Helper()
	var msgs []schemas.Message
	natstest.Eventually(tb, fmt.Sprintf("%d messages", n), func() bool {
		got, err := s.Fetch(context.Background(), n-len(msgs), 1<<20, 50*time.Millisecond)
		if err != nil {
			tb.Fatal(err)
		}
		msgs = append(msgs, got...)
		return len(msgs) >= n
	})
	return msgs
}

// drain fetches and acks n messages.
func drain(tb testing.TB, s *nats.Source, n int) []schemas.Message {
	tb.Helper()
	msgs := fetch(tb, s, n)
	for _, m := range msgs {
		if err := m.Ack(context.Background()); err != nil {
			tb.Fatal(err)
		}
	}
	return msgs
}
