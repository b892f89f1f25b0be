package processor

import (
	"context"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Tracer follows messages through the processor. internal/tracing has the one
// for OpenTelemetry, which follows fetches, acks and inserts as well: there it
// wraps Source and Store.
//
// Each method begins a span, and the function that it returns ends it. None of
// them may fail or block, and all may be called concurrently.
type Tracer interface {
	// Normalize is called for a message whose logs are about to be decoded,
	// normalized and classified. At the end there are the logs, which it must not
	// keep, and how many of them were given up.
	Normalize(m schemas.Message) func(logs []schemas.Log, dead int)
	// Flush is called for a flush of these messages, which it must not keep. The
	// context that is returned is that of its inserts and acks. At the end there
	// is what was stored and given up.
	Flush(ctx context.Context, id string, messages []schemas.Message) (context.Context, func(events, dead int, err error))
	// Match is called when the events of a flush are about to be matched.
	Match(ctx context.Context) func(matches int)
}

// noTracer is the Tracer where nobody follows.
type noTracer struct{}

func (noTracer) Normalize(schemas.Message) func([]schemas.Log, int) {
	return func([]schemas.Log, int) {}
}

func (noTracer) Flush(ctx context.Context, _ string, _ []schemas.Message) (context.Context, func(int, int, error)) {
	return ctx, func(int, int, error) {}
}

func (noTracer) Match(context.Context) func(int) { return func(int) {} }
