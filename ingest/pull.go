package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Puller brings a tenant's logs in by way of its Management API.
//
//  1. a page of logs is read behind the cursor
//  2. it is published as a request's body is; that returns when it is on disk
//  3. the cursor is moved behind it, on disk
//
// A crash between 2 and 3 has the page published again, which changes nothing.
type Puller struct {
	cfg PullConfig

	// What follows is Run's own.
	state    schemas.PullState
	revision uint64 // of the state that was saved last
	saved    time.Time
	looked   time.Time // when live logs were read last
	failures int       // in a row
}

// NewPuller makes a Puller.
func NewPuller(cfg PullConfig) (*Puller, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	return &Puller{cfg: cfg}, nil
}

// Run pulls until ctx ends, or what Closing asks for is there. It returns no error.
func (p *Puller) Run(ctx context.Context) error {
	defer p.cfg.Metrics.forget(p.cfg.Tenant)
	for {
		held, _, release, err := p.cfg.Lease.Acquire(ctx, 0)
		if err != nil {
			return nil // ctx has ended
		}
		closed := p.hold(held)
		release()
		if closed {
			return nil
		}
	}
}

// hold pulls while the lease is held, and reports whether that has come to its end.
func (p *Puller) hold(ctx context.Context) (closed bool) {
	defer p.cfg.Metrics.forget(p.cfg.Tenant)
	p.revision, p.state, p.failures = 0, schemas.PullState{}, 0
	loaded := false
	for ctx.Err() == nil {
		var wait time.Duration
		var err error
		if !loaded {
			err = p.load(ctx)
			loaded = err == nil
		}
		if loaded {
			if p.cfg.Closing && p.isClosed() {
				return true
			}
			wait, err = p.turn(ctx)
		}
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, schemas.ErrCursorMoved) { // another's, or our own whose answer was lost
			loaded, wait, err = false, p.cfg.Pace, nil
		} else if err != nil {
			wait = p.failed(ctx, err)
		} else {
			p.succeeded(ctx)
		}
		p.cfg.Metrics.tell(p.cfg.Tenant, &p.state, err != nil)
		pause(ctx, wait)
	}
	return false
}

// load reads how far the tenant has been pulled.
func (p *Puller) load(ctx context.Context) error {
	raw, revision, err := p.cfg.Cursors.Load(ctx, p.cfg.Tenant)
	if err != nil {
		return notStored(err)
	}
	p.revision, p.state = revision, schemas.PullState{}
	if revision > 0 {
		if err := json.Unmarshal(raw, &p.state); err != nil {
			p.cfg.Logger.Error("the cursor cannot be read, the tenant is pulled from its oldest log", "error", err)
			p.state = schemas.PullState{}
		}
	}
	return nil
}

// turn reads one page, and says after how long to read the next.
func (p *Puller) turn(ctx context.Context) (time.Duration, error) {
	if p.state.Domain != p.cfg.Domain {
		return p.cfg.Pace, p.begin(ctx)
	}
	if !p.cfg.Live {
		return p.turnUnfollowed(ctx)
	}
	now := p.cfg.Now()
	due := p.cfg.Interval - now.Sub(p.looked)
	switch {
	case due > 0 && len(p.state.Spans) > 0:
		return p.cfg.Pace, p.pullSpan(ctx)
	case due > 0:
		return due, nil
	case now.Sub(p.state.At) > p.cfg.Gap:
		return p.cfg.Pace, p.reopen(ctx)
	}
	more, err := p.pullLive(ctx)
	if err == nil && !more {
		p.looked = now
	}
	return p.cfg.Pace, err
}

// begin opens a tenant that is new: what is there is history, what comes is live.
func (p *Puller) begin(ctx context.Context) error {
	now := p.cfg.Now().UTC()
	newest, err := p.cfg.Logs.NewestLog(ctx)
	if err != nil {
		return fmt.Errorf("look for the newest log: %w", err)
	}
	state := schemas.PullState{Domain: p.cfg.Domain, At: now, Live: newest, Newest: newest}
	if newest == "" {
		state.Imported = now
	} else {
		state.Spans = []schemas.PullSpan{{Source: schemas.SourceImport, Until: newest, At: now}}
	}
	if err := p.save(ctx, &state); err != nil {
		return err
	}
	p.cfg.At("pull_begun")
	p.cfg.Logger.Info("the tenant is new: what Auth0 still keeps of its logs is imported", "live", p.cfg.Live)
	return nil
}

