// Package tracingtest has a collector of traces for tests.
package tracingtest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes OTLP over HTTP on loopback and keeps all spans.
type Collector struct {
	URL string

	mu       sync.Mutex // guards the rest
	spans    []Span
	opened   int             // connections
	requests []*http.Request // without their bodies
	answer   func(n int) int // the status for the n-th request, from 0
}

// Span is a span as a collector sees it. Ids are hexadecimal.
type Span struct {
	Name, Kind           string
	Trace, ID, Parent    string
	Links                []string // the ids of the spans that it is linked to
	Error                string   // of its status; "error" where that has no text
	Attributes, Resource map[string]any
}

// New starts a collector.
func New(tb testing.TB) *Collector {
	tb.Helper()
	c := &Collector{answer: func(int) int { return http.StatusOK }}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := decode(r.Body)
		if err != nil {
			tb.Errorf("a collector was sent what is no traces: %v", err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(c.take(r, data))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.opened++
		}
	}
	server.Start()
	tb.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// Answer has the collector answer its n-th request, from 0, with a status; it
// keeps the spans of those that it answers with 200.
func (c *Collector) Answer(status func(n int) int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = status
}

// Requests are those that have come.
func (c *Collector) Requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.requests)
}

// Connections is how many were opened.
func (c *Collector) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// Spans are those that have come, or only those of a name.
func (c *Collector) Spans(name string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s Span) bool { return name != "" && s.Name != name })
}

func decode(body io.Reader) (*tracepb.TracesData, error) {
	zip, err := gzip.NewReader(body)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		return nil, err
	}
	data := new(tracepb.TracesData)
	return data, proto.Unmarshal(plain, data)
}

// take returns the status to answer with.
func (c *Collector) take(r *http.Request, data *tracepb.TracesData) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	status := c.answer(len(c.requests))
	c.requests = append(c.requests, r)
	if status == http.StatusOK {
		c.keep(data)
	}
	return status
}

func (c *Collector) keep(data *tracepb.TracesData) {
	for _, r := range data.GetResourceSpans() {
		resource := attributes(r.GetResource().GetAttributes())
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := Span{
					Name: s.GetName(), Kind: s.GetKind().String(), Trace: hex.EncodeToString(s.GetTraceId()),
					ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Attributes: attributes(s.GetAttributes()), Resource: resource,
				}
				for _, l := range s.GetLinks() {
					span.Links = append(span.Links, hex.EncodeToString(l.GetSpanId()))
				}
				if status := s.GetStatus(); status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
					span.Error = "error"
					if status.GetMessage() != "" {
						span.Error = status.GetMessage()
					}
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

// attributes are texts and whole numbers; others are not made here.
func attributes(pairs []*commonpb.KeyValue) map[string]any {
	out := map[string]any{}
	for _, p := range pairs {
		switch v := p.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[p.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[p.GetKey()] = v.IntValue
		default:
			out[p.GetKey()] = v
		}
	}
	return out
}
