// Package notify delivers alerts to people: one file per channel.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Source is a work queue of alerts: each message holds one schemas.Alert as
// JSON. internal/nats has those for JetStream. A message that is neither acked
// nor nak'd comes again.
type Source interface {
	Fetch(ctx context.Context, maxMessages, maxBytes int, wait time.Duration) ([]schemas.Message, error)
}

// Outbox takes alerts into the queues of channels. Enqueue returns nil when the
// alert is on disk; a repeat soon after is stored once. It may be called
// concurrently.
type Outbox interface {
	Enqueue(ctx context.Context, channel string, a schemas.Alert) error
}

// Deliveries records what became of each attempt, and what was left to a summary:
// how many pages a channel had, and what it has yet to be told, is read from there
// alone, so that neither another process nor a crash counts anew. InsertDelivery
// returns nil only when the row is synced; a repeat makes a second row. Reads see
// every insert that has returned.
type Deliveries interface {
	InsertDelivery(ctx context.Context, d schemas.Delivery) error
	// Pages counts the pages that a channel has taken since a time, but for that of
	// one alert.
	Pages(ctx context.Context, channel, except string, since time.Time) (uint64, error)
	// Told says what became of the pages of a finding on a channel, and of its ends.
	Told(ctx context.Context, channel, tenant, findingID string) (schemas.Told, error)
	// Delivered reports whether a channel has taken an alert, or refused it.
	Delivered(ctx context.Context, channel, tenant, alertID string) (bool, error)
	// Summaries are those of windows that were over at a time, and that the channel
	// has neither taken nor refused.
	Summaries(ctx context.Context, channel string, at time.Time) ([]schemas.Summary, error)
}

// Channel is one way to reach people. Deliver returns nil when the receiver
// has confirmed. After any other error the same alert is delivered again, with
// the same id, unless the error wraps ErrRefused. How soon, and for how long,
// Unwelcome and Busy say. It must end when ctx does. Its errors hold no secret.
type Channel interface {
	Name() string
	Deliver(ctx context.Context, a schemas.Alert) error
}

// Lane is a channel with the queue of what is to be delivered to it. Its queue
// hands out one alert at a time, over all processes, and the others not before
// that one is acked: so a channel hears of a finding's changes in their order.
type Lane struct {
	Channel Channel
	Queue   Source
	// Burst is how many pages it gets within ten minutes. Of more it is told in one
	// summary at the end of the ten minutes. 0 is any number.
	Burst uint64
	// Digest has the channel get the digest of each week.
	Digest bool
}

// Config is what a Notifier needs.
type Config struct {
	Source     Source
	Deliveries Deliveries
	// Outbox has the queues of Lanes. It may be nil where there are none.
	Outbox Outbox
	// Lanes are the channels. With none, alerts are recorded as having had no
	// channel, and are done.
	Lanes []Lane
	// Routes say which alerts go to which channels; without any, all go to all.
	Routes []Route
	// Link tells where what an alert tells of can be looked at. nil is nowhere.
	Link func(schemas.Alert) string
	// Explain adds to a finding's evidence what is known when it is told: whose it
	// is, how to contain it. nil adds nothing.
	Explain func(context.Context, *schemas.Finding) error
	// Digest makes the digest of a week. nil has none sent.
	Digest func(ctx context.Context, from, to time.Time) (schemas.Digest, error)

	Logger     *slog.Logger          // nil is silent
	Registerer prometheus.Registerer // nil registers nothing
	Now        func() time.Time      // nil is time.Now
	// LookEvery is the wait between two looks for summaries and digests that are due. Default
	// 10 s.
	LookEvery time.Duration
	// At is called behind each step, for tests that crash there: alert_queued,
	// alert_routed, alert_sent, delivery_recorded, alert_acked, summary_queued,
	// digest_queued. nil does nothing.
	At func(point string)
}

// Notifier takes alerts from its source, and delivers each to the channels that
// its routes name, at least once. Each channel has a queue and a pace of its
// own.
type Notifier struct {
	cfg     Config
	metrics metrics
	router  *router
	lanes   []*lane
}

type metrics struct {
	deliveries *prometheus.CounterVec
	failing    *prometheus.GaugeVec
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
	if cfg.LookEvery <= 0 {
		cfg.LookEvery = 10 * time.Second
	}
	if cfg.At == nil {
		cfg.At = func(string) {}
	}
	n := &Notifier{cfg: cfg}
	if err := n.measure(); err != nil {
		return nil, err
	}
	n.router = &router{Notifier: n, routed: map[string]map[string]bool{}}
	for _, l := range cfg.Lanes {
		n.lanes = append(n.lanes, &lane{Notifier: n, Lane: l})
		n.metrics.failing.WithLabelValues(l.Channel.Name()).Set(0)
	}
	return n, nil
}

