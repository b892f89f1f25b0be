package nats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// EmbeddedVersion is the version of the server that StartServer runs.
const EmbeddedVersion = server.VERSION

const (
	defaultMaxPayload = 1 << 20
	serverStartWait   = 30 * time.Second
	serverReadyPoll   = 100 * time.Millisecond

	// jetStreamMemory is little: every stream declared here lies on disk.
	jetStreamMemory = 16 << 20
	// jetStreamStore is no limit. Each stream has its own, and together they
	// are the bound on the disk. A limit of the server beneath their sum would
	// refuse the very update that lowers one of them.
	jetStreamStore = 1 << 50
)

// ServerConfig configures the embedded server.
type ServerConfig struct {
	// Dir is where JetStream keeps its files. Required; made if it is missing.
	Dir string
	// MaxPayload is the largest message in bytes, headers included. Default 1 MiB,
	// at most 8 MiB.
	MaxPayload int
	// Logger receives the warnings and errors of the server. Default: none.
	Logger *slog.Logger
}

// Server is a JetStream server inside this process, without a network listener.
type Server struct {
	cfg    ServerConfig
	stop   context.CancelFunc // ends the healing
	healed chan struct{}      // closed when it has ended

	mu    sync.Mutex // guards inner, which restart alone sets
	inner *server.Server
}

// StartServer starts a server on the files in cfg.Dir and returns when it
// accepts connections. One process at a time may use a directory; the caller
// sees to that. A server that a full disk has broken is started again when there
// is room.
func StartServer(cfg ServerConfig) (*Server, error) {
	if cfg.Dir == "" {
		return nil, errors.New("start the embedded NATS server: no directory given")
	}
	if cfg.MaxPayload < 0 || cfg.MaxPayload > server.MAX_PAYLOAD_MAX_SIZE {
		return nil, fmt.Errorf("start the embedded NATS server: a largest message of %d bytes: want at most %d", cfg.MaxPayload, server.MAX_PAYLOAD_MAX_SIZE)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the embedded NATS server: %w", err)
	}
	if err := os.Remove(roomFile(cfg.Dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("start the embedded NATS server: %w", err)
	}
	inner, err := startInner(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, inner: inner, stop: stop, healed: make(chan struct{})}
	h := healer{
		ails: s.ails, room: func() bool { return roomIn(cfg.Dir) }, restart: s.restart, log: orDiscard(cfg.Logger),
	}
	go func() {
		defer close(s.healed)
		h.run(ctx)
	}()
	return s, nil
}

// startInner returns when the server is ready, or ctx has ended.
func startInner(ctx context.Context, cfg ServerConfig) (*server.Server, error) {
	inner, err := server.NewServer(serverOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	log := &serverLog{log: orDiscard(cfg.Logger)}
	inner.SetLoggerV2(log, false, false, false)
	inner.Start()
	if err := waitReady(ctx, inner, log); err != nil {
		inner.Shutdown()
		inner.WaitForShutdown()
		return nil, err
	}
	return inner, nil
}

func serverOptions(cfg ServerConfig) *server.Options {
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = defaultMaxPayload
	}
	return &server.Options{
		ServerName:             "m2mwatch",
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		MaxPayload:             int32(cfg.MaxPayload),
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               cfg.Dir,
		JetStreamMaxMemory:     jetStreamMemory,
		JetStreamMaxStore:      jetStreamStore,
		SyncAlways:             true,
	}
}

// waitReady waits for the server. Where JetStream cannot start, the server
// says so by its logger alone and Start returns.
func waitReady(ctx context.Context, inner *server.Server, log *serverLog) error {
	switch reason := log.reason(); {
	case reason != "":
		return fmt.Errorf("start the embedded NATS server: %s", reason)
	case !inner.JetStreamEnabled():
		return errors.New("start the embedded NATS server: JetStream is not enabled")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, serverStartWait, fmt.Errorf("not ready after %s", serverStartWait))
	defer cancel()
	for !inner.ReadyForConnections(serverReadyPoll) {
		if ctx.Err() != nil {
			return fmt.Errorf("start the embedded NATS server: %w", context.Cause(ctx))
		}
	}
	return nil
}

// InProcessConn makes a connection that leaves this process nowhere.
func (s *Server) InProcessConn() (net.Conn, error) { return s.current().InProcessConn() }

func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inner
}

// SyncAlways reports what the running server says about its own syncing: true
// where each write is synced to disk before it is acked.
func (s *Server) SyncAlways() (bool, error) {
	v, err := s.current().Varz(nil)
	if err != nil {
		return false, fmt.Errorf("read the state of the embedded NATS server: %w", err)
	}
	return v.JetStream.Config != nil && v.JetStream.Config.SyncAlways, nil
}

// CheckSync returns nil while the running server says that it syncs always.
func (s *Server) CheckSync() error {
	always, err := s.SyncAlways()
	if err == nil && !always {
		err = errors.New("the embedded NATS server does not sync each write")
	}
	return err
}

// Close stops the server and returns when its files are closed. It may be
// called more than once. Close the connections first: what they have not
// published by then is not stored.
func (s *Server) Close() error {
	s.stop()
	<-s.healed
	s.inner.Shutdown()
	s.inner.WaitForShutdown()
	return nil
}
