package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Flush begins the span of a flush, and links it to the groups that it stores.
func (t *Tracer) Flush(ctx context.Context, id string, messages []schemas.Message) (context.Context, func(events, dead int, err error)) {
	var first context.Context
	var groups []trace.Link
	for _, m := range messages {
		if m, ok := m.(*message); ok {
			groups = append(groups, linkTo(m.group))
			if first == nil {
				first = m.ctx
			}
		}
	}
	if first == nil {
		return ctx, func(int, int, error) {}
	}
	ctx, span := t.tracer.Start(trace.ContextWithSpan(ctx, trace.SpanFromContext(first)), "flush",
		trace.WithLinks(groups...), trace.WithAttributes(keyFlush.String(id), keyMessages.Int(len(messages))))
	for _, m := range messages {
		if m, ok := m.(*message); ok {
			m.span.AddLink(linkTo(span.SpanContext()))
		}
	}
	return ctx, func(events, dead int, err error) {
		span.SetAttributes(keyEvents.Int(events), keyDead.Int(dead))
		end(span, err)
	}
}

// Match begins the span of matching the events of a flush.
func (t *Tracer) Match(ctx context.Context) func(matches int) {
	_, span := t.under(ctx, "match", trace.SpanKindInternal)
	return func(matches int) {
		span.SetAttributes(keyMatches.Int(matches))
		span.End()
	}
}

// store is a processor.Store.
type store interface {
	InsertEvents(ctx context.Context, events []schemas.Event) error
	InsertMatches(ctx context.Context, matches []schemas.Match) error
	InsertTouches(ctx context.Context, touches []schemas.Touch) error
}

// Store is a Store whose inserts have a span each, where their flush is traced.
type Store struct {
	store  store
	tracer *Tracer
}

// Store wraps a Store.
func (t *Tracer) Store(s store) *Store { return &Store{store: s, tracer: t} }

// InsertEvents is that of the store.
func (s *Store) InsertEvents(ctx context.Context, events []schemas.Event) error {
	return insert(ctx, s.tracer, "events", events, s.store.InsertEvents)
}

// InsertMatches is that of the store.
func (s *Store) InsertMatches(ctx context.Context, matches []schemas.Match) error {
	return insert(ctx, s.tracer, "matches", matches, s.store.InsertMatches)
}

// InsertTouches is that of the store.
func (s *Store) InsertTouches(ctx context.Context, touches []schemas.Touch) error {
	return insert(ctx, s.tracer, "touches", touches, s.store.InsertTouches)
}

func insert[R any](ctx context.Context, t *Tracer, table string, rows []R, call func(context.Context, []R) error) error {
	ctx, span := t.under(ctx, "INSERT "+table, trace.SpanKindClient,
		attribute.String("db.system.name", "clickhouse"), attribute.String("db.operation.name", "INSERT"),
		attribute.String("db.collection.name", table), attribute.Int("db.operation.batch.size", len(rows)))
	err := call(ctx, rows)
	end(span, err)
	return err
}