// reopen goes on after a gap: what is behind is repaired, what comes is live.
func (p *Puller) reopen(ctx context.Context) error {
	state := p.state
	state.Again = time.Time{} // it is followed again
	behind, err := p.repair(ctx, &state)
	if err != nil {
		return err
	}
	since := p.state.At
	if err := p.save(ctx, &state); err != nil {
		return err
	}
	if behind {
		p.cfg.Logger.Warn("live logs were not read for a while: what came meanwhile is brought in as a repair", "since", since)
	}
	return nil
}

// repair gives a state the span of what has come since it was live, and reports
// whether anything has.
func (p *Puller) repair(ctx context.Context, state *schemas.PullState) (behind bool, err error) {
	now := p.cfg.Now().UTC()
	newest, err := p.cfg.Logs.NewestLog(ctx)
	if err != nil {
		return false, fmt.Errorf("look for the newest log: %w", err)
	}
	since := state.At
	state.At = now
	if newest <= state.Newest {
		return false, nil
	}
	state.Spans = append(slices.Clip(state.Spans), schemas.PullSpan{Source: schemas.SourceRepair, From: state.Live, Until: newest, At: since})
	state.Live, state.Newest = newest, newest
	return true, nil
}

// pullLive brings in a page of live logs, and reports whether there may be more.
func (p *Puller) pullLive(ctx context.Context) (more bool, err error) {
	now := p.cfg.Now().UTC()
	logs, next, err := p.cfg.Logs.Logs(ctx, p.state.Live)
	if err != nil {
		return false, fmt.Errorf("read the logs: %w", err)
	}
	state := p.state
	state.Live = next
	if len(logs) < pageFull {
		state.At = now
	}
	if len(logs) > 0 {
		state.Newest = max(state.Newest, logIDOf(logs[len(logs)-1]))
		if err := p.publish(ctx, schemas.SourcePull, logs); err != nil {
			return false, err
		}
	} else if now.Sub(p.saved) < noteEvery {
		p.state.At = state.At
		return false, nil
	}
	if err := p.save(ctx, &state); err != nil {
		return false, err
	}
	p.cfg.At("pull_noted")
	return len(logs) >= pageFull, nil
}

const (
	// pageFull is what a page holds where there may be more.
	pageFull = 100
	// noteEvery is how often is noted that nothing has come: a start must know how
	// long there was none to look.
	noteEvery = time.Minute
)

// pullSpan brings in a page of what is still missing.
func (p *Puller) pullSpan(ctx context.Context) error {
	state := p.state
	last := len(state.Spans) - 1
	state.Spans = slices.Clone(state.Spans)
	span := &state.Spans[last]
	logs, next, err := p.cfg.Logs.Logs(ctx, span.From)
	if err != nil {
		return fmt.Errorf("read the logs: %w", err)
	}
	now := p.cfg.Now().UTC()
	state.Missing = p.missing(span, logs)
	wanted := upTo(logs, span.Until)
	done := len(wanted) < len(logs) || len(logs) == 0 || logIDOf(logs[len(logs)-1]) >= span.Until
	if wanted = p.kept(wanted); len(wanted) > 0 {
		if err := p.publish(ctx, span.Source, wanted); err != nil {
			return err
		}
	}
	span.From, span.At = next, now
	if done {
		if span.Source == schemas.SourceImport {
			state.Imported = now
		}
		state.Spans = state.Spans[:last]
	}
	if err := p.save(ctx, &state); err != nil {
		return err
	}
	p.cfg.At("pull_noted")
	if done {
		p.cfg.Logger.Info("all that was missing is there", "source", span.Source.String(), "left", len(state.Spans))
	}
	return nil
}

// upTo leaves out the logs behind the last that is wanted.
func upTo(logs []json.RawMessage, until string) []json.RawMessage {
	for i, raw := range logs {
		if logIDOf(raw) > until {
			return logs[:i]
		}
	}
	return logs
}

// kept leaves out what the store would refuse as too old: it would all go to DEAD.
func (p *Puller) kept(logs []json.RawMessage) (kept []json.RawMessage) {
	if p.cfg.Retention <= 0 {
		return logs
	}
	edge := p.cfg.Now().Add(edgeMargin - p.cfg.Retention)
	for _, raw := range logs {
		if at, ok := schemas.LogIDTime(logIDOf(raw)); !ok || at.After(edge) {
			kept = append(kept, raw)
		}
	}
	return kept
}

