package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The keys of what spans tell, where OpenTelemetry has none.
const (
	keyTenant   = attribute.Key("m2mwatch.tenant")
	keySource   = attribute.Key("m2mwatch.source")
	keyRecords  = attribute.Key("m2mwatch.records") // the dead ones among them
	keyDead     = attribute.Key("m2mwatch.dead")
	keyBytes    = attribute.Key("m2mwatch.bytes")
	keyMessages = attribute.Key("m2mwatch.messages")
	keyEvents   = attribute.Key("m2mwatch.events")
	keyMatches  = attribute.Key("m2mwatch.matches")
	keyFlush    = attribute.Key("m2mwatch.flush")
	keyAttempt  = attribute.Key("m2mwatch.attempt")
)

// nobody is the span of what is not traced.
func nobody() trace.Span { return trace.SpanFromContext(context.Background()) }

// under starts a span in that of ctx, where that is traced.
func (t *Tracer) under(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx, nobody()
	}
	return t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

func linkTo(sc trace.SpanContext) trace.Link { return trace.Link{SpanContext: sc} }

// end ends a span. Of an error it tells the kind and not the text.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(attribute.String("error.type", kindOf(err)))
		span.SetStatus(codes.Error, kindOf(err))
	}
	span.End()
}

func kindOf(err error) string {
	switch {
	case errors.Is(err, schemas.ErrFull):
		return "full"
	case errors.Is(err, schemas.ErrRefused):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "failed"
}

// traceparent writes a span in the form of W3C Trace Context.
func traceparent(sc trace.SpanContext) string {
	header := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), sc), header)
	return header[schemas.HeaderTraceparent]
}

// parse reads what traceparent has written; of anything else it makes an
// invalid span.
func parse(traceparent string) trace.SpanContext {
	if traceparent == "" {
		return trace.SpanContext{}
	}
	header := propagation.MapCarrier{schemas.HeaderTraceparent: traceparent}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), header))
}
