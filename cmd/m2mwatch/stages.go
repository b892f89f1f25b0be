package main

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
)

// startProcess starts everything that reads LOGS, the store's touches and
// ALERTS. Notify starts first and stops last, so that what the correlator
// still publishes finds its reader.
func (s *server) startProcess(ctx context.Context) error {
	if s.broker == nil { // a query stage that was told of none
		return nil
	}
	var err error
	if s.publisher, err = nats.NewPublisher(s.broker, nats.PublisherConfig{}); err != nil {
		return err
	}
	if !s.opts.has(stageProcess) {
		return nil
	}
	if err := s.startNotify(ctx, s.rules.Set()); err != nil {
		return err
	}
	if err := s.startWarmer(ctx); err != nil {
		return err
	}
	touched := make(chan struct{}, 1)
	if err := s.startCorrelator(touched); err != nil {
		return err
	}
	if err := s.startRecounter(); err != nil {
		return err
	}
	if err := s.startReprocessor(); err != nil {
		return err
	}
	if err := s.startBacktester(); err != nil {
		return err
	}
	if err := s.startInventory(); err != nil {
		return err
	}
	return s.startProcessor(touched)
}

// startProcessor has it say on touched that it left touches.
func (s *server) startProcessor(touched chan<- struct{}) error {
	source, err := nats.NewLogsSource(s.broker)
	if err != nil {
		return err
	}
	s.life.closes("source of logs", source)
	cfg := processor.Config{
		Source: source, Store: clickhouse.NewWriter(s.writeDB), Dead: s.publisher, Matcher: s.rules,
		Catalogue: s.cfg.Catalogue(), Places: s.places(),
		Logger: s.log, Registerer: s.registry, At: s.at("processor."),
		Retention: retention(s.cfg).Of("events"),
		AckWait:   s.ackWait(), ShutdownTimeout: time.Second,
		Stored: func() {
			select {
			case touched <- struct{}{}:
			default: // it was said and not heard yet
			}
		},
		FlushRows: s.cfg.Processor.FlushRows, FlushBytes: int(s.cfg.Processor.Memory) / 4,
	}
	s.traceProcessor(&cfg)
	if s.processor, err = processor.New(cfg); err != nil {
		return err
	}
	s.life.run("processor", s.processor.Run)
	return nil
}

// places is what .mmdb files tell, or nil: a nil pointer in an interface would
// be none.
func (s *server) places() processor.Places {
	if s.geo == nil {
		return nil
	}
	return s.geo
}

// embeddedLease is short: where the broker is in this process there is no
// other holder, and only a start after a crash has to wait for it.
const embeddedLease = 3 * time.Second

func (s *server) lease(name string) *nats.Lease {
	lease := nats.LeaseConfig{Name: name, Logger: s.log, TTL: s.pace["lease"]}
	if s.cfg.NATS.URL == "" {
		lease.TTL = s.pace.or("lease", embeddedLease)
	}
	return nats.NewLease(s.broker, lease)
}

// startCorrelator has it hear of touches that this process leaves; for those of others it
// looks.
func (s *server) startCorrelator(touched <-chan struct{}) error {
	store := clickhouse.NewFindingStore(s.writeDB)
	c, err := processor.NewCorrelator(processor.CorrelatorConfig{
		Store: store, Surroundings: store, Alerts: s.publisher, Lease: s.lease("correlator"), Rules: s.rules,
		Wake:         touched,
		EvidenceKept: retention(s.cfg).Evidence(), FindingsKept: retention(s.cfg).Of("findings"),
		Logger: s.log, Registerer: s.registry, At: s.at("correlator."),
	})
	if err != nil {
		return err
	}
	s.rules.check = c.Check
	s.life.run("correlator", c.Run)
	return nil
}

func (s *server) startRecounter() error {
	c := s.recounterConfig()
	c.Lease = s.lease("recounter")
	c.Interval, c.Quiet = s.pace["look"], s.pace["quiet"]
	r, err := processor.NewRecounter(c)
	if err != nil {
		return err
	}
	s.life.run("recounter", r.Run)
	return nil
}

// recounterConfig is that of the recounter, without its lease. What is counted
// rests on events, so their retention bounds it, not that of other tables.
func (s *server) recounterConfig() processor.RecounterConfig {
	return processor.RecounterConfig{
		Store: clickhouse.NewCountStore(s.writeDB), Retention: retention(s.cfg).Of("events"),
		Logger: s.log, Registerer: s.registry, At: s.at("recounter."),
	}
}

func (s *server) startReprocessor() error {
	cfg := processor.ReprocessorConfig{
		Store: clickhouse.NewReprocessStore(s.writeDB), Lease: s.lease("reprocessor"), Current: s.rules.reprocess,
		Catalogue: s.cfg.Catalogue(), Places: s.places(), Logger: s.log, Registerer: s.registry, At: s.at("reprocessor."), Retention: retention(s.cfg).Of("events"),
	}
	r, err := processor.NewReprocessor(cfg)
	if err != nil {
		return err
	}
	s.life.run("reprocessor", r.Run)
	return nil
}

func (s *server) startBacktester() error {
	b, err := processor.NewBacktester(processor.BacktesterConfig{
		Store: clickhouse.NewBacktestStore(s.writeDB), Lease: s.lease("backtester"), Rules: s.rules.Set, Compile: s.rules.compile,
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return err
	}
	s.life.run("backtester", b.Run)
	return nil
}

// startWarmer notes the selectors of the rules before anything is found by them.
func (s *server) startWarmer(ctx context.Context) error {
	w, err := processor.NewWarmer(processor.WarmerConfig{
		Store: clickhouse.NewSelectorStore(s.writeDB), Lease: s.lease("warmer"), Rules: s.rules.Set, Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return err
	}
	if err := w.Register(ctx, s.rules.Set()); err != nil {
		return err
	}
	s.rules.known = func(set *detect.Set) error { return w.Register(ctx, set) }
	s.life.run("warmer", w.Run)
	return nil
}
