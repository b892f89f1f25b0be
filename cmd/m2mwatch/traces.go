package main

import (
	"context"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/tracing"
	"github.com/m2mwatch/m2mwatch/processor"
)

// openTracing makes the tracer, where the configuration names a collector. It is
// stopped last, when no span begins any more.
func (s *server) openTracing(context.Context) error {
	c := s.cfg.Traces
	if c.Endpoint == "" {
		return nil
	}
	headers := map[string]string{}
	for _, h := range c.Headers {
		headers[h.Name] = h.Value.Reveal()
	}
	var err error
	s.tracer, err = tracing.New(tracing.Config{
		Endpoint: c.Endpoint.Reveal(), Headers: headers, Sample: c.Sample, Version: version,
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return err
	}
	s.life.onStop("traces", s.tracer.Close)
	return nil
}

// ingestTracer is the tracer or nil: a nil pointer in an interface would be one.
func (s *server) ingestTracer() ingest.Tracer {
	if s.tracer == nil {
		return nil
	}
	return s.tracer
}

// traceProcessor lets the tracer, where there is one, follow a processor.
func (s *server) traceProcessor(cfg *processor.Config) {
	if s.tracer == nil {
		return
	}
	cfg.Tracer, cfg.Source, cfg.Store = s.tracer, s.tracer.Source(cfg.Source), s.tracer.Store(cfg.Store)
}