func (n *Notifier) measure() error {
	n.metrics = metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "m2mwatch_notify_deliveries_total",
			Help: "Attempts to deliver an alert, by channel and outcome (ok, failed, refused, none, unreadable), and alerts that were left to a summary (summarised).",
		}, []string{"channel", "outcome"}),
		failing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "m2mwatch_notify_channel_failing",
			Help: "1 while this process's last attempt to deliver to the channel was in vain, by channel.",
		}, []string{"channel"}),
	}
	if n.cfg.Registerer == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{n.metrics.deliveries, n.metrics.failing} {
		if err := n.cfg.Registerer.Register(c); err != nil {
			return fmt.Errorf("notify: metrics: %w", err)
		}
	}
	return nil
}

func (c *Config) validate() error {
	var errs []error
	if c.Source == nil {
		errs = append(errs, errors.New("notify: the source: want one"))
	}
	if c.Deliveries == nil {
		errs = append(errs, errors.New("notify: the record of deliveries: want one"))
	}
	if c.Outbox == nil && len(c.Lanes) > 0 {
		errs = append(errs, errors.New("notify: the outbox: want one"))
	}
	names := map[string]bool{}
	for _, l := range c.Lanes {
		if l.Queue == nil {
			errs = append(errs, fmt.Errorf("notify: channel %q: want a queue", l.Channel.Name()))
		}
		if names[l.Channel.Name()] {
			errs = append(errs, fmt.Errorf("notify: channel %q: its name is taken", l.Channel.Name()))
		}
		names[l.Channel.Name()] = true
	}
	for i, r := range c.Routes {
		for _, channel := range r.Channels {
			if !names[channel] {
				errs = append(errs, fmt.Errorf("notify: route %d: there is no channel %q", i+1, channel))
			}
		}
	}
	return errors.Join(errs...)
}

const (
	maxFetchBytes  = 1 << 20
	fetchWait      = 5 * time.Second
	progressEvery  = time.Second // well below the consumer's AckWait, which is 5 s on the embedded server
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	finishWithin   = 5 * time.Second // for record and ack after the end of ctx
)

// Run delivers until ctx ends, and returns when nothing is in flight.
func (n *Notifier) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { n.read(ctx, n.cfg.Source, n.router.handle) })
	for _, l := range n.lanes {
		running.Go(func() { n.read(ctx, l.Queue, l.handle) })
		running.Go(func() { l.lookForDue(ctx) })
	}
	running.Wait()
	return nil
}

// read hands over what comes from a source, one message at a time.
func (n *Notifier) read(ctx context.Context, source Source, handle func(context.Context, schemas.Message)) {
	failures := uint64(0)
	for ctx.Err() == nil {
		msgs, err := source.Fetch(ctx, 1, maxFetchBytes, fetchWait)
		if err != nil && ctx.Err() == nil {
			failures++
			n.fetchFailed(ctx, failures, err)
		} else {
			failures = 0
		}
		for _, m := range msgs {
			handle(ctx, m)
		}
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

// keep says InProgress until it is stopped.
func keep(m schemas.Message) (stop func()) {
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
	n.metrics.deliveries.WithLabelValues("", "unreadable").Inc()
	n.ack(ctx, m, "")
}

// ack reports whether the message is gone from its queue.
func (n *Notifier) ack(ctx context.Context, m schemas.Message, alertID string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if err := m.Ack(ctx); err != nil {
		n.cfg.Logger.WarnContext(ctx, "ack an alert: it comes again", "alert_id", alertID, "error", err)
		return false
	}
	return true
}

func (n *Notifier) putOff(ctx context.Context, m schemas.Message, alertID string, d time.Duration) {
	if ctx.Err() != nil {
		d = 0 // another process may take it at once
	}
	if err := m.Nak(d); err != nil {
		n.cfg.Logger.WarnContext(ctx, "put off an alert", "alert_id", alertID, "error", err)
	}
}

// record stores how an attempt ended and reports whether that went well.
func (n *Notifier) record(ctx context.Context, d schemas.Delivery) bool {
	if d.Time.IsZero() {
		d.Time = n.cfg.Now().UTC()
	}
	d.Error = strings.ToValidUTF8(d.Error, "?")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if err := n.cfg.Deliveries.InsertDelivery(ctx, d); err != nil {
		n.cfg.Logger.WarnContext(ctx, "record a delivery", "alert_id", d.AlertID, "channel", d.Channel, "error", err)
		return false
	}
	n.cfg.At("delivery_recorded")
	return true
}
