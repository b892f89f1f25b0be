package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// spans is a Tracer that writes down what it is told.
type spans struct {
	mu       sync.Mutex
	requests []string
	groups   []groupSpan
}

type groupSpan struct {
	requests []int // by the order in which their spans began
	logs     int
	err      error
}

type requestKey struct{}

func (s *spans) Request(ctx context.Context, route, tenant string, source schemas.Source, traceparent string) (context.Context, func(int, schemas.Accepted, int64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.requests)
	s.requests = append(s.requests, "")
	return context.WithValue(ctx, requestKey{}, n), func(status int, answer schemas.Accepted, bytes int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests[n] = fmt.Sprintf("%s of %s by %s in %q: %d, %d accepted, %d dead, %d bytes", route, tenant, source, traceparent, status, answer.Accepted, answer.Dead, bytes)
	}
}

func (s *spans) Group(ctx context.Context, requests []context.Context, _ string, _ schemas.Source, logs, _ int) (context.Context, func(error)) {
	g := groupSpan{logs: logs}
	for _, r := range requests {
		n, _ := r.Value(requestKey{}).(int)
		g.requests = append(g.requests, n)
	}
	return ctx, func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		g.err = err
		s.groups = append(s.groups, g)
	}
}

func TestTracerHearsOfRequestsThatMaySend(t *testing.T) {
	var s spans
	f := newFixture(t, func(c *Config, _ *memoryPublisher) { c.Tracer = &s })
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.post(t, "/v1/logs/acme", "not the secret", strings.NewReader(logA)).want(t, 401)
	f.post(t, "/v1/logs/acme", secret, strings.NewReader(logA+"\nnot json"), "traceparent", traceparent).want(t, 200)
	f.pub.setFail(func([]byte) error { return errors.New("no broker") })
	f.post(t, "/v1/import/acme", "", strings.NewReader(logA)).want(t, 503)
	s.mu.Lock()
	defer s.mu.Unlock()
	diff(t, "spans of requests", []string{
		fmt.Sprintf("/v1/logs/:tenant of acme by stream in %q: 200, 2 accepted, 1 dead, %d bytes", traceparent, len(logA)+len("\nnot json")),
		fmt.Sprintf("/v1/import/:tenant of acme by import in \"\": 503, 0 accepted, 0 dead, %d bytes", len(logA)),
	}, s.requests)
}

func TestTracerHearsWhoseLogsAGroupCarries(t *testing.T) {
	const requests = 20
	var s spans
	f := newFixture(t, func(c *Config, p *memoryPublisher) {
		c.Tracer, c.Limits.InFlight = &s, 1
		p.gate = make(chan struct{})
	})
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() { f.send(t, logA+"\n"+logA).want(t, 200) })
	}
	f.waitFor(t, requests)
	close(f.pub.gate)
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var carried []int
	for _, g := range s.groups {
		if g.err != nil || g.logs != 2*len(g.requests) {
			t.Errorf("a group of %d logs of requests %v, %v: want two of each", g.logs, g.requests, g.err)
		}
		carried = append(carried, g.requests...)
	}
	slices.Sort(carried)
	want := make([]int, requests)
	for i := range want {
		want[i] = i
	}
	diff(t, "requests whose logs were carried", want, carried)
	if len(s.groups) == requests {
		t.Error("no group carries the logs of two requests")
	}
}
