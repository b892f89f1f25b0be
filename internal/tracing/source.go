package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// errGivenBack is how the span ends of a message that will come again.
var errGivenBack = errors.New("given back")

// source is a processor.Source.
type source interface {
	Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error)
}

// Source is a Source whose messages have a span each from fetch to ack, where
// the group that they are is traced.
type Source struct {
	source source
	tracer *Tracer
}

// Source wraps a Source of groups.
func (t *Tracer) Source(s source) *Source { return &Source{source: s, tracer: t} }

// Fetch is that of the source.
func (s *Source) Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error) {
	messages, err := s.source.Fetch(ctx, maxMessages, maxBytes, wait)
	for i, m := range messages {
		if group := parse(m.Traceparent()); group.IsSampled() {
			messages[i] = s.tracer.consume(m, group)
		}
	}
	return messages, err
}

// message is one that is traced, between fetch and ack.
type message struct {
	schemas.Message
	tracer *Tracer
	group  trace.SpanContext // that it was published in
	ctx    context.Context   // of span
	span   trace.Span
}

func (t *Tracer) consume(m schemas.Message, group trace.SpanContext) *message {
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), group)
	ctx, span := t.under(ctx, "process "+schemas.StreamLogs, trace.SpanKindConsumer, append(ofLogs("process"),
		keyBytes.Int(len(m.Data())), keyAttempt.Int64(int64(m.Attempt())))...)
	return &message{Message: m, tracer: t, group: group, ctx: ctx, span: span}
}

// Ack is that of the message.
func (m *message) Ack(ctx context.Context) error {
	_, span := m.tracer.under(m.ctx, "ack", trace.SpanKindClient)
	err := m.Message.Ack(ctx)
	end(span, err)
	end(m.span, err)
	return err
}

// Nak is that of the message.
func (m *message) Nak(delay time.Duration) error {
	end(m.span, errGivenBack)
	return m.Message.Nak(delay)
}

// Normalize begins the span of decoding, normalizing and classifying the logs of
// a message.
func (t *Tracer) Normalize(m schemas.Message) func(logs []schemas.Log, dead int) {
	traced, ok := m.(*message)
	if !ok {
		return func([]schemas.Log, int) {}
	}
	_, span := t.under(traced.ctx, "normalize", trace.SpanKindInternal)
	return func(logs []schemas.Log, dead int) {
		if len(logs) > 0 {
			traced.span.SetAttributes(keyTenant.String(logs[0].Tenant), keySource.String(logs[0].Source.String()))
		}
		traced.span.SetAttributes(keyRecords.Int(len(logs)), keyDead.Int(dead))
		span.End()
	}
}
