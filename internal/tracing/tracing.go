// Package tracing sends OpenTelemetry traces of the road from a request to its
// rows, by OTLP over HTTP.
//
// What carries the records of several (a group those of requests, a flush those
// of groups) is in the trace of the first that is traced, and linked to all of
// them; they are linked back to it. So the road of a lone request is one trace,
// and from every other one leads a link, in either direction:
//
//	POST /v1/logs/:tenant          server
//	└─ publish LOGS                producer, links to requests
//	   └─ process LOGS             consumer, from fetch to ack; link to its flush
//	      ├─ normalize
//	      ├─ flush                 links to groups
//	      │  ├─ match
//	      │  └─ INSERT events …    client, one for each attempt
//	      └─ ack                   client
//
// A Tracer is what stages name ingest.Tracer and processor.Tracer, and wraps the
// processor's Source and Store. Whether a request is traced is drawn when it
// begins; all that comes of it follows. Spans tell tenants, sources, numbers and
// sizes: nothing that a sender wrote, and no error's text, which may quote it.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// maxQueue is how many ended spans wait; further ones are dropped. About 2 MB.
	maxQueue = 2048
	maxBatch = 512
	// gather is how long a span waits for others.
	gather = time.Second
	// exportTimeout is for one batch, repeats included. Then it is dropped.
	exportTimeout = 10 * time.Second
	// closeTimeout is for what is left when the process stops.
	closeTimeout = 500 * time.Millisecond
	// maxLinks is more than a flush has messages and a group requests.
	maxLinks = 1024
)

// Config is what a Tracer needs. Endpoint must be set.
type Config struct {
	// Endpoint is where the collector takes OTLP over HTTP. Without a path it is
	// /v1/traces there. A user and password in it are sent as basic
	// authentication.
	Endpoint string
	// Headers are sent with each request to it.
	Headers map[string]string
	// Sample is the share of requests that are traced, 0 to 1.
	Sample float64
	// Service and Version say who sends. Default: m2mwatch.
	Service, Version string

	// Logger hears when the collector goes away and when it is back. Default:
	// nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Default: none does.
	Registerer prometheus.Registerer
}

// Tracer makes spans and sends them, behind the back of whoever is traced: ends
// of spans neither wait nor fail, whatever the collector does. All methods may
// be called concurrently.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	client   *client
}

// New makes a Tracer. It connects to nobody before there is a span to send.
func New(cfg Config) (*Tracer, error) {
	if cfg.Sample < 0 || cfg.Sample > 1 {
		return nil, errors.New("traces: sample: want 0 to 1")
	}
	if cfg.Service == "" {
		cfg.Service = "m2mwatch"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := newMetrics(cfg.Registerer)
	client, err := newClient(cfg, m)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(context.Background(), client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// Every option is given: of the environment nothing counts but what
	// OTEL_RESOURCE_ATTRIBUTES adds to the resource.
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version))),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: 256, AttributeValueDepthLimit: 1, AttributeCountLimit: 32,
			EventCountLimit: 1, AttributePerEventCountLimit: 1, LinkCountLimit: maxLinks, AttributePerLinkCountLimit: 1,
		}),
		sdktrace.WithSpanProcessor(counter{ended: m.spans}),
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxQueue), sdktrace.WithMaxExportBatchSize(maxBatch),
			sdktrace.WithBatchTimeout(gather), sdktrace.WithExportTimeout(exportTimeout)),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/m2mwatch/m2mwatch"), client: client}, nil
}

// Close sends what is left, within half a second, and drops the rest. What ends
// later is not sent. Call it once.
func (t *Tracer) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	t.client.hurry(ctx)
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
