package main

import (
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/tracing/tracingtest"
)

// postEach posts so many requests of so many records each, at the same time.
func (i *instance) postEach(requests, records int) {
	i.tb.Helper()
	var sent sync.WaitGroup
	for r := range requests {
		sent.Go(func() {
			body := make([]string, records)
			for n := range body {
				_, body[n] = record(r*records+n, epoch, "seccft", "c", "192.0.2")
			}
			if status, accepted, dead := i.post(lines(body...)); status != http.StatusOK || accepted != records || dead != 0 {
				i.tb.Errorf("got %d, accepted %d, dead %d", status, accepted, dead)
			}
		})
	}
	sent.Wait()
}

func TestATraceLeadsFromEachRequestToItsRows(t *testing.T) {
	const requests, records = 30, 7
	c := tracingtest.New(t)
	i := startUp(t, filepath.Join(t.TempDir(), "data"), "M2MWATCH_TRACES_ENDPOINT="+c.URL, "M2MWATCH_TRACES_HEADERS=[{name: X-Key, value: a-key}]")
	i.postEach(requests, records)
	i.settle()
	i.interrupt()

	if got := c.Requests()[0].Header.Get("X-Key"); got != "a-key" {
		t.Errorf("X-Key: %q", got)
	}
	spans := map[string]tracingtest.Span{}
	children := map[string][]tracingtest.Span{}
	for _, s := range c.Spans("") {
		spans[s.ID] = s
		children[s.Parent] = append(children[s.Parent], s)
	}
	// linked are the spans of a name that s is linked to and that are linked to it.
	linked := func(s tracingtest.Span, name string) (out []tracingtest.Span) {
		for _, id := range s.Links {
			if other := spans[id]; other.Name == name {
				out = append(out, other)
			}
		}
		return out
	}
	childOf := func(s tracingtest.Span, name string) tracingtest.Span {
		t.Helper()
		for _, child := range children[s.ID] {
			if child.Name == name {
				return child
			}
		}
		t.Fatalf("%s has no %s among %v", s.Name, name, children[s.ID])
		return tracingtest.Span{}
	}

	all := c.Spans("POST /v1/logs/:tenant")
	if len(all) != requests {
		t.Fatalf("%d spans of requests, want %d", len(all), requests)
	}
	flushes := map[string]bool{}
	for _, request := range all {
		if request.Attributes["m2mwatch.records"] != int64(records) || request.Attributes["m2mwatch.tenant"] != "acme" {
			t.Errorf("attributes of a request: %v", request.Attributes)
		}
		groups := linked(request, "publish LOGS")
		if len(groups) != 1 || !slices.Contains(groups[0].Links, request.ID) {
			t.Fatalf("request %v is carried by groups %v, want one, linked to it", request, groups)
		}
		consumed := childOf(groups[0], "process LOGS")
		childOf(consumed, "normalize")
		childOf(consumed, "ack")
		stored := linked(consumed, "flush")
		if len(stored) != 1 || !slices.Contains(stored[0].Links, groups[0].ID) {
			t.Fatalf("message %v is stored by flushes %v, want one, linked to its group", consumed, stored)
		}
		flushes[stored[0].ID] = true
	}
	var rows int64
	for id := range flushes {
		insert := childOf(spans[id], "INSERT events")
		n, _ := insert.Attributes["db.operation.batch.size"].(int64)
		rows += n
		childOf(spans[id], "match")
		childOf(spans[id], "INSERT touches")
	}
	if rows != requests*records {
		t.Errorf("flushes that requests lead to insert %d rows, want %d", rows, requests*records)
	}
}

func TestNobodyIsConnectedToWithoutAnEndpoint(t *testing.T) {
	c := tracingtest.New(t)
	i := startUp(t, filepath.Join(t.TempDir(), "data"), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_TRACES_SAMPLER=always_on")
	i.postEach(2, 1)
	i.settle()
	i.interrupt()
	if n := c.Connections(); n != 0 {
		t.Errorf("%d connections to a collector that is not configured", n)
	}
}

func TestACollectorThatIsAwayStopsNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and answers none
	if err != nil {
		t.Fatal(err)
	}
	hanging := ln.Addr().String()
	i := startUp(t, filepath.Join(t.TempDir(), "hanging"), "M2MWATCH_TRACES_ENDPOINT=http://"+hanging)
	i.postEach(5, 3)
	i.settle()
	ln.Close() // now it is refused
	i.postEach(5, 3)
	i.settle()
	i.interrupt()
	if !strings.Contains(i.log(), "the collector of traces takes none") {
		t.Errorf("the log does not tell of the collector:\n%s", i.log())
	}
}
