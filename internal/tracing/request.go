package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Request begins the span of a request. What its sender says of a trace becomes
// a link, and neither its trace nor the word on whether it is traced: who may
// send could otherwise have everything traced, or add to the traces of others.
func (t *Tracer) Request(ctx context.Context, route, tenant string, source schemas.Source, traceparent string) (context.Context, func(status int, answer schemas.Accepted, bytes int64)) {
	options := []trace.SpanStartOption{
		trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("http.request.method", "POST"), attribute.String("http.route", route),
			keyTenant.String(tenant), keySource.String(source.String()),
		),
	}
	if senders := parse(traceparent); senders.IsValid() {
		options = append(options, trace.WithLinks(linkTo(senders)))
	}
	ctx, span := t.tracer.Start(ctx, "POST "+route, options...)
	return ctx, func(status int, answer schemas.Accepted, bytes int64) {
		span.SetAttributes(
			attribute.Int("http.response.status_code", status), attribute.Int64("http.request.body.size", bytes),
			keyRecords.Int(answer.Accepted), keyDead.Int(answer.Dead),
		)
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Group begins the span of a group, and has its message name it.
func (t *Tracer) Group(ctx context.Context, requests []context.Context, tenant string, source schemas.Source, logs, bytes int) (context.Context, func(error)) {
	var carried []trace.Link
	for _, request := range requests {
		if sc := trace.SpanContextFromContext(request); sc.IsSampled() {
			carried = append(carried, linkTo(sc))
		}
	}
	if len(carried) == 0 {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(trace.ContextWithSpanContext(ctx, carried[0].SpanContext), "publish "+schemas.StreamLogs,
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithLinks(carried...), trace.WithAttributes(ofLogs("send")...),
		trace.WithAttributes(keyTenant.String(tenant), keySource.String(source.String()), keyRecords.Int(logs), keyBytes.Int(bytes)))
	for _, request := range requests {
		trace.SpanFromContext(request).AddLink(linkTo(span.SpanContext()))
	}
	return schemas.WithTraceparent(ctx, traceparent(span.SpanContext())), func(err error) { end(span, err) }
}

// ofLogs is what a span says that is about a message on LOGS.
func ofLogs(operation string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", schemas.StreamLogs),
		attribute.String("messaging.operation.type", operation),
	}
}
