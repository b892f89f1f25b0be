package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/certificate"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/geo"
	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/internal/tracing"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/schemas"
	schemasql "github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

// stopLimit is how long everything together may take to stop.
const stopLimit = 3 * time.Second

// serveOptions say which part of the pipeline a process is.
type serveOptions struct {
	stages  []stage
	purpose datadir.Purpose
	outside bool // refuse embedded servers
}

func (o serveOptions) has(s stage) bool { return slices.Contains(o.stages, s) }

// server is one process: what it was told and what it has opened. Fields are
// set by start, in order; a stage that is not here leaves its fields nil.
type server struct {
	inv    *invocation
	cfg    *config.Config
	origin config.Origin
	opts   serveOptions

	log      *slog.Logger
	registry *prometheus.Registry
	health   *httpserver.Health
	life     *lifecycle
	killAt   func(point string)
	pace     pace

	dir     *datadir.Dir
	engine  *clickhouse.Engine // nil with an outside ClickHouse
	broker  *nats.Conn
	writeDB *clickhouse.DB
	readDB  *clickhouse.DB

	tracer  *tracing.Tracer             // nil where nothing is traced
	geo     *geo.Files                  // nil without .mmdb files
	tls     *tls.Config                 // nil where listeners speak plain HTTP
	renew   func(context.Context) error // keeps the certificate of tls valid
	tenants *ingest.TenantSet
	tokens  *httpserver.TokenSet
	proxies *httpserver.Proxies
	allow   *ingest.AllowList

	watchers   *watchers                       // clients of the tenants' Management APIs
	pulls      *pulls                          // nil until logs can be taken in
	managed    atomic.Pointer[[]string]        // the tenants that it could be
	configured atomic.Pointer[[]config.Tenant] // the tenants as they are now

	rules     *rules            // nil where nothing is evaluated
	rulesSeen [sha256.Size]byte // what their folders held when they were loaded

	publisher *nats.Publisher
	processor *processor.Processor

	apiListener, webhookListener net.Listener // bound at the very beginning
	address                      string       // where the API listens
	webhookAddress               string
}

func newServer(inv *invocation, cfg *config.Config, origin config.Origin, opts serveOptions) (*server, error) {
	killAt, err := killPoint(inv.environ)
	if err != nil {
		return nil, err
	}
	pace, err := parsePace(inv.environ)
	if err != nil {
		return nil, err
	}
	log := newLogger(inv, cfg.Log)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &server{
		inv: inv, cfg: cfg, origin: origin, opts: opts,
		log: log, registry: registry, health: &httpserver.Health{}, life: newLifecycle(log), killAt: killAt, pace: pace,
		tenants: &ingest.TenantSet{}, tokens: &httpserver.TokenSet{}, proxies: &httpserver.Proxies{}, allow: &ingest.AllowList{}, watchers: &watchers{},
	}, nil
}

