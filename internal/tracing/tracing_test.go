package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/tracing"
	"github.com/m2mwatch/m2mwatch/internal/tracing/tracingtest"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
)

var (
	_ ingest.Tracer    = (*tracing.Tracer)(nil)
	_ processor.Tracer = (*tracing.Tracer)(nil)
	_ processor.Source = (*tracing.Source)(nil)
	_ processor.Store  = (*tracing.Store)(nil)
)

const (
	route      = "/v1/logs/:tenant"
	sendersID  = "b7ad6b7169203331"
	senders    = "00-0af7651916cd43dd8448eb211c80319c-" + sendersID + "-01"
	secretText = "a-text-that-is-nobodys-business"
)

// newTracer makes a Tracer that sends to a collector, and what closes it.
func newTracer(t *testing.T, c *tracingtest.Collector, change func(*tracing.Config)) (*tracing.Tracer, func()) {
	t.Helper()
	cfg := tracing.Config{Endpoint: c.URL, Sample: 1, Version: "test"}
	if change != nil {
		change(&cfg)
	}
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer, func() {
		t.Helper()
		if err := tracer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// queue is a Source of groups, and a message of it.
type queue struct{ messages []schemas.Message }

func (q *queue) Fetch(context.Context, int, int, time.Duration) ([]schemas.Message, error) {
	return q.messages, nil
}

type message struct {
	schemas.Message
	traceparent string
	ack         error
}

func (m *message) Data() []byte              { return []byte("12345") }
func (m *message) Attempt() uint64           { return 1 }
func (m *message) Traceparent() string       { return m.traceparent }
func (m *message) Ack(context.Context) error { return m.ack }
func (m *message) Nak(time.Duration) error   { return nil }

// store is a Store that fails as it is told.
type store struct{ err error }

func (s store) InsertEvents(context.Context, []schemas.Event) error  { return s.err }
func (s store) InsertMatches(context.Context, []schemas.Match) error { return s.err }
func (s store) InsertTouches(context.Context, []schemas.Touch) error { return s.err }

// publish has requests come and be answered, with their records in one group,
// and returns its traceparent.
func publish(t *testing.T, tracer *tracing.Tracer, requests int) string {
	t.Helper()
	var contexts []context.Context
	for range requests {
		ctx, answered := tracer.Request(t.Context(), route, "acme", schemas.SourceStream, "")
		contexts = append(contexts, ctx)
		defer answered(200, schemas.Accepted{Accepted: 2}, 17)
	}
	ctx, published := tracer.Group(t.Context(), contexts, "acme", schemas.SourceStream, 2*requests, 99)
	published(nil)
	return schemas.Traceparent(ctx)
}

// one returns the only span of a name.
func one(t *testing.T, c *tracingtest.Collector, name string) tracingtest.Span {
	t.Helper()
	spans := c.Spans(name)
	if len(spans) != 1 {
		t.Fatalf("%d spans %q, want one of: %v", len(spans), name, c.Spans(""))
	}
	return spans[0]
}

func TestFromARequestToItsRowsIsOneTrace(t *testing.T) {
	c := tracingtest.New(t)
	tracer, done := newTracer(t, c, nil)
	source := tracer.Source(&queue{messages: []schemas.Message{&message{traceparent: publish(t, tracer, 1)}}})
	messages, err := source.Fetch(t.Context(), 1, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	tracer.Normalize(messages[0])([]schemas.Log{{Tenant: "acme", Source: schemas.SourceStream}}, 0)
	ctx, flushed := tracer.Flush(t.Context(), "f1", messages)
	tracer.Match(ctx)(3)
	s := tracer.Store(store{})
	if err := errors.Join(s.InsertEvents(ctx, make([]schemas.Event, 2)), s.InsertMatches(ctx, nil), s.InsertTouches(ctx, nil), messages[0].Ack(ctx)); err != nil {
		t.Fatal(err)
	}
	flushed(2, 0, nil)
	done()

	request := one(t, c, "POST "+route)
	parents := map[string]string{}
	name := map[string]string{"": "none"}
	for _, span := range c.Spans("") {
		name[span.ID] = span.Name
		if span.Trace != request.Trace {
			t.Errorf("%s is in another trace", span.Name)
		}
	}
	for _, span := range c.Spans("") {
		parents[span.Name+" "+strings.ToLower(strings.TrimPrefix(span.Kind, "SPAN_KIND_"))] = name[span.Parent]
	}
	if diff := cmp.Diff(map[string]string{
		"POST /v1/logs/:tenant server": "none",
		"publish LOGS producer":        "POST /v1/logs/:tenant",
		"process LOGS consumer":        "publish LOGS",
		"normalize internal":           "process LOGS",
		"flush internal":               "process LOGS",
		"match internal":               "flush",
		"INSERT events client":         "flush",
		"INSERT matches client":        "flush",
		"INSERT touches client":        "flush",
		"ack client":                   "process LOGS",
	}, parents); diff != "" {
		t.Errorf("spans and their parents (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{
		"http.request.method": "POST", "http.route": route, "http.response.status_code": int64(200), "http.request.body.size": int64(17),
		"m2mwatch.tenant": "acme", "m2mwatch.source": "stream", "m2mwatch.records": int64(2), "m2mwatch.dead": int64(0),
	}, request.Attributes); diff != "" {
		t.Errorf("attributes of a request (-want +got):\n%s", diff)
	}
	if got := request.Resource["service.name"]; got != "m2mwatch" {
		t.Errorf("service.name %v", got)
	}
}

func TestWhatCarriesSeveralIsLinkedToAllAndTheyToIt(t *testing.T) {
	c := tracingtest.New(t)
	tracer, done := newTracer(t, c, nil)
	source := tracer.Source(&queue{messages: []schemas.Message{
		&message{traceparent: publish(t, tracer, 3)}, &message{}, &message{traceparent: publish(t, tracer, 1)},
	}})
	messages, _ := source.Fetch(t.Context(), 1, 1, 0)
	_, flushed := tracer.Flush(t.Context(), "f1", messages)
	for _, m := range messages {
		if err := m.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flushed(8, 0, nil)
	done()

	groups, flush := c.Spans("publish LOGS"), one(t, c, "flush")
	carried := map[int]int{}
	for _, g := range groups {
		carried[len(g.Links)]++
		for _, request := range c.Spans("POST " + route) {
			if slices.Contains(g.Links, request.ID) != slices.Contains(request.Links, g.ID) {
				t.Errorf("group %v and request %v are not linked both ways", g, request)
			}
		}
		if !slices.Contains(flush.Links, g.ID) {
			t.Errorf("the flush is not linked to group %v", g)
		}
	}
	if diff := cmp.Diff(map[int]int{3: 1, 1: 1}, carried); diff != "" {
		t.Errorf("how many groups carry how many requests (-want +got):\n%s", diff)
	}
	for _, m := range c.Spans("process LOGS") {
		if !slices.Contains(m.Links, flush.ID) {
			t.Errorf("message %v is not linked to its flush", m)
		}
	}
	if n := len(c.Spans("process LOGS")); n != 2 {
		t.Errorf("%d messages were traced, want the two whose groups are", n)
	}
}

func TestASendersTraceIsALinkAndDecidesNothing(t *testing.T) {
	for _, test := range []struct {
		traceparent string
		links       []string
	}{
		{senders, []string{sendersID}},
		{strings.TrimSuffix(senders, "1") + "0", []string{sendersID}}, // the sender does not trace
		{strings.Repeat("0", 5000), nil},
		{"00-0AF7651916CD43DD8448EB211C80319C-" + sendersID + "-01", nil},
		{"", nil},
	} {
		c := tracingtest.New(t)
		tracer, done := newTracer(t, c, nil)
		_, answered := tracer.Request(t.Context(), route, "acme", schemas.SourceStream, test.traceparent)
		answered(200, schemas.Accepted{}, 0)
		done()
		span := one(t, c, "POST "+route)
		if diff := cmp.Diff(test.links, span.Links); diff != "" || strings.Contains(senders, span.Trace) || span.Parent != "" {
			t.Errorf("%.60q: span %v, links (-want +got):\n%s", test.traceparent, span, diff)
		}
	}
}

func TestWhatIsNotSampledLeavesNoSpanAnywhere(t *testing.T) {
	c := tracingtest.New(t)
	tracer, done := newTracer(t, c, func(cfg *tracing.Config) { cfg.Sample = 0 })
	ctx, answered := tracer.Request(t.Context(), route, "acme", schemas.SourceStream, senders)
	publishing, published := tracer.Group(t.Context(), []context.Context{ctx}, "acme", schemas.SourceStream, 1, 1)
	if got := schemas.Traceparent(publishing); got != "" {
		t.Errorf("the message of a group that is not traced says %q", got)
	}
	published(nil)
	answered(200, schemas.Accepted{}, 0)
	// As another build or somebody else may have published it.
	for _, traceparent := range []string{"", "nonsense", strings.TrimSuffix(senders, "1") + "0"} {
		messages, _ := tracer.Source(&queue{messages: []schemas.Message{&message{traceparent: traceparent}}}).Fetch(t.Context(), 1, 1, 0)
		tracer.Normalize(messages[0])(nil, 0)
		ctx, flushed := tracer.Flush(t.Context(), "f1", messages)
		tracer.Match(ctx)(0)
		_ = tracer.Store(store{}).InsertEvents(ctx, nil)
		_ = messages[0].Ack(ctx)
		flushed(0, 0, nil)
	}
	done()
	if spans := c.Spans(""); len(spans) > 0 || len(c.Requests()) > 0 {
		t.Errorf("%d requests to the collector, spans %v", len(c.Requests()), spans)
	}
}

func TestASpanTellsAnErrorsKindAndNotItsText(t *testing.T) {
	c := tracingtest.New(t)
	tracer, done := newTracer(t, c, nil)
	q := &queue{messages: []schemas.Message{&message{traceparent: publish(t, tracer, 1), ack: errors.New(secretText)}}}
	for _, give := range []error{
		fmt.Errorf("%w: %s", schemas.ErrRefused, secretText), fmt.Errorf("%w: %s", context.DeadlineExceeded, secretText), errors.New(secretText),
	} {
		messages, _ := tracer.Source(q).Fetch(t.Context(), 1, 1, 0)
		ctx, flushed := tracer.Flush(t.Context(), "f1", messages)
		err := tracer.Store(store{give}).InsertEvents(ctx, nil)
		if !errors.Is(err, give) {
			t.Errorf("the store's error became %v", err)
		}
		if err := messages[0].Ack(ctx); err == nil {
			t.Error("the ack's error is gone")
		}
		flushed(0, 0, err)
	}
	given, _ := tracer.Source(&queue{messages: []schemas.Message{&message{traceparent: publish(t, tracer, 1)}}}).Fetch(t.Context(), 1, 1, 0)
	if err := given[0].Nak(0); err != nil {
		t.Error(err)
	}
	done()
	var kinds []string
	for _, span := range c.Spans("INSERT events") {
		kinds = append(kinds, span.Error)
	}
	if diff := cmp.Diff([]string{"refused", "timeout", "failed"}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	for _, span := range c.Spans("") {
		if strings.Contains(fmt.Sprint(span), secretText) {
			t.Errorf("a span tells what an error says: %v", span)
		}
	}
	var failed int
	for _, span := range c.Spans("process LOGS") {
		if span.Error != "" {
			failed++
		}
	}
	if failed != 4 {
		t.Errorf("%d of 4 messages that come again say so", failed)
	}
}

func TestABatchIsSentAgainWhereThatHelps(t *testing.T) {
	for status, want := range map[int]int{http.StatusServiceUnavailable: 2, http.StatusBadRequest: 1, http.StatusTemporaryRedirect: 1} {
		c := tracingtest.New(t)
		c.Answer(func(n int) int {
			if n == 0 {
				return status
			}
			return http.StatusOK
		})
		tracer, _ := newTracer(t, c, nil)
		publish(t, tracer, 1)
		eventually(t, func() bool { return len(c.Requests()) >= want })
		if want == 2 {
			eventually(t, func() bool { return len(c.Spans("")) == 2 })
		}
		if err := tracer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := len(c.Requests()); got != want {
			t.Errorf("%d: %d attempts, want %d", status, got, want)
		}
	}
}

func TestTheCollectorIsToldHeadersAndTheLogIsNot(t *testing.T) {
	var log bytes.Buffer
	c := tracingtest.New(t)
	c.Answer(func(int) int { return http.StatusForbidden })
	tracer, done := newTracer(t, c, func(cfg *tracing.Config) {
		cfg.Endpoint = strings.Replace(c.URL, "http://", "http://user:"+secretText+"@", 1) + "/path/" + secretText
		cfg.Headers = map[string]string{"X-Key": secretText}
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	publish(t, tracer, 1)
	done()
	request := c.Requests()[0]
	user, password, _ := request.BasicAuth()
	if got := []string{user, password, request.Header.Get("X-Key"), request.URL.Path}; !slices.Equal(got, []string{"user", secretText, secretText, "/path/" + secretText}) {
		t.Errorf("the collector was told %q", got)
	}
	if got := log.String(); strings.Contains(got, secretText) || !strings.Contains(got, "403 Forbidden") {
		t.Errorf("log: %s", got)
	}
	// One that is not there fails in another way.
	log.Reset()
	tracer, done = newTracer(t, c, func(cfg *tracing.Config) {
		cfg.Endpoint = "http://user:" + secretText + "@" + closedAddress(t) + "/" + secretText
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	publish(t, tracer, 1)
	done()
	if got := log.String(); strings.Contains(got, secretText) || !strings.Contains(got, "connection refused") {
		t.Errorf("log: %s", got)
	}
}

// closedAddress is one on which nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestACollectorThatHangsHoldsNobodyUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and answers none
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tracer, err := tracing.New(tracing.Config{Endpoint: "http://" + ln.Addr().String(), Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 20_000 {
		publish(t, tracer, 1)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("40,000 spans took %s", took)
	}
	began = time.Now()
	if err := tracer.Close(context.Background()); err == nil {
		t.Error("spans were lost, and Close says nothing of it")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %s", took)
	}
}

func TestNewRefusesWhatCannotBeSentTo(t *testing.T) {
	for _, endpoint := range []string{"", "collector:4318", "ftp://collector", "http://", "http://user:" + secretText + "@ho st"} {
		if _, err := tracing.New(tracing.Config{Endpoint: endpoint}); err == nil || strings.Contains(err.Error(), secretText) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("not within 20 s")
		case <-tick.C:
		}
	}
}
