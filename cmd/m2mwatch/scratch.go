package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// scratchTenant is the name of the tenant in a scratch store.
const scratchTenant = "scratch"

// scratch is a pipeline with a store of its own in a temporary folder, which goes
// with it. Nothing of it is reached from outside this machine.
type scratch struct {
	dir    string
	server *server
	client *apiclient.Client
}

// openScratch starts one. What it was started with is to be closed, whatever the
// error.
func openScratch(ctx context.Context, inv *invocation) (s *scratch, err error) {
	sweepScratch(time.Now())
	s = &scratch{}
	if s.dir, err = os.MkdirTemp("", scratchPrefix+"*"); err != nil {
		return s, fmt.Errorf("make a scratch store: %w", err)
	}
	token := rand.Text()
	flags := map[string]any{
		"data": filepath.Join(s.dir, "data"), "listen": "127.0.0.1:0", "log.level": "error", "store.retention": "0",
		"tenants": []any{map[string]any{"name": scratchTenant, "secrets": []any{rand.Text()}}},
		"api":     map[string]any{"tokens": []any{map[string]any{"name": "scratch", "token": token}}},
	}
	// Nothing of the environment: it must not reach a broker, a store or a receiver
	// that is not its own.
	for _, name := range []string{"M2MWATCH_ENGINE_LIBRARY", "M2MWATCH_CLICKHOUSE_LIBRARY"} {
		if library := lookup(inv.environ, name); library != "" {
			flags["clickhouse.library"] = library
		}
	}
	origin := config.Origin{Flags: flags}
	cfg, err := config.Load(origin)
	if err != nil {
		return s, err
	}
	quiet := &invocation{name: inv.name, stdout: inv.stderr, stderr: inv.stderr}
	if s.server, err = newServer(quiet, cfg, origin, serveOptions{
		stages: []stage{stageIngest, stageProcess, stageQuery}, purpose: datadir.Demo,
	}); err != nil {
		return s, err
	}
	if err := s.server.start(ctx); err != nil {
		return s, fmt.Errorf("start a scratch store: %w", err)
	}
	s.client, err = apiclient.New(apiclient.Config{Socket: s.server.dir.Socket(), DataDir: s.server.dir.Path()})
	return s, err
}

// Close stops it and removes all of it.
func (s *scratch) Close() error {
	if s.client != nil {
		_ = s.client.Close()
	}
	if s.server != nil {
		s.server.stop()
	}
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the scratch store: %w", err)
	}
	return nil
}

const (
	scratchPrefix = "m2mwatch-scratch-"
	// scratchYoung is how old one must be to be swept: it may not have its lock yet.
	scratchYoung = time.Minute
)

// sweepScratch removes those of runs that were killed: they hold a tenant's logs.
// One that is in use is locked.
func sweepScratch(now time.Time) {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), scratchPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || now.Sub(info.ModTime()) < scratchYoung {
			continue
		}
		data, err := datadir.Open(filepath.Join(dir, "data"), datadir.Demo)
		if err != nil {
			continue // in use, or another user's
		}
		_ = data.Close()
		_ = os.RemoveAll(dir) // else the next run does
	}
}

// send takes logs in, as an import.
func (s *scratch) send(ctx context.Context, logs []json.RawMessage) (schemas.Accepted, error) {
	return sendChunk(ctx, s.client, scratchTenant, arrayOf(logs))
}

// alive is ctx until the store ends by itself.
func (s *scratch) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.server.life.failed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// failure is an error, or why the store has ended by itself.
func (s *scratch) failure(err error) error {
	select {
	case <-s.server.life.failed:
		return fmt.Errorf("the scratch store has ended: %w", s.server.life.err)
	default:
		return err
	}
}

// stored waits until all that was sent can be asked for.
func (s *scratch) stored(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		status, err := s.client.Status(ctx)
		return err == nil && status.Pending != nil && *status.Pending == 0, err
	})
}