// start brings everything up, servers first, the webhook last: nothing is
// taken in before it can be kept. Addresses are taken at the very beginning,
// so that one in use is told before anything else is begun.
func (s *server) start(ctx context.Context) error {
	s.limitMemory()
	for _, step := range []func(context.Context) error{
		s.bind, s.openTracing, s.openGeo, s.openRules, s.openDir, s.openCertificate, s.applyConfig, s.openStore, s.takeJournal, s.openBroker, s.openWatchers, s.startProcess, s.startListeners, s.firstToken, s.watchConfig,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.log.Info("ready", "listen", s.address, "webhook_listen", s.webhookAddress, "tls", s.tls != nil, "stages", s.opts.stages)
	return nil
}

// limitMemory tells the collector how much this process is meant to take: what
// ingest and a processor may hold, as much again, 64 MiB at least, and .mmdb files
// with their successors. It is no hard bound, and GOMEMLIMIT goes before it. With
// less room under load the collector ran all the time: 55 CPU seconds per million
// events, and not 40.
func (s *server) limitMemory() {
	held := int64(s.cfg.Ingest.Memory) + 2*int64(s.cfg.Processor.Memory)
	limit := held + max(held, 64<<20)
	if s.geo != nil {
		limit += 2 * s.geo.Bytes()
	}
	if lookup(s.inv.environ, "GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// openGeo reads the .mmdb files where this process normalizes, and looks for
// their successors.
func (s *server) openGeo(context.Context) error {
	if len(s.cfg.Enrich.MMDB) == 0 || !s.opts.has(stageProcess) {
		return nil
	}
	var err error
	if s.geo, err = geo.Open(geo.Config{Paths: s.cfg.Enrich.MMDB, Logger: s.log, Changed: s.limitMemory}); err != nil {
		return err
	}
	s.limitMemory()
	s.life.run(".mmdb files", s.geo.Run)
	return nil
}

// openCertificate reads the certificate of the listeners, or prepares to get
// one.
func (s *server) openCertificate(context.Context) error {
	c := s.cfg.TLS
	if len(c.ACME.Hosts) > 0 {
		acme, err := certificate.NewACME(certificate.ACMEConfig{
			Hosts: c.ACME.Hosts, Email: c.ACME.Email, Directory: c.ACME.Directory, CAFile: c.ACME.CAFile,
			Cache: s.dir.ACME(), Logger: s.log, Registerer: s.registry,
		})
		if err != nil {
			return err
		}
		s.tls, s.renew = acme.TLS(), acme.Run
		return nil
	}
	if c.CertFile == "" {
		return nil
	}
	files, err := certificate.Open(certificate.Config{CertFile: c.CertFile, KeyFile: c.KeyFile, Logger: s.log, Registerer: s.registry})
	if err != nil {
		return err
	}
	s.tls, s.renew = files.TLS(), files.Run
	return nil
}

func (s *server) stop() { s.life.stop(stopLimit) }

// openDir takes the data directory where this process needs one: for embedded
// servers, for the API's socket and token, or for certificates.
func (s *server) openDir(context.Context) error {
	if s.opts.outside && !s.opts.has(stageQuery) && len(s.cfg.TLS.ACME.Hosts) == 0 {
		return nil
	}
	dir, err := datadir.Open(s.cfg.Data, s.opts.purpose)
	if err != nil {
		return err
	}
	s.dir = dir
	s.life.closes("data directory", dir)
	return nil
}

func (s *server) openStore(ctx context.Context) error {
	if !s.opts.has(stageProcess) && !s.opts.has(stageQuery) {
		return nil
	}
	writer, reader, err := s.storeConfigs(ctx)
	if err != nil {
		return err
	}
	writer.InsertTimeout, writer.ReadTimeout = s.pace["answer"], s.pace["answer"]
	if s.opts.has(stageProcess) {
		if err := s.openWriter(ctx, writer); err != nil {
			return err
		}
	}
	if s.opts.has(stageQuery) {
		if s.readDB, err = clickhouse.Connect(ctx, reader); err != nil {
			return err
		}
		s.life.closes("store, reading", s.readDB)
		s.health.Add("clickhouse_reading", s.readDB.Ping)
	}
	return nil
}

// storeConfigs says how to connect for writing and for reading. The embedded
// engine has a user for each; an outside server's URL names the one it gives.
func (s *server) storeConfigs(ctx context.Context) (writer, reader clickhouse.Config, err error) {
	if s.cfg.ClickHouse.URL != "" {
		c := outsideStore(s.cfg)
		return c, c, nil
	}
	library, err := clickhouse.FindLibrary(s.cfg.ClickHouse.Library)
	if err != nil {
		return writer, reader, err
	}
	s.engine, err = clickhouse.StartEngine(ctx, clickhouse.EngineConfig{
		Dir: s.dir.ClickHouse(), Library: library, MemoryLimit: int64(s.cfg.ClickHouse.Memory),
		Logger: s.log, Registerer: s.registry,
	})
	if err != nil {
		return writer, reader, err
	}
	s.life.closes("embedded clickhouse", s.engine)
	writer, reader = s.engine.Options(clickhouse.RoleApp), s.engine.Options(clickhouse.RoleAPI)
	for _, c := range []*clickhouse.Config{&writer, &reader} {
		c.Database, c.Retention = s.cfg.ClickHouse.Database, retention(s.cfg)
	}
	return writer, reader, nil
}

// outsideStore is how to connect to the server of the configured URL.
func outsideStore(cfg *config.Config) clickhouse.Config {
	c := clickhouse.Config{URL: cfg.ClickHouse.URL.Reveal(), Cluster: cfg.ClickHouse.Cluster, Retention: retention(cfg)}
	if !urlNamesDatabase(c.URL) {
		c.Database = cfg.ClickHouse.Database
	}
	return c
}

// takeJournal stores what operators recorded while no instance ran. A demo's store is
// no place for it.
func (s *server) takeJournal(ctx context.Context) error {
	path, err := journalPath()
	if s.writeDB == nil || s.opts.purpose == datadir.Demo || err != nil { // who has no home has no journal
		return nil
	}
	log := clickhouse.NewProvisionLog(s.writeDB)
	n, err := journalFile{path}.take(func(calls []schemas.ProvisionCall) error { return log.RecordCalls(ctx, calls) })
	switch {
	case err != nil:
		s.log.Error("what operators recorded cannot be taken in now; it stays", "path", path, "error", err)
	case n > 0:
		s.log.Info("took in what operators recorded while no instance ran", "path", path, "calls", n)
	}
	return nil
}

// retention is how long the store keeps what.
func retention(cfg *config.Config) clickhouse.Retention {
	r := clickhouse.Retention{Days: int(cfg.Store.Retention), ByTable: map[string]int{}}
	for table, days := range cfg.Store.RetentionByTable {
		r.ByTable[table] = int(days)
	}
	return r
}

func (s *server) openWriter(ctx context.Context, c clickhouse.Config) error {
	db, err := clickhouse.Connect(ctx, c)
	if err != nil {
		return err
	}
	s.writeDB = db
	s.life.closes("store", db)
	applied, err := clickhouse.Migrate(ctx, db, schemasql.Migrations, clickhouse.MigrateOptions{})
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		s.log.Info("store migrated", "applied", applied)
	}
	if err := clickhouse.ApplyRetention(ctx, db); err != nil {
		return err
	}
	s.health.Add("clickhouse", db.Ping)
	return nil
}

func (s *server) openBroker(ctx context.Context) error {
	c := s.cfg.NATS
	cfg := outsideBroker(s.cfg)
	cfg.Logger, cfg.Registerer = s.log, s.registry
	if c.URL == "" {
		if s.opts.outside { // a query stage that was told of no broker
			return nil
		}
		embedded, err := nats.StartServer(nats.ServerConfig{Dir: s.dir.NATS(), MaxPayload: int(c.MaxPayload), Logger: s.log})
		if err != nil {
			return err
		}
		s.life.closes("embedded nats", embedded)
		cfg.Server = embedded
		s.health.Add("nats_writing", func(context.Context) error { return embedded.Check() })
		s.health.Add("nats_syncing", func(context.Context) error { return embedded.CheckSync() })
	}
	broker, err := nats.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	s.broker = broker
	s.life.closes("nats connection", broker)
	s.health.Add("nats", s.checkBroker)
	return s.declareStreams(ctx)
}

func (s *server) declareStreams(ctx context.Context) error {
	if s.opts.outside && s.opts.has(stageQuery) {
		return nil // it only asks how much is waiting
	}
	limits := streamLimits(s.cfg)
	limits.AckWait = s.ackWait()
	return s.broker.Declare(ctx, limits)
}

// outsideBroker is how to connect to the server of the configured URL.
func outsideBroker(cfg *config.Config) nats.Config {
	c := cfg.NATS
	return nats.Config{
		URL: c.URL.Reveal(), CredsFile: c.CredsFile, User: c.User, Password: c.Password.Reveal(),
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile,
	}
}

// streamLimits are the configured sizes of the streams.
func streamLimits(cfg *config.Config) nats.Limits {
	return nats.Limits{
		Replicas:    cfg.NATS.Replicas,
		LogsBytes:   int64(cfg.NATS.LogsBytes),
		DeadBytes:   int64(cfg.NATS.DeadBytes),
		AlertsBytes: int64(cfg.NATS.AlertsBytes),
	}
}

// ackWait is after how long what a dead reader held comes again. With a broker
// of our own there is no other reader, and a start after a crash waits for it;
// 0 is the default for outside ones.
func (s *server) ackWait() time.Duration {
	if s.cfg.NATS.URL == "" {
		return s.pace.or("ack", 5*time.Second)
	}
	return s.pace["ack"]
}

func (s *server) checkBroker(context.Context) error {
	if !s.broker.Connected() {
		return errors.New("not connected")
	}
	return nil
}

func (s *server) applyConfig(context.Context) error {
	if s.opts.has(stageIngest) && len(s.cfg.Tenants) == 0 {
		s.log.Warn("no tenants are configured: every delivery is refused until there is one")
	}
	return s.applyReloadable(s.cfg)
}

// watchConfig applies changes of the configuration's files.
func (s *server) watchConfig(context.Context) error {
	if len(s.cfg.Files(s.origin.File)) == 0 && len(s.cfg.Rules.Dirs) == 0 {
		return nil
	}
	r := newReloader(s.origin, s.cfg, s.log, func(c *config.Config) {
		if err := s.applyReloadable(c); err != nil {
			s.log.Error("apply changed configuration", "error", err)
		}
	})
	if s.rules != nil {
		r.watchRules(s.rules.next, s.rulesSeen)
	}
	s.life.run("configuration watch", r.Run)
	return nil
}

// applyReloadable puts into force what may change without a restart.
func (s *server) applyReloadable(c *config.Config) error {
	secrets := map[string]ingest.TenantSecrets{}
	for _, t := range c.Tenants {
		secrets[t.Name] = ingest.TenantSecrets{Stream: config.Reveal(t.Secrets), Custom: config.Reveal(t.CustomSecrets)}
	}
	s.tenants.Store(secrets)
	managed := slices.Sorted(maps.Keys(pullable(c.Tenants)))
	s.managed.Store(&managed)
	s.configured.Store(&c.Tenants)
	tokens, err := s.apiTokens(c)
	if err != nil {
		return err
	}
	s.tokens.Replace(tokens)
	s.proxies.Replace(config.Prefixes(c.TrustedProxies))
	s.allow.Replace(config.Prefixes(c.Ingest.Allow))
	s.pulls.replace(c.Tenants)
	return nil
}

// firstToken makes the data directory's token where there is none. It comes
// last in a start: one that fails must not have shown a token that no later
// start shows again.
func (s *server) firstToken(context.Context) error {
	if len(s.cfg.API.Tokens) > 0 {
		return nil
	}
	if s.dir == nil || !s.opts.has(stageQuery) {
		s.log.Warn("no api.tokens are configured: /metrics refuses everybody")
		return nil
	}
	_, made, err := s.dir.APIToken()
	if err != nil {
		return err
	}
	if made != "" {
		fmt.Fprintf(s.inv.stderr, "API token, shown this once and kept as a hash: %s\n", made)
	}
	return s.applyReloadable(s.cfg)
}

// apiTokens are the configured ones, or else the one of the data directory,
// where it has one already.
func (s *server) apiTokens(c *config.Config) ([]httpserver.Token, error) {
	var tokens []httpserver.Token
	for _, t := range c.API.Tokens {
		tokens = append(tokens, httpserver.NewToken(t.Name, t.Token.Reveal()))
	}
	if len(tokens) > 0 || s.dir == nil || !s.opts.has(stageQuery) {
		return tokens, nil
	}
	hash, ok, err := s.dir.APITokenHash()
	if err != nil || !ok {
		return nil, err
	}
	return []httpserver.Token{{Name: "first", Hash: hash}}, nil
}
