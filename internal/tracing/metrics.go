package tracing

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// metrics tell what becomes of spans: what has ended and was not sent is lost
// or, for a moment, waits.
type metrics struct{ spans, sent prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		spans: prometheus.NewCounter(prometheus.CounterOpts{Name: "m2mwatch_tracing_spans_total", Help: "Spans that have ended."}),
		sent:  prometheus.NewCounter(prometheus.CounterOpts{Name: "m2mwatch_tracing_sent_total", Help: "Of those, the ones that the collector has taken."}),
	}
	if reg != nil {
		reg.MustRegister(m.spans, m.sent)
	}
	return m
}

// counter counts the spans that have ended. It is a SpanProcessor.
type counter struct{ ended prometheus.Counter }

func (counter) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c counter) OnEnd(sdktrace.ReadOnlySpan)                   { c.ended.Inc() }
func (counter) Shutdown(context.Context) error                  { return nil }
func (counter) ForceFlush(context.Context) error                { return nil }
