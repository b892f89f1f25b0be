package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/config"
)

// watchers are the clients by which the server itself asks tenants: one each, so
// that all that it asks shares a token and a wait.
type watchers struct {
	cacheDir string // of tokens; "": memory

	mu      sync.Mutex
	clients map[string]watcher // by the tenant's name
}

// watcher is a client, and what it was made for.
type watcher struct {
	domain     string
	management config.Management
	client     *auth0.Client
}

// client returns the one of a tenant, made anew where its settings have changed. It
// refuses tokens that may do more than read, unless the tenant allows them.
func (w *watchers) client(t config.Tenant) (*auth0.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if has, ok := w.clients[t.Name]; ok && has.domain == t.Domain && has.management == t.Management {
		return has.client, nil
	}
	client, err := w.connect(t)
	if err != nil {
		return nil, fmt.Errorf("tenant %s: management: %w", t.Name, err)
	}
	if w.clients == nil {
		w.clients = map[string]watcher{}
	}
	w.clients[t.Name] = watcher{t.Domain, t.Management, client}
	return client, nil
}

func (w *watchers) connect(t config.Tenant) (*auth0.Client, error) {
	m := t.Management
	c := auth0.Config{
		Domain: t.Domain, Audience: m.Audience, CacheDir: w.cacheDir,
		Credentials: auth0.Credentials{ClientID: m.ClientID, ClientSecret: m.ClientSecret.Reveal()},
	}
	if m.PrivateKey != "" {
		key, err := parsePrivateKey([]byte(m.PrivateKey.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		c.Credentials.PrivateKey = key
	}
	if !m.AllowWrite {
		c.Accept = auth0.ReadOnly
	}
	return auth0.New(c)
}

// watcherLimit bounds how long a start waits for tenants that do not answer.
const watcherLimit = 10 * time.Second

const giveReadScopes = "give the server an application of its own with read: scopes alone, or set management.allow_write"

// openWatchers refuses to start with an application that may change a tenant or
// read its secrets: a watcher must not be what is worth breaking into. One that
// cannot be asked now is told, and its tokens are judged when they come.
func (s *server) openWatchers(ctx context.Context) error {
	if s.dir != nil {
		s.watchers.cacheDir = filepath.Join(s.dir.Path(), "tokens")
	}
	if !s.opts.has(stageIngest) && !s.opts.has(stageProcess) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, watcherLimit)
	defer cancel()
	errs := make([]error, len(s.cfg.Tenants))
	var all sync.WaitGroup
	for i, t := range s.cfg.Tenants {
		if t.Managed() {
			all.Go(func() { errs[i] = s.checkWatcher(ctx, t) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *server) checkWatcher(ctx context.Context, t config.Tenant) error {
	client, err := s.watchers.client(t)
	if err != nil {
		return err
	}
	_, err = client.Scopes(ctx)
	switch {
	case errors.Is(err, auth0.ErrNotReadOnly):
		return fmt.Errorf("tenant %s: %w; %s", t.Name, err, giveReadScopes)
	case err != nil:
		s.log.Warn("the tenant's Management API cannot be asked now", "tenant", t.Name, "error", err)
	}
	return nil
}
