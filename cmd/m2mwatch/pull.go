package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/ingest"
	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/nats"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// pulls are the pullers of this process, one for each tenant that has an
// application to follow it by.
type pulls struct {
	server  *server
	ingest  *ingest.Ingest
	metrics *ingest.PullMetrics
	cursors *nats.Cursors

	mu      sync.Mutex // guards running
	running map[string]*runningPull
}

// pullKey is what a puller is made for; where it changes another is made.
type pullKey struct {
	domain     string
	management config.Management
	live       bool
}

type runningPull struct {
	key  pullKey
	stop func() // returns when it has stopped
}

// startPulls starts the pullers, where this process takes logs in.
func (s *server) startPulls(in *ingest.Ingest) {
	if in == nil {
		return
	}
	s.pulls = &pulls{
		server: s, ingest: in, metrics: ingest.NewPullMetrics(s.registry), cursors: nats.NewCursors(s.broker), running: map[string]*runningPull{},
	}
	s.pulls.replace(s.cfg.Tenants)
	s.life.run("pull", func(ctx context.Context) error {
		<-ctx.Done()
		s.pulls.close()
		return nil
	})
}

// replace stops pullers of tenants that have changed or gone, and starts those
// that are missing. A tenant whose log stream delivers has its history imported by
// one, unless it is never to be pulled: that has what is open closed by one that was.
// One that cannot be made anew, as its key is broken, goes on as it was.
func (p *pulls) replace(tenants []config.Tenant) {
	if p == nil { // before the listeners, or without any
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return // closed
	}
	wanted := managed(tenants)
	for name, r := range p.running {
		if _, ok := wanted[name]; !ok {
			r.stop()
			delete(p.running, name)
		}
	}
	for name, t := range wanted {
		if r := p.running[name]; r == nil || keyOf(t) != r.key {
			p.renew(t)
		}
	}
}

// renew puts a new puller in the place of a tenant's old one, if there is one.
func (p *pulls) renew(t config.Tenant) {
	old := p.running[t.Name]
	puller, err := p.puller(t)
	switch {
	case err != nil && old != nil:
		p.server.log.Error("a tenant is pulled as it was before: its changed settings are of no use", "tenant", t.Name, "error", err)
		return
	case err != nil:
		p.server.log.Error("a tenant is not pulled", "tenant", t.Name, "error", err)
		return
	case old != nil:
		old.stop()
	}
	p.running[t.Name] = startPull(puller, keyOf(t))
}

func keyOf(t config.Tenant) pullKey { return pullKey{t.Domain, t.Management, t.Pulled()} }

func (p *pulls) puller(t config.Tenant) (*ingest.Puller, error) {
	s := p.server
	client, err := s.watchers.client(t)
	if err != nil {
		return nil, err
	}
	return ingest.NewPuller(ingest.PullConfig{
		Tenant: t.Name, Domain: t.Domain, Live: t.Pulled(), Closing: t.Management.Pull == config.PullNever,
		Ingest: p.ingest, Logs: pulledLogs{client}, Cursors: p.cursors,
		Lease: s.lease("pull." + t.Name), Metrics: p.metrics, Logger: s.log, At: s.at("ingest."),
		Retention: retention(s.cfg).Of("events"), Interval: s.pace["pull"], Pace: s.pace["page"], Gap: s.pace["gap"], LongestWait: s.pace["pull"],
	})
}

func startPull(puller *ingest.Puller, key pullKey) *runningPull {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = puller.Run(ctx) // it ends with ctx or when all is closed, without an error
	}()
	return &runningPull{key, func() {
		cancel()
		<-done
	}}
}

func (p *pulls) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all sync.WaitGroup
	for _, r := range p.running {
		all.Go(r.stop)
	}
	all.Wait()
	p.running = nil
}

// pulledLogs is an auth0.Client as a puller asks for it.
type pulledLogs struct{ client *auth0.Client }

// expired is how old a log_id must be for a refusal of it to mean that Auth0 does
// not keep it any more. No plan keeps logs for less.
const expired = 24 * time.Hour

// Logs implements ingest.LogSource.
func (l pulledLogs) Logs(ctx context.Context, from string) ([]json.RawMessage, string, error) {
	logs, next, err := l.client.Logs(ctx, from)
	if at, ok := schemas.LogIDTime(from); ok && time.Since(at) > expired && refusedID(err) {
		logs, next, err = l.client.Logs(ctx, "")
	}
	return logs, next, pullError(err)
}

// refusedID reports whether an error may be about the log_id of a call.
func refusedID(err error) bool {
	e, ok := errors.AsType[*auth0.APIError](err)
	return ok && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotFound || e.Status == http.StatusGone)
}

// NewestLog implements ingest.LogSource.
func (l pulledLogs) NewestLog(ctx context.Context) (string, error) {
	id, err := l.client.NewestLog(ctx)
	return id, pullError(err)
}

// pullError adds to an error of the adapter why logs cannot be read.
func pullError(err error) error {
	if err == nil {
		return nil
	}
	e, refused := errors.AsType[*auth0.APIError](err)
	reason := schemas.PullReasonUnreachable
	switch {
	case errors.Is(err, auth0.ErrNotReadOnly), refused && e.Status == http.StatusForbidden:
		reason = schemas.PullReasonScope
	case refused && e.Status == http.StatusUnauthorized:
		reason = schemas.PullReasonCredentials
	case refused && e.Status == http.StatusTooManyRequests:
		reason = schemas.PullReasonThrottled
	}
	return &ingest.PullError{Reason: reason, Err: err}
}

// pullStates are the states of the tenants that this process knows, or of all
// where it knows none: a stage that only answers questions has no tenants.
type pullStates struct {
	cursors *nats.Cursors
	tenants func() []string // nil for all
}

// All implements query.Pulls.
func (p pullStates) All(ctx context.Context) (map[string]schemas.PullState, error) {
	saved, err := p.saved(ctx)
	if err != nil {
		return nil, err
	}
	states := map[string]schemas.PullState{}
	for tenant, raw := range saved {
		var s schemas.PullState
		if json.Unmarshal(raw, &s) == nil { // else its puller begins anew
			states[tenant] = s
		}
	}
	return states, nil
}

func (p pullStates) saved(ctx context.Context) (map[string][]byte, error) {
	if p.tenants == nil {
		return p.cursors.All(ctx)
	}
	saved := map[string][]byte{}
	for _, tenant := range p.tenants() {
		state, revision, err := p.cursors.Load(ctx, tenant)
		if err != nil {
			return nil, err
		}
		if revision > 0 {
			saved[tenant] = state
		}
	}
	return saved, nil
}

// pullStates are what the status tells of.
func (s *server) pullStates() pullStates {
	states := pullStates{cursors: nats.NewCursors(s.broker)}
	if s.opts.has(stageIngest) || len(s.cfg.Tenants) > 0 {
		states.tenants = func() []string { return *s.managed.Load() }
	}
	return states
}

// managed are the tenants that have an application to follow them by.
func managed(tenants []config.Tenant) map[string]config.Tenant {
	all := map[string]config.Tenant{}
	for _, t := range tenants {
		if t.Managed() {
			all[t.Name] = t
		}
	}
	return all
}

// pullable are those of them that are not never to be pulled.
func pullable(tenants []config.Tenant) map[string]config.Tenant {
	wanted := managed(tenants)
	maps.DeleteFunc(wanted, func(_ string, t config.Tenant) bool { return t.Management.Pull == config.PullNever })
	return wanted
}
