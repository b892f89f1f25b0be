package ingest

import (
	"context"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Tracer follows requests and the groups that carry their logs.
// internal/tracing has the one for OpenTelemetry.
//
// Each method begins a span, and the function that it returns ends it. None of
// them may fail or block, and all may be called concurrently.
type Tracer interface {
	// Request is called for a request of a sender that may send. traceparent is
	// what it sent under this name, and hostile like all that it sends. The
	// context that is returned carries the span. At the end there are the status
	// of the answer and the bytes of the body that were read.
	Request(ctx context.Context, route, tenant string, source schemas.Source, traceparent string) (context.Context, func(status int, answer schemas.Accepted, bytes int64))

	// Group is called for a group that is about to be published. requests are the
	// contexts of those whose logs it carries, in the order in which they joined;
	// some may have been answered or given up. The context that is returned is
	// the one to publish in.
	Group(ctx context.Context, requests []context.Context, tenant string, source schemas.Source, logs, bytes int) (context.Context, func(error))
}
