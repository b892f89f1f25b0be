// Package notify delivers alerts to people: one file per channel.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Source is the work queue of alerts: each message holds one schemas.Alert as
// JSON. internal/nats has the one for JetStream. A message that is neither
// acked nor nak'd comes again.
type Source interface {
	Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error)
}

// Deliveries records what became of each attempt. InsertDelivery returns nil
// only when the row is synced; a repeat makes a second row.
type Deliveries interface {
	InsertDelivery(ctx context.Context, d schemas.Delivery) error
}

// Channel is one way to reach people. Deliver returns nil when the receiver
// has confirmed. After any other error the same alert is delivered again, with
// the same id, unless the error wraps ErrGone: the receiver wants no more.
// It may be called concurrently, and must end when ctx does. Its errors hold
// no secret.
type Channel interface {
	Name() string
	Deliver(ctx context.Context, a schemas.Alert) error
}

// ErrGone is wrapped by a channel's error when trying again is no use.
var ErrGone = errors.New("the receiver is gone")

// Config is what a Notifier needs.
type Config struct {
	Source     Source
	Deliveries Deliveries
	// Channels each get every alert. With none, alerts are recorded as having
	// had no channel, and are done.
	Channels []Channel

	Logger     *slog.Logger          // nil is silent
	Registerer prometheus.Registerer // nil registers nothing
	Now        func() time.Time      // nil is time.Now
	// At is called behind each step, for tests that crash there: alert_sent,
	// delivery_recorded, alert_acked. nil does nothing.
	At func(point string)
}

// Notifier takes alerts from its source and delivers each to every channel, at
// least once.
type Notifier struct {
	cfg        Config
	deliveries *prometheus.CounterVec

	mu   sync.Mutex
	done map[string]fate // guarded by mu; by alert and channel, of alerts that are not acked
}

// fate is what became of an alert at a channel that will not get it again.
type fate struct {
	err      error // nil, or why it was given up
	attempt  uint64
	recorded bool
}

// New makes a Notifier. Its errors name what is missing or given twice.
func New(cfg Config) (*Notifier, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.At == nil {
		cfg.At = func(string) {}
	}
	n := &Notifier{cfg: cfg, done: map[string]fate{}}
	n.deliveries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "m2mwatch_notify_deliveries_total",
		Help: "Attempts to deliver an alert, by channel and outcome (ok, failed, gone, none, unreadable).",
	}, []string{"channel", "outcome"})
	if cfg.Registerer == nil {
		return n, nil
	}
	if err := cfg.Registerer.Register(n.deliveries); err != nil {
		return nil, fmt.Errorf("notify: metrics: %w", err)
	}
	return n, nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Source == nil {
		errs = append(errs, errors.New("notify: the source: want one"))
	}
	if c.Deliveries == nil {
		errs = append(errs, errors.New("notify: the record of deliveries: want one"))
	}
	names := map[string]bool{}
	for _, channel := range c.Channels {
		if names[channel.Name()] {
			errs = append(errs, fmt.Errorf("notify: channel %q: its name is taken", channel.Name()))
		}
		names[channel.Name()] = true
	}
	return errors.Join(errs...)
}

const (
	maxInFlight    = 8 // alerts at once: one slow receiver must not hold all others
	maxFetchBytes  = 1 << 20
	fetchWait      = 5 * time.Second
	progressEvery  = 10 * time.Second // well below the consumer's AckWait
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	finishWithin   = 5 * time.Second // for record and ack after the end of ctx
)

// Run delivers until ctx ends, and returns when nothing is in flight.
func (n *Notifier) Run(ctx context.Context) error {
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	free := make(chan struct{}, maxInFlight)
	failures := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case free <- struct{}{}:
		}
		msgs, err := n.cfg.Source.Fetch(ctx, 1, maxFetchBytes, fetchWait)
		if err != nil && ctx.Err() == nil {
			failures++
			n.fetchFailed(ctx, failures, err)
		} else {
			failures = 0
		}
		if len(msgs) == 0 {
			<-free
			continue
		}
		inFlight.Go(func() {
			defer func() { <-free }()
			for _, m := range msgs {
				n.handle(ctx, m)
			}
		})
	}
}

// fetchFailed logs the first of a row of failures and waits before the next.
func (n *Notifier) fetchFailed(ctx context.Context, failures uint64, err error) {
	if failures == 1 {
		n.cfg.Logger.ErrorContext(ctx, "fetch alerts", "error", err)
	}
	wait(ctx, backoff(failures))
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// backoff is 1 s after the first attempt, doubling to 5 minutes.
func backoff(attempt uint64) time.Duration {
	if attempt < 1 || attempt > 9 { // 1 s << 9 is past the longest
		return longestBackoff
	}
	return min(firstBackoff<<(attempt-1), longestBackoff)
}

// handle takes one alert through all channels. The steps, and what a crash
// behind each means:
//
//  1. send: the receiver has it, nobody knows. It is sent again with the same
//     id, which is the receiver's idempotency key.
//  2. record: the same, and the record has two rows.
//  3. ack: done.
func (n *Notifier) handle(ctx context.Context, m schemas.Message) {
	stop := n.keep(m)
	defer stop()
	var a schemas.Alert
	if err := json.Unmarshal(m.Data(), &a); err != nil || a.ID == "" {
		n.unreadable(ctx, m, err)
		return
	}
	retry := n.deliver(ctx, a, m.Attempt())
	switch {
	case ctx.Err() != nil && retry:
		_ = m.Nak(0) // another process may take it at once
	case retry:
		if err := m.Nak(backoff(m.Attempt())); err != nil {
			n.cfg.Logger.WarnContext(ctx, "put off an alert", "alert_id", a.ID, "error", err)
		}
	default:
		n.ack(ctx, m, a.ID)
	}
}

// keep says InProgress until it is stopped.
func (n *Notifier) keep(m schemas.Message) (stop func()) {
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		t := time.NewTicker(progressEvery)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				_ = m.InProgress() // if it is lost, the alert comes twice with one id
			}
		}
	})
	return func() { close(quit); done.Wait() }
}

