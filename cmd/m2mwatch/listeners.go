package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/query"
)

// startListeners serves the API (with health and metrics) on listen and on the
// socket, and the webhook on webhook_listen, or on listen where that is empty.
func (s *server) startListeners(context.Context) error {
	in, err := s.newIngest()
	if err != nil {
		return err
	}
	api := s.newQuery()

	front := httpserver.New(httpserver.Config{Name: "api", Logger: s.log, Registerer: s.registry, Proxies: s.proxies})
	guard := httpserver.RequireToken(s.tokens)
	s.health.Register(front)
	front.GET("/metrics", httpserver.Metrics(s.registry), guard)
	if api != nil {
		api.Register(front, guard)
	}
	if in != nil {
		in.Import(front, guard)
	}
	if in != nil && s.cfg.WebhookListen == "" {
		in.Webhook(front)
	}
	runs := []func(context.Context) error{
		func(ctx context.Context) error {
			return httpserver.Serve(ctx, front, s.secured("api", s.apiListener), s.limits())
		},
	}
	if socket, err := s.openSocket(); err != nil {
		return err
	} else if socket != nil {
		runs = append(runs, s.serveSocket(socket, in, api))
	}
	if s.webhookListener != nil {
		hook := httpserver.New(httpserver.Config{Name: "webhook", Logger: s.log, Registerer: s.registry, Proxies: s.proxies})
		in.Webhook(hook)
		runs = append(runs, func(ctx context.Context) error {
			return httpserver.Serve(ctx, hook, s.secured("webhook", s.webhookListener), s.limits())
		})
	}
	s.life.run("listeners", together(runs...))
	s.startPulls(in)
	if s.renew != nil {
		s.life.run("certificate", s.renew)
	}
	return nil
}

func (s *server) newIngest() (*ingest.Ingest, error) {
	if !s.opts.has(stageIngest) {
		return nil, nil
	}
	c := s.cfg.Ingest
	in, err := ingest.New(ingest.Config{
		Publisher: s.publisher, Tenants: s.tenants, Allow: s.allow, Tracer: s.ingestTracer(), Logger: s.log, Registerer: s.registry, At: s.at("ingest."),
		Limits: ingest.Limits{MaxBody: int64(c.MaxBody), MaxGroup: int(c.MaxGroup), Memory: int(c.Memory), MaxRequests: c.Requests, ReadTimeout: time.Duration(c.BodyTimeout)},
	})
	if err != nil {
		return nil, err
	}
	s.life.onStop("ingest", in.Close)
	return in, nil
}

func (s *server) newQuery() *query.API {
	if !s.opts.has(stageQuery) {
		return nil
	}
	c := query.Config{Store: clickhouse.NewReader(s.readDB), Jobs: clickhouse.NewReprocessJobs(s.readDB), Backtests: clickhouse.NewBacktests(s.readDB), Provision: clickhouse.NewProvisionLog(s.readDB), Acts: clickhouse.NewFindingActs(s.readDB), Silences: clickhouse.NewSilences(s.readDB), Expectations: clickhouse.NewExpectations(s.readDB), TenantAt: s.tenantAt, Syncs: clickhouse.NewInventorySyncs(s.readDB), Catalogue: s.cfg.Catalogue(), Logger: s.log, Version: version}
	c.Explain = s.explainBy(clickhouse.NewReader(s.readDB))
	if s.rules != nil { // the stage of queries alone has none
		c.RulesOf = func(selector string) []string { return s.rules.Set().CodesOf(selector) }
	}
	c.Channels = map[string]string{}
	for _, channel := range s.cfg.Notify.All() {
		c.Channels[channel.Name] = channel.Type
	}
	if s.broker != nil {
		c.Backlog = s.broker
		c.Pulls = s.pullStates()
		c.Dead = nats.NewDeadStore(s.broker, s.publisher, s.at("dead."))
	}
	if s.processor != nil {
		c.Delay = func() (time.Duration, bool) {
			delay := s.processor.Delay()
			return delay, delay > 0
		}
	}
	return query.New(c)
}

// at names the points of one stage for crash tests.
func (s *server) at(prefix string) func(string) {
	if s.killAt == nil {
		return nil
	}
	return func(point string) { s.killAt(prefix + point) }
}

// limits are those of one connection. Requests in flight have a moment when the
// process stops.
func (s *server) limits() httpserver.Limits {
	c := s.cfg.HTTP
	return httpserver.Limits{
		ReadHeader: time.Duration(c.HeaderTimeout), BodyPause: time.Duration(c.BodyPause), Write: time.Duration(c.WriteTimeout),
		Idle: time.Duration(c.IdleTimeout), MaxHeader: int(c.MaxHeader), Shutdown: 700 * time.Millisecond,
	}
}

// bind takes the addresses. Nobody is answered before startListeners.
func (s *server) bind(ctx context.Context) (err error) {
	if s.apiListener, err = s.bindOne(ctx, "--listen", s.cfg.Listen); err != nil {
		return err
	}
	s.address = s.apiListener.Addr().String()
	if s.cfg.WebhookListen == "" || !s.opts.has(stageIngest) {
		return nil
	}
	if s.webhookListener, err = s.bindOne(ctx, "--webhook-listen", s.cfg.WebhookListen); err != nil {
		return err
	}
	s.webhookAddress = s.webhookListener.Addr().String()
	return nil
}

func (s *server) bindOne(ctx context.Context, flag, address string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another process: choose another address with %s", address, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", address, flag, err)
	}
	s.life.onStop("listener "+flag, func(context.Context) error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // whoever served on it has closed it
			return err
		}
		return nil
	})
	return ln, nil
}

// secured bounds the connections of a listener, and speaks TLS on it where
// there is a certificate.
func (s *server) secured(name string, ln net.Listener) net.Listener {
	ln = httpserver.LimitConnections(ln, httpserver.ConnectionLimit{
		Max: s.cfg.HTTP.MaxConnections, Name: name, Logger: s.log, Registerer: s.registry,
	})
	if s.tls == nil {
		return ln
	}
	return tls.NewListener(ln, s.tls)
}

// serveSocket serves the API and health without a token, where only this user can reach it.
func (s *server) serveSocket(ln net.Listener, in *ingest.Ingest, api *query.API) func(context.Context) error {
	local := httpserver.New(httpserver.Config{Name: "socket", Logger: s.log, Registerer: s.registry})
	s.health.Register(local)
	httpserver.Profile(local)
	local.GET("/metrics", httpserver.Metrics(s.registry))
	api.Register(local)
	if in != nil {
		in.Import(local)
	}
	return func(ctx context.Context) error { return httpserver.Serve(ctx, local, ln, s.limits()) }
}

// openSocket listens on the data directory's socket, mode 0600; nil where this
// process has no data directory.
func (s *server) openSocket() (net.Listener, error) {
	if s.dir == nil || !s.opts.has(stageQuery) {
		return nil, nil
	}
	path := s.dir.Socket()
	// The lock is ours, so a socket that lies there is a dead process's.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the data directory's socket (is the path longer than 100 bytes? choose a shorter --data): %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("guard socket: %w", err), ln.Close())
	}
	return ln, nil
}

// urlNamesDatabase reports whether a ClickHouse URL has a database in it.
func urlNamesDatabase(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(u.Path) > 1
}
