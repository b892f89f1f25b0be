package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/query"
)

// startListeners serves the API (with health and metrics) on listen and on the
// socket, and the webhook on webhook_listen, or on listen where that is empty.
func (s *server) startListeners(ctx context.Context) error {
	in, err := s.newIngest()
	if err != nil {
		return err
	}
	api := s.newQuery()

	front := httpserver.New(httpserver.Config{Name: "api", Logger: s.log, Registerer: s.registry})
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
	serveFront := func(ctx context.Context, ln net.Listener) error { return httpserver.Serve(ctx, front, ln, serveLimits) }
	if s.address, err = s.listen(ctx, "api", s.cfg.Listen, serveFront); err != nil {
		return err
	}
	if err := s.listenSocket(in, api); err != nil {
		return err
	}
	if in == nil || s.cfg.WebhookListen == "" {
		return nil
	}
	hook := httpserver.New(httpserver.Config{Name: "webhook", Logger: s.log, Registerer: s.registry})
	in.Webhook(hook)
	serveHook := func(ctx context.Context, ln net.Listener) error { return httpserver.Serve(ctx, hook, ln, serveLimits) }
	s.webhookAddress, err = s.listen(ctx, "webhook", s.cfg.WebhookListen, serveHook)
	return err
}

func (s *server) newIngest() (*ingest.Ingest, error) {
	if !s.opts.has(stageIngest) {
		return nil, nil
	}
	c := s.cfg.Ingest
	in, err := ingest.New(ingest.Config{
		Publisher: s.publisher, Tenants: s.tenants, Logger: s.log, Registerer: s.registry, At: s.at("ingest."),
		Limits: ingest.Limits{MaxBody: int64(c.MaxBody), MaxGroup: int(c.MaxGroup), Memory: int(c.Memory), MaxRequests: c.Requests},
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
	c := query.Config{Store: clickhouse.NewReader(s.readDB), Logger: s.log, Version: version}
	if s.broker != nil {
		c.Backlog = s.broker
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

// serveLimits give requests in flight a second when the process stops.
var serveLimits = httpserver.Limits{Shutdown: time.Second}

// serveFunc serves on a listener until the context ends.
type serveFunc func(context.Context, net.Listener) error

// listen serves on an address until the process stops, and returns the address
// that it got.
func (s *server) listen(ctx context.Context, name, address string, serve serveFunc) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", name, err)
	}
	s.serveOn(name, ln, serve)
	return ln.Addr().String(), nil
}

func (s *server) serveOn(name string, ln net.Listener, serve serveFunc) {
	s.life.run(name+" listener", func(ctx context.Context) error { return serve(ctx, ln) })
}

// listenSocket serves the API without a token where only this user can reach
// it: the data directory's socket, mode 0600.
func (s *server) listenSocket(in *ingest.Ingest, api *query.API) error {
	if s.dir == nil || api == nil {
		return nil
	}
	local := httpserver.New(httpserver.Config{Name: "socket", Logger: s.log, Registerer: s.registry})
	api.Register(local)
	if in != nil {
		in.Import(local)
	}
	path := s.dir.Socket()
	// The lock is ours, so a socket that lies there is a dead process's.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen on the data directory's socket (is the path longer than 100 bytes? choose a shorter --data): %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("guard socket: %w", err), ln.Close())
	}
	s.serveOn("socket", ln, func(ctx context.Context, ln net.Listener) error { return httpserver.Serve(ctx, local, ln, serveLimits) })
	return nil
}

// urlNamesDatabase reports whether a ClickHouse URL has a database in it.
func urlNamesDatabase(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(u.Path) > 1
}