// unreadable gives up a message that will never be an alert; its publisher is
// this program, so this is a bug or another version's.
func (n *Notifier) unreadable(ctx context.Context, m schemas.Message, err error) {
	n.cfg.Logger.ErrorContext(ctx, "read an alert: it is dropped", "error", err, "bytes", len(m.Data()))
	n.deliveries.WithLabelValues("", "unreadable").Inc()
	n.ack(ctx, m, "")
}

func (n *Notifier) ack(ctx context.Context, m schemas.Message, alertID string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if err := m.Ack(ctx); err != nil {
		n.cfg.Logger.WarnContext(ctx, "ack an alert: it will be sent again", "alert_id", alertID, "error", err)
		return
	}
	n.forget(alertID)
	n.cfg.At("alert_acked")
}

// deliver sends an alert to the channels that do not have it and reports
// whether it must come again.
func (n *Notifier) deliver(ctx context.Context, a schemas.Alert, attempt uint64) (retry bool) {
	if len(n.cfg.Channels) == 0 {
		n.deliveries.WithLabelValues("", "none").Inc()
		return !n.record(ctx, a, "", attempt, errors.New("no channel is configured"))
	}
	for _, c := range n.cfg.Channels {
		if !n.deliverTo(ctx, c, a, attempt) {
			retry = true
		}
	}
	return retry
}

// deliverTo reports whether the channel is done with the alert. What was sent
// and could not be recorded comes again to be recorded, not to be sent: while
// the store is away nobody is paged anew at each attempt.
func (n *Notifier) deliverTo(ctx context.Context, c Channel, a schemas.Alert, attempt uint64) bool {
	f, done := n.fate(a.ID, c.Name())
	if !done {
		err := n.send(ctx, c, a, attempt)
		if err != nil && ctx.Err() != nil {
			return false // the end of this process is no failure of the channel
		}
		if err != nil && !errors.Is(err, ErrGone) {
			n.record(ctx, a, c.Name(), attempt, err)
			return false
		}
		f = fate{err: err, attempt: attempt}
	}
	if !f.recorded {
		f.recorded = n.record(ctx, a, c.Name(), f.attempt, f.err)
	}
	n.remember(a.ID, c.Name(), f)
	return f.recorded
}

// send makes one attempt, and counts and logs how it ended.
func (n *Notifier) send(ctx context.Context, c Channel, a schemas.Alert, attempt uint64) error {
	err := c.Deliver(ctx, a)
	n.cfg.At("alert_sent")
	outcome := "ok"
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return err
	case errors.Is(err, ErrGone):
		outcome = "gone"
		n.cfg.Logger.ErrorContext(ctx, "deliver an alert: given up", "alert_id", a.ID, "channel", c.Name(), "error", err)
	default:
		outcome = "failed"
		n.cfg.Logger.WarnContext(ctx, "deliver an alert: it will be tried again", "alert_id", a.ID, "channel", c.Name(), "attempt", attempt, "error", err)
	}
	n.deliveries.WithLabelValues(c.Name(), outcome).Inc()
	return err
}

// record stores how an attempt ended and reports whether that went well. What
// could not be recorded is tried again: a delivery that nobody can see is not
// done.
func (n *Notifier) record(ctx context.Context, a schemas.Alert, channel string, attempt uint64, err error) bool {
	d := schemas.Delivery{AlertID: a.ID, Tenant: a.Finding.Tenant, Channel: channel, Time: n.cfg.Now().UTC(), Attempt: attempt, OK: err == nil}
	if err != nil {
		d.Error = err.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if err := n.cfg.Deliveries.InsertDelivery(ctx, d); err != nil {
		n.cfg.Logger.WarnContext(ctx, "record a delivery", "alert_id", a.ID, "channel", channel, "error", err)
		return false
	}
	n.cfg.At("delivery_recorded")
	return true
}

// maxRemembered bounds what is remembered of alerts that are not acked. What is
// forgotten is sent again with its id.
const maxRemembered = 10_000

func (n *Notifier) fate(alertID, channel string) (fate, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f, ok := n.done[memory(alertID, channel)]
	return f, ok
}

func (n *Notifier) remember(alertID, channel string, f fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.done) >= maxRemembered {
		clear(n.done)
	}
	n.done[memory(alertID, channel)] = f
}

func (n *Notifier) forget(alertID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.cfg.Channels {
		delete(n.done, memory(alertID, c.Name()))
	}
}

func memory(alertID, channel string) string { return fmt.Sprintf("%s %s", alertID, channel) }
