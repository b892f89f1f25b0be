package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EngineConfig says how to run the embedded engine.
type EngineConfig struct {
	// Dir is the engine's own folder, made where it is missing. One engine at a
	// time may have it: the caller's lock on the data directory sees to that.
	Dir string
	// Library is the engine library, as FindLibrary returns it.
	Library string
	// Executable is started again as the child, with EngineCommand as its first
	// argument; its main has to hand that to EngineMain. Default: this one.
	Executable string
	// MemoryLimit bounds what the engine takes, in bytes: 2 GiB by default. A
	// query over it fails, and so do inserts while queries hold it.
	MemoryLimit int64
	// StartTimeout bounds each start, 60 s by default: a large store has many
	// parts to look at.
	StartTimeout time.Duration
	// PredecessorTimeout bounds the wait for an engine that still has the
	// folder, 10 s by default: the child of a process that was killed.
	PredecessorTimeout time.Duration
	// Logger is told of deaths and restarts. Default: none.
	Logger *slog.Logger
	// Registerer takes the engine's metrics. Default: none.
	Registerer prometheus.Registerer
	// Now is the clock that back-off reads. Default: time.Now.
	Now func() time.Time
}

// withDefaults fills in what is left open.
func (c EngineConfig) withDefaults() (EngineConfig, error) {
	if c.Executable == "" {
		path, err := os.Executable()
		if err != nil {
			return c, fmt.Errorf("find the own executable: %w", err)
		}
		c.Executable = path
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = 2 << 30
	}
	if c.PredecessorTimeout == 0 {
		c.PredecessorTimeout = 10 * time.Second
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, path := range []*string{&c.Dir, &c.Library, &c.Executable} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return c, fmt.Errorf("start the ClickHouse engine: %w", err)
		}
		*path = abs
	}
	return c, nil
}

// Engine is a ClickHouse server of our own: a child process that listens on a
// loopback port. Whoever started it closes it. It is restarted when it dies, on
// the same port and with the same passwords, so that connections heal.
type Engine struct {
	config    EngineConfig
	layout    layout
	passwords map[Role]string
	port      int
	restarts  prometheus.Counter

	stop context.CancelFunc // ends the supervision, and the child with it
	done chan struct{}      // closed when both have ended

	mu    sync.Mutex // guards child
	child *child
}

// StartEngine starts the child and returns when it answers. ctx bounds the
// start alone; Close ends the engine. A child that died at its start is an
// error with what it last said.
func StartEngine(ctx context.Context, c EngineConfig) (*Engine, error) {
	e, err := newEngine(c)
	if err != nil {
		return nil, err
	}
	if err := e.startBehindPredecessor(ctx); err != nil {
		return nil, err
	}
	if e.config.Registerer != nil {
		e.config.Registerer.MustRegister(e.restarts)
	}
	var supervised context.Context
	supervised, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	go e.supervise(supervised)
	return e, nil
}

// newEngine starts nothing yet.
func newEngine(c EngineConfig) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Engine{
		config: c, layout: layout{c.Dir}, done: make(chan struct{}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "m2mwatch_clickhouse_engine_restarts_total",
			Help: "Times the embedded ClickHouse died and was started again.",
		}),
	}, nil
}

// startBehindPredecessor waits for the engine of a process that was killed a
// moment ago: it ends by itself, but not before its parent.
func (e *Engine) startBehindPredecessor(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, e.config.PredecessorTimeout)
	defer cancel()
	for {
		err := e.startOnFreePort(ctx)
		if !errors.Is(err, errFolderInUse) {
			return err
		}
		select {
		case <-waiting.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// startOnFreePort tries a few ports: between our look and the child's listen
// another process may take the one we chose. It has then been told a password,
// so each try has passwords of its own.
func (e *Engine) startOnFreePort(ctx context.Context) error {
	var err error
	for range 3 {
		if e.port, err = freePort(); err != nil {
			return err
		}
		if err = e.prepare(); err != nil {
			return err
		}
		if err = e.start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// prepare makes passwords, and the files that the child reads.
func (e *Engine) prepare() error {
	e.passwords = newPasswords()
	return e.layout.write(e.config.MemoryLimit, e.passwords)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choose a loopback port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start runs a child and waits until it answers.
func (e *Engine) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.config.StartTimeout)
	defer cancel()
	c, err := startChild(e.config.Executable, e.layout.dir, engineArgs(e.config.Library, e.layout, e.port))
	if err != nil {
		return err
	}
	if err := e.awaitReady(ctx, c); err != nil {
		c.close()
		return err
	}
	if said := c.warnings(); said != "" {
		e.config.Logger.Warn("the ClickHouse engine started with a warning", "said", said)
	}
	e.mu.Lock()
	e.child = c
	e.mu.Unlock()
	return nil
}

// awaitReady asks until the child answers as a server does, dies, or time is up.
func (e *Engine) awaitReady(ctx context.Context, c *child) error {
	db, err := e.probe()
	if err != nil {
		return err
	}
	defer db.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		last := db.Ping(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-c.gone:
			return c.deathError()
		case <-ctx.Done():
			return fmt.Errorf("start the ClickHouse engine: no answer in time: %w; it last said: %s", last, c.said())
		case <-tick.C:
		}
	}
}

// probe connects to a database that is always there.
func (e *Engine) probe() (*DB, error) {
	c := e.Options(RoleApp)
	c.Database = "system"
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	return open(o)
}

// Options is how to connect as a role, to DefaultDatabase unless Database of it
// is set. It stays valid over restarts, for as long as the Engine lives.
func (e *Engine) Options(role Role) Config {
	return Config{URL: fmt.Sprintf("clickhouse://%s:%s@127.0.0.1:%d", role, e.passwords[role], e.port)}
}

// PID is the child's process id; after a death, the last one's until the next
// has started.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.child.pid()
}

// Close stops the child and returns when it is gone, within a moment: every
// insert that was answered is on disk, so there is nothing to wait for. Close
// the connections first; queries under way end with an error. It may be called
// again.
func (e *Engine) Close() error {
	e.stop()
	<-e.done
	if e.config.Registerer != nil {
		e.config.Registerer.Unregister(e.restarts)
	}
	return nil
}