// edgeMargin is how much younger than the store's retention a log must be: its date
// is some seconds before the time in its log_id, and it has to get to the store.
const edgeMargin = 10 * time.Minute

// logIDOf reads the log_id of a log, "" where it has none.
func logIDOf(raw []byte) string {
	var log struct {
		LogID string `json:"log_id"`
		ID    string `json:"_id"`
	}
	if json.Unmarshal(raw, &log) == nil && log.LogID == "" {
		return log.ID
	}
	return log.LogID
}

const (
	// shortestRetention is that of Auth0's smallest plan.
	shortestRetention = 24 * time.Hour
	// quiet is how long a tenant may log nothing without that being suspicious.
	quiet = 10 * time.Minute
	// missingKept is how many stretches are remembered.
	missingKept = 10
)

// missing tells what Auth0 may not have had any more where a span goes on after
// longer than its shortest retention. Within that all is there that came meanwhile.
func (p *Puller) missing(span *schemas.PullSpan, logs []json.RawMessage) []schemas.PullMissing {
	from, ok := schemas.LogIDTime(span.From)
	if !ok || len(logs) == 0 || p.cfg.Now().Sub(span.At) < shortestRetention {
		return p.state.Missing
	}
	to, ok := schemas.LogIDTime(logIDOf(logs[0]))
	if !ok || to.Sub(from) < quiet {
		return p.state.Missing
	}
	p.cfg.Logger.Warn("logs may be lost: Auth0 has none of this stretch; it keeps them for 1 to 30 days, by the tenant's plan", "from", from, "to", to)
	list := append(slices.Clip(p.state.Missing), schemas.PullMissing{From: from, To: to})
	return list[max(0, len(list)-missingKept):]
}

// publish makes logs durable, the way that a request's are.
func (p *Puller) publish(ctx context.Context, source schemas.Source, logs []json.RawMessage) error {
	got, err := p.cfg.Ingest.takePulled(ctx, p.cfg.Tenant, source, logs)
	if err != nil {
		return notStored(fmt.Errorf("publish logs: %w", err))
	}
	p.cfg.At("pull_published")
	p.cfg.Metrics.pages.WithLabelValues(p.cfg.Tenant).Inc()
	if got.Dead > 0 {
		p.cfg.Logger.Warn("records went to DEAD", "source", source.String(), "dead", got.Dead, "accepted", got.Accepted)
	}
	return nil
}

// save makes a state durable, and the one that is gone on from.
func (p *Puller) save(ctx context.Context, state *schemas.PullState) error {
	state.Reason, state.Error, state.Since = "", "", time.Time{}
	state.Followed = p.cfg.Live
	return p.write(ctx, state)
}

func (p *Puller) write(ctx context.Context, state *schemas.PullState) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("save the cursor: %w", err)
	}
	revision, err := p.cfg.Cursors.Save(ctx, p.cfg.Tenant, raw, p.revision)
	if err != nil {
		return notStored(err)
	}
	p.state, p.revision, p.saved = *state, revision, p.cfg.Now()
	return nil
}

func notStored(err error) error { return &PullError{Reason: schemas.PullReasonNotStored, Err: err} }

// failed tells an error where it is another than the last, and says for how long to
// wait.
func (p *Puller) failed(ctx context.Context, err error) time.Duration {
	reason := schemas.PullReasonUnreachable
	if e, ok := errors.AsType[*PullError](err); ok {
		reason = e.Reason
	}
	p.cfg.Metrics.errors.WithLabelValues(p.cfg.Tenant, reason).Inc()
	if p.state.Reason != reason {
		p.cfg.Logger.Error("logs are not pulled", "reason", reason, "error", err)
		state := p.state
		state.Reason, state.Error, state.Since = reason, err.Error(), p.cfg.Now().UTC()
		if reason != schemas.PullReasonNotStored {
			_ = p.write(ctx, &state) // it is for people to see; what it fails by is told above
		}
		p.state.Reason, p.state.Error, p.state.Since = state.Reason, state.Error, state.Since
	}
	p.failures++
	return min(p.cfg.Pace<<min(p.failures, 20), p.cfg.LongestWait)
}

// succeeded tells that an error is over.
func (p *Puller) succeeded(ctx context.Context) {
	if p.failures == 0 {
		return
	}
	p.failures = 0
	p.cfg.Logger.Info("logs are pulled again")
	if p.state.Reason != "" {
		state := p.state
		_ = p.save(ctx, &state) // it is for people to see
	}
}

// pause waits d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
